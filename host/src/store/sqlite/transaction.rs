//! One commit within the writer's transaction: everything is checked before anything is written, so that a commit that is refused
//! leaves no trace among the others that share the transaction.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{
        Access, Commit, FollowerChange, FollowerStep, MessageKey, OutboxStep, Outcome, ParcelId, PendingStep, Scope,
        Version,
    },
    millis, readers,
};

/// Applies `commit` under `number`, or says why not. After an error the whole transaction has to be undone.
pub(super) fn apply(transaction: &Connection, commit: &Commit, number: u64) -> rusqlite::Result<Outcome> {
    if let Some(answer) = readers::answer(transaction, &commit.message)? {
        return Ok(Outcome::Answered(answer));
    }
    if let Some(PendingStep::End(message)) = &commit.pending
        && !is_pending(transaction, message)?
    {
        return Ok(Outcome::Ended);
    }
    for step in &commit.outbox {
        if !fits(transaction, step)? {
            return Ok(Outcome::Ended);
        }
    }
    if let Some(step) = &commit.follower
        && !is_current(transaction, step, millis(commit.now))?
    {
        return Ok(Outcome::Conflict);
    }
    let mut changes = Vec::with_capacity(commit.scopes.len());
    for (scope, access) in &commit.scopes {
        match Change::of(transaction, scope, access)? {
            Some(change) => changes.push(change),
            None => return Ok(Outcome::Conflict),
        }
    }
    if let Some(change) = changes.iter().find(|change| change.exceeds_quota()) {
        return Ok(Outcome::Quota(change.scope.clone()));
    }

    let number = i64::try_from(number).unwrap_or(i64::MAX);
    for change in &changes {
        change.write(transaction, number)?;
    }
    if let Some(step) = &commit.follower {
        write_follower(transaction, step, number)?;
    }
    match &commit.pending {
        Some(PendingStep::Begin(record)) => {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO pending (message, record) VALUES (?1, ?2)")?;
            statement.execute(params![commit.message.0, record])?;
        }
        Some(PendingStep::End(message)) => {
            transaction.prepare_cached("DELETE FROM pending WHERE message = ?1")?.execute([message.0])?;
        }
        None => {}
    }
    for step in &commit.outbox {
        write_outbox(transaction, step)?;
    }
    if let Some((name, value)) = &commit.note {
        match value {
            Some(value) => {
                let mut statement =
                    transaction.prepare_cached("INSERT OR REPLACE INTO notes (name, value) VALUES (?1, ?2)")?;
                statement.execute(params![name, value])?;
            }
            None => {
                transaction.prepare_cached("DELETE FROM notes WHERE name = ?1")?.execute([name])?;
            }
        }
    }
    if let Some(answer) = &commit.answer {
        let mut statement =
            transaction.prepare_cached("INSERT INTO answers (message, recorded, answer) VALUES (?1, ?2, ?3)")?;
        statement.execute(params![commit.message.0, millis(commit.now), answer])?;
    }
    Ok(Outcome::Committed)
}

/// What a commit is going to do in one scope, all of whose reads are current.
struct Change<'a> {
    scope: &'a Scope,
    access: &'a Access,
    /// The scope's sums before the commit.
    before: Sums,
    /// Its bytes after the commit.
    bytes: i64,
    /// Whether a key is created or deleted.
    moves_keys: bool,
}

/// A row of `scopes`.
#[derive(Clone, Copy, Default)]
struct Sums {
    bytes: i64,
    version: Version,
}

/// What the checks need to know of a key's entry.
#[derive(Clone, Copy, Default)]
struct Head {
    version: Version,
    /// The value's length, where there is one.
    length: Option<i64>,
}

impl<'a> Change<'a> {
    /// The change of `access` in `scope`, or `None` if something that was read has been overtaken.
    fn of(transaction: &Connection, scope: &'a Scope, access: &'a Access) -> rusqlite::Result<Option<Self>> {
        // A key that was read is mostly written too.
        let mut heads = HashMap::with_capacity(access.reads.len());
        for (key, version) in &access.reads {
            let head = Head::of(transaction, scope, key)?;
            if head.version != *version {
                return Ok(None);
            }
            heads.insert(key.as_str(), head);
        }
        let before = if access.lists.is_empty() && access.writes.is_empty() {
            Sums::default()
        } else {
            Sums::of(transaction, scope)?
        };
        if access.lists.iter().any(|version| *version != before.version) {
            return Ok(None);
        }
        let (mut bytes, mut moves_keys) = (before.bytes, false);
        for (key, value) in &access.writes {
            let head = match heads.get(key.as_str()) {
                Some(head) => *head,
                None => Head::of(transaction, scope, key)?,
            };
            let size = |length: i64| length.saturating_add(length_of(key.as_bytes()));
            bytes = bytes.saturating_sub(head.length.map_or(0, size));
            bytes = bytes.saturating_add(value.as_ref().map_or(0, |value| size(length_of(value))));
            moves_keys |= head.length.is_some() != value.is_some();
        }
        Ok(Some(Self { scope, access, before, bytes, moves_keys }))
    }

    fn exceeds_quota(&self) -> bool {
        let exceeds = |quota: u64| i64::try_from(quota).is_ok_and(|quota| self.bytes > quota);
        self.bytes > self.before.bytes && self.access.quota.is_some_and(exceeds)
    }

    fn write(&self, transaction: &Connection, number: i64) -> rusqlite::Result<()> {
        let (bot, plugin) = (&self.scope.bot, &self.scope.plugin);
        for (key, value) in &self.access.writes {
            match value {
                Some(value) => {
                    let mut statement = transaction.prepare_cached(
                        "INSERT INTO entries (bot, plugin, key, version, value) VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT DO UPDATE SET version = excluded.version, value = excluded.value",
                    )?;
                    statement.execute(params![bot, plugin, key, number, value])?;
                }
                None => {
                    let mut statement = transaction
                        .prepare_cached("DELETE FROM entries WHERE bot = ?1 AND plugin = ?2 AND key = ?3")?;
                    statement.execute(params![bot, plugin, key])?;
                }
            }
        }
        if self.bytes != self.before.bytes || self.moves_keys {
            // The row stays when the last key goes: its version must not come back.
            let mut statement = transaction.prepare_cached(
                "INSERT INTO scopes (bot, plugin, bytes, version) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET bytes = excluded.bytes, version = excluded.version",
            )?;
            let version =
                if self.moves_keys { number } else { i64::try_from(self.before.version.0).unwrap_or(i64::MAX) };
            statement.execute(params![bot, plugin, self.bytes, version])?;
        }
        Ok(())
    }
}

impl Sums {
    fn of(transaction: &Connection, scope: &Scope) -> rusqlite::Result<Self> {
        let mut statement =
            transaction.prepare_cached("SELECT bytes, version FROM scopes WHERE bot = ?1 AND plugin = ?2")?;
        let sums = statement.query_row(params![scope.bot, scope.plugin], |row| {
            Ok(Self { bytes: row.get(0)?, version: readers::version(row, 1)? })
        });
        Ok(sums.optional()?.unwrap_or_default())
    }
}

impl Head {
    fn of(transaction: &Connection, scope: &Scope, key: &str) -> rusqlite::Result<Self> {
        // SQLite takes a blob's length from the row's header, without reading the blob.
        let mut statement = transaction
            .prepare_cached("SELECT version, length(value) FROM entries WHERE bot = ?1 AND plugin = ?2 AND key = ?3")?;
        let head = statement.query_row(params![scope.bot, scope.plugin, key], |row| {
            Ok(Self { version: readers::version(row, 0)?, length: Some(row.get(1)?) })
        });
        Ok(head.optional()?.unwrap_or_default())
    }
}

fn is_pending(transaction: &Connection, message: &MessageKey) -> rusqlite::Result<bool> {
    transaction.prepare_cached("SELECT 1 FROM pending WHERE message = ?1")?.exists([message.0])
}

/// Whether a reply that is to be sent is in the state that the step changes.
fn fits(transaction: &Connection, step: &OutboxStep) -> rusqlite::Result<bool> {
    let is = |id: &ParcelId, states: &str| {
        let found = format!("SELECT 1 FROM outbox WHERE id = ?1 AND sending IN {states}");
        transaction.prepare_cached(&found)?.exists([number_of(id)])
    };
    match step {
        OutboxStep::Put { .. } => Ok(true),
        OutboxStep::Begin(id) => is(id, "(0)"),
        OutboxStep::Back(id) => is(id, "(1)"),
        OutboxStep::End(id) => is(id, "(0, 1)"),
    }
}

fn write_outbox(transaction: &Connection, step: &OutboxStep) -> rusqlite::Result<()> {
    match step {
        OutboxStep::Put { bot, openid, record } => {
            let mut statement = transaction
                .prepare_cached("INSERT INTO outbox (bot, openid, sending, record) VALUES (?1, ?2, 0, ?3)")?;
            statement.execute(params![bot, openid, record])?;
        }
        OutboxStep::Begin(id) => {
            transaction.prepare_cached("UPDATE outbox SET sending = 1 WHERE id = ?1")?.execute([number_of(id)])?;
        }
        OutboxStep::Back(id) => {
            transaction.prepare_cached("UPDATE outbox SET sending = 0 WHERE id = ?1")?.execute([number_of(id)])?;
        }
        OutboxStep::End(id) => {
            transaction.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([number_of(id)])?;
        }
    }
    Ok(())
}

fn number_of(id: &ParcelId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// Whether the follower's record is still the one read. One that was absent when read because it had expired has a row all the same.
fn is_current(transaction: &Connection, step: &FollowerStep, now: i64) -> rusqlite::Result<bool> {
    let mut statement =
        transaction.prepare_cached("SELECT version, expires FROM followers WHERE bot = ?1 AND openid = ?2")?;
    let row = statement
        .query_row(params![step.bot, step.openid], |row| Ok((readers::version(row, 0)?, row.get::<_, i64>(1)?)));
    Ok(match row.optional()? {
        None => step.read == Version::ABSENT,
        Some((version, expires)) => step.read == version || step.read == Version::ABSENT && expires <= now,
    })
}

fn write_follower(transaction: &Connection, step: &FollowerStep, number: i64) -> rusqlite::Result<()> {
    match &step.change {
        FollowerChange::Keep => {}
        FollowerChange::Put { record, expires } => {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO followers (bot, openid, version, expires, record) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET version = excluded.version, expires = excluded.expires, record = excluded.record",
            )?;
            statement.execute(params![step.bot, step.openid, number, millis(*expires), record])?;
        }
        FollowerChange::Delete => {
            let mut statement = transaction.prepare_cached("DELETE FROM followers WHERE bot = ?1 AND openid = ?2")?;
            statement.execute(params![step.bot, step.openid])?;
        }
    }
    Ok(())
}

fn length_of(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

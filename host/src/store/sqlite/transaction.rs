//! The commits of one transaction: each is checked against the database and against what those before it did, and only what all of
//! them did together is written, so that a commit that is refused leaves no trace, and a key that many write is written once.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    super::{
        Access, Commit, FollowerChange, FollowerStep, MessageKey, OutboxStep, Outcome, ParcelId, PendingStep, Scope,
        Version, Versioned,
    },
    known::{Known, Row, Sums, entry_key, follower_key, scope_key, step_key},
    millis, readers,
};

/// The last value of a key, and the commit that wrote it.
type Written<'a> = (i64, Option<&'a [u8]>);

/// What the commits of one transaction did so far.
#[derive(Default)]
pub(super) struct Batch<'a> {
    entries: BTreeMap<(&'a Scope, &'a str), Written<'a>>,
    sums: BTreeMap<&'a Scope, Sums>,
    /// The last change of each follower, and the commit that made it.
    followers: BTreeMap<(&'a str, &'a str), (i64, &'a FollowerChange)>,
    /// The commits that recorded an answer, in their order.
    answers: Vec<&'a Commit>,
    answered: HashMap<MessageKey, &'a [u8]>,
    /// Commits that were refused for what they had read. They may have been misled by what is known.
    misled: Vec<&'a Commit>,
    /// Where the answers stand, once they are written.
    recorded: Vec<(MessageKey, i64)>,
}

impl<'a> Batch<'a> {
    /// Takes `commit` in under `number`, or says why not. After an error the whole transaction has to be undone.
    pub(super) fn apply(
        &mut self,
        transaction: &Connection,
        known: &Known,
        commit: &'a Commit,
        number: u64,
    ) -> rusqlite::Result<Outcome> {
        if let Some(answer) = self.answer(transaction, known, &commit.message)? {
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
            && !self.is_current(transaction, known, step, millis(commit.now))?
        {
            self.misled.push(commit);
            return Ok(Outcome::Conflict);
        }
        let mut changes = Vec::with_capacity(commit.scopes.len());
        for (scope, access) in &commit.scopes {
            match self.change(transaction, known, scope, access)? {
                Some(change) => changes.push(change),
                None => {
                    self.misled.push(commit);
                    return Ok(Outcome::Conflict);
                }
            }
        }
        if let Some(change) = changes.iter().find(|change| change.exceeds_quota()) {
            return Ok(Outcome::Quota(change.scope.clone()));
        }

        // What is seldom is written at once.
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
            write_note(transaction, name, value.as_deref())?;
        }
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        for change in changes {
            self.stage(change, number);
        }
        if let Some(step) = &commit.follower
            && step.change != FollowerChange::Keep
        {
            self.followers.insert((&step.bot, &step.openid), (number, &step.change));
        }
        if let Some(answer) = &commit.answer {
            self.answered.insert(commit.message, answer);
            self.answers.push(commit);
        }
        Ok(Outcome::Committed)
    }

    /// Writes what all commits did. In order of the keys, so that neighbours in one page are written one after the other.
    pub(super) fn write(&mut self, transaction: &Connection) -> rusqlite::Result<()> {
        for ((scope, key), (number, value)) in &self.entries {
            match value {
                Some(value) => {
                    let mut statement = transaction.prepare_cached(
                        "INSERT INTO entries (bot, plugin, key, version, value) VALUES (?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT DO UPDATE SET version = excluded.version, value = excluded.value",
                    )?;
                    statement.execute(params![scope.bot, scope.plugin, key, number, value])?;
                }
                None => {
                    let mut statement = transaction
                        .prepare_cached("DELETE FROM entries WHERE bot = ?1 AND plugin = ?2 AND key = ?3")?;
                    statement.execute(params![scope.bot, scope.plugin, key])?;
                }
            }
        }
        for (scope, sums) in &self.sums {
            // The row stays when the last key goes: its version must not come back.
            let mut statement = transaction.prepare_cached(
                "INSERT INTO scopes (bot, plugin, bytes, version) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET bytes = excluded.bytes, version = excluded.version",
            )?;
            let version = i64::try_from(sums.version.0).unwrap_or(i64::MAX);
            statement.execute(params![scope.bot, scope.plugin, sums.bytes, version])?;
        }
        for ((bot, openid), (number, change)) in &self.followers {
            write_follower(transaction, bot, openid, change, *number)?;
        }
        for commit in &self.answers {
            let mut statement =
                transaction.prepare_cached("INSERT INTO answers (message, recorded, answer) VALUES (?1, ?2, ?3)")?;
            let id = statement.insert(params![commit.message.0, millis(commit.now), commit.answer])?;
            self.recorded.push((commit.message, id));
        }
        Ok(())
    }

    /// Makes known what is on disk now; `dropped` are messages whose answers are not any more.
    pub(super) fn publish(&self, known: &Known, dropped: &[MessageKey]) {
        for ((scope, key), (number, value)) in &self.entries {
            let version = if value.is_some() { Version(number.unsigned_abs()) } else { Version::ABSENT };
            known.entries.put(entry_key(scope, key), Versioned { value: value.map(Into::into), version });
        }
        for (scope, sums) in &self.sums {
            known.sums.put(scope_key(scope), *sums);
        }
        for ((bot, openid), (number, change)) in &self.followers {
            let row = match change {
                FollowerChange::Put { record, expires } => Row {
                    record: Some(record.as_slice().into()),
                    version: Version(number.unsigned_abs()),
                    expires: millis(*expires),
                },
                FollowerChange::Delete | FollowerChange::Keep => Row::default(),
            };
            known.followers.put(follower_key(bot, openid), row);
        }
        known.recorded.change(&self.recorded, dropped);
        for commit in &self.misled {
            // They are going to be run again, and then read the database.
            if let Some(step) = &commit.follower {
                known.followers.forget(&step_key(step));
            }
            for (scope, access) in &commit.scopes {
                for (key, _) in &access.reads {
                    known.entries.forget(&entry_key(scope, key));
                }
            }
        }
    }

    fn answer(
        &self,
        transaction: &Connection,
        known: &Known,
        message: &MessageKey,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        if let Some(answer) = self.answered.get(message) {
            return Ok(Some(answer.to_vec()));
        }
        match known.recorded.find(message) {
            Some(id) => readers::answer(transaction, id, message),
            None => Ok(None),
        }
    }

    /// Whether the follower's record is still the one read. One that was absent when read because it had expired has a row all the same.
    fn is_current(
        &self,
        transaction: &Connection,
        known: &Known,
        step: &FollowerStep,
        now: i64,
    ) -> rusqlite::Result<bool> {
        let row = match self.followers.get(&(&*step.bot, step.openid.as_str())) {
            Some((number, FollowerChange::Put { expires, .. })) => Some((Version(number.unsigned_abs()), *expires)),
            Some(_) => None,
            None => {
                let row = match known.followers.get(&step_key(step)) {
                    Ok(row) => row,
                    Err(_) => readers::follower(transaction, &step.bot, &step.openid)?,
                };
                row.record.map(|_| (row.version, std::time::Duration::from_millis(row.expires.unsigned_abs())))
            }
        };
        Ok(match row {
            None => step.read == Version::ABSENT,
            Some((version, expires)) => step.read == version || step.read == Version::ABSENT && millis(expires) <= now,
        })
    }

    /// The change of `access` in `scope`, or `None` if something that was read has been overtaken.
    fn change(
        &self,
        transaction: &Connection,
        known: &Known,
        scope: &'a Scope,
        access: &'a Access,
    ) -> rusqlite::Result<Option<Change<'a>>> {
        // A key that was read is mostly written too.
        let mut heads = Vec::with_capacity(access.reads.len());
        for (key, version) in &access.reads {
            let head = self.head(transaction, known, scope, key)?;
            if head.version != *version {
                return Ok(None);
            }
            heads.push((key.as_str(), head));
        }
        let before = if access.lists.is_empty() && access.writes.is_empty() {
            Sums::default()
        } else {
            self.sums(transaction, known, scope)?
        };
        if access.lists.iter().any(|version| *version != before.version) {
            return Ok(None);
        }
        let (mut bytes, mut moves_keys) = (before.bytes, false);
        for (key, value) in &access.writes {
            // In the order of the keys, as the writes are.
            let head = match heads.binary_search_by_key(&key.as_str(), |(key, _)| key) {
                Ok(found) => heads[found].1,
                Err(_) => self.head(transaction, known, scope, key)?,
            };
            let size = |length: i64| length.saturating_add(length_of(key.as_bytes()));
            bytes = bytes.saturating_sub(head.length.map_or(0, size));
            bytes = bytes.saturating_add(value.as_ref().map_or(0, |value| size(length_of(value))));
            moves_keys |= head.length.is_some() != value.is_some();
        }
        Ok(Some(Change { scope, access, before, bytes, moves_keys }))
    }

    fn stage(&mut self, change: Change<'a>, number: i64) {
        let Change { scope, access, before, bytes, moves_keys } = change;
        for (key, value) in &access.writes {
            self.entries.insert((scope, key), (number, value.as_deref()));
        }
        if bytes != before.bytes || moves_keys {
            let version = if moves_keys { Version(number.unsigned_abs()) } else { before.version };
            self.sums.insert(scope, Sums { bytes, version });
        }
    }

    fn head(&self, transaction: &Connection, known: &Known, scope: &Scope, key: &str) -> rusqlite::Result<Head> {
        if let Some((number, value)) = self.entries.get(&(scope, key)) {
            return Ok(value.map_or_else(Head::default, |value| Head {
                version: Version(number.unsigned_abs()),
                length: Some(length_of(value)),
            }));
        }
        if let Ok(entry) = known.entries.get(&entry_key(scope, key)) {
            return Ok(Head { version: entry.version, length: entry.value.map(|value| length_of(&value)) });
        }
        // SQLite takes a blob's length from the row's header, without reading the blob.
        let mut statement = transaction
            .prepare_cached("SELECT version, length(value) FROM entries WHERE bot = ?1 AND plugin = ?2 AND key = ?3")?;
        let head = statement.query_row(params![scope.bot, scope.plugin, key], |row| {
            Ok(Head { version: readers::version(row, 0)?, length: Some(row.get(1)?) })
        });
        Ok(head.optional()?.unwrap_or_default())
    }

    fn sums(&self, transaction: &Connection, known: &Known, scope: &Scope) -> rusqlite::Result<Sums> {
        if let Some(sums) = self.sums.get(scope) {
            return Ok(*sums);
        }
        known.sums.get(&scope_key(scope)).or_else(|_| readers::sums(transaction, scope))
    }
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

impl Change<'_> {
    fn exceeds_quota(&self) -> bool {
        let exceeds = |quota: u64| i64::try_from(quota).is_ok_and(|quota| self.bytes > quota);
        self.bytes > self.before.bytes && self.access.quota.is_some_and(exceeds)
    }
}

/// What the checks need to know of a key's entry.
#[derive(Clone, Copy, Default)]
struct Head {
    version: Version,
    /// The value's length, where there is one.
    length: Option<i64>,
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

fn write_note(transaction: &Connection, name: &str, value: Option<&[u8]>) -> rusqlite::Result<()> {
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
    Ok(())
}

fn write_follower(
    transaction: &Connection,
    bot: &str,
    openid: &str,
    change: &FollowerChange,
    number: i64,
) -> rusqlite::Result<()> {
    match change {
        FollowerChange::Keep => {}
        FollowerChange::Put { record, expires } => {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO followers (bot, openid, version, expires, record) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET version = excluded.version, expires = excluded.expires, record = excluded.record",
            )?;
            statement.execute(params![bot, openid, number, millis(*expires), record])?;
        }
        FollowerChange::Delete => {
            let mut statement = transaction.prepare_cached("DELETE FROM followers WHERE bot = ?1 AND openid = ?2")?;
            statement.execute(params![bot, openid])?;
        }
    }
    Ok(())
}

fn length_of(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

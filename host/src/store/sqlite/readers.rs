//! Connections for reading, which see the last commit whenever a read begins and never wait for the writer.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::Semaphore;

use super::{
    super::{
        Addressee, Entry, LISTED, MessageKey, PARCELS, Parcel, ParcelId, SCANNED, SCANNED_BYTES, Scope, StoreError,
        Version, Versioned,
    },
    format::{self, Mode},
    known::{Row as FollowerRow, Sums, Value},
    millis,
};

/// Connections kept open while nobody reads. More than this read at one time only where the runtime has more threads.
const IDLE: usize = 4;

/// Long reads at one time; more wait their turn. They are rare, and each holds up to [`SCANNED_BYTES`].
const LONG_READS: usize = 2;

/// A pool of reading connections, none of them shared by two reads at one time.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    long: Semaphore,
}

impl Readers {
    /// A pool for the database at `path`, beginning with `first`.
    pub(super) fn new(path: PathBuf, first: Connection) -> Self {
        Self { path, idle: Mutex::new(vec![first]), long: Semaphore::new(LONG_READS) }
    }

    /// Reads on this very thread: for what takes microseconds, less than it would to hand it to another.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let opened = format::connect(&self.path, Mode::Read);
                opened.map_err(|error| StoreError::Unavailable(error.to_string().into()))?
            }
        };
        // A connection that failed is dropped, lest it remember what it misread.
        let value = read(&connection).map_err(|error| format::unavailable(&self.path, &error))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(value)
    }

    /// Reads on a thread that may take its time.
    pub(super) async fn read_long<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopping = || StoreError::Unavailable("the host is stopping".into());
        let _turn = self.long.acquire().await.map_err(|_| stopping())?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || readers.read(read)).await.map_err(|_| stopping())?
    }
}

pub(super) fn get(connection: &Connection, scope: &Scope, key: &str) -> rusqlite::Result<Value> {
    let mut statement =
        connection.prepare_cached("SELECT value, version FROM entries WHERE bot = ?1 AND plugin = ?2 AND key = ?3")?;
    let value = statement.query_row(params![scope.bot, scope.plugin, key], |row| {
        let value = row.get_ref(0)?.as_blob()?;
        Ok(Versioned { value: Some(value.into()), version: version(row, 1)? })
    });
    Ok(value.optional()?.unwrap_or_default())
}

pub(super) fn list(
    connection: &Connection,
    scope: &Scope,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Versioned<Vec<String>>> {
    // Both statements see one moment.
    let snapshot = connection.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached("SELECT version FROM scopes WHERE bot = ?1 AND plugin = ?2")?;
    let version =
        statement.query_row(params![scope.bot, scope.plugin], |row| version(row, 0)).optional()?.unwrap_or_default();
    // The keys with a prefix stand together, the prefix itself first.
    let from = after.map(successor).filter(|from| from.as_str() > prefix).unwrap_or_else(|| prefix.to_owned());
    let mut statement = snapshot
        .prepare_cached("SELECT key FROM entries WHERE bot = ?1 AND plugin = ?2 AND key >= ?3 ORDER BY key LIMIT ?4")?;
    let mut rows = statement.query(params![scope.bot, scope.plugin, from, limit.min(LISTED) as i64])?;
    let mut value = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get::<_, String>(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        value.push(key);
    }
    Ok(Versioned { value, version })
}

pub(super) fn sums(connection: &Connection, scope: &Scope) -> rusqlite::Result<Sums> {
    let mut statement =
        connection.prepare_cached("SELECT bytes, version FROM scopes WHERE bot = ?1 AND plugin = ?2")?;
    let sums = statement
        .query_row(params![scope.bot, scope.plugin], |row| Ok(Sums { bytes: row.get(0)?, version: version(row, 1)? }));
    Ok(sums.optional()?.unwrap_or_default())
}

/// A follower's row, whether it has expired or not.
pub(super) fn follower(connection: &Connection, bot: &str, openid: &str) -> rusqlite::Result<FollowerRow> {
    let mut statement =
        connection.prepare_cached("SELECT record, version, expires FROM followers WHERE bot = ?1 AND openid = ?2")?;
    let row = statement.query_row(params![bot, openid], |row| {
        let record = row.get_ref(0)?.as_blob()?;
        Ok(FollowerRow { record: Some(record.into()), version: version(row, 1)?, expires: row.get(2)? })
    });
    Ok(row.optional()?.unwrap_or_default())
}

/// The answer that stands at `id`, if it is this message's.
pub(super) fn answer(connection: &Connection, id: i64, message: &MessageKey) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT answer FROM answers WHERE id = ?1 AND message = ?2")?;
    statement.query_row(params![id, message.0], |row| row.get(0)).optional()
}

/// The same where nobody knows where it stands: all of them are looked at.
pub(super) fn find_answer(connection: &Connection, message: &MessageKey) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT answer FROM answers WHERE message = ?1")?;
    statement.query_row([message.0], |row| row.get(0)).optional()
}

/// Answers stand in the order in which they came, so the newest tells; one from before the clock was set back counts as new.
pub(super) fn answered_since(connection: &Connection, since: std::time::Duration) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT recorded FROM answers ORDER BY id DESC LIMIT 1")?;
    let newest = statement.query_row([], |row| row.get::<_, i64>(0)).optional()?;
    Ok(newest.is_some_and(|newest| newest >= millis(since)))
}

pub(super) fn pending(connection: &Connection) -> rusqlite::Result<Vec<(MessageKey, Vec<u8>)>> {
    let mut statement = connection.prepare_cached("SELECT message, record FROM pending ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((MessageKey(row.get(0)?), row.get(1)?)))?;
    rows.collect()
}

pub(super) fn outbox(connection: &Connection, bot: &str, openid: &str) -> rusqlite::Result<Vec<Parcel>> {
    let mut statement = connection
        .prepare_cached("SELECT id, sending, record FROM outbox WHERE bot = ?1 AND openid = ?2 ORDER BY id LIMIT ?3")?;
    let rows = statement.query_map(params![bot, openid, PARCELS as i64], |row| {
        let id = ParcelId(row.get::<_, i64>(0)?.unsigned_abs());
        Ok(Parcel { id, sending: row.get(1)?, record: row.get(2)? })
    })?;
    rows.collect()
}

pub(super) fn addressees(connection: &Connection) -> rusqlite::Result<Vec<Addressee>> {
    let mut statement =
        connection.prepare_cached("SELECT bot, openid, count(*) FROM outbox GROUP BY bot, openid ORDER BY min(id)")?;
    let rows = statement.query_map([], |row| {
        let bot: String = row.get(0)?;
        Ok(Addressee { bot: bot.into(), openid: row.get(1)?, parcels: row.get::<_, i64>(2)?.unsigned_abs() })
    })?;
    rows.collect()
}

pub(super) fn note(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM notes WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn scan(
    connection: &Connection,
    after: Option<(&Scope, &str)>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let (bot, plugin, from) =
        after.map_or(("", "", String::new()), |(scope, key)| (&*scope.bot, &*scope.plugin, successor(key)));
    let mut statement = connection.prepare_cached(
        "SELECT bot, plugin, key, value FROM entries WHERE (bot, plugin, key) >= (?1, ?2, ?3) ORDER BY bot, plugin, key LIMIT ?4",
    )?;
    let mut rows = statement.query(params![bot, plugin, from, limit.min(SCANNED) as i64])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let scope = Scope { bot: row.get(0)?, plugin: row.get(1)? };
        let entry = Entry { scope, key: row.get(2)?, value: row.get(3)? };
        bytes += entry.key.len() + entry.value.len();
        entries.push(entry);
        if bytes >= SCANNED_BYTES {
            break;
        }
    }
    Ok(entries)
}

/// The version in column `index`.
pub(super) fn version(row: &Row<'_>, index: usize) -> rusqlite::Result<Version> {
    row.get::<_, i64>(index).map(|number| Version(number.unsigned_abs()))
}

/// The first text after `key` in byte order.
fn successor(key: &str) -> String {
    format!("{key}\0")
}

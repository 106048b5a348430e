//! The database file: its tables, its settings, and what can be wrong with it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::super::StoreError;

/// "Myna" in ASCII, in the file's header: tells our files from other programs' SQLite databases, to us and to `file`.
const APPLICATION: i32 = 0x4d79_6e61;

/// The version of the tables below. A host opens older formats and upgrades them; never newer ones.
const FORMAT: i32 = 3;

/// Comments stay in the file, for those who look at it with `sqlite3` and `.schema`.
const SCHEMA: &str = "
CREATE TABLE entries (       -- what plugins store
    bot     TEXT NOT NULL,
    plugin  TEXT NOT NULL,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL, -- number of the commit that wrote the value
    value   BLOB NOT NULL,
    PRIMARY KEY (bot, plugin, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE scopes (        -- sums over entries
    bot     TEXT NOT NULL,
    plugin  TEXT NOT NULL,
    bytes   INTEGER NOT NULL, -- of all keys and values
    version INTEGER NOT NULL, -- number of the commit that last created or deleted a key
    PRIMARY KEY (bot, plugin)
) STRICT, WITHOUT ROWID;
CREATE TABLE followers (     -- conversations, and answers not yet delivered
    bot     TEXT NOT NULL,
    openid  TEXT NOT NULL,
    version INTEGER NOT NULL, -- number of the commit that wrote the record
    expires INTEGER NOT NULL, -- milliseconds since 1970
    record  BLOB NOT NULL,
    PRIMARY KEY (bot, openid)
) STRICT, WITHOUT ROWID;
CREATE TABLE pending (       -- messages to run again after a restart
    id      INTEGER PRIMARY KEY, -- oldest first
    message BLOB NOT NULL UNIQUE,
    record  BLOB NOT NULL
) STRICT;
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters VALUES ('commits', 0); -- no number above this one has been used
";

/// What format 2 has beside format 1.
const SINCE_2: &str = "
CREATE TABLE outbox (        -- replies to be sent to followers
    id      INTEGER PRIMARY KEY AUTOINCREMENT, -- in this order
    bot     TEXT NOT NULL,
    openid  TEXT NOT NULL,
    sending INTEGER NOT NULL, -- whether it was begun; if that host is gone, nobody knows whether it arrived
    record  BLOB NOT NULL
) STRICT;
CREATE INDEX outbox_followers ON outbox (bot, openid, id);
CREATE TABLE notes (         -- what the host found out and is to remember
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What format 3 has in place of what was in formats 1 and 2, which had an index over the messages.
const SINCE_3: &str = "
CREATE TABLE answers (       -- what a retry of a message is answered with
    id       INTEGER PRIMARY KEY, -- oldest first
    message  BLOB NOT NULL,    -- hash of what tells the message from others; each is here once
    recorded INTEGER NOT NULL, -- milliseconds since 1970
    answer   BLOB NOT NULL
) STRICT;
";

/// How long a connection waits for another program that holds the database, such as an operator's `sqlite3`.
const BUSY: Duration = Duration::from_secs(2);

/// KiB of pages that the writer keeps: the upper levels of a few million entries.
const WRITER_CACHE: i64 = 8 * 1024;

/// KiB of pages that each reader keeps. Every commit empties it, so that more would hardly be used.
const READER_CACHE: i64 = 1024;

/// Bytes to which the log is cut back once it has been taken over into the database.
const LOG_KEPT: i64 = 16 * 1024 * 1024;

/// Statements that a connection keeps prepared: all of ours.
const STATEMENTS: usize = 64;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host has it open.
    #[error("`{}` is in use by {}: stop it first, or name another file as `state`", path.display(), holder(*pid))]
    Held {
        /// The database.
        path: PathBuf,
        /// The process that has it, where known.
        pid: Option<u32>,
    },
    /// The file is something else.
    #[error("`{}` is not a database of Mynah ({reason}): move it away, or name another file as `state`", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// The file was written by a newer host.
    #[error(
        "`{}` has format {found}, and this version of Mynah knows formats up to {FORMAT}: start the newer version, or restore the \
         backup from before the upgrade", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
    /// The file's content makes no sense.
    #[error(
        "`{0}` is damaged ({reason}): restore a backup, or keep a copy and save what can be read with `sqlite3 {0} .recover`",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The file, or the folder around it, cannot be used.
    #[error("cannot open `{}`: {reason}", path.display())]
    Unusable {
        /// The database.
        path: PathBuf,
        /// What the operating system or SQLite says.
        reason: String,
    },
}

impl OpenError {
    pub(super) fn unusable(path: &Path, reason: impl ToString) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, reason) = (path.to_owned(), describe(error));
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path, reason },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, reason },
            _ => Self::Unusable { path, reason },
        }
    }
}

/// How a connection is going to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reads and writes; creates the database where there is none.
    Create,
    /// Reads and writes a database that exists. One that vanished under a running host is not to be replaced by an empty one.
    Write,
    /// Reads only.
    Read,
}

/// Opens the database at `path`, which is absolute, and makes sure that it is one of ours.
pub(super) fn connect(path: &Path, mode: Mode) -> Result<Connection, OpenError> {
    let flags = match mode {
        Mode::Create => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Mode::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Mode::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // Each connection is used by one thread at a time, so that SQLite need not lock it.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let mut connection = connection.map_err(|error| OpenError::sqlite(path, &error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    check(&mut connection, path, mode)?;
    settle(&connection, mode).map_err(|error| OpenError::sqlite(path, &error))?;
    Ok(connection)
}

/// What SQLite says, with its number where the words alone leave the cause open, as for an I/O error.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(cause, Some(message)) if cause.extended_code > 0xff => {
            format!("{message}, SQLite code {}", cause.extended_code)
        }
        error => error.to_string(),
    }
}

/// The error for callers when `error` came up while the database at `path` was in use.
pub(super) fn unavailable(path: &Path, error: &rusqlite::Error) -> StoreError {
    let text = match error.sqlite_error_code() {
        // The advice is the same as for a file that cannot be opened.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path: path.to_owned(), reason: describe(error) }.to_string()
        }
        _ => format!("`{}`: {}", path.display(), describe(error)),
    };
    StoreError::Unavailable(Arc::from(text))
}

/// Refuses what is not ours, and creates the tables where there is nothing.
fn check(connection: &mut Connection, path: &Path, mode: Mode) -> Result<(), OpenError> {
    let sqlite = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    let header = |connection: &Connection| {
        let application = connection.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0))?;
        let format = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0))?;
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok((application, format, tables))
    };
    match header(connection).map_err(sqlite)? {
        (APPLICATION, FORMAT, _) => Ok(()),
        (APPLICATION, found, _) if found > FORMAT => Err(OpenError::Newer { path: path.to_owned(), found }),
        // Whoever only reads finds there what the older format had.
        (APPLICATION, 1 | 2, _) if mode == Mode::Read => Ok(()),
        (APPLICATION, found @ (1 | 2), _) => upgrade(connection, found).map_err(sqlite),
        // What a host leaves that was killed before it had created the tables.
        (0, 0, 0) if mode == Mode::Create => create(connection).map_err(sqlite),
        (0, 0, 0) => Err(OpenError::Foreign { path: path.to_owned(), reason: "an empty database".to_owned() }),
        (application, format, _) => {
            let reason = format!("an SQLite database with application id {application:#x} and format {format}");
            Err(OpenError::Foreign { path: path.to_owned(), reason })
        }
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(SINCE_2)?;
    transaction.execute_batch(SINCE_3)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// From format `found`, whole or not at all.
fn upgrade(connection: &mut Connection, found: i32) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if found < 2 {
        transaction.execute_batch(SINCE_2)?;
    }
    transaction.execute_batch("ALTER TABLE answers RENAME TO answers_before")?;
    transaction.execute_batch(SINCE_3)?;
    transaction.execute_batch(
        "INSERT INTO answers SELECT id, message, recorded, answer FROM answers_before ORDER BY id;
         DROP TABLE answers_before",
    )?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn settle(connection: &Connection, mode: Mode) -> rusqlite::Result<()> {
    // Negative sizes are KiB.
    connection.pragma_update(None, "cache_size", if mode == Mode::Read { -READER_CACHE } else { -WRITER_CACHE })?;
    // A damaged file is to give errors, and nothing else.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Else statements are compiled anew each time they get other values, which might want another plan. Ours never do.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if mode == Mode::Read {
        return Ok(());
    }
    // A property of the file, and so a new file's first setting; also for one that an operator's tool took out of this mode.
    let journal = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
    if journal != "wal" {
        // SQLite keeps the old mode where it cannot share memory between processes, as on some network file systems.
        let message = "no write-ahead log is possible on this file system".to_owned();
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(message),
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On macOS, a plain fsync leaves the data in the disk's own cache.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG_KEPT}"), [], |_| Ok(()))?;
    // The writer takes the log over itself, once it has answered, and so sees it fail.
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

//! The store in an SQLite database, for one host.
//!
//! One thread writes. It takes all commits that wait, checks and applies each in one transaction, and answers them once that is on
//! disk: a single fsync for many messages. Reads have connections of their own, and see the last transaction.

mod cache;
mod format;
mod known;
mod lock;
mod readers;
mod retention;
mod transaction;
mod writer;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use tokio::time::Instant;

pub use self::format::OpenError;
use self::{
    cache::{Cache, Key, Weigh},
    format::Mode,
    known::Known,
    lock::Lock,
    readers::Readers,
    writer::Writer,
};
use super::{Addressee, Commit, Entry, MessageKey, Outcome, Parcel, Scope, Store, StoreError, StoreFuture, Versioned};

/// How often a host that waits for another one tries again.
const POLL: Duration = Duration::from_millis(50);

/// An SQLite database in use.
///
/// When it is dropped, the commits that were handed in are finished, the log is taken over into the database file, and the lock is
/// let go of. The drop waits for that.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped from top to bottom. The writer's connection is then the last one, and SQLite takes the log over as it closes.
    readers: Arc<Readers>,
    /// None where somebody else may be writing.
    known: Option<Arc<Known>>,
    writer: Option<Writer>,
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens the database at `path` for this process alone, and creates it, with the folders around it, where there is none.
    ///
    /// Blocks for some milliseconds; more after a crash, while the log is read again.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = &locate(path).map_err(|error| OpenError::unusable(path, error))?;
        let lock = Lock::take(path)?;
        let connection = format::connect(path, Mode::Create)?;
        let first = format::connect(path, Mode::Read)?;
        let known = Arc::new(Known::default());
        let writer = Writer::start(path.clone(), connection, known.clone())?;
        let readers = Arc::new(Readers::new(path.clone(), first));
        Ok(Self { readers, known: Some(known), writer: Some(writer), _lock: Some(lock) })
    }

    /// Opens the database at `path` like [`SqliteStore::open`], but waits up to `timeout` for a host that has it: one that is being
    /// replaced and answers its last messages.
    pub async fn open_waiting(path: &Path, timeout: Duration) -> Result<Self, OpenError> {
        // A timeout beyond what can be counted is none.
        let deadline = Instant::now().checked_add(timeout);
        let mut waiting = false;
        loop {
            let owned = path.to_owned();
            let opened = tokio::task::spawn_blocking(move || Self::open(&owned)).await;
            match opened.map_err(|error| OpenError::unusable(path, error))? {
                Err(error @ OpenError::Held { .. }) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                    if !waiting {
                        tracing::info!("waiting: {error}");
                        waiting = true;
                    }
                    tokio::time::sleep(POLL).await;
                }
                opened => return opened,
            }
        }
    }

    /// Opens the database at `path` for reading, also while a host has it. Creates nothing.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let path = &fs::canonicalize(path).map_err(|error| OpenError::unusable(path, error))?;
        let first = format::connect(path, Mode::Read)?;
        let readers = Arc::new(Readers::new(path.clone(), first));
        Ok(Self { readers, known: None, writer: None, _lock: None })
    }
}

impl SqliteStore {
    /// What is known, or else what is read and so known from now on.
    fn known_or<V: Clone + Weigh>(
        &self,
        cache: impl FnOnce(&Known) -> &Cache<V>,
        key: impl FnOnce() -> Key,
        read: impl FnOnce(&Connection) -> rusqlite::Result<V>,
    ) -> Result<V, StoreError> {
        let Some(known) = &self.known else { return self.readers.read(read) };
        let (cache, key) = (cache(known), key());
        match cache.get(&key) {
            Ok(row) => Ok(row),
            Err(reading) => {
                let row = self.readers.read(read)?;
                cache.keep(key, reading, row.clone());
                Ok(row)
            }
        }
    }
}

// Short reads run on the thread that asks: they take some microseconds, as long as handing them to another thread would.
impl Store for SqliteStore {
    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> StoreFuture<'a, Versioned<Option<Vec<u8>>>> {
        Box::pin(async move {
            let found = self.known_or(
                |known| &known.entries,
                || known::entry_key(scope, key),
                |connection| readers::get(connection, scope, key),
            )?;
            Ok(Versioned { value: found.value.map(|value| value.to_vec()), version: found.version })
        })
    }

    fn list<'a>(
        &'a self,
        scope: &'a Scope,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Versioned<Vec<String>>> {
        let (scope, prefix, after) = (scope.clone(), prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move {
            let read = move |connection: &_| readers::list(connection, &scope, &prefix, after.as_deref(), limit);
            self.readers.read_long(read).await
        })
    }

    fn usage<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let sums = self.known_or(
                |known| &known.sums,
                || known::scope_key(scope),
                |connection| readers::sums(connection, scope),
            )?;
            Ok(sums.bytes.unsigned_abs())
        })
    }

    fn follower<'a>(
        &'a self,
        bot: &'a str,
        openid: &'a str,
        now: Duration,
    ) -> StoreFuture<'a, Versioned<Option<Vec<u8>>>> {
        Box::pin(async move {
            let row = self.known_or(
                |known| &known.followers,
                || known::follower_key(bot, openid),
                |connection| readers::follower(connection, bot, openid),
            )?;
            Ok(row.at(now))
        })
    }

    fn answer<'a>(&'a self, message: &'a MessageKey) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let Some(known) = &self.known else {
                return self.readers.read(|connection| readers::find_answer(connection, message));
            };
            match known.recorded.find(message) {
                Some(id) => self.readers.read(|connection| readers::answer(connection, id, message)),
                None => Ok(None),
            }
        })
    }

    fn answered_since(&self, since: Duration) -> StoreFuture<'_, bool> {
        Box::pin(async move { self.readers.read(|connection| readers::answered_since(connection, since)) })
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Outcome> {
        Box::pin(async move { self.writer.as_ref().ok_or(StoreError::ReadOnly)?.commit(commit).await })
    }

    fn pending(&self) -> StoreFuture<'_, Vec<(MessageKey, Vec<u8>)>> {
        Box::pin(self.readers.read_long(readers::pending))
    }

    fn outbox<'a>(&'a self, bot: &'a str, openid: &'a str) -> StoreFuture<'a, Vec<Parcel>> {
        Box::pin(async move { self.readers.read(|connection| readers::outbox(connection, bot, openid)) })
    }

    fn addressees(&self) -> StoreFuture<'_, Vec<Addressee>> {
        Box::pin(self.readers.read_long(readers::addressees))
    }

    fn note<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.readers.read(|connection| readers::note(connection, name)) })
    }

    fn scan<'a>(&'a self, after: Option<(&'a Scope, &'a str)>, limit: usize) -> StoreFuture<'a, Vec<Entry>> {
        let after = after.map(|(scope, key)| (scope.clone(), key.to_owned()));
        Box::pin(async move {
            let read = move |connection: &_| {
                readers::scan(connection, after.as_ref().map(|(scope, key)| (scope, key.as_str())), limit)
            };
            self.readers.read_long(read).await
        })
    }
}

/// The one name of the database at `path`, whatever links lead there, so that two hosts meet at the same lock. Creates the folders
/// around it.
fn locate(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().filter(|_| !path.is_dir());
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    create_folders(folder)?;
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(fs::canonicalize(folder)?.join(name)),
        located => located,
    }
}

/// Creates `folder` and those around it, each durable before anything is put into it.
fn create_folders(folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let missing = missing.collect::<Vec<_>>();
    if missing.is_empty() && !folder.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("`{}` is not a folder", folder.display())));
    }
    fs::create_dir_all(folder)?;
    // Elsewhere, folders cannot be opened as files, and the file system answers for them.
    #[cfg(unix)]
    for folder in missing {
        let around = folder.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(around)?.sync_all()?;
    }
    Ok(())
}

/// `time` as the tables have it.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

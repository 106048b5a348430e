//! The thread that writes.

use std::{
    mem,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    super::{ANSWERS, COMMIT_BYTES, Commit, NAME_BYTES, OutboxStep, Outcome, StoreError},
    format::{self, Mode, OpenError},
    known::{Known, follower_key},
    retention::{Dropped, Retention},
    transaction::Batch,
};

/// KiB of commits that wait or are being written. Those who come later wait outside, with their plugins' memory already given back.
const QUEUE_KIB: u32 = 64 * 1024;

/// Commits in one transaction: some 20 ms of work.
const BATCH: usize = 1_000;

/// Bytes in one transaction, after which no further commit joins; they stand in the log twice as long as they take to write.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Numbers of commits that are marked as used at one time, which saves most transactions a page. Those not used by then are skipped.
const NUMBERS: u64 = 10_000;

/// Commits after which old rows are looked for, and the log's length is looked at, at the latest: both would cost a lone commit as much
/// as its own statements.
const CARE: usize = 16;

/// Bytes of commits after which the log's length is looked at, at the latest.
const CARE_BYTES: usize = 256 * 1024;

/// Pages of log (4 KiB each) after which the log is taken over into the database: SQLite's own default, some 10 ms of work.
const LOG_PAGES: i64 = 1_000;

/// Pages of log after which readers are made to wait, for the log to begin anew: 64 MiB. Reached only if some reader always reads.
const LOG_PAGES_MAX: i64 = 16 * 1024;

/// How long the writer waits for the readers then. Ours take far less; an operator's `sqlite3` may take long.
const LOG_WAIT: Duration = Duration::from_millis(100);

/// Pause before the database is opened again after a failure, and between attempts: well within the 5 seconds after which WeChat
/// sends a message again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// The way to the thread. Dropped, it waits for the thread to finish what was handed in and to close the database.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<Sender<Job>>,
    room: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// A commit on its way.
#[derive(Debug)]
struct Job {
    commit: Commit,
    size: usize,
    reply: oneshot::Sender<Result<Outcome, StoreError>>,
    /// The job's place in the queue, given back with it.
    _room: OwnedSemaphorePermit,
}

impl Writer {
    /// Starts the thread that writes to the database at `path` through `connection`.
    /// It keeps `known` true.
    pub(super) fn start(path: PathBuf, connection: Connection, known: Arc<Known>) -> Result<Self, OpenError> {
        let (queue, jobs) = mpsc::channel();
        let database = Database::new(path.clone(), connection, known);
        let mut database = database.map_err(|error| OpenError::sqlite(&path, &error))?;
        // A host that starts on a full disk can still answer from what it has.
        let failure = database.recover().err().map(|error| Failure::new(&database, &error));
        let run = move || run(&mut database, &jobs, failure);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(run);
        let thread = thread.map_err(|error| OpenError::unusable(&path, error))?;
        Ok(Self { queue: Some(queue), room: Arc::new(Semaphore::new(QUEUE_KIB as usize)), thread: Some(thread) })
    }

    /// Hands `commit` to the thread and waits for its outcome.
    pub(super) async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let size = check(&commit)?;
        let gone = || StoreError::Unavailable("the thread that writes has ended".into());
        // At least 1 KiB each, for what a commit costs beside its content.
        let kib = u32::try_from(1 + size / 1024).unwrap_or(QUEUE_KIB).min(QUEUE_KIB);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| gone())?;
        let (reply, outcome) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(Job { commit, size, reply, _room: room }).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread sees the end of the queue.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// The size of `commit`, if it is within the store's own bounds.
fn check(commit: &Commit) -> Result<usize, StoreError> {
    let bytes = commit.size();
    if bytes > COMMIT_BYTES {
        return Err(StoreError::TooLarge { bytes });
    }
    let follower = commit.follower.iter().flat_map(|step| [&*step.bot, &step.openid]);
    let scopes = commit.scopes.iter().flat_map(|(scope, access)| {
        let names = [&*scope.bot, &*scope.plugin];
        names.into_iter().chain(access.writes.keys().map(String::as_str))
    });
    let outbox = commit.outbox.iter().flat_map(|step| match step {
        OutboxStep::Put { bot, openid, .. } => vec![&**bot, openid.as_str()],
        _ => Vec::new(),
    });
    let note = commit.note.iter().map(|(name, _)| name.as_str());
    match follower.chain(scopes).chain(outbox).chain(note).map(str::len).find(|bytes| *bytes > NAME_BYTES) {
        Some(bytes) => Err(StoreError::NameTooLong { bytes }),
        None => Ok(bytes),
    }
}

/// Why nothing is written at present.
struct Failure {
    cause: StoreError,
    /// When to try again.
    retry: Instant,
}

impl Failure {
    fn new(database: &Database, error: &rusqlite::Error) -> Self {
        let cause = format::unavailable(&database.path, error);
        tracing::error!("{cause}; nothing is written until the database could be opened again");
        Self { cause, retry: Instant::now() + REOPEN_PAUSE }
    }
}

/// Writes what `queue` brings until its other end is dropped.
fn run(database: &mut Database, queue: &Receiver<Job>, mut failure: Option<Failure>) {
    let mut jobs = Vec::new();
    loop {
        if let Some(failed) = &mut failure {
            let wait = failed.retry.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                match database.reopen() {
                    Ok(()) => {
                        tracing::info!("the store is available again");
                        failure = None;
                    }
                    Err(cause) => *failed = Failure { cause, retry: Instant::now() + REOPEN_PAUSE },
                }
                continue;
            }
            match queue.recv_timeout(wait) {
                Ok(job) => drop(job.reply.send(Err(failed.cause.clone()))),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            continue;
        }
        match queue.recv() {
            Ok(job) => jobs.push(job),
            Err(_) => return,
        }
        let mut bytes = jobs.iter().map(|job| job.size).sum::<usize>();
        while jobs.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.size;
            jobs.push(job);
        }
        failure = write(database, &mut jobs).err();
    }
}

/// Writes and answers all `jobs`.
fn write(database: &mut Database, jobs: &mut Vec<Job>) -> Result<(), Failure> {
    match database.commit(jobs.iter().map(|job| &job.commit)) {
        Ok(outcomes) => {
            database.logged.0 += jobs.len();
            database.logged.1 += jobs.iter().map(|job| job.size).sum::<usize>();
            for (job, outcome) in jobs.drain(..).zip(outcomes) {
                // Whoever no longer waits has no use for it.
                let _ = job.reply.send(Ok(outcome));
            }
            database.shorten_log().map_err(|error| {
                database.known.clear();
                Failure::new(database, &error)
            })
        }
        Err(error) => {
            let failure = Failure::new(database, &error);
            database.known.clear();
            for job in jobs.drain(..) {
                let _ = job.reply.send(Err(failure.cause.clone()));
            }
            Err(failure)
        }
    }
}

/// The writer's connection and what it knows of the database.
struct Database {
    path: PathBuf,
    connection: Connection,
    known: Arc<Known>,
    /// The last commit's number, or a higher one that was lost with a transaction that failed.
    commits: u64,
    /// Numbers up to this one are marked as used in the database.
    numbered: u64,
    retention: Retention,
    /// Commits since old rows were looked for.
    kept: usize,
    /// Commits and their bytes since the log's length was looked at.
    logged: (usize, usize),
    /// Another program's last change, as SQLite counts them.
    foreign: i64,
    /// Pages of log at the last attempt to take it over.
    log_tried: i64,
    /// Pages of log at the last attempt to begin it anew.
    log_blocked: i64,
}

impl Database {
    fn new(path: PathBuf, connection: Connection, known: Arc<Known>) -> rusqlite::Result<Self> {
        let foreign = foreign_changes(&connection)?;
        known.recorded.load(&connection)?;
        let numbered = connection
            .query_row("SELECT value FROM counters WHERE name = 'commits'", [], |row| row.get::<_, i64>(0))?;
        let numbered = numbered.unsigned_abs();
        Ok(Self {
            path,
            connection,
            known,
            commits: numbered,
            numbered,
            retention: Retention::default(),
            kept: 0,
            logged: (0, 0),
            foreign,
            log_tried: 0,
            log_blocked: 0,
        })
    }

    /// Applies each of `commits` or says why not, all in one transaction that is on disk when this returns.
    fn commit<'a>(&mut self, commits: impl Iterator<Item = &'a Commit>) -> rusqlite::Result<Vec<Outcome>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let foreign = foreign_changes(&transaction)?;
        if foreign != self.foreign {
            // As by an operator with `sqlite3`. From here to the end of the transaction nobody else can write.
            self.known.clear();
            self.known.recorded.load(&transaction)?;
            self.foreign = foreign;
        }
        let (mut batch, mut dropped) = (Batch::default(), Dropped::default());
        let (mut outcomes, mut written, mut now) = (Vec::new(), 0, Duration::ZERO);
        for commit in commits {
            let outcome = batch.apply(&transaction, &self.known, commit, self.commits + 1)?;
            if outcome == Outcome::Committed && !commit.only_reads() {
                // Never given back, even if the transaction fails.
                self.commits += 1;
                written += 1;
                now = now.max(commit.now);
            }
            outcomes.push(outcome);
        }
        if written > 0 {
            batch.write(&transaction)?;
            self.kept += written;
            if self.kept >= CARE {
                dropped = self.retention.drop_old(&transaction, self.kept, now, ANSWERS)?;
                self.kept = 0;
            }
        }
        let mut numbered = self.numbered;
        if self.commits > numbered {
            numbered = self.commits + NUMBERS;
            write_counter(&transaction, numbered)?;
        }
        transaction.commit()?;
        self.numbered = numbered;
        batch.publish(&self.known, &dropped.answers);
        for (bot, openid) in &dropped.followers {
            self.known.followers.forget(&follower_key(bot, openid));
        }
        Ok(outcomes)
    }

    /// Opens the database again after a failure.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let unavailable = |error: OpenError| StoreError::Unavailable(error.to_string().into());
        // While one connection is open, SQLite remembers where the log ended before the transaction that failed. If it had to read
        // the log again, it could take that transaction for good, though it may not be on disk and nobody was told of it.
        let connection = format::connect(&self.path, Mode::Write).map_err(unavailable)?;
        drop(mem::replace(&mut self.connection, connection));
        // Nobody knows what became of the transaction that failed.
        self.known.clear();
        let loaded = foreign_changes(&self.connection).and_then(|foreign| {
            self.foreign = foreign;
            self.known.recorded.load(&self.connection)
        });
        loaded.map_err(|error| format::unavailable(&self.path, &error))?;
        // The log is taken over only where that is the way to room: on a disk that is nearly full, the copy takes what there is.
        let works = self.write_something().or_else(|_| self.recover());
        works.map_err(|error| format::unavailable(&self.path, &error))
    }

    /// Takes the log over into the database file, begins it anew, and writes something, so as to see that all of that works. Done
    /// after every start, since the host before may have been killed by the very disk that did not take its last transaction.
    fn recover(&mut self) -> rusqlite::Result<()> {
        // Where a reader is in the way, the log stays, and is written over from where it ended.
        (self.log_tried, _) = self.take_log_over("TRUNCATE")?;
        self.log_blocked = 0;
        self.write_something()
    }

    /// A write that changes something, or SQLite would spare itself the trouble.
    fn write_something(&mut self) -> rusqlite::Result<()> {
        let numbered = self.numbered + 1;
        write_counter(&self.connection, numbered)?;
        self.numbered = numbered;
        Ok(())
    }

    /// Takes the log over into the database file where it has grown long.
    fn shorten_log(&mut self) -> rusqlite::Result<()> {
        if self.logged.0 < CARE && self.logged.1 < CARE_BYTES {
            return Ok(());
        }
        self.logged = (0, 0);
        let (pages, taken) = self.checkpoint("NOOP")?;
        if pages < self.log_tried {
            // It began anew.
            (self.log_tried, self.log_blocked) = (0, 0);
        }
        if pages - taken.max(self.log_tried) < LOG_PAGES {
            return Ok(());
        }
        self.log_tried = pages;
        self.take_log_over("PASSIVE")?;
        if pages - self.log_blocked >= LOG_PAGES_MAX {
            self.log_blocked = pages;
            let usual = self.connection.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, u32>(0))?;
            self.connection.busy_timeout(LOG_WAIT)?;
            let done = self.take_log_over("TRUNCATE");
            self.connection.busy_timeout(Duration::from_millis(usual.into()))?;
            done?;
        }
        Ok(())
    }

    /// A checkpoint of some `mode` that copies pages. It may fail for want of room, since the pages then stand in both files: writing
    /// can go on as long as the log itself finds some.
    fn take_log_over(&self, mode: &str) -> rusqlite::Result<(i64, i64)> {
        match self.checkpoint(mode) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                tracing::warn!("`{}` cannot take over its log: {}", self.path.display(), format::describe(&error));
                self.checkpoint("NOOP")
            }
            taken => taken,
        }
    }

    /// Pages in the log, and how many of them are in the database file, after `mode` of SQLite's checkpoints.
    fn checkpoint(&self, mode: &str) -> rusqlite::Result<(i64, i64)> {
        let mut statement = self.connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
        statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
    }
}

/// Moves with every change by another connection than this one.
fn foreign_changes(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn write_counter(connection: &Connection, numbered: u64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE counters SET value = ?1 WHERE name = 'commits'")?;
    statement.execute([i64::try_from(numbered).unwrap_or(i64::MAX)]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::{MessageKey, Scope, Version},
            known::{entry_key, scope_key},
            readers,
        },
        *,
    };

    fn database() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.db");
        let connection = format::connect(&path, Mode::Create).unwrap();
        (folder, Database::new(path, connection, Arc::default()).unwrap())
    }

    fn scope() -> Scope {
        Scope::new("demo", "quiz")
    }

    /// A commit of message `number` that writes `key`, having seen `version` of it.
    fn put(number: u8, key: &str, version: Version) -> Commit {
        let mut commit = Commit::new(MessageKey([number; 32]), Duration::from_secs(1_700_000_000));
        let access = commit.scope(&scope());
        access.reads.insert((key.to_owned(), version));
        access.writes.insert(key.to_owned(), Some(vec![number; 100]));
        commit.answer = Some(vec![number]);
        commit
    }

    fn value(database: &Database, key: &str) -> Option<Vec<u8>> {
        readers::get(&database.connection, &scope(), key).unwrap().value.map(|value| value.to_vec())
    }

    #[test]
    fn commits_of_one_transaction_see_those_before_them() {
        let (_folder, mut database) = database();
        let again = Commit { scopes: put(9, "again", Version::ABSENT).scopes, ..put(1, "a", Version::ABSENT) };
        let mut large = put(4, "large", Version::ABSENT);
        large.scope(&scope()).quota = Some(205);
        let batch = [
            put(1, "a", Version::ABSENT),
            put(2, "a", Version::ABSENT),
            put(3, "b", Version::ABSENT),
            large,
            again,
            put(5, "a", Version(1)),
        ];
        let outcomes = database.commit(batch.iter()).unwrap();
        let expected = [
            Outcome::Committed,
            Outcome::Conflict,
            Outcome::Committed,
            Outcome::Quota(scope()),
            Outcome::Answered(vec![1]),
            Outcome::Committed,
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(value(&database, "a"), Some(vec![5; 100]));
        assert_eq!(value(&database, "b"), Some(vec![3; 100]));
        assert_eq!((value(&database, "large"), value(&database, "again")), (None, None));
        assert_eq!(readers::sums(&database.connection, &scope()).unwrap().bytes, 202);
    }

    #[test]
    fn a_transaction_that_fails_leaves_nothing_and_no_number_comes_back() {
        let (_folder, mut database) = database();
        database.commit([put(1, "a", Version::ABSENT)].iter()).unwrap();
        // As full as a disk can be made for one connection.
        let pages = database.connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap();
        database.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        let mut large = put(3, "large", Version::ABSENT);
        large.scope(&scope()).writes.insert("large".to_owned(), Some(vec![0; 100_000]));
        let error = database.commit([put(2, "b", Version::ABSENT), large].iter()).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert_eq!(value(&database, "b"), None);
        assert!(database.known.entries.get(&entry_key(&scope(), "b")).is_err());
        assert_eq!(database.known.recorded.find(&MessageKey([2; 32])), None);
        assert_eq!(database.known.sums.get(&scope_key(&scope())).unwrap().bytes, 101);

        database.reopen().unwrap();
        database.commit([put(2, "b", Version::ABSENT)].iter()).unwrap();
        let version = readers::get(&database.connection, &scope(), "b").unwrap().version;
        assert!(version > Version(2), "{version:?}");
        assert_eq!(database.known.entries.get(&entry_key(&scope(), "b")).unwrap().version, version);
        assert!(database.known.recorded.find(&MessageKey([2; 32])).is_some());
        assert_eq!(value(&database, "a"), Some(vec![1; 100]));
    }

    #[test]
    fn what_another_program_changed_is_seen_by_the_next_commit() {
        let (_folder, mut database) = database();
        database.commit([put(1, "a", Version::ABSENT)].iter()).unwrap();
        assert!(database.known.entries.get(&entry_key(&scope(), "a")).is_ok());
        let foreign = Connection::open(&database.path).unwrap();
        foreign.execute_batch("UPDATE entries SET version = 9000; UPDATE answers SET id = 9000").unwrap();
        let outcomes = database.commit([put(2, "a", Version(1)), put(1, "a", Version(9_000))].iter()).unwrap();
        assert_eq!(outcomes, [Outcome::Conflict, Outcome::Answered(vec![1])]);
        // And nothing is forgotten for what this connection does itself.
        database.take_log_over("TRUNCATE").unwrap();
        database.commit([put(3, "b", Version::ABSENT)].iter()).unwrap();
        database.commit([put(4, "c", Version::ABSENT)].iter()).unwrap();
        assert!(database.known.entries.get(&entry_key(&scope(), "b")).is_ok());
    }

    #[test]
    fn a_commit_that_only_reads_is_checked_and_writes_nothing() {
        let (_folder, mut database) = database();
        database.commit([put(1, "a", Version::ABSENT)].iter()).unwrap();
        let log = || std::fs::metadata(database.path.with_extension("db-wal")).unwrap().modified().unwrap();
        let before = log();
        let asks = |version| {
            let mut commit = Commit::new(MessageKey([2; 32]), Duration::ZERO);
            commit.scope(&scope()).reads.insert(("a".to_owned(), version));
            commit
        };
        let batch = [asks(Version(1)), asks(Version::ABSENT)];
        let outcomes = Database::commit(&mut database, batch.iter()).unwrap();
        assert_eq!(outcomes, [Outcome::Committed, Outcome::Conflict]);
        assert_eq!(std::fs::metadata(database.path.with_extension("db-wal")).unwrap().modified().unwrap(), before);
        assert_eq!(database.commits, 1);
    }
}

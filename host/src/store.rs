//! Durable state: what plugins store, followers' records, recorded answers, replies to be sent, and messages to run again after a
//! restart.
//!
//! Everything that one message did is one [`Commit`], applied whole or not at all. A commit carries the versions of all that the
//! message read, and is refused when one of them is no longer current, so that messages are serialisable without locks.
//!
//! The trait asks of a database only what a Redis script can do as well, in one go: compare versions, look at a scope's size, then
//! write. Nothing here waits for anything between a read and the commit.

pub mod follower;
pub mod sqlite;
pub mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

/// How long an answer is recorded. WeChat sends a message again for some 15 seconds; the rest is for a proxy that replays and for
/// an operator who wonders.
pub const ANSWER_KEPT: Duration = Duration::from_secs(10 * 60);

/// How long an answer is recorded even where there are more than [`ANSWERS`]: four times WeChat's retries.
pub const ANSWER_KEPT_AT_LEAST: Duration = Duration::from_secs(60);

/// Answers kept beyond [`ANSWER_KEPT_AT_LEAST`]: 300 a second for the whole of [`ANSWER_KEPT`]. Some 100 MiB of plain texts.
pub const ANSWERS: u64 = 200_000;

/// How long an expired follower's record stays readable to a commit that read it in time: twice the longest run of a plugin.
pub const FOLLOWER_KEPT: Duration = Duration::from_secs(10 * 60);

/// Bytes of one commit. A plugin may write several values of 1 MiB for one message; this is far more than sensible ones do, and
/// little enough to stand in memory.
pub const COMMIT_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a key, a name or an OpenID, whatever the caller allows: what SQLite and Redis index without a thought.
pub const NAME_BYTES: usize = 4 * 1024;

/// Keys in one answer to [`Store::list`].
pub const LISTED: usize = 10_000;

/// Entries in one page of [`Store::scan`].
pub const SCANNED: usize = 1_000;

/// Bytes after which a page of [`Store::scan`] ends early; one entry more may go over it.
pub const SCANNED_BYTES: usize = 4 * 1024 * 1024;

/// Replies in one answer to [`Store::outbox`]: more than the caller lets wait for one follower.
pub const PARCELS: usize = 256;

/// What the store's operations return: a future that can be kept behind `dyn Store`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where durable state lives.
///
/// A read sees every commit that was answered before the read began. Reads may be dropped at any time. A commit whose future is
/// dropped may still be applied.
pub trait Store: Send + Sync {
    /// A key's value, and the version of it (or of its absence) that a commit can insist on.
    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> StoreFuture<'a, Versioned<Option<Vec<u8>>>>;

    /// Keys that start with `prefix` and come after `after`, in byte order, at most `limit` and at most [`LISTED`]. The version is
    /// that of the scope's whole set of keys: it moves when any key is created or deleted, and stays when a value changes.
    fn list<'a>(
        &'a self,
        scope: &'a Scope,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Versioned<Vec<String>>>;

    /// Bytes of all keys and values of a scope.
    fn usage<'a>(&'a self, scope: &'a Scope) -> StoreFuture<'a, u64>;

    /// What is recorded of a follower, unless it has expired by `now`: then it is as absent as if it had never been.
    fn follower<'a>(
        &'a self,
        bot: &'a str,
        openid: &'a str,
        now: Duration,
    ) -> StoreFuture<'a, Versioned<Option<Vec<u8>>>>;

    /// The answer recorded for a message.
    fn answer<'a>(&'a self, message: &'a MessageKey) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Whether any answer was recorded at `since` or later.
    fn answered_since(&self, since: Duration) -> StoreFuture<'_, bool>;

    /// Applies all of `commit`, durably, or nothing of it.
    fn commit(&self, commit: Commit) -> StoreFuture<'_, Outcome>;

    /// Messages that began and did not end, oldest first: to be run again after a restart.
    fn pending(&self) -> StoreFuture<'_, Vec<(MessageKey, Vec<u8>)>>;

    /// What is to be sent to a follower, oldest first, at most [`PARCELS`].
    fn outbox<'a>(&'a self, bot: &'a str, openid: &'a str) -> StoreFuture<'a, Vec<Parcel>>;

    /// The followers for whom something is to be sent, who waits longest first, and how much it is.
    fn addressees(&self) -> StoreFuture<'_, Vec<Addressee>>;

    /// What is noted under a name.
    fn note<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// A page of all entries of all scopes, in order of bot, plugin and key, after `after`: at most `limit` and at most
    /// [`SCANNED`]. An empty page is the end. Pages are not one snapshot: each shows the moment at which it was read.
    fn scan<'a>(&'a self, after: Option<(&'a Scope, &'a str)>, limit: usize) -> StoreFuture<'a, Vec<Entry>>;
}

/// One plugin's storage for one bot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The bot's name.
    pub bot: Arc<str>,
    /// The plugin's name.
    pub plugin: Arc<str>,
}

impl Scope {
    /// The scope of `plugin` for `bot`.
    pub fn new(bot: impl Into<Arc<str>>, plugin: impl Into<Arc<str>>) -> Self {
        Self { bot: bot.into(), plugin: plugin.into() }
    }
}

/// A hash that the caller made of what tells one message from all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(pub [u8; 32]);

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to find the message in a log, and short enough to be read.
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Which commit wrote something. A number is never used again, so that equal versions mean equal content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// Nothing is there.
    pub const ABSENT: Self = Self(0);
}

/// Something read, and its version at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What was read.
    pub value: T,
    /// To be handed to the commit that depends on it.
    pub version: Version,
}

/// A reply that is to be sent to a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What it is called by; those of one follower are sent in this order.
    pub id: ParcelId,
    /// Whether its sending was begun. If nobody is at it any more, nobody knows whether it arrived.
    pub sending: bool,
    /// The reply, opaque here.
    pub record: Vec<u8>,
}

/// Names a parcel. A number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParcelId(pub u64);

/// A follower for whom something is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// The bot's name.
    pub bot: Arc<str>,
    /// The follower.
    pub openid: String,
    /// How much waits.
    pub parcels: u64,
}

/// One stored key, as it is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose key it is.
    pub scope: Scope,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// All that one message read and did.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The message. If an answer is recorded for it already, nothing is applied.
    pub message: MessageKey,
    /// Time since the Unix epoch, from the host's clock: what recorded answers and expiry are measured by.
    pub now: Duration,
    /// What becomes of the follower's record.
    pub follower: Option<FollowerStep>,
    /// What was read and written in each scope.
    pub scopes: BTreeMap<Scope, Access>,
    /// What a retry of the message is to be answered with.
    pub answer: Option<Vec<u8>>,
    /// Whether the message is to be run again after a restart.
    pub pending: Option<PendingStep>,
    /// What becomes of replies that are to be sent.
    pub outbox: Vec<OutboxStep>,
    /// What is noted under a name from now on; a note without a value is none.
    pub note: Option<(String, Option<Vec<u8>>)>,
}

impl Commit {
    /// A commit of `message` that does nothing yet.
    pub fn new(message: MessageKey, now: Duration) -> Self {
        Self {
            message,
            now,
            follower: None,
            scopes: BTreeMap::new(),
            answer: None,
            pending: None,
            outbox: Vec::new(),
            note: None,
        }
    }

    /// What this commit does in `scope`; empty at first.
    pub fn scope(&mut self, scope: &Scope) -> &mut Access {
        self.scopes.entry(scope.clone()).or_default()
    }

    /// Whether the commit only asks if what was read is still current. Such a one costs no write to the disk.
    pub fn only_reads(&self) -> bool {
        self.answer.is_none()
            && self.pending.is_none()
            && self.outbox.is_empty()
            && self.note.is_none()
            && self.follower.as_ref().is_none_or(|step| step.change == FollowerChange::Keep)
            && self.scopes.values().all(|access| access.writes.is_empty())
    }

    /// Bytes of content, which is what the commit costs in memory and on disk but for a little overhead.
    pub fn size(&self) -> usize {
        let follower = self.follower.as_ref().map_or(0, |step| {
            let record = if let FollowerChange::Put { record, .. } = &step.change { record.len() } else { 0 };
            step.bot.len() + step.openid.len() + record
        });
        let scopes = self.scopes.iter().map(|(scope, access)| {
            let reads = access.reads.iter().map(|(key, _)| key.len()).sum::<usize>();
            let writes = access.writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
            scope.bot.len() + scope.plugin.len() + reads + writes.sum::<usize>()
        });
        let pending = if let Some(PendingStep::Begin(record)) = &self.pending { record.len() } else { 0 };
        let outbox = self.outbox.iter().map(|step| match step {
            OutboxStep::Put { bot, openid, record } => bot.len() + openid.len() + record.len(),
            OutboxStep::Begin(_) | OutboxStep::Back(_) | OutboxStep::End(_) => 0,
        });
        let note = self.note.as_ref().map_or(0, |(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        let answer = self.answer.as_ref().map_or(0, Vec::len);
        follower + scopes.sum::<usize>() + answer + pending + outbox.sum::<usize>() + note
    }
}

/// What a message did to its follower's record.
#[derive(Clone, Debug)]
pub struct FollowerStep {
    /// The bot's name.
    pub bot: Arc<str>,
    /// The follower.
    pub openid: String,
    /// The version that [`Store::follower`] gave.
    pub read: Version,
    /// What becomes of the record.
    pub change: FollowerChange,
}

/// What becomes of a follower's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowerChange {
    /// It stays; the commit only insists that it is still the one read.
    Keep,
    /// It is replaced.
    Put {
        /// The record, opaque here.
        record: Vec<u8>,
        /// When it is as good as deleted, since the Unix epoch.
        expires: Duration,
    },
    /// It is deleted.
    Delete,
}

/// What a message read and wrote in one scope.
///
/// The reads are sets of pairs, not maps: a message that saw two versions of one key has no moment at which both were true, and is
/// refused because one of the two cannot be current.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Keys read, with the version of each.
    pub reads: BTreeSet<(String, Version)>,
    /// Versions of the scope's set of keys that [`Store::list`] gave.
    pub lists: BTreeSet<Version>,
    /// Keys written; `None` deletes.
    pub writes: BTreeMap<String, Option<Vec<u8>>>,
    /// Bytes of keys and values that the scope may hold. A commit that makes it smaller is never refused.
    pub quota: Option<u64>,
}

/// Whether a message is to be run again after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingStep {
    /// The commit's message is, until another commit ends it; with what is needed to run it, opaque here.
    Begin(Vec<u8>),
    /// That message is not any more: this commit is what it did. Refused where it is not pending, as when another host has ended
    /// it. The commit has a message key of its own, since the ended message's is taken by the answer given meanwhile.
    End(MessageKey),
}

/// What becomes of a reply that is to be sent. A commit with a step that does not fit what is there is refused as [`Outcome::Ended`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxStep {
    /// It is to be sent to a follower, after all that already are.
    Put {
        /// The bot's name.
        bot: Arc<str>,
        /// The follower.
        openid: String,
        /// The reply, opaque here.
        record: Vec<u8>,
    },
    /// It is about to be sent. Only one can begin, until it goes back.
    Begin(ParcelId),
    /// It certainly was not sent, and waits again.
    Back(ParcelId),
    /// It is done with.
    End(ParcelId),
}

/// What became of a commit that the store could decide on. Only after `Committed` is anything changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is durable.
    Committed,
    /// The message was answered before, with this.
    Answered(Vec<u8>),
    /// The pending message that this commit was to end has ended before, or the reply that it was to send is being sent or was.
    Ended,
    /// Something that the message read has changed since: it must run again.
    Conflict,
    /// This scope would grow beyond its quota.
    Quota(Scope),
}

/// Why the store could not say or do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or failing, or the store is being opened again. Whether a commit that got this was applied is certain only
    /// once the store answers again: by its message's answer.
    #[error("the store is unavailable: {0}")]
    Unavailable(Arc<str>),
    /// A commit beyond the store's own bounds; the caller's are tighter.
    #[error("a commit of {bytes} bytes is larger than the {COMMIT_BYTES} that the store takes")]
    TooLarge {
        /// The size of the commit.
        bytes: usize,
    },
    /// A name or key beyond the store's own bounds; the caller's are tighter.
    #[error("a name of {bytes} bytes is longer than the {NAME_BYTES} that the store takes")]
    NameTooLong {
        /// The length of the name.
        bytes: usize,
    },
    /// A commit to a store that was opened for reading.
    #[error("the store is open for reading only")]
    ReadOnly,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_can_be_kept_behind_a_pointer() {
        fn takes(_: Option<Arc<dyn Store>>) {}
        takes(None);
    }

    #[test]
    fn a_commit_counts_all_its_bytes() {
        let mut commit = Commit::new(MessageKey([0; 32]), Duration::ZERO);
        assert_eq!(commit.size(), 0);
        let access = commit.scope(&Scope::new("bot", "quiz"));
        access.reads.insert(("12".to_owned(), Version::ABSENT));
        access.writes.insert("123".to_owned(), Some(vec![0; 100]));
        access.writes.insert("1234".to_owned(), None);
        commit.answer = Some(vec![0; 1_000]);
        commit.pending = Some(PendingStep::Begin(vec![0; 10_000]));
        let put = OutboxStep::Put { bot: "bot".into(), openid: "o".to_owned(), record: vec![0; 1_000_000] };
        commit.outbox = vec![put, OutboxStep::Begin(ParcelId(1))];
        commit.note = Some(("n".to_owned(), Some(vec![0; 10_000_000])));
        let change = FollowerChange::Put { record: vec![0; 100_000], expires: Duration::ZERO };
        commit.follower =
            Some(FollowerStep { bot: "bot".into(), openid: "o".to_owned(), read: Version::ABSENT, change });
        assert_eq!(commit.size(), 7 + 2 + 103 + 4 + 1_000 + 10_000 + 4 + 100_000 + 4 + 1_000_000 + 1 + 10_000_000);
    }
}

//! What is known of the database without asking it.
//!
//! This process alone writes to the database. What a transaction changes is taken over here once it is on disk and before anybody is told of
//! it, and a read that a commit may have overtaken is not kept: what is found here is what the database would say.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    super::{FollowerStep, MessageKey, Scope, Version, Versioned},
    cache::{Cache, Key, Weigh},
    millis,
};

/// Followers in all, give or take: those who write within a day to a busy account. Each takes some 200 bytes.
const FOLLOWERS: usize = 64 * 1024;

/// Bytes of all their records together, give or take. Conversations may have 64 KiB each; most have less than one.
const FOLLOWERS_BYTES: usize = 16 * 1024 * 1024;

/// Keys of plugins, present or absent: a few for each of those followers who write within an hour.
const ENTRIES: usize = 64 * 1024;

/// Bytes of all keys and values together, give or take.
const ENTRIES_BYTES: usize = 16 * 1024 * 1024;

/// Scopes: plugins of a bot that store something.
const SCOPES: usize = 16 * 1024;

/// Bytes of their names, give or take.
const SCOPES_BYTES: usize = 1024 * 1024;

/// A row of `followers`.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) record: Option<Arc<[u8]>>,
    pub(super) version: Version,
    /// In milliseconds since the Unix epoch.
    pub(super) expires: i64,
}

/// A row of `entries`, or its absence.
pub(super) type Value = Versioned<Option<Arc<[u8]>>>;

/// A row of `scopes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) bytes: i64,
    pub(super) version: Version,
}

/// What is known of all tables.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) followers: Cache<Row>,
    pub(super) entries: Cache<Value>,
    pub(super) sums: Cache<Sums>,
    pub(super) recorded: Recorded,
}

/// Which messages have an answer, and where: all of them. An index in the file would cost every answer two pages more to write, since
/// hashes lie all over it; so answers stand in the order in which they came, and this is read from them at the start.
#[derive(Debug, Default)]
pub(super) struct Recorded(Mutex<HashMap<Digest, i64>>);

/// As much of a message's hash as tells it from all others.
type Digest = [u8; 16];

impl Default for Known {
    fn default() -> Self {
        Self {
            followers: Cache::new(FOLLOWERS, FOLLOWERS_BYTES),
            entries: Cache::new(ENTRIES, ENTRIES_BYTES),
            sums: Cache::new(SCOPES, SCOPES_BYTES),
            recorded: Recorded::default(),
        }
    }
}

impl Known {
    /// Drops all that can be read again, as when nobody knows what the database has.
    pub(super) fn clear(&self) {
        self.followers.clear();
        self.entries.clear();
        self.sums.clear();
    }
}

impl Row {
    /// What it is at `now`: absent once it has expired.
    pub(super) fn at(&self, now: Duration) -> Versioned<Option<Vec<u8>>> {
        match &self.record {
            Some(record) if self.expires > millis(now) => {
                Versioned { value: Some(record.to_vec()), version: self.version }
            }
            _ => Versioned::default(),
        }
    }
}

impl Weigh for Row {
    fn bytes(&self) -> usize {
        self.record.as_ref().map_or(0, |record| record.len())
    }
}

impl Weigh for Value {
    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }
}

impl Weigh for Sums {
    fn bytes(&self) -> usize {
        0
    }
}

impl Recorded {
    /// Reads it from the answers anew.
    pub(super) fn load(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut rows = HashMap::new();
        let mut statement = connection.prepare("SELECT id, message FROM answers")?;
        let mut answers = statement.query([])?;
        while let Some(answer) = answers.next()? {
            rows.insert(digest(&MessageKey(answer.get(1)?)), answer.get(0)?);
        }
        *self.rows() = rows;
        Ok(())
    }

    /// Where a message's answer stands.
    pub(super) fn find(&self, message: &MessageKey) -> Option<i64> {
        self.rows().get(&digest(message)).copied()
    }

    /// Takes over what a transaction recorded, and what it dropped.
    pub(super) fn change(&self, recorded: &[(MessageKey, i64)], dropped: &[MessageKey]) {
        let mut rows = self.rows();
        for message in dropped {
            rows.remove(&digest(message));
        }
        rows.extend(recorded.iter().map(|(message, id)| (digest(message), *id)));
        // After a busy hour, its memory is given back.
        if rows.capacity() > 1024 && rows.len() < rows.capacity() / 4 {
            let room = rows.len() * 2;
            rows.shrink_to(room);
        }
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<Digest, i64>> {
        // Nothing that holds the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of a follower.
pub(super) fn follower_key(bot: &str, openid: &str) -> Key {
    Key::of([bot, openid])
}

/// The key of the follower that `step` is about.
pub(super) fn step_key(step: &FollowerStep) -> Key {
    follower_key(&step.bot, &step.openid)
}

/// The key of an entry.
pub(super) fn entry_key(scope: &Scope, key: &str) -> Key {
    Key::of([&scope.bot, &scope.plugin, key])
}

/// The key of a scope.
pub(super) fn scope_key(scope: &Scope) -> Key {
    Key::of([&scope.bot, &scope.plugin])
}

fn digest(message: &MessageKey) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&message.0[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn a_follower_is_absent_once_expired() {
        let row = Row { record: Some(vec![7].into()), version: Version(3), expires: millis(NOW) + 1 };
        assert_eq!(row.at(NOW), Versioned { value: Some(vec![7]), version: Version(3) });
        assert_eq!(row.at(NOW + Duration::from_secs(1)), Versioned::default());
    }

    #[test]
    fn answers_are_found_until_they_are_dropped_and_take_no_room_then() {
        let recorded = Recorded::default();
        let message = |n: u64| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_le_bytes());
            MessageKey(key)
        };
        let all: Vec<_> = (0..10_000).map(|n| (message(n), n as i64 + 1)).collect();
        recorded.change(&all, &[]);
        assert_eq!(recorded.find(&message(9_999)), Some(10_000));
        let dropped: Vec<_> = (0..9_990).map(message).collect();
        recorded.change(&[], &dropped);
        assert_eq!((recorded.find(&message(0)), recorded.find(&message(9_990))), (None, Some(9_991)));
        assert!(recorded.rows().capacity() < 100);
    }
}

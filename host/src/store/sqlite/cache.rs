//! Followers' records as they were last read, so that a message of somebody who has none, as most, costs no read of the database.
//!
//! This process alone writes to the database. A commit drops what it changes before it is answered, and a read that a commit may have
//! overtaken is not kept, so that what is found here is what the database would say.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    super::{FollowerStep, Version, Versioned},
    millis,
};

/// Parts of the cache, so that messages on different cores seldom wait for one another.
const SHARDS: usize = 16;

/// Followers in all, give or take: those who write within a day to a busy account. Each takes some 150 bytes.
const FOLLOWERS: usize = 64 * 1024;

/// Bytes of all records together, give or take. Conversations may have 64 KiB each; most have less than one.
const BYTES: usize = 16 * 1024 * 1024;

/// What the table has of a follower.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) record: Option<Arc<[u8]>>,
    pub(super) version: Version,
    /// In milliseconds since the Unix epoch.
    pub(super) expires: i64,
}

/// Remembers rows.
#[derive(Debug, Default)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// Those asked for of late; when there are too many, they become the old ones, and those who were old and not asked for are forgotten.
    young: HashMap<Box<[u8]>, Row>,
    old: HashMap<Box<[u8]>, Row>,
    /// Bytes of the young ones' records.
    bytes: usize,
    /// Moves with every change, to tell a read that was overtaken.
    changes: u64,
}

/// A bot's name and an OpenID, short enough to stand on the stack.
type Key = SmallVec<[u8; 96]>;

/// A read that is under way.
pub(super) struct Reading {
    key: Key,
    changes: u64,
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

impl Cache {
    /// What is known of a follower at `now`; else the read that has to be made.
    pub(super) fn get(&self, bot: &str, openid: &str, now: Duration) -> Result<Versioned<Option<Vec<u8>>>, Reading> {
        let key = key(bot, openid);
        let mut shard = self.shard(&key);
        if let Some(row) = shard.young.get(&key[..]) {
            return Ok(row.at(now));
        }
        match shard.old.remove(&key[..]) {
            Some(row) => {
                let found = row.at(now);
                shard.keep(&key, row);
                Ok(found)
            }
            None => Err(Reading { changes: shard.changes, key }),
        }
    }

    /// Keeps what was read, unless a change came between.
    pub(super) fn keep(&self, reading: &Reading, row: Row) {
        let mut shard = self.shard(&reading.key);
        if shard.changes == reading.changes {
            shard.keep(&reading.key, row);
        }
    }

    /// Drops what is known of a follower.
    pub(super) fn forget(&self, step: &FollowerStep) {
        let key = key(&step.bot, &step.openid);
        let mut shard = self.shard(&key);
        shard.changes += 1;
        shard.old.remove(&key[..]);
        if let Some(row) = shard.young.remove(&key[..]) {
            shard.bytes -= size(&row);
        }
    }

    /// Drops everything, as when nobody knows what the database has.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            *shard = Shard { changes: shard.changes + 1, ..Shard::default() };
        }
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        // OpenIDs differ most in their last characters.
        let mixed = key.iter().rev().take(8).fold(0_usize, |mixed, byte| mixed.wrapping_mul(31) + usize::from(*byte));
        lock(&self.shards[mixed % SHARDS])
    }
}

impl Shard {
    fn keep(&mut self, key: &[u8], row: Row) {
        if self.young.len() >= FOLLOWERS / SHARDS / 2 || self.bytes >= BYTES / SHARDS / 2 {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += size(&row);
        if let Some(before) = self.young.insert(key.into(), row) {
            self.bytes -= size(&before);
        }
    }
}

fn size(row: &Row) -> usize {
    row.record.as_ref().map_or(0, |record| record.len())
}

fn key(bot: &str, openid: &str) -> Key {
    // With the length, so that no two followers have one key.
    let mut key = Key::from_slice(&(bot.len() as u64).to_le_bytes());
    key.extend_from_slice(bot.as_bytes());
    key.extend_from_slice(openid.as_bytes());
    key
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing that holds the lock can panic half way through a change.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::super::FollowerChange, *};

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn row(number: u64, bytes: usize) -> Row {
        Row { record: Some(vec![7; bytes].into()), version: Version(number), expires: millis(NOW) + 1 }
    }

    fn step(openid: &str) -> FollowerStep {
        FollowerStep { bot: "b".into(), openid: openid.into(), read: Version::ABSENT, change: FollowerChange::Delete }
    }

    fn read(cache: &Cache, openid: &str) -> Reading {
        cache.get("b", openid, NOW).err().unwrap()
    }

    #[test]
    fn what_was_read_is_known_until_it_changes_or_expires() {
        let cache = Cache::default();
        cache.keep(&read(&cache, "o"), row(3, 10));
        assert_eq!(cache.get("b", "o", NOW).ok().unwrap().version, Version(3));
        assert_eq!(cache.get("b", "o", NOW + Duration::from_secs(1)).ok().unwrap(), Versioned::default());
        assert!(cache.get("bo", "", NOW).is_err());
        cache.forget(&step("o"));
        assert!(cache.get("b", "o", NOW).is_err());
    }

    #[test]
    fn a_read_that_was_overtaken_is_not_kept() {
        let cache = Cache::default();
        let reading = read(&cache, "o");
        cache.forget(&step("o"));
        cache.keep(&reading, row(3, 10));
        assert!(cache.get("b", "o", NOW).is_err());

        let reading = read(&cache, "o");
        cache.clear();
        cache.keep(&reading, row(3, 10));
        assert!(cache.get("b", "o", NOW).is_err());
    }

    #[test]
    fn it_is_bounded_in_followers_and_bytes_and_keeps_those_who_are_asked_for() {
        let cache = Cache::default();
        for n in 0..3 * FOLLOWERS {
            let openid = n.to_string();
            cache.keep(&read(&cache, &openid), row(1, 10));
            let _ = cache.get("b", "0", NOW);
        }
        let held = |count: fn(&Shard) -> usize| cache.shards.iter().map(|shard| count(&lock(shard))).sum::<usize>();
        assert!(held(|shard| shard.young.len() + shard.old.len()) <= FOLLOWERS);
        assert!(cache.get("b", "0", NOW).is_ok() && cache.get("b", "1", NOW).is_err());
        for n in 0..64 {
            cache.keep(&read(&cache, &format!("large {n}")), row(1, 1 << 20));
        }
        let bytes = |shard: &Shard| shard.young.values().chain(shard.old.values()).map(size).sum::<usize>();
        assert!(held(bytes) <= BYTES + SHARDS * 2 * (1 << 20));
        cache.clear();
        assert_eq!(held(|shard| shard.young.len() + shard.old.len()), 0);
    }
}

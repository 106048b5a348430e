//! Rows as they were last read or written, so that a message about what was in use of late costs no read of the database.

use std::{
    borrow::Borrow,
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use smallvec::SmallVec;

/// Parts of a cache, so that messages on different cores seldom wait for one another.
const SHARDS: usize = 16;

/// The part of a shard's bytes that one row may take, at most. Larger ones would drive out many that are in use.
const LARGEST: usize = 8;

/// Remembers rows of one table by their key.
#[derive(Debug)]
pub(super) struct Cache<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// Rows of one generation of a shard.
    rows: usize,
    /// Their bytes.
    bytes: usize,
}

#[derive(Debug)]
struct Shard<V> {
    /// Those in use of late; when there are too many, they become the old ones, and those who were old and not asked for are forgotten.
    young: HashMap<Key, V>,
    old: HashMap<Key, V>,
    /// Bytes of the young ones.
    bytes: usize,
    /// Moves with every change, to tell a read that was overtaken.
    changes: u64,
}

/// What a row takes beside the fixed size of its type.
pub(super) trait Weigh {
    /// Bytes on the heap.
    fn bytes(&self) -> usize;
}

/// A row's key, short enough to stand on the stack, mostly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(SmallVec<[u8; 64]>);

/// A read that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    changes: u64,
}

impl Key {
    /// The key of these names.
    pub(super) fn of<const N: usize>(names: [&str; N]) -> Self {
        let mut key = SmallVec::new();
        for name in names {
            // With the length, so that no two lists of names have one key.
            key.extend_from_slice(&(name.len() as u64).to_le_bytes()[..4]);
            key.extend_from_slice(name.as_bytes());
        }
        Self(key)
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<V: Clone + Weigh> Cache<V> {
    /// A cache of so many rows and bytes in all, give or take.
    pub(super) fn new(rows: usize, bytes: usize) -> Self {
        let shard = || Shard { young: HashMap::new(), old: HashMap::new(), bytes: 0, changes: 0 };
        Self {
            shards: std::array::from_fn(|_| Mutex::new(shard())),
            rows: rows / SHARDS / 2,
            bytes: bytes / SHARDS / 2,
        }
    }

    /// What is known under `key`; else the read that has to be made.
    pub(super) fn get(&self, key: &Key) -> Result<V, Reading> {
        let mut shard = self.shard(key);
        if let Some(row) = shard.young.get(key) {
            return Ok(row.clone());
        }
        match shard.old.remove_entry(key) {
            Some((key, row)) => {
                let found = row.clone();
                self.insert(&mut shard, key, row);
                Ok(found)
            }
            None => Err(Reading { changes: shard.changes }),
        }
    }

    /// Keeps what was read, unless a change came between.
    pub(super) fn keep(&self, key: Key, reading: Reading, row: V) {
        let mut shard = self.shard(&key);
        if shard.changes == reading.changes {
            self.insert(&mut shard, key, row);
        }
    }

    /// Keeps what was committed.
    pub(super) fn put(&self, key: Key, row: V) {
        let mut shard = self.shard(&key);
        shard.changes += 1;
        shard.old.remove(&key);
        self.insert(&mut shard, key, row);
    }

    /// Drops what is known under `key`.
    pub(super) fn forget(&self, key: &Key) {
        let mut shard = self.shard(key);
        shard.changes += 1;
        shard.old.remove(key);
        shard.drop_young(key);
    }

    /// Drops everything, as when nobody knows what the database has.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.changes += 1;
            (shard.young, shard.old, shard.bytes) = (HashMap::new(), HashMap::new(), 0);
        }
    }

    fn insert(&self, shard: &mut Shard<V>, key: Key, row: V) {
        let bytes = size(&key, &row);
        if bytes > self.bytes / LARGEST {
            shard.drop_young(&key);
            return;
        }
        if shard.young.len() >= self.rows || shard.bytes >= self.bytes {
            shard.old = std::mem::take(&mut shard.young);
            shard.bytes = 0;
            // It may be among those that have just become old.
            shard.old.remove(&key);
        }
        shard.bytes += bytes;
        let length = key.0.len();
        if let Some(before) = shard.young.insert(key, row) {
            shard.bytes -= length + before.bytes();
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard<V>> {
        // OpenIDs and keys differ most in their last characters.
        let mixed = key.0.iter().rev().take(8).fold(0_usize, |mixed, byte| mixed.wrapping_mul(31) + usize::from(*byte));
        lock(&self.shards[mixed % SHARDS])
    }
}

impl<V: Weigh> Shard<V> {
    fn drop_young(&mut self, key: &Key) {
        if let Some(row) = self.young.remove(key) {
            self.bytes -= size(key, &row);
        }
    }
}

fn size(key: &Key, row: &impl Weigh) -> usize {
    key.0.len() + row.bytes()
}

fn lock<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    // Nothing that holds the lock can panic half way through a change.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    const ROWS: usize = 4096;
    const BYTES: usize = 1 << 20;

    fn cache() -> Cache<Vec<u8>> {
        Cache::new(ROWS, BYTES)
    }

    fn key(name: &str) -> Key {
        Key::of(["b", name])
    }

    fn read(cache: &Cache<Vec<u8>>, name: &str) -> Reading {
        cache.get(&key(name)).unwrap_err()
    }

    fn held(cache: &Cache<Vec<u8>>, count: fn(&Shard<Vec<u8>>) -> usize) -> usize {
        cache.shards.iter().map(|shard| count(&lock(shard))).sum()
    }

    #[test]
    fn what_was_read_is_known_until_it_changes() {
        let cache = cache();
        cache.keep(key("o"), read(&cache, "o"), vec![3]);
        assert_eq!(cache.get(&key("o")).unwrap(), [3]);
        assert!(cache.get(&Key::of(["bo", ""])).is_err());
        cache.put(key("o"), vec![4]);
        assert_eq!(cache.get(&key("o")).unwrap(), [4]);
        cache.forget(&key("o"));
        assert!(cache.get(&key("o")).is_err());
    }

    #[test]
    fn a_read_that_was_overtaken_is_not_kept() {
        let changes: [fn(&Cache<Vec<u8>>); 3] =
            [|cache| cache.forget(&key("o")), Cache::clear, |cache| cache.put(key("o"), vec![4])];
        for change in changes {
            let cache = cache();
            let reading = read(&cache, "o");
            change(&cache);
            cache.keep(key("o"), reading, vec![3]);
            assert_ne!(cache.get(&key("o")).ok(), Some(vec![3]));
        }
    }

    #[test]
    fn it_is_bounded_in_rows_and_bytes_and_keeps_those_that_are_asked_for() {
        let cache = cache();
        for n in 0..3 * ROWS {
            let name = n.to_string();
            cache.keep(key(&name), read(&cache, &name), vec![7; 10]);
            let _ = cache.get(&key("0"));
        }
        assert!(held(&cache, |shard| shard.young.len() + shard.old.len()) <= ROWS);
        assert!(cache.get(&key("0")).is_ok() && cache.get(&key("1")).is_err());
        for n in 0..1_000 {
            cache.put(key(&format!("large {n}")), vec![7; 4_000]);
        }
        let bytes = |shard: &Shard<Vec<u8>>| {
            shard.young.iter().chain(&shard.old).map(|(key, row)| size(key, row)).sum::<usize>()
        };
        assert!(held(&cache, bytes) <= BYTES + SHARDS * 2 * 4_100);
        assert!(held(&cache, |shard| shard.bytes) <= held(&cache, bytes));
        cache.clear();
        assert_eq!(held(&cache, |shard| shard.young.len() + shard.old.len()), 0);
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_takes_the_place_of_what_was() {
        let cache = cache();
        for _ in 0..2 {
            cache.put(key("o"), vec![7; 10]);
            cache.put(key("o"), vec![8; BYTES]);
            assert!(cache.get(&key("o")).is_err());
        }
        assert_eq!(held(&cache, |shard| shard.bytes), 0);
    }
}

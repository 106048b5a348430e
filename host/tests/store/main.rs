//! The store as its callers see it: on a real file, in a process that may be killed, on disks that fill up.

#![allow(clippy::unwrap_used, reason = "clippy knows the tests, and not what they share")]

mod concurrency;
mod crash;
mod disk;
mod model;
mod opening;
mod outbox;

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use mynah::store::{Commit, MessageKey, Outcome, Scope, Store, StoreError, Version, sqlite::SqliteStore};

/// Any moment will do.
const NOW: Duration = Duration::from_secs(1_700_000_000);

/// What makes a database of today one of format 2: answers had an index over the messages.
const BACK_TO_2: &str = "
    DROP TABLE answers;
    CREATE TABLE answers (id INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE, recorded INTEGER NOT NULL, answer BLOB NOT NULL) STRICT;
    PRAGMA user_version = 2";

/// And that one of format 1.
const BACK_TO_1: &str = "DROP TABLE outbox; DROP TABLE notes; PRAGMA user_version = 1";

fn scope() -> Scope {
    Scope::new("demo", "quiz")
}

fn message(number: u64) -> MessageKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    MessageKey(key)
}

/// A commit of message `number` that writes `value` under `key`, and is answered with the number.
fn put(number: u64, key: &str, value: &[u8]) -> Commit {
    let mut commit = Commit::new(message(number), NOW);
    commit.scope(&scope()).writes.insert(key.to_owned(), Some(value.to_owned()));
    commit.answer = Some(number.to_string().into_bytes());
    commit
}

/// Adds 1 to the decimal under `key`, once, and returns the sum; `None` where it was overtaken. `more` goes into the same commit.
async fn add(
    store: &SqliteStore,
    number: u64,
    key: &str,
    more: impl Fn(&mut Commit),
) -> Result<Option<u64>, StoreError> {
    let read = store.get(&scope(), key).await?;
    let sum = read.value.map_or(0, |value| decimal(&value)) + 1;
    let mut commit = put(number, key, sum.to_string().as_bytes());
    commit.scope(&scope()).reads.insert((key.to_owned(), read.version));
    more(&mut commit);
    match store.commit(commit).await? {
        Outcome::Committed => Ok(Some(sum)),
        Outcome::Conflict => Ok(None),
        other => panic!("{other:?}"),
    }
}

fn decimal(bytes: &[u8]) -> u64 {
    str::from_utf8(bytes).unwrap().parse().unwrap()
}

/// What the store has under `key`.
async fn value(store: &SqliteStore, key: &str) -> Option<Vec<u8>> {
    store.get(&scope(), key).await.unwrap().value
}

async fn version(store: &SqliteStore, key: &str) -> Version {
    store.get(&scope(), key).await.unwrap().version
}

/// A number below `n`, another one each time.
fn any(n: u64) -> u64 {
    RandomState::new().build_hasher().finish() % n
}

//! Replies that are to be sent, and notes.

use mynah::store::{OutboxStep, Parcel, ParcelId};
use rusqlite::Connection;

use super::*;

fn steps(number: u64, steps: impl IntoIterator<Item = OutboxStep>) -> Commit {
    let mut commit = Commit::new(message(number), NOW);
    commit.outbox = steps.into_iter().collect();
    commit
}

fn to(openid: &str, record: &[u8]) -> OutboxStep {
    OutboxStep::Put { bot: "demo".into(), openid: openid.to_owned(), record: record.to_owned() }
}

async fn outbox(store: &SqliteStore, openid: &str) -> Vec<Parcel> {
    store.outbox("demo", openid).await.unwrap()
}

#[tokio::test]
async fn a_reply_to_be_sent_comes_with_its_commit_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut first = steps(1, [to("b", b"one"), to("b", b"two")]);
    first.answer = Some(b"later".to_vec());
    assert_eq!(store.commit(first.clone()).await.unwrap(), Outcome::Committed);
    // The message was answered, and so nothing of it is done again.
    assert_eq!(store.commit(first).await.unwrap(), Outcome::Answered(b"later".to_vec()));
    assert_eq!(store.commit(steps(2, [to("a", b"three")])).await.unwrap(), Outcome::Committed);
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    let waiting: Vec<_> =
        store.addressees().await.unwrap().into_iter().map(|found| (found.openid, found.parcels)).collect();
    assert_eq!(waiting, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    let records: Vec<_> = outbox(&store, "b").await.into_iter().map(|parcel| (parcel.record, parcel.sending)).collect();
    assert_eq!(records, [(b"one".to_vec(), false), (b"two".to_vec(), false)]);
}

#[tokio::test]
async fn a_sending_begins_once_and_ends_once_and_no_number_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(steps(1, [to("a", b"one")])).await.unwrap();
    let id = outbox(&store, "a").await[0].id;
    let mut number = 1;
    let mut commit = async |step| {
        number += 1;
        store.commit(steps(number, [step])).await.unwrap()
    };
    assert_eq!(commit(OutboxStep::Back(id)).await, Outcome::Ended);
    assert_eq!(commit(OutboxStep::Begin(id)).await, Outcome::Committed);
    assert_eq!(commit(OutboxStep::Begin(id)).await, Outcome::Ended);
    assert!(outbox(&store, "a").await[0].sending);
    assert_eq!(commit(OutboxStep::Back(id)).await, Outcome::Committed);
    assert_eq!(commit(OutboxStep::Begin(id)).await, Outcome::Committed);
    assert_eq!(commit(OutboxStep::End(id)).await, Outcome::Committed);
    assert_eq!(commit(OutboxStep::End(id)).await, Outcome::Ended);
    assert_eq!(commit(OutboxStep::Begin(ParcelId(u64::MAX))).await, Outcome::Ended);
    assert_eq!(commit(to("a", b"two")).await, Outcome::Committed);
    assert!(outbox(&store, "a").await[0].id > id);
    // A commit that is refused leaves nothing of its other steps.
    assert_eq!(store.commit(steps(99, [to("a", b"three"), OutboxStep::End(id)])).await.unwrap(), Outcome::Ended);
    assert_eq!(outbox(&store, "a").await.len(), 1);
}

#[tokio::test]
async fn a_note_is_kept_replaced_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    for (number, value) in (0..).zip([Some(b"1".to_vec()), Some(b"2".to_vec()), None]) {
        let store = SqliteStore::open(&path).unwrap();
        let mut commit = Commit::new(message(number), NOW);
        commit.note = Some(("n".to_owned(), value.clone()));
        assert_eq!(store.commit(commit).await.unwrap(), Outcome::Committed);
        drop(store);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.note("n").await.unwrap(), value);
    }
}

#[tokio::test]
async fn a_database_of_the_first_format_is_upgraded_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let store = SqliteStore::open(&path).unwrap();
    store.commit(put(1, "key", b"value")).await.unwrap();
    drop(store);
    let old = Connection::open(&path).unwrap();
    old.execute_batch(BACK_TO_2).unwrap();
    old.execute_batch(BACK_TO_1).unwrap();
    drop(old);

    // Whoever only looks leaves it as it is.
    let reading = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(value(&reading, "key").await.unwrap(), b"value");
    drop(reading);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(value(&store, "key").await.unwrap(), b"value");
    assert_eq!(store.commit(steps(2, [to("a", b"one")])).await.unwrap(), Outcome::Committed);
    assert_eq!(outbox(&store, "a").await.len(), 1);
}

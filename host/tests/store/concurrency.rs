//! Messages at the same time.

use std::{collections::BTreeSet, sync::Arc};

use super::*;

fn open() -> (tempfile::TempDir, Arc<SqliteStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("mynah.db")).unwrap();
    (folder, Arc::new(store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_increments_at_one_time_give_a_hundred_different_sums() {
    let (_folder, store) = open();
    let tasks = (0..100).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                if let Some(sum) = add(&store, number, "count", |_| {}).await.unwrap() {
                    return sum;
                }
            }
        })
    });
    let mut sums = BTreeSet::new();
    for task in tasks.collect::<Vec<_>>() {
        assert!(sums.insert(task.await.unwrap()), "a sum was given twice");
    }
    assert_eq!(sums, (1..=100).collect());
    assert_eq!(value(&store, "count").await.unwrap(), b"100");
}

#[tokio::test]
async fn a_list_is_overtaken_when_a_key_comes_or_goes_and_not_when_a_value_changes() {
    let (_folder, store) = open();
    let listed = async || store.list(&scope(), "", None, 10).await.unwrap().version;
    let insist = async |number, version| {
        let mut commit = put(number, "other", b"");
        commit.scope(&scope()).lists.insert(version);
        store.commit(commit).await.unwrap()
    };
    let empty = listed().await;
    assert_eq!(empty, Version::ABSENT);
    store.commit(put(1, "a", b"1")).await.unwrap();
    assert_eq!(insist(2, empty).await, Outcome::Conflict);

    store.commit(put(3, "other", b"")).await.unwrap();
    let two = listed().await;
    store.commit(put(4, "a", b"2")).await.unwrap();
    assert_eq!(insist(5, two).await, Outcome::Committed);

    let mut delete = Commit::new(message(6), NOW);
    delete.scope(&scope()).writes.insert("a".to_owned(), None);
    store.commit(delete.clone()).await.unwrap();
    assert_eq!(insist(7, two).await, Outcome::Conflict);

    // To delete what is not there changes nothing.
    let one = listed().await;
    delete.message = message(8);
    store.commit(delete).await.unwrap();
    assert_eq!(insist(9, one).await, Outcome::Committed);
}

#[tokio::test]
async fn a_commit_that_is_refused_takes_no_other_with_it() {
    let (_folder, store) = open();
    store.commit(put(1_000, "old", b"new")).await.unwrap();
    // All of them are handed over before the first is answered, as far as the writer lets them.
    let commits = (0..60).map(|number| {
        let mut commit = put(number, &format!("key {number}"), &[0; 100]);
        match number % 6 {
            0 => drop(commit.scope(&scope()).reads.insert(("old".to_owned(), Version::ABSENT))),
            1 => commit.scope(&scope()).quota = Some(100),
            2 => commit.message = message(1_000),
            _ => {}
        }
        let store = Arc::clone(&store);
        (number, tokio::spawn(async move { store.commit(commit).await.unwrap() }))
    });
    for (number, task) in commits.collect::<Vec<_>>() {
        let expected = match number % 6 {
            0 => Outcome::Conflict,
            1 => Outcome::Quota(scope()),
            2 => Outcome::Answered(b"1000".to_vec()),
            _ => Outcome::Committed,
        };
        assert_eq!(task.await.unwrap(), expected);
        let stored = value(&store, &format!("key {number}")).await.is_some();
        let answered = store.answer(&message(number)).await.unwrap().is_some();
        assert_eq!((stored, answered), (number % 6 > 2, number % 6 > 2), "message {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_handed_in_many_times_takes_effect_once() {
    let (_folder, store) = open();
    let tasks = (0..20).map(|attempt| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut commit = put(7, &format!("attempt {attempt}"), b"");
            commit.answer = Some(vec![attempt]);
            store.commit(commit).await.unwrap()
        })
    });
    let mut committed = Vec::new();
    let mut answers = BTreeSet::new();
    for (attempt, task) in (0..).zip(tasks.collect::<Vec<_>>()) {
        match task.await.unwrap() {
            Outcome::Committed => committed.push(attempt),
            Outcome::Answered(answer) => drop(answers.insert(answer)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(committed.len(), 1);
    assert_eq!(answers, BTreeSet::from([committed.clone()]));
    assert_eq!(
        store.list(&scope(), "", None, 100).await.unwrap().value,
        committed.iter().map(|attempt| format!("attempt {attempt}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_saw_two_versions_of_a_key_is_refused() {
    let (_folder, store) = open();
    store.commit(put(1, "key", b"")).await.unwrap();
    let mut commit = put(2, "other", b"");
    commit.scope(&scope()).reads.insert(("key".to_owned(), Version::ABSENT));
    commit.scope(&scope()).reads.insert(("key".to_owned(), version(&store, "key").await));
    assert_eq!(store.commit(commit).await.unwrap(), Outcome::Conflict);
}

#[tokio::test]
async fn a_pending_message_ends_once() {
    use mynah::store::PendingStep;
    let (_folder, store) = open();
    let mut begin = Commit::new(message(1), NOW);
    begin.pending = Some(PendingStep::Begin(b"the message".to_vec()));
    begin.answer = Some(b"later".to_vec());
    assert_eq!(store.commit(begin).await.unwrap(), Outcome::Committed);
    assert_eq!(store.pending().await.unwrap(), [(message(1), b"the message".to_vec())]);

    // Two hosts took it up.
    for (number, expected) in [(2, Outcome::Committed), (3, Outcome::Ended)] {
        let mut end = put(number, &format!("by {number}"), b"");
        end.pending = Some(PendingStep::End(message(1)));
        assert_eq!(store.commit(end).await.unwrap(), expected);
    }
    assert_eq!(store.pending().await.unwrap(), []);
    assert_eq!(value(&store, "by 2").await.unwrap(), b"");
    assert_eq!(value(&store, "by 3").await, None);
}

#[tokio::test]
async fn what_is_too_large_for_the_store_is_refused() {
    let (_folder, store) = open();
    let commit = store.commit(put(1, "key", &vec![0; mynah::store::COMMIT_BYTES]));
    assert!(matches!(commit.await, Err(StoreError::TooLarge { .. })));
    let commit = store.commit(put(1, &"k".repeat(mynah::store::NAME_BYTES + 1), b""));
    assert!(matches!(commit.await, Err(StoreError::NameTooLong { .. })));
    // Larger than the whole queue would be if its bound were taken literally.
    let commit = store.commit(put(1, "key", &vec![0; mynah::store::COMMIT_BYTES - 100]));
    assert_eq!(commit.await.unwrap(), Outcome::Committed);
    assert_eq!(value(&store, "key").await.unwrap().len(), mynah::store::COMMIT_BYTES - 100);
}

#[tokio::test]
async fn a_scan_passes_everything_once_in_order() {
    let (_folder, store) = open();
    let mut commit = Commit::new(message(1), NOW);
    for scope in [Scope::new("a", "x"), Scope::new("a", "y"), Scope::new("b", "x")] {
        for key in 0..10 {
            // Large enough that a page ends before its limit.
            commit.scope(&scope).writes.insert(format!("key {key}"), Some(vec![key; 1 << 20]));
        }
    }
    store.commit(commit.clone()).await.unwrap();
    let mut passed = Vec::new();
    let mut after = None;
    loop {
        let page =
            store.scan(after.as_ref().map(|(scope, key): &(Scope, String)| (scope, key.as_str())), 7).await.unwrap();
        assert!(page.len() <= 5, "{} MiB in one page", page.len());
        let Some(last) = page.last() else { break };
        after = Some((last.scope.clone(), last.key.clone()));
        passed.extend(page.into_iter().map(|entry| (entry.scope, entry.key, Some(entry.value))));
    }
    let written = commit
        .scopes
        .into_iter()
        .flat_map(|(scope, access)| access.writes.into_iter().map(move |(key, value)| (scope.clone(), key, value)));
    assert!(passed.into_iter().eq(written));
}

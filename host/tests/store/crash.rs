//! A host that is killed at any instant.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mynah::store::sqlite::OpenError;

use super::*;

const ROUNDS: u64 = 12;

/// Messages handled at one time by the process that is killed.
const IN_FLIGHT: u64 = 8;

/// Where the process that is killed finds its database, and the number of its first message.
const DATABASE: &str = "MYNAH_TEST_DATABASE";
const FIRST: &str = "MYNAH_TEST_FIRST";

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_nothing_is_half_done_when_the_host_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let mut total = 0;
    for round in 0..ROUNDS {
        let first = (round + 1) * 1_000_000;
        let acknowledged = kill_after(any(400), &path, first);

        let store = SqliteStore::open(&path).unwrap();
        for number in &acknowledged {
            let answer = store.answer(&message(*number)).await.unwrap();
            assert_eq!(answer, Some(number.to_string().into_bytes()), "round {round} lost message {number}");
        }
        // Those on their way may have been committed or not.
        let last = acknowledged.iter().max().map_or(first, |last| last + 1) + IN_FLIGHT;
        for number in first..last {
            total += u64::from(store.answer(&message(number)).await.unwrap().is_some());
        }
        let count = value(&store, "count").await.map_or(0, |count| decimal(&count));
        assert_eq!(count, total, "answers and effects differ after round {round}");
        for pair in 0..PAIRS {
            let (left, right) =
                (value(&store, &format!("left {pair}")).await, value(&store, &format!("right {pair}")).await);
            assert_eq!(left, right, "half of a commit after round {round}");
        }
        let usage = store
            .scan(None, 1_000)
            .await
            .unwrap()
            .iter()
            .map(|entry| entry.key.len() + entry.value.len())
            .sum::<usize>();
        assert_eq!(store.usage(&scope()).await.unwrap(), usage as u64);
    }
    assert!(total > 0, "no round got anywhere");
}

const PAIRS: u64 = 5;

/// Runs [`child_commits_until_killed`], kills it at some instant after it acknowledged `count` messages, and returns all that it
/// did acknowledge.
fn kill_after(count: u64, path: &Path, first: u64) -> Vec<u64> {
    let mut child = start(path, first);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    // The harness prints lines of its own.
    let mut next =
        || lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    while (acknowledged.len() as u64) < count {
        acknowledged.push(next().expect("the child ended by itself"));
    }
    if !acknowledged.is_empty() {
        let Err(OpenError::Held { pid, .. }) = SqliteStore::open(path) else { panic!("two processes have it") };
        assert_eq!(pid, Some(child.id()));
    }
    child.kill().unwrap();
    acknowledged.extend(std::iter::from_fn(next));
    child.wait().unwrap();
    acknowledged
}

fn start(path: &Path, first: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::child_commits_until_killed", "--nocapture"])
        .env(DATABASE, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_commits_until_killed() {
    let Some(path) = env::var_os(DATABASE).map(PathBuf::from) else { return };
    let next = Arc::new(AtomicU64::new(env::var(FIRST).unwrap().parse().unwrap()));
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let tasks = (0..IN_FLIGHT).map(|_| {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tokio::spawn(async move {
            let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            for number in numbers {
                let both = |commit: &mut Commit| {
                    let value = Some(vec![number as u8; any(20_000) as usize]);
                    let writes = &mut commit.scope(&scope()).writes;
                    writes.insert(format!("left {}", number % PAIRS), value.clone());
                    writes.insert(format!("right {}", number % PAIRS), value);
                };
                while add(&store, number, "count", both).await.unwrap().is_none() {}
                // Whole lines, so that a killed process leaves none that says another number.
                let line = format!("acknowledged {number}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

//! Disks that are full, and folders that are not to be written to.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use super::*;

/// Where the processes below find the disk, and how they get room on it.
const DISK: &str = "MYNAH_TEST_DISK";
const ROOM: &str = "MYNAH_TEST_ROOM";

#[test]
fn a_store_on_a_full_disk_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // A disk of its own, seen by nobody else and gone with the process.
    let Some(status) = on_small_disk(folder.path(), "disk::child_fills_the_disk") else {
        eprintln!("skipped: this user cannot mount a file system");
        return;
    };
    assert!(status.success());
}

#[test]
fn a_store_whose_writes_fail_goes_on_once_they_succeed() {
    let folder = tempfile::tempdir().unwrap();
    // Files may grow to some hundred KiB (the shell's unit is 512 bytes or 1 KiB); to write more is an error, not a signal.
    let script = format!("trap '' XFSZ; ulimit -S -f 700; {}", run("disk::child_fills_the_disk"));
    let status = shell(&["sh", "-c"], &script, folder.path()).env(ROOM, "limit").status().unwrap();
    assert!(status.success());
}

#[test]
fn a_folder_that_is_read_only_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Some(status) = on_small_disk(folder.path(), "disk::child_opens_what_is_read_only") else {
        eprintln!("skipped: this user cannot mount a file system");
        return;
    };
    assert!(status.success());
}

/// Runs the test `child` with a disk of 4 MiB at `folder`.
fn on_small_disk(folder: &Path, child: &str) -> Option<ExitStatus> {
    let namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c"];
    let mount = "mount -t tmpfs -o size=4m none \"$DISK\"";
    let possible = shell(&namespace, mount, folder).output().is_ok_and(|output| output.status.success());
    possible
        .then(|| shell(&namespace, &format!("{mount} && {}", run(child)), folder).env(ROOM, "file").status().unwrap())
}

/// A command that runs `script`, with the folder of the disk as `$DISK` and this very test program as `$TESTS`.
fn shell(command: &[&str], script: &str, folder: &Path) -> Command {
    let mut shell = Command::new(command[0]);
    shell.args(&command[1..]).arg(script.replace("$DISK", &format!("${DISK}")));
    shell.env("TESTS", env::current_exe().unwrap()).env(DISK, folder);
    shell
}

fn run(child: &str) -> String {
    format!("exec \"$TESTS\" --exact {child} --nocapture")
}

#[tokio::test]
async fn child_fills_the_disk() {
    let Some(disk) = env::var_os(DISK).map(PathBuf::from) else { return };
    let room = env::var(ROOM).unwrap();
    if room == "file" {
        fs::write(disk.join("ballast"), vec![1; 1 << 20]).unwrap();
    }
    let store = SqliteStore::open(&disk.join("mynah.db")).unwrap();
    let mut acknowledged = Vec::new();
    // A store that could take over its log may find some room again by itself, but not for ever.
    let (mut number, mut failures, mut words) = (0, 0, String::new());
    while failures < 100 {
        number += 1;
        match store.commit(put(number, &format!("key {number}"), &[number as u8; 20_000])).await {
            Ok(outcome) => {
                assert_eq!(outcome, Outcome::Committed);
                acknowledged.push(number);
                failures = 0;
            }
            Err(error) => {
                (failures, words) = (failures + 1, error.to_string());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    eprintln!("{} commits, then: {words}", acknowledged.len());
    let expected = if room == "file" { "database or disk is full" } else { "disk I/O error, SQLite code 778" };
    assert!(words.starts_with("the store is unavailable: `") && words.contains(expected), "{words}");
    check(&store, &acknowledged).await;

    if room == "file" {
        fs::remove_file(disk.join("ballast")).unwrap();
    } else {
        let own = std::process::id().to_string();
        assert!(Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &own]).status().unwrap().success());
    }
    number += 1;
    while store.commit(put(number, &format!("key {number}"), &[number as u8; 20_000])).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acknowledged.push(number);
    check(&store, &acknowledged).await;
    drop(store);
    check(&SqliteStore::open(&disk.join("mynah.db")).unwrap(), &acknowledged).await;
}

/// Everything acknowledged is there, and nothing else is there by half.
async fn check(store: &SqliteStore, acknowledged: &[u64]) {
    for number in acknowledged {
        assert_eq!(store.answer(&message(*number)).await.unwrap(), Some(number.to_string().into_bytes()));
    }
    let keys = store.list(&scope(), "", None, 10_000).await.unwrap().value;
    for key in &keys {
        let number = key.strip_prefix("key ").unwrap().parse().unwrap();
        assert!(store.answer(&message(number)).await.unwrap().is_some(), "an effect without its answer");
        assert_eq!(value(store, key).await.unwrap(), vec![number as u8; 20_000]);
    }
    assert!(keys.len() >= acknowledged.len());
}

#[tokio::test]
async fn child_opens_what_is_read_only() {
    let Some(disk) = env::var_os(DISK).map(PathBuf::from) else { return };
    let (path, missing) = (disk.join("mynah.db"), disk.join("missing/mynah.db"));
    SqliteStore::open(&path).unwrap().commit(put(1, "key", b"value")).await.unwrap();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap();
    if !remounted.success() {
        eprintln!("skipped: this user cannot mount a file system again");
        return;
    }
    let complaint = |path: &Path| SqliteStore::open(path).unwrap_err().to_string();
    assert_eq!(complaint(&path), format!("cannot open `{}.lock`: Read-only file system (os error 30)", path.display()));
    assert_eq!(
        complaint(&missing),
        format!("cannot open `{}`: Read-only file system (os error 30)", missing.display())
    );
}

//! Opening, closing, and what can be wrong with a file.

use std::{fs, path::Path};

use mynah::store::sqlite::OpenError;
use rusqlite::Connection;

use super::*;

/// The message that whoever opens `path` gets, with the path itself taken out.
fn complaint(path: &Path) -> String {
    let error = SqliteStore::open(path).expect_err("it opened").to_string();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    error.replace(&path.display().to_string(), "FILE")
}

/// A database with some 500 KiB in it, closed.
async fn filled(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    for number in 0..100 {
        assert_eq!(store.commit(put(number, &format!("key {number}"), &[1; 5_000])).await.unwrap(), Outcome::Committed);
    }
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some/where/mynah.db");
    filled(&path).await;
    // Closing took the log over.
    let mut names =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["mynah.db", "mynah.db.lock"]);

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.list(&scope(), "", None, 1_000).await.unwrap().value.len(), 100);
    assert_eq!(
        store.usage(&scope()).await.unwrap(),
        (0..100).map(|n| format!("key {n}").len() as u64 + 5_000).sum::<u64>()
    );
    assert_eq!(store.answer(&message(42)).await.unwrap().unwrap(), b"42");
    let before = version(&store, "key 99").await;
    store.commit(put(100, "key 0", b"")).await.unwrap();
    assert!(version(&store, "key 0").await > before, "a number was used again");
}

#[tokio::test]
async fn a_second_host_is_told_who_has_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let first = SqliteStore::open(&path).unwrap();
    let held =
        format!("`FILE` is in use by process {}: stop it first, or name another file as `state`", std::process::id());
    assert_eq!(complaint(&path), held);
    let waited = SqliteStore::open_waiting(&path, Duration::ZERO).await;
    assert!(matches!(waited, Err(OpenError::Held { .. })));
    // By another name, too.
    #[cfg(unix)]
    {
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(complaint(&link), held);
    }
    drop(first);
    SqliteStore::open(&path).unwrap();
}

#[tokio::test]
async fn a_host_that_starts_waits_for_the_one_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let first = SqliteStore::open(&path).unwrap();
    let second = {
        let path = path.clone();
        tokio::spawn(async move { SqliteStore::open_waiting(&path, Duration::MAX).await })
    };
    tokio::task::yield_now().await;
    first.commit(put(1, "last words", b"")).await.unwrap();
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert_eq!(value(&second, "last words").await.unwrap(), b"");
}

#[tokio::test]
async fn a_reader_sees_what_a_running_host_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let missing = SqliteStore::open_read_only(&path).unwrap_err().to_string();
    assert!(missing.starts_with("cannot open `") && missing.contains("mynah.db`: No such file"), "{missing}");
    assert!(!path.exists());

    let host = SqliteStore::open(&path).unwrap();
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(value(&reader, "key").await, None);
    host.commit(put(1, "key", b"value")).await.unwrap();
    assert_eq!(value(&reader, "key").await.unwrap(), b"value");
    assert!(matches!(reader.commit(put(2, "key", b"")).await, Err(StoreError::ReadOnly)));
    // Nor is the reader in the host's way.
    host.commit(put(3, "key", b"another")).await.unwrap();
    drop(host);
    assert_eq!(value(&reader, "key").await.unwrap(), b"another");
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let text = "dear diary, ".repeat(1_000);
    fs::write(&path, &text).unwrap();
    assert_eq!(
        complaint(&path),
        "`FILE` is not a database of Mynah (file is not a database): move it away, or name another file as `state`"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(
        complaint(&path),
        "`FILE` is not a database of Mynah (an SQLite database with application id 0x0 and format 0): move it away, or name another \
         file as `state`"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn the_database_of_a_newer_host_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    filled(&path).await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    assert_eq!(
        complaint(&path),
        "`FILE` has format 4, and this version of Mynah knows formats up to 3: start the newer version, or restore the backup from \
         before the upgrade"
    );
}

#[tokio::test]
async fn a_database_of_the_second_format_is_upgraded_and_knows_what_it_has_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    filled(&path).await;
    let old = Connection::open(&path).unwrap();
    old.execute_batch(BACK_TO_2).unwrap();
    for number in [7, 3] {
        let answer = format!("answer {number}").into_bytes();
        let row = (number, message(number as u64).0, NOW.as_millis() as i64, answer);
        old.execute("INSERT INTO answers VALUES (?1, ?2, ?3, ?4)", row).unwrap();
    }
    drop(old);

    // Whoever only looks leaves it as it is.
    let reading = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reading.answer(&message(3)).await.unwrap().unwrap(), b"answer 3");
    drop(reading);
    for _ in 0..2 {
        let store = SqliteStore::open(&path).unwrap();
        let again = store.commit(put(7, "key 7", b"again")).await.unwrap();
        assert_eq!(again, Outcome::Answered(b"answer 7".to_vec()));
        assert_eq!(value(&store, "key 7").await.unwrap(), [1; 5_000]);
        assert!(!store.answered_since(NOW + Duration::from_secs(1)).await.unwrap());
        assert!(store.answered_since(NOW).await.unwrap());
    }
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.commit(put(8, "key 8", b"new")).await.unwrap(), Outcome::Committed);
    assert_eq!(store.answer(&message(8)).await.unwrap().unwrap(), b"8");
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    filled(&path).await;
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    assert_eq!(
        complaint(&path),
        "`FILE` is damaged (database disk image is malformed): restore a backup, or keep a copy and save what can be read with \
         `sqlite3 FILE .recover`"
    );
}

#[tokio::test]
async fn a_file_whose_pages_are_garbage_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    filled(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    // The first page says where the others are.
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let message = complaint(&path);
    assert!(message.starts_with("`FILE` is damaged (database disk image is malformed"), "{message}");
}

#[tokio::test]
async fn damage_that_shows_while_running_is_reported_and_the_rest_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    filled(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    let entries = {
        let connection = Connection::open(&path).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'entries'";
        connection.query_row(root, [], |row| row.get::<_, u32>(0)).unwrap() as usize
    };
    bytes[(entries - 1) * 4096..entries * 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();

    let store = SqliteStore::open(&path).unwrap();
    let error = store.get(&scope(), "key 1").await.unwrap_err().to_string();
    assert!(error.starts_with("the store is unavailable: `") && error.contains("` is damaged ("), "{error}");
    let error = store.commit(put(1_000, "key 1", b"")).await.unwrap_err().to_string();
    assert!(error.contains("` is damaged ("), "{error}");
    assert_eq!(store.answer(&message(42)).await.unwrap().unwrap(), b"42");
}

#[tokio::test]
async fn a_log_that_was_cut_off_loses_only_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("mynah.db"), folder.path().join("copy.db"));
    let store = SqliteStore::open(&path).unwrap();
    for number in 0..10 {
        store.commit(put(number, "first", &[number as u8; 100])).await.unwrap();
        store.commit(put(100 + number, "second", &[number as u8; 100])).await.unwrap();
    }
    let log = fs::read(folder.path().join("mynah.db-wal")).unwrap();
    for cut in [0, 1, 100, 5_000, 30_000] {
        // As a disk may leave it that lost its power.
        fs::copy(&path, &copy).unwrap();
        fs::write(folder.path().join("copy.db-wal"), &log[..log.len() - cut]).unwrap();
        let copied = SqliteStore::open(&copy).unwrap();
        let (first, second) = (value(&copied, "first").await, value(&copied, "second").await);
        let last = |value: Option<Vec<u8>>| value.map_or(-1, |value| i32::from(value[0]));
        let (first, second) = (last(first), last(second));
        assert!(first == second || first == second + 1, "{first} and {second}");
        assert!(cut > 0 || first == 9);
        drop(copied);
    }
}

#[test]
fn a_place_where_no_database_can_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let path = file.join("mynah.db");
    let error = SqliteStore::open(&path).unwrap_err().to_string();
    assert_eq!(error, format!("cannot open `{}`: `{}` is not a folder", path.display(), file.display()));
    for folder in [folder.path(), Path::new("/")] {
        let error = SqliteStore::open(folder).unwrap_err().to_string();
        assert_eq!(error, format!("cannot open `{}`: not the name of a file", folder.display()));
    }
}

#[tokio::test]
async fn the_log_stays_short_and_recovers_from_a_reader_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.db");
    let log = || fs::metadata(folder.path().join("mynah.db-wal")).unwrap().len() >> 20;
    let store = SqliteStore::open(&path).unwrap();
    let mut number = 0;
    let mut write = async |mebibytes| {
        for _ in 0..mebibytes {
            number += 1;
            assert_eq!(
                store.commit(put(number, "key", &vec![number as u8; 1 << 20])).await.unwrap(),
                Outcome::Committed
            );
        }
    };
    write(20).await;
    assert!(log() < 10, "{} MiB without a reader", log());

    // An operator who went to lunch.
    let mut operator = Connection::open(&path).unwrap();
    let reading = operator.transaction().unwrap();
    reading.query_row("SELECT count(*) FROM entries", [], |_| Ok(())).unwrap();
    write(80).await;
    assert!(log() >= 80, "{} MiB with a reader", log());
    reading.finish().unwrap();
    write(20).await;
    assert!(log() <= 16, "{} MiB after the reader", log());
}

//! The lock that lets one host at a time have a database.
//!
//! SQLite itself would let several processes write. Commit numbers, retention and the order of a follower's messages count on one.

use std::{
    fs::{File, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use super::format::OpenError;

/// Held as long as it lives; the operating system lets go of it when the process dies, however that happens.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of the database at `path`, in a file beside it that stays: to delete it would let a third process lock a new
    /// file while a second waits for the old one.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let file = Self::file(path);
        let unusable = |error| OpenError::unusable(&file, error);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&file);
        let mut opened = opened.map_err(unusable)?;
        match opened.try_lock() {
            Ok(()) => {
                // For those who are refused. A disk too full for it is no reason not to start.
                let _ = opened.set_len(0).and_then(|()| write!(opened, "{}", std::process::id()));
                Ok(Self(opened))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = opened.take(32).read_to_string(&mut text);
                Err(OpenError::Held { path: path.to_owned(), pid: read.ok().and_then(|_| text.trim().parse().ok()) })
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Where the lock of the database at `path` is.
    fn file(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        name.into()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // So that nobody is told the number of a process that has ended.
        let _ = self.0.set_len(0);
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_second_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.db");
        let first = Lock::take(&path).unwrap();
        let Err(OpenError::Held { pid, .. }) = Lock::take(&path) else { panic!("taken twice") };
        assert_eq!(pid, Some(std::process::id()));
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn what_a_killed_process_left_behind_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mynah.db.lock"), "12345").unwrap();
        let _lock = Lock::take(&folder.path().join("mynah.db")).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("mynah.db.lock")).unwrap(),
            std::process::id().to_string()
        );
    }
}

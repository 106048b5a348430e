//! Which versions of plugins have proven themselves and which were rejected, kept on disk beside the state, so that a restart neither
//! forgets a rejected one nor is left without the one that worked.
//!
//! The folder holds `versions.json` and, of each plugin's last proven version, a copy of its component, named by its digest.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::{config::read_bounded, digest::digest_of, limits};

/// The record's name in its folder.
const FILE: &str = "versions.json";

/// The record of all plugins' versions.
pub struct Versions {
    /// None where nothing is kept, as of a throw-away state.
    folder: Option<PathBuf>,
    known: Mutex<Known>,
    /// Whether what is known could not be written.
    unwritten: AtomicBool,
}

/// What is known of each plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    #[serde(default)]
    plugins: BTreeMap<String, History>,
}

/// What is known of one plugin's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The last version that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Proven>,
    /// Versions whose first calls all failed, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// A version that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// The component's SHA-256 digest in lower-case hex.
    pub digest: String,
    /// Since when, in seconds since the Unix epoch.
    pub since: u64,
}

/// A version that was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The component's SHA-256 digest in lower-case hex.
    pub digest: String,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
    /// How its last call failed.
    pub why: String,
}

impl Versions {
    /// Remembers nothing beyond the process.
    pub fn nowhere() -> Self {
        Self { folder: None, known: Mutex::default(), unwritten: AtomicBool::new(false) }
    }

    /// Where the record of a state in this file is.
    pub fn folder_of(state: &Path) -> PathBuf {
        state.with_file_name("plugins")
    }

    /// Opens the record in a folder, or begins one. One that cannot be read is set aside with a warning: it only spares mistakes.
    pub fn open(folder: &Path) -> Self {
        let known = read(folder).unwrap_or_else(|error| {
            let path = folder.join(FILE);
            tracing::warn!("`{}` cannot be read and is begun anew: {error}", path.display());
            let _ = fs::rename(&path, path.with_extension("json.unreadable"));
            Known::default()
        });
        Self { folder: Some(folder.to_owned()), known: Mutex::new(known), unwritten: AtomicBool::new(false) }
    }

    /// Reads what is in a folder, without a right to change it.
    pub fn read(folder: &Path) -> io::Result<BTreeMap<String, History>> {
        Ok(read(folder)?.plugins)
    }

    /// Reads the record again: an operator may have changed it by the command line while nobody could be asked. Blocks.
    pub fn refresh(&self) {
        let Some(folder) = &self.folder else { return };
        // Taken first, so that nothing is written between reading and replacing.
        let mut known = self.lock();
        if !self.unwritten.load(Ordering::Relaxed)
            && let Ok(read) = read(folder)
        {
            *known = read;
        }
    }

    /// Why a version is not used, if it was rejected.
    pub fn rejection(&self, plugin: &str, digest: &str) -> Option<Rejected> {
        let known = self.lock();
        known.plugins.get(plugin)?.rejected.iter().find(|rejected| rejected.digest == digest).cloned()
    }

    /// The digest of a plugin's last proven version.
    pub fn proven(&self, plugin: &str) -> Option<String> {
        Some(self.lock().plugins.get(plugin)?.proven.as_ref()?.digest.clone())
    }

    /// The component of a plugin's last proven version, if its copy is there and whole.
    pub fn component(&self, plugin: &str) -> Option<Vec<u8>> {
        let digest = self.proven(plugin)?;
        let bytes = read_bounded(&self.copy(&digest)?, limits::COMPONENT_FILE).ok()?;
        (digest_of(&bytes) == digest).then_some(bytes)
    }

    /// A version has answered: it is what is gone back to. Its component is copied from `file`, unless that has changed again. Blocks.
    pub fn prove(&self, plugin: &str, digest: &str, file: &Path, now: u64) -> io::Result<()> {
        {
            let mut known = self.lock();
            let history = known.plugins.entry(plugin.to_owned()).or_default();
            history.rejected.retain(|rejected| rejected.digest != digest);
            if history.proven.as_ref().is_some_and(|proven| proven.digest == digest) {
                return Ok(());
            }
            history.proven = Some(Proven { digest: digest.to_owned(), since: now });
        }
        if let Some(copy) = self.copy(digest)
            && !copy.exists()
        {
            let bytes = read_bounded(file, limits::COMPONENT_FILE)?;
            if digest_of(&bytes) == digest {
                write(&copy, &bytes)?;
            }
        }
        self.save()
    }

    /// A version's first calls have all failed. Blocks.
    pub fn reject(&self, plugin: &str, rejected: Rejected) -> io::Result<()> {
        {
            let mut known = self.lock();
            let history = known.plugins.entry(plugin.to_owned()).or_default();
            history.rejected.retain(|before| before.digest != rejected.digest);
            history.rejected.push(rejected);
            let beyond = history.rejected.len().saturating_sub(limits::REJECTED_VERSIONS);
            history.rejected.drain(..beyond);
        }
        self.save()
    }

    /// Forgets a plugin's rejected versions, so that they may be tried again; says how many there were. Blocks.
    pub fn forgive(&self, plugin: &str) -> io::Result<usize> {
        let forgiven = match self.lock().plugins.get_mut(plugin) {
            Some(history) => std::mem::take(&mut history.rejected).len(),
            None => 0,
        };
        if forgiven > 0 {
            self.save()?;
        }
        Ok(forgiven)
    }

    /// Drops what is known of plugins that are not configured any more. Blocks.
    pub fn keep_only(&self, configured: impl Fn(&str) -> bool) -> io::Result<()> {
        let dropped = {
            let mut known = self.lock();
            let before = known.plugins.len();
            known.plugins.retain(|name, _| configured(name));
            before != known.plugins.len()
        };
        if dropped { self.save() } else { Ok(()) }
    }

    fn copy(&self, digest: &str) -> Option<PathBuf> {
        // Read from a file that anybody may have written: it must not lead elsewhere.
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(self.folder.as_ref()?.join(format!("{}.wasm", is_digest.then_some(digest)?)))
    }

    fn save(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // Held while it is written, so that an older record never replaces a newer one.
        let known = self.lock();
        self.unwritten.store(true, Ordering::Relaxed);
        write(&folder.join(FILE), &serde_json::to_vec_pretty(&*known).map_err(io::Error::other)?)?;
        self.unwritten.store(false, Ordering::Relaxed);
        let used: Vec<_> =
            known.plugins.values().filter_map(|history| Some(&history.proven.as_ref()?.digest)).collect();
        for entry in fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            let is_copy = path.extension().is_some_and(|extension| extension == "wasm");
            if is_copy && !path.file_stem().is_some_and(|stem| used.iter().any(|digest| stem == digest.as_str())) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds the lock can panic half way through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(folder: &Path) -> io::Result<Known> {
    match read_bounded(&folder.join(FILE), limits::VERSIONS_FILE) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::default()),
        Err(error) => Err(error),
    }
}

/// Replaces a file as a whole: a reader, also after a crash, finds the old content or the new one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;

    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(digest: &str) -> Rejected {
        Rejected { digest: digest.into(), at: 1, why: "it trapped".into() }
    }

    #[test]
    fn a_rejected_version_is_remembered_across_restarts_until_it_is_forgiven() {
        let folder = tempfile::tempdir().expect("a folder");
        Versions::open(folder.path()).reject("quiz", rejected("a")).expect("written");
        let versions = Versions::open(folder.path());
        assert_eq!(versions.rejection("quiz", "a"), Some(rejected("a")));
        assert_eq!(versions.rejection("quiz", "b"), None);
        assert_eq!(versions.rejection("echo", "a"), None);
        assert_eq!(versions.forgive("quiz").expect("written"), 1);
        assert_eq!(Versions::open(folder.path()).rejection("quiz", "a"), None);
    }

    #[test]
    fn the_last_proven_component_is_kept_and_older_ones_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("built");
        for content in [b"one", b"two"] {
            fs::write(&file, content).expect("written");
            let versions = Versions::open(&folder.path().join("plugins"));
            versions.prove("quiz", &digest_of(content), &file, 1).expect("written");
        }
        fs::remove_file(&file).expect("removed");
        let versions = Versions::open(&folder.path().join("plugins"));
        assert_eq!(versions.component("quiz").as_deref(), Some(b"two".as_slice()));
        let left = fs::read_dir(folder.path().join("plugins")).expect("readable").count();
        assert_eq!(left, 2, "the record and one copy");
        // A copy that somebody changed is none.
        let copy = folder.path().join("plugins").join(format!("{}.wasm", digest_of(b"two")));
        fs::write(copy, "changed").expect("written");
        assert_eq!(versions.component("quiz"), None);
    }

    #[test]
    fn a_version_that_changed_before_it_was_copied_is_still_proven() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("built");
        fs::write(&file, "newer").expect("written");
        let versions = Versions::open(&folder.path().join("plugins"));
        versions.prove("quiz", &digest_of(b"older"), &file, 1).expect("written");
        assert_eq!(versions.proven("quiz"), Some(digest_of(b"older")));
        assert_eq!(versions.component("quiz"), None);
    }

    #[test]
    fn an_unreadable_record_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "{ half").expect("written");
        let versions = Versions::open(folder.path());
        assert_eq!(versions.rejection("quiz", "a"), None);
        versions.reject("quiz", rejected("a")).expect("written");
        let aside = fs::read_to_string(folder.path().join("versions.json.unreadable")).expect("set aside");
        assert_eq!(aside, "{ half");
    }

    #[test]
    fn a_digest_in_the_record_leads_nowhere_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = r#"{"plugins":{"quiz":{"proven":{"digest":"../../secret","since":1}}}}"#;
        fs::write(folder.path().join(FILE), record).expect("written");
        assert_eq!(Versions::open(folder.path()).component("quiz"), None);
    }

    #[test]
    fn only_so_many_rejected_versions_are_remembered() {
        let versions = Versions::nowhere();
        for n in 0..=limits::REJECTED_VERSIONS {
            versions.reject("quiz", rejected(&n.to_string())).expect("kept");
        }
        assert_eq!(versions.rejection("quiz", "0"), None);
        assert!(versions.rejection("quiz", "1").is_some());
    }
}

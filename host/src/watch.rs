//! Tells when files change, as far as the system does. Whoever relies on it looks at the files now and then beside: network mounts tell
//! nothing, and what is told may be lost.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Component, Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

use crate::limits;

/// Events that wait to be looked at. When there are more, looking at all files finds out what they would have said.
const QUEUE: usize = 4096;

/// Events that are taken in within [`FLOOD_TIME`]. A log or a database beside a watched file is written to with each message, and
/// must not cost the messages more than themselves.
const FLOOD: u32 = 100;
const FLOOD_TIME: Duration = Duration::from_millis(100);

/// Symbolic links that lead to one file, one after the other; as many as Linux follows.
const LINKS: usize = 40;

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Somebody is writing to it, and may not be done.
    Writing,
    /// It was made, closed after writing, renamed or removed.
    Done,
}

/// Watches folders.
pub struct Watcher {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// Paths of interest; all below the folders where there are none.
    paths: HashSet<PathBuf>,
    events: mpsc::Receiver<Event>,
}

impl Watcher {
    /// Watches nothing yet. Where the system has nothing to offer, it never tells anything.
    pub fn new() -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let (mut since, mut told) = (Instant::now(), 0);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // What is lost when the queue is full, a look finds.
            if let Ok(event) = event {
                let _ = sender.try_send(event);
            }
            told += 1;
            if told >= FLOOD {
                // The system waits with the rest, and takes several writes to one file together.
                thread::sleep(FLOOD_TIME.saturating_sub(since.elapsed()));
                (since, told) = (Instant::now(), 0);
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::debug!("the system does not tell of changed files: {error}")).ok();
        Self { watcher, folders: BTreeSet::new(), paths: HashSet::new(), events }
    }

    /// Watches these files, each by its folder, since most are replaced rather than written to; also the symbolic links on the way to
    /// them, which deployments switch.
    pub fn follow_files<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        let mut paths = HashSet::new();
        for file in files {
            add_with_links(file, &mut paths, LINKS);
        }
        let folders = paths.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        self.paths = paths;
        self.follow(folders, RecursiveMode::NonRecursive);
    }

    /// Watches these folders with all that is below them.
    pub fn follow_folders(&mut self, folders: BTreeSet<PathBuf>) {
        self.paths.clear();
        self.follow(folders, RecursiveMode::Recursive);
    }

    fn follow(&mut self, folders: BTreeSet<PathBuf>, mode: RecursiveMode) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            // One that was removed is not watched any more anyway.
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for folder in folders {
            // A folder that was replaced is another one: it is watched anew where the system says that it is gone.
            let known = self.folders.contains(&folder);
            match if known { Ok(()) } else { watcher.watch(&folder, mode) } {
                Ok(()) => {
                    watched.insert(folder);
                }
                Err(error) => tracing::debug!("changes in `{}` are not told of: {error}", folder.display()),
            }
        }
        self.folders = watched;
    }

    /// How long nothing may be told until a file is taken to be at rest.
    pub fn quiet(&self) -> Duration {
        // Where nothing is told at all, only looking shows whether somebody still writes.
        if self.watcher.is_none() || self.folders.is_empty() { limits::WATCH_INTERVAL / 4 } else { limits::WATCH_QUIET }
    }

    /// Waits for the next thing that happens to a path of interest. Never resolves where nothing is told.
    pub async fn changed(&mut self) -> HashMap<PathBuf, Change> {
        loop {
            let Some(event) = self.events.recv().await else { return std::future::pending().await };
            let mut changes = HashMap::new();
            self.note(event, &mut changes);
            // Events come in bursts.
            while let Ok(event) = self.events.try_recv() {
                self.note(event, &mut changes);
            }
            if !changes.is_empty() {
                return changes;
            }
        }
    }

    fn note(&mut self, event: Event, changes: &mut HashMap<PathBuf, Change>) {
        let change = match event.kind {
            // Reading is none, and to read is what we do.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Done,
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Data(_)) => Change::Writing,
            // A file that is made may be a link to what is whole already, which is how cargo does it; else writing follows.
            _ => Change::Done,
        };
        if matches!(event.kind, EventKind::Remove(_)) {
            for path in &event.paths {
                self.folders.remove(path);
            }
        }
        for path in event.paths {
            if self.paths.is_empty() || self.paths.contains(&path) {
                changes.insert(path, change);
            }
        }
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds a path and every symbolic link on the way to it, under the names that they are reached by.
fn add_with_links(path: &Path, paths: &mut HashSet<PathBuf>, links: usize) {
    let path = if path.is_absolute() {
        path.to_owned()
    } else {
        let Ok(folder) = std::env::current_dir() else { return };
        folder.join(path)
    };
    let mut so_far = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => continue,
            _ => so_far.push(component),
        }
        if links > 0
            && let Ok(target) = so_far.read_link()
        {
            paths.insert(so_far.clone());
            let target = so_far.parent().map(|parent| parent.join(&target)).unwrap_or(target);
            add_with_links(&target, paths, links - 1);
        }
    }
    paths.insert(so_far);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Long enough for a machine that is busy; nothing waits that long unless it fails.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn told(watcher: &mut Watcher, path: &Path, change: Change) {
        let wait = async { while watcher.changed().await.get(path) != Some(&change) {} };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{change:?} of {}", path.display()));
    }

    #[tokio::test]
    async fn tells_of_writes_renames_and_removals_of_the_files_it_follows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("there").join("bots.toml");
        fs::write(&path, "one").expect("written");
        let mut watcher = Watcher::new();
        watcher.follow_files([path.as_path()]);
        fs::write(path.with_extension("other"), "of no interest").expect("written");
        fs::write(&path, "two").expect("written");
        told(&mut watcher, &path, Change::Done).await;
        fs::write(path.with_extension("new"), "three").expect("written");
        fs::rename(path.with_extension("new"), &path).expect("renamed");
        told(&mut watcher, &path, Change::Done).await;
        fs::remove_file(&path).expect("removed");
        told(&mut watcher, &path, Change::Done).await;
    }

    #[tokio::test]
    async fn a_file_that_is_still_open_is_being_written() {
        use std::io::Write as _;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("there").join("p.wasm");
        let mut watcher = Watcher::new();
        watcher.follow_files([path.as_path()]);
        let mut file = fs::File::create(&path).expect("made");
        file.write_all(b"half").expect("written");
        told(&mut watcher, &path, Change::Writing).await;
        drop(file);
        told(&mut watcher, &path, Change::Done).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn tells_when_a_link_on_the_way_to_a_file_is_switched() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("there");
        for release in ["one", "two"] {
            fs::create_dir(root.join(release)).expect("made");
            fs::write(root.join(release).join("bots.toml"), release).expect("written");
        }
        let current = root.join("current");
        symlink("one", &current).expect("linked");
        let mut watcher = Watcher::new();
        watcher.follow_files([current.join("bots.toml").as_path()]);
        symlink("two", root.join("next")).expect("linked");
        fs::rename(root.join("next"), &current).expect("renamed");
        told(&mut watcher, &current, Change::Done).await;
    }

    #[cfg(unix)]
    #[test]
    fn links_that_go_round_end() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("a", folder.path().join("a")).expect("linked");
        let mut watcher = Watcher::new();
        watcher.follow_files([folder.path().join("a").as_path()]);
        assert!(watcher.paths.len() < LINKS);
    }
}

//! Replaces the generation when a file that it was made of changes, and goes back where a new version of a plugin fails from the start.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    bot::Slot,
    config::{Config, Files, Print, Secrets, Server, read_bounded},
    digest::digest_of,
    generation::{self, Generation, Loaded, Trouble},
    limits,
    plugin::{Judgement, Plugin, Runtime, Verdict},
    router::Router,
    versions::{Rejected, Versions},
    watch::{Change, Watcher},
};

/// The generation that messages are answered with, and how to make the next one.
pub struct Reloader {
    path: PathBuf,
    runtime: Runtime,
    versions: Arc<Versions>,
    current: ArcSwap<Generation>,
    /// What the process was started with: a change of it takes effect at the next start.
    settings: Server,
    /// Whether a secret that is not there keeps a configuration from being taken up.
    secrets: Secrets,
    /// Warnings that the operator has seen, so that only new ones are shown.
    warned: Mutex<BTreeSet<String>>,
    /// What is gone back to if the first calls of a plugin's new version all fail.
    fallbacks: Mutex<BTreeMap<Arc<str>, Arc<Plugin>>>,
    /// Held by whoever makes the next generation out of the current one, or changes what is known of versions.
    turn: tokio::sync::Mutex<()>,
    asked: Notify,
}

/// What came of reading everything again.
enum Reloaded {
    /// It was published; these are the files that it was made of.
    Published(Files),
    /// It was not, and the log says why.
    Refused(Files),
    /// Something is wrong with it that may only be half written.
    Doubtful,
}

/// How a plugin is doing, for people and for other programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name in `bots.toml`.
    pub name: String,
    /// The SHA-256 digest of the version that is called, in lower-case hex; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The generation that brought this version, counted from 1 at the start of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// When that was, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Messages that this version was called for since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// How many of these calls failed: trapped, ran out of time, or returned an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u64>,
    /// How it is doing.
    pub state: State,
    /// What is wrong with its file, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How a plugin is doing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its file is what is called, and has answered.
    Ready,
    /// It was not called yet, or has not answered yet.
    New,
    /// It keeps failing, and is not called for a while.
    Paused,
    /// Its file cannot be used, and the last good version goes on.
    Kept,
    /// The first calls of its file's version all failed, and the version before it goes on.
    RolledBack,
    /// It cannot be called; followers get the bot's `on_error`.
    Broken,
}

impl Reloader {
    /// Makes the first generation of a configuration that was read from `path`, whose `warned` warnings have been shown. Says what is
    /// wrong with plugins' files in the log.
    pub async fn start(
        path: PathBuf,
        (config, routers, files): (Config, Vec<Router>, Files),
        warned: BTreeSet<String>,
        runtime: Runtime,
        versions: Versions,
    ) -> Self {
        let first = Generation::load(config, routers, files, &runtime, &versions, None).await;
        for (name, loaded) in first.troubles() {
            loaded.log(name);
        }
        if let Err(error) = versions.keep_only(|name| first.plugins.contains_key(name)) {
            tracing::warn!("the record of plugins' versions cannot be written: {error}");
        }
        Self {
            path,
            runtime,
            versions: Arc::new(versions),
            settings: first.server.clone(),
            current: ArcSwap::from_pointee(first),
            secrets: Secrets::Needed,
            warned: Mutex::new(warned),
            fallbacks: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// The same for whoever needs no secrets, as where WeChat never calls.
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// The generation of this moment; who holds it goes on with it.
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Has everything read again, changed or not.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// Forgets a plugin's rejected versions and tries its file again; says how many there were.
    pub async fn forgive(&self, plugin: &str) -> std::io::Result<usize> {
        let _turn = self.turn.lock().await;
        let (versions, name) = (self.versions.clone(), plugin.to_owned());
        let forgiven = tokio::task::spawn_blocking(move || versions.forgive(&name)).await??;
        if forgiven > 0 {
            self.reload();
        }
        Ok(forgiven)
    }

    /// How each plugin is doing.
    pub fn statuses(&self) -> Vec<Status> {
        self.current().plugins.iter().map(|(name, loaded)| status(name, loaded)).collect()
    }

    /// Watches the files and the plugins' first calls for as long as it is polled.
    pub async fn watch(self: Arc<Self>) {
        let mut watcher = Watcher::new();
        let mut verdicts = self.runtime.verdicts();
        let mut seen = self.current().files.clone();
        let mut contents = Contents::default();
        contents.take_in(&seen).await;
        let mut doubtful = false;
        loop {
            watcher.follow_files(seen.keys().map(PathBuf::as_path));
            let (now, asked) = if doubtful {
                (look(&seen).await, false)
            } else {
                self.next_change(&mut watcher, &mut verdicts, &seen).await
            };
            if now == seen && !asked {
                doubtful = false;
                continue;
            }
            let changed: Vec<_> = now.iter().filter(|(path, print)| seen.get(*path) != Some(print)).collect();
            if !asked && contents.are_the_same(&changed).await {
                seen = now;
                continue;
            }
            let names: Vec<_> = changed.iter().map(|(path, _)| format!("`{}`", path.display())).collect();
            let names = if asked { "everything, as it was told to,".to_owned() } else { names.join(", ") };
            let mut reloaded = self.read_again(&names, !asked).await;
            if matches!(reloaded, Reloaded::Doubtful) {
                // A slow writer goes on; an author who has made a mistake can wait a second to hear of it.
                if changes_again(&mut watcher, &now).await {
                    doubtful = true;
                    continue;
                }
                reloaded = self.read_again(&names, false).await;
            }
            doubtful = false;
            match reloaded {
                Reloaded::Published(read) => {
                    contents.take_in(&read).await;
                    seen = read;
                }
                // What was not read this time, because something else was wrong, has been seen all the same.
                Reloaded::Refused(read) => {
                    contents.take_in(&read).await;
                    seen = now.into_iter().chain(read).collect();
                }
                Reloaded::Doubtful => seen = now,
            }
        }
    }

    /// Waits until a file has changed and come to rest, or until everything is asked to be read again. Goes back to earlier versions of
    /// plugins meanwhile.
    async fn next_change(
        &self,
        watcher: &mut Watcher,
        verdicts: &mut mpsc::UnboundedReceiver<Verdict>,
        seen: &Files,
    ) -> (Files, bool) {
        let mut writing = BTreeSet::new();
        loop {
            tokio::select! {
                changes = watcher.changed() => note(changes, &mut writing),
                Some(verdict) = verdicts.recv() => {
                    self.judge(verdict).await;
                    continue;
                }
                () = self.asked.notified() => return (look(seen).await, true),
                () = tokio::time::sleep(limits::WATCH_INTERVAL) => {}
            }
            let mut now = look(seen).await;
            if now == *seen && writing.is_empty() {
                continue;
            }
            let patience = Instant::now() + limits::WATCH_PATIENCE;
            while Instant::now() < patience {
                let quiet = if writing.is_empty() { watcher.quiet() } else { limits::WATCH_WRITING };
                if let Ok(changes) = tokio::time::timeout(quiet, watcher.changed()).await {
                    note(changes, &mut writing);
                    continue;
                }
                writing.clear();
                let again = look(seen).await;
                if again == now {
                    break;
                }
                now = again;
            }
            if now != *seen {
                return (now, false);
            }
        }
    }

    /// Reads everything again and publishes it, unless it is bad: then the current generation stays. `changed` says for the log why.
    /// Where it is only tried, what is wrong is neither published nor said.
    async fn read_again(&self, changed: &str, only_try: bool) -> Reloaded {
        let _turn = self.turn.lock().await;
        let (path, versions) = (self.path.clone(), self.versions.clone());
        let secrets = self.secrets;
        let check = move || {
            versions.refresh();
            generation::check(&path, &|name| std::env::var(name).ok(), secrets)
        };
        let mut checked = match tokio::task::spawn_blocking(check).await {
            Ok(checked) => checked,
            Err(error) => {
                tracing::error!("reading the configuration failed: {error}");
                return Reloaded::Refused(Files::new());
            }
        };
        let Some((config, routers)) = checked.routed else {
            if only_try {
                return Reloaded::Doubtful;
            }
            tracing::error!(
                "{changed} changed and cannot be used, so what was there before goes on:\n{}",
                checked.problems
            );
            return Reloaded::Refused(checked.files);
        };
        let before = self.current();
        let next = Generation::load(config, routers, checked.files, &self.runtime, &self.versions, Some(&before)).await;
        let known = |name: &Arc<str>, loaded: &Loaded| {
            let same_file = before.files.get(&loaded.config.wasm) == next.files.get(&loaded.config.wasm);
            same_file && before.plugins.get(name).is_some_and(|before| before.trouble == loaded.trouble)
        };
        let mut news = next.troubles().filter(|(name, loaded)| !known(name, loaded)).peekable();
        if only_try && news.peek().is_some_and(|(_, loaded)| matches!(loaded.trouble, Some(Trouble::Bad(_)))) {
            return Reloaded::Doubtful;
        }
        checked.problems.drop_warnings(&mut lock(&self.warned));
        if !checked.problems.is_empty() {
            tracing::warn!("{changed} changed:\n{}", checked.problems);
        }
        for (name, loaded) in news {
            loaded.log(name);
        }
        if next.server != self.settings && next.server != before.server {
            tracing::warn!("changes of `[server]` take effect at the next start");
        }
        let files = next.files.clone();
        self.publish(&before, next);
        tracing::info!("took up {changed}");
        Reloaded::Published(files)
    }

    fn publish(&self, before: &Generation, next: Generation) {
        let next = Arc::new(next);
        let mut swapped = Vec::new();
        {
            let mut fallbacks = lock(&self.fallbacks);
            fallbacks.retain(|name, _| next.plugins.contains_key(name));
            for (name, loaded) in &next.plugins {
                let Slot::Ready(new) = &loaded.slot else { continue };
                if let Some(Slot::Ready(old)) = before.plugins.get(name).map(|before| &before.slot) {
                    if old.same_version(new) {
                        continue;
                    }
                    if old.judgement() == Judgement::Proven {
                        fallbacks.insert(name.clone(), old.clone());
                    }
                }
                swapped.push((name, new.digest()));
            }
        }
        self.current.store(next.clone());
        for (name, digest) in swapped {
            tracing::info!(plugin = &**name, digest = digest.get(..12), "another version of the plugin answers");
        }
    }

    /// Hears what a version's first calls came to.
    async fn judge(&self, verdict: Verdict) {
        let _turn = self.turn.lock().await;
        let before = self.current();
        let Some((name, loaded)) = before.plugins.get_key_value(&verdict.plugin) else { return };
        let Slot::Ready(plugin) = &loaded.slot else { return };
        if plugin.digest() != verdict.digest {
            return;
        }
        let now = self.runtime.now();
        let (versions, record) = (self.versions.clone(), name.clone());
        let Some(why) = verdict.failure else {
            lock(&self.fallbacks).remove(name);
            let (digest, file) = (verdict.digest, loaded.config.wasm.clone());
            written(tokio::task::spawn_blocking(move || versions.prove(&record, &digest, &file, now.as_secs())).await);
            return;
        };
        let fallback = lock(&self.fallbacks).remove(name);
        let fallback = match fallback {
            Some(fallback) => Some(fallback.reconfigured(plugin.settings().clone())),
            None => generation::last_proven(loaded, name, plugin.settings(), &self.runtime, &self.versions).await,
        };
        let calls = limits::FIRST_CALLS;
        let Some(fallback) = fallback else {
            tracing::error!(
                plugin = &**name,
                "the first {calls} calls of the plugin all failed, and there is no version of it to go back to"
            );
            return;
        };
        let rejected = Rejected { digest: verdict.digest, at: now.as_secs(), why };
        let trouble = Trouble::rolled_back(&loaded.config.wasm, name, &rejected);
        written(tokio::task::spawn_blocking(move || versions.reject(&record, rejected)).await);
        let rolled_back = Loaded {
            generation: before.number + 1,
            since: now,
            slot: Slot::Ready(Arc::new(fallback)),
            trouble: Some(trouble),
            ..loaded.clone()
        };
        self.publish(&before, before.with_plugin(name, rolled_back.clone()));
        rolled_back.log(name);
    }
}

/// What files contain, as far as it is sure: to touch a file, or to build the same again, is no change.
#[derive(Default)]
struct Contents(HashMap<PathBuf, (Print, String)>);

impl Contents {
    /// Reads files that are still as they were when they were read for a generation.
    async fn take_in(&mut self, files: &Files) {
        self.0.retain(|path, (print, _)| files.get(path).is_some_and(|now| *now == Some(*print)));
        let new = files.iter().filter(|(path, _)| !self.0.contains_key(*path));
        let new: Vec<_> = new.filter_map(|(path, print)| Some((path.clone(), (*print)?))).collect();
        let read = move || {
            let digest = |(path, print): (PathBuf, Print)| {
                let digest = content(&path)?;
                (Print::of(&path) == Some(print)).then_some((path, (print, digest)))
            };
            new.into_iter().filter_map(digest).collect::<Vec<_>>()
        };
        self.0.extend(tokio::task::spawn_blocking(read).await.unwrap_or_default());
    }

    /// Whether files whose prints have changed still contain what they did.
    async fn are_the_same(&mut self, changed: &[(&PathBuf, &Option<Print>)]) -> bool {
        let mut known = Vec::new();
        for (path, print) in changed {
            let (Some((_, digest)), Some(print)) = (self.0.get(*path), print) else { return false };
            known.push(((*path).clone(), *print, digest.clone()));
        }
        let compare = move || {
            let same = |(path, _, digest): &(PathBuf, Print, String)| content(path).as_ref() == Some(digest);
            known.iter().all(same).then_some(known)
        };
        let Ok(Some(same)) = tokio::task::spawn_blocking(compare).await else { return false };
        self.0.extend(same.into_iter().map(|(path, print, digest)| (path, (print, digest))));
        true
    }
}

fn content(path: &std::path::Path) -> Option<String> {
    Some(digest_of(&read_bounded(path, limits::COMPONENT_FILE).ok()?))
}

/// The same files as they are now.
async fn look(files: &Files) -> Files {
    let paths: Vec<PathBuf> = files.keys().cloned().collect();
    let look = move || paths.into_iter().map(|path| (path.clone(), Print::of(&path))).collect();
    // Looking does not panic; a process that is stopping sees no change.
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| files.clone())
}

/// Whether files change within the time that a slow writer may take.
async fn changes_again(watcher: &mut Watcher, files: &Files) -> bool {
    let until = Instant::now() + limits::WATCH_WRITING;
    loop {
        let told = tokio::time::timeout_at(until, watcher.changed()).await.is_ok();
        if look(files).await != *files {
            return true;
        }
        if !told {
            return false;
        }
    }
}

fn note(changes: HashMap<PathBuf, Change>, writing: &mut BTreeSet<PathBuf>) {
    for (path, change) in changes {
        match change {
            Change::Writing => writing.insert(path),
            Change::Done => writing.remove(&path),
        };
    }
}

fn written(done: Result<std::io::Result<()>, tokio::task::JoinError>) {
    if let Err(error) = done.unwrap_or_else(|error| Err(error.into())) {
        tracing::warn!("the record of plugins' versions cannot be written: {error}");
    }
}

fn status(name: &str, loaded: &Loaded) -> Status {
    let (plugin, calls) = match &loaded.slot {
        Slot::Ready(plugin) => (Some(plugin), Some(plugin.calls())),
        Slot::Broken(_) => (None, None),
    };
    let state = match (plugin, &loaded.trouble) {
        (None, _) => State::Broken,
        (Some(_), Some(Trouble::Bad(_))) => State::Kept,
        (Some(_), Some(Trouble::RolledBack(_))) => State::RolledBack,
        (Some(plugin), None) if plugin.is_paused() => State::Paused,
        (Some(plugin), None) if plugin.judgement() == Judgement::OnTrial => State::New,
        (Some(_), None) => State::Ready,
    };
    Status {
        name: name.to_owned(),
        digest: plugin.map(|plugin| plugin.digest().to_owned()),
        generation: Some(loaded.generation),
        since: Some(loaded.since.as_secs()),
        calls: calls.map(|(calls, _)| calls),
        failures: calls.map(|(_, failures)| failures),
        state,
        trouble: loaded.trouble.as_ref().map(|trouble| trouble.why().to_owned()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these locks can panic half way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

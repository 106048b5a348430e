//! Replaces the generation when a file that it was made of changes.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use crate::{
    config::{Files, Print, Secrets, Server},
    generation::{self, BadPlugin, Generation},
    limits,
    plugin::Runtime,
};

/// The generation that messages are answered with, and how to make the next one.
pub struct Reloader {
    path: PathBuf,
    runtime: Runtime,
    current: ArcSwap<Generation>,
    /// What the process was started with: a change of it takes effect at the next start.
    settings: Server,
    /// Warnings that the operator has seen, so that only new ones are shown.
    warned: Mutex<BTreeSet<String>>,
}

impl Reloader {
    /// Starts with a generation that was loaded from `path`, whose `warned` warnings have been shown.
    pub fn new(path: PathBuf, runtime: Runtime, first: Generation, warned: BTreeSet<String>) -> Self {
        let settings = first.server.clone();
        Self { path, runtime, current: ArcSwap::from_pointee(first), settings, warned: Mutex::new(warned) }
    }

    /// The generation of this moment; who holds it goes on with it.
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// Watches the files for as long as it is polled.
    pub async fn watch(self: Arc<Self>) {
        let mut seen = self.current().files.clone();
        loop {
            tokio::time::sleep(limits::WATCH_INTERVAL).await;
            let now = look(&seen);
            if now == seen {
                continue;
            }
            // A file that is still being written changes again; the next look tells.
            tokio::time::sleep(limits::WATCH_INTERVAL / 4).await;
            if look(&seen) != now {
                continue;
            }
            let changed = now.iter().filter(|(path, print)| seen.get(*path) != Some(print));
            let changed: Vec<_> = changed.map(|(path, _)| format!("`{}`", path.display())).collect();
            let reloader = self.clone();
            match tokio::task::spawn_blocking(move || reloader.reload(&changed.join(", "))).await {
                // What was not read this time, because something else was wrong, has been seen all the same.
                Ok(read) => seen = now.into_iter().chain(read).collect(),
                Err(error) => {
                    tracing::error!("reloading failed: {error}");
                    seen = now;
                }
            }
        }
    }

    /// Reads everything again and publishes it, unless it is bad: then the current generation stays. Blocks while plugins compile.
    /// `changed` says for the log why. Returns the files that were read.
    pub fn reload(&self, changed: &str) -> Files {
        let mut checked = generation::check(&self.path, &|name| std::env::var(name).ok(), Secrets::Needed);
        let Some((config, routers)) = checked.routed else {
            tracing::error!(
                "{changed} changed and cannot be used, so what was there before goes on:\n{}",
                checked.problems
            );
            return checked.files;
        };
        checked.problems.drop_warnings(&mut self.warned.lock().unwrap_or_else(PoisonError::into_inner));
        if !checked.problems.is_empty() {
            tracing::warn!("{changed} changed:\n{}", checked.problems);
        }
        let before = self.current();
        let (next, bad) = Generation::load(config, routers, checked.files, &self.runtime, Some(&before));
        bad.iter().for_each(BadPlugin::log);
        if next.server != self.settings && next.server != before.server {
            tracing::warn!("changes of `[server]` take effect at the next start");
        }
        let files = next.files.clone();
        self.current.store(Arc::new(next));
        tracing::info!("took up {changed}");
        files
    }
}

/// The same files as they are now.
fn look(files: &Files) -> Files {
    files.keys().map(|path| (path.clone(), Print::of(path))).collect()
}

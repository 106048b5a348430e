//! Replaces the generation when a file that it was made of changes.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    config::{Files, Print, problems::Severity},
    generation::{self, Generation},
    limits,
    plugin::Runtime,
};

/// The generation that messages are answered with, and how to make the next one.
pub struct Reloader {
    path: PathBuf,
    runtime: Runtime,
    current: ArcSwap<Generation>,
}

impl Reloader {
    /// Starts with a generation that was loaded from `path`.
    pub fn new(path: PathBuf, runtime: Runtime, first: Generation) -> Self {
        Self { path, runtime, current: ArcSwap::from_pointee(first) }
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
            let reloader = self.clone();
            match tokio::task::spawn_blocking(move || reloader.reload()).await {
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
    /// Returns the files that were read.
    pub fn reload(&self) -> Files {
        let checked = generation::check(&self.path, &|name| std::env::var(name).ok());
        let Some((config, routers)) = checked.routed else {
            let errors = checked.problems.count(Severity::Error);
            tracing::error!(
                "`{}` was changed and cannot be used, so what was read before stays ({errors} to mend):\n{}",
                self.path.display(),
                checked.problems
            );
            return checked.files;
        };
        let before = self.current();
        let next = Generation::load(config, routers, checked.files, &self.runtime, Some(&before));
        if next.server.listen != before.server.listen
            || next.server.timezone != before.server.timezone
            || next.server.connections != before.server.connections
        {
            tracing::warn!("changes of `[server]` take effect at the next start");
        }
        let files = next.files.clone();
        self.current.store(Arc::new(next));
        tracing::info!("reloaded `{}`", self.path.display());
        files
    }
}

/// The same files as they are now.
fn look(files: &Files) -> Files {
    files.keys().map(|path| (path.clone(), Print::of(path))).collect()
}

//! `mynah dev`: builds the plugins, serves, and builds again what changes.

mod sources;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use self::sources::{Snapshot, Sources};
use super::{Refused, build, load_config_quietly, routed, serve};
use crate::{config, generation::Generation, reload::Reloader, watch::Watcher};

/// How often sources are looked at beside what the system tells.
const LOOK: Duration = Duration::from_secs(2);

/// How long nothing may change before a build begins: editors save several files, version control many.
const QUIET: Duration = Duration::from_millis(50);

/// Time for a build that was told to stop, until it is made to.
const STOP: Duration = Duration::from_secs(2);

/// How often in a row a build may change its own sources until that is not followed any more.
const OWN_CHANGES: u32 = 3;

pub(super) fn dev(path: &Path) -> Result<(), Refused> {
    let folder = build::folder_of(path);
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let (config, ..) = routed(load_config_quietly(path)?)?;
    // What is edited from here on is built again, also while the first build goes on.
    let jobs = jobs(&config.plugins, &folder, Vec::new(), false);
    match build::build(path, &[]) {
        // A plugin that does not build answers `on_error`, or as it was built before; the others need not wait for it.
        Ok(()) | Err(Refused::Failed) => {}
        Err(Refused::Config) => return Err(Refused::Config),
    }
    serve::serve_beside(path, move |reloader| Box::pin(rebuild(reloader, folder, jobs)))
}

/// One build command and the plugins that it builds.
struct Job {
    command: String,
    names: String,
    sources: Vec<Sources>,
    /// The sources as they were when the last build was decided on.
    built: Snapshot,
    dirty: bool,
    /// How often in a row the build itself changed them.
    own_changes: u32,
    /// How often in a row it was cancelled.
    cancelled: u32,
}

/// A build under way.
struct Running {
    job: usize,
    child: Child,
    start: Instant,
}

/// Builds again what changes, for as long as it is polled.
async fn rebuild(reloader: Arc<Reloader>, folder: PathBuf, mut jobs: Vec<Job>) {
    let mut watcher = Watcher::new();
    for job in &mut jobs {
        let after = snapshot(job).await;
        job.built.add_new(&after);
    }
    let mut generation = 0;
    let mut running: Option<Running> = None;
    loop {
        let current = reloader.current();
        if current.number != generation {
            generation = current.number;
            let unfinished = running.take();
            let command = unfinished.as_ref().map(|running| jobs[running.job].command.clone());
            jobs = refreshed(jobs, current, &folder).await;
            // A build whose command is gone from the configuration has nothing to answer for.
            running = match unfinished {
                Some(mut unfinished) => match jobs.iter().position(|job| Some(&job.command) == command.as_ref()) {
                    Some(job) => {
                        unfinished.job = job;
                        Some(unfinished)
                    }
                    None => {
                        stop(unfinished).await;
                        None
                    }
                },
                None => None,
            };
            watcher.follow_folders(jobs.iter().flat_map(|job| &job.sources).flat_map(|s| s.folders.clone()).collect());
        }
        if running.is_none()
            && let Some(job) = jobs.iter().position(|job| job.dirty)
        {
            running = begin(&mut jobs, job, &folder);
        }
        tokio::select! {
            _ = watcher.changed() => {
                while tokio::time::timeout(QUIET, watcher.changed()).await.is_ok() {}
            }
            status = finished(&mut running) => {
                if let Some(done) = running.take() {
                    end(&mut jobs[done.job], &done, status).await;
                }
                continue;
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        for (index, job) in jobs.iter_mut().enumerate() {
            let now = snapshot(job).await;
            let is_running = running.as_ref().is_some_and(|running| running.job == index);
            // What comes and goes while a build is under way is the build's own.
            let changed = if is_running { now.edited_since(&job.built) } else { now.changed_since(&job.built) };
            let Some(first) = changed.first() else { continue };
            // A build that edits its own sources would cancel itself for ever; what else was edited is found when it has ended.
            if is_running && job.cancelled >= OWN_CHANGES {
                continue;
            }
            let shown = first.strip_prefix(&folder).unwrap_or(first).display().to_string();
            let more = if changed.len() > 1 { format!(" and {} more", changed.len() - 1) } else { String::new() };
            tracing::info!("{shown}{more} changed: building {}", job.names);
            job.dirty = true;
            job.built = now;
            if is_running && let Some(overtaken) = running.take() {
                tracing::info!("the build under way is cancelled");
                job.cancelled += 1;
                stop(overtaken).await;
            }
        }
    }
}

/// The jobs of a generation.
async fn refreshed(before: Vec<Job>, generation: Arc<Generation>, folder: &Path) -> Vec<Job> {
    let folder = folder.to_owned();
    // It asks cargo, which takes a moment.
    let made = tokio::task::spawn_blocking(move || {
        let plugins = generation.plugins.iter().map(|(name, loaded)| (name.clone(), loaded.config.clone()));
        jobs(&plugins.collect(), &folder, before, true)
    });
    made.await.unwrap_or_default()
}

/// The jobs that build these plugins. What is known of those that were there `before` is kept; others may have to be built.
fn jobs(
    plugins: &BTreeMap<Arc<str>, config::Plugin>,
    folder: &Path,
    mut before: Vec<Job>,
    build_new: bool,
) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (command, names) in build::commands(plugins.iter()) {
        let sources = names.iter().filter_map(|name| Some(Sources::of(name, plugins.get(name.as_str())?, folder)));
        let sources: Vec<Sources> = sources.collect();
        let names = names.join(", ");
        let known = before.iter().position(|job| job.command == command).map(|index| before.swap_remove(index));
        match known {
            Some(known) if known.sources == sources => jobs.push(Job { names, ..known }),
            known => {
                if sources.iter().all(|sources| sources.folders.is_empty()) {
                    tracing::warn!(
                        "nothing is known of the sources of {names}; say where they are: `watch = [\"FOLDER/**\"]`"
                    );
                }
                let built = taken(&sources, &Snapshot::default());
                let dirty = known.map_or(build_new, |known| known.dirty);
                jobs.push(Job { command, names, sources, built, dirty, own_changes: 0, cancelled: 0 });
            }
        }
    }
    jobs
}

fn taken(sources: &[Sources], before: &Snapshot) -> Snapshot {
    let mut all = Snapshot::default();
    for sources in sources {
        all.add_new(&sources.snapshot(before));
    }
    all
}

async fn snapshot(job: &Job) -> Snapshot {
    let (sources, before) = (job.sources.clone(), job.built.clone());
    tokio::task::spawn_blocking(move || taken(&sources, &before)).await.unwrap_or_else(|_| job.built.clone())
}

fn begin(jobs: &mut [Job], index: usize, folder: &Path) -> Option<Running> {
    let job = jobs.get_mut(index)?;
    job.dirty = false;
    let mut command = Command::from(build::shell(&job.command, folder));
    command.kill_on_drop(true);
    // A group of its own, so that a shell's children end with it.
    #[cfg(unix)]
    command.process_group(0);
    let begun =
        build::add_rust_target(&job.command, folder).and_then(|()| command.spawn().context("cannot start a shell"));
    match begun {
        Ok(child) => Some(Running { job: index, child, start: Instant::now() }),
        Err(error) => {
            tracing::error!("{} not built: {error:#}", job.names);
            None
        }
    }
}

async fn finished(running: &mut Option<Running>) -> std::io::Result<ExitStatus> {
    match running {
        Some(running) => running.child.wait().await,
        None => std::future::pending().await,
    }
}

async fn end(job: &mut Job, done: &Running, status: std::io::Result<ExitStatus>) {
    let ms = done.start.elapsed().as_millis() as u64;
    match status {
        Ok(status) if status.success() => tracing::info!(ms, "built {}", job.names),
        Ok(status) => tracing::error!(ms, "{} not built, so what was there before goes on ({status})", job.names),
        Err(error) => tracing::error!(ms, "{} not built: {error}", job.names),
    }
    job.cancelled = 0;
    let after = snapshot(job).await;
    job.built.add_new(&after);
    if after.edited_since(&job.built).is_empty() {
        job.own_changes = 0;
        return;
    }
    // Edited in the last moment, or by the build itself; the next look finds out, unless it goes on for ever.
    job.own_changes += 1;
    if job.own_changes >= OWN_CHANGES {
        tracing::warn!(
            "the build of {} changes its own sources each time; name those that matter in `watch`",
            job.names
        );
        job.built = after;
        job.own_changes = 0;
    }
}

/// Ends a build with everything that it has started.
async fn stop(mut running: Running) {
    #[cfg(unix)]
    if let Some(group) = group(&running.child) {
        use rustix::process::{Signal, kill_process_group};
        // It may have ended by itself in this moment.
        let _ = kill_process_group(group, Signal::TERM);
        if tokio::time::timeout(STOP, running.child.wait()).await.is_ok() {
            return;
        }
        let _ = kill_process_group(group, Signal::KILL);
    }
    if let Err(error) = running.child.kill().await {
        tracing::warn!("a build cannot be stopped: {error}");
    }
}

#[cfg(unix)]
fn group(child: &Child) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(child.id()?.try_into().ok()?)
}

impl Drop for Running {
    /// The server is stopping: a build that goes on would write into what its user believes to be at rest.
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = group(&self.child) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
    }
}

//! Compiles components: on threads of its own, each content once, and kept on disk for the next start.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use anyhow::Context as _;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;
use wasmtime::{Cache, CacheConfig};

use super::engine::Code;
use crate::limits;

/// What a component is compiled for: its digest, and whether it is for the engine of large plugins.
type Key = (String, bool);

/// One content's code for as long as somebody uses it; locked while it is compiled, so that whoever wants the same waits for it.
type Shared = Arc<tokio::sync::Mutex<Weak<Code>>>;

/// How much less of the processor compiling gets than messages do, as `nice` counts: the least there is.
#[cfg(unix)]
const NICENESS: i32 = 19;

/// Compiles components off the hot path.
pub(super) struct Compiler {
    threads: ThreadPool,
    known: Mutex<HashMap<Key, Shared>>,
}

impl Compiler {
    pub(super) fn new() -> anyhow::Result<Self> {
        let threads = ThreadPoolBuilder::new()
            .thread_name(|n| format!("compiler-{n}"))
            // Messages go first wherever both want a core; with no messages, compiling has them all.
            .start_handler(|_| lower_priority())
            // Without it a panic in the compiler would end the process. The one who waits hears that there is no result.
            .panic_handler(|_| tracing::error!("the compiler panicked"))
            .build()
            .context("cannot start the compiler's threads")?;
        Ok(Self { threads, known: Mutex::default() })
    }

    /// Compiles, unless the same was compiled before and is still in use.
    pub(super) async fn compile(
        &self,
        key: Key,
        compile: impl FnOnce() -> Result<Code, String> + Send + 'static,
    ) -> Result<Arc<Code>, String> {
        let shared = self.shared(key);
        let mut known = shared.lock().await;
        if let Some(code) = known.upgrade() {
            return Ok(code);
        }
        let (sender, receiver) = oneshot::channel();
        // Nobody waits any more only if the process is stopping.
        self.threads.spawn(move || drop(sender.send(compile())));
        let code = receiver.await.map_err(|_| "the compiler failed on it".to_owned())??;
        let code = Arc::new(code);
        *known = Arc::downgrade(&code);
        Ok(code)
    }

    fn shared(&self, key: Key) -> Shared {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Those in use, and those being compiled.
        known.retain(|_, shared| {
            Arc::strong_count(shared) > 1 || shared.try_lock().is_ok_and(|code| code.strong_count() > 0)
        });
        known.entry(key).or_default().clone()
    }
}

/// Opens the folder in which compiled code is kept.
pub(super) fn cache(folder: &Path) -> anyhow::Result<Cache> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    // What is in it is run as it is.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).context("cannot make the folder")?;
    let mut config = CacheConfig::new();
    config.with_directory(folder.canonicalize().context("cannot find the folder")?);
    config.with_files_total_size_soft_limit(limits::COMPILED_CACHE);
    Cache::new(config).map_err(|error| anyhow::anyhow!("{error:#}"))
}

fn lower_priority() {
    #[cfg(unix)]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("the compiler's threads keep the priority of all others: {error}");
    }
}

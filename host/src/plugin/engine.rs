//! The engines that run plugins, and what they share.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use wasmparser::{Parser, Payload};
use wasmtime::{
    Cache, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, UpdateDeadline,
    component::{Component, HasSelf, Linker},
};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;

use super::{
    Failure,
    bindings::{self, Plugin as World, PluginPre},
    clocks::Clocks,
    compiler::{self, Compiler},
    contract,
    kept::{Kept, Owner, Resting},
    run::Run,
    trial::Verdicts,
};
use crate::{clock, http_client::Client, limits};

/// Memories in a pool. A plugin takes one, those of Python and JavaScript up to two; each reserves address space for the whole of its
/// slot. Under the 4 GiB that service managers like to set as a bound, half is left, and there is one pool: measured, three large plugins
/// and their reloads take most of that half.
const POOL_MEMORIES: u32 = 24;

/// Bytes of initial data up to which a memory is filled by copying, where many plugins take turns. Else it is mapped, as an image of
/// which a page is copied when it is written: that costs next to nothing while a slot of the pool meets the same plugin again, but
/// several calls of the kernel and page faults where it met another one. Copying costs some µs for each 64 KiB, every time.
const COPIED_DATA: u64 = 64 << 10;

/// Plugins that are taken for many: fewer find slots of their own in the pool, two at a time for each.
const MANY_PLUGINS: usize = POOL_MEMORIES as usize / 2;

/// The fewest memories that are worth a pool: below, instances are allocated on demand.
const POOL_MEMORIES_MIN: u32 = 4;

/// Memories at one time of plugins that are larger than a slot of the pool.
const LARGE_MEMORIES: u32 = 4;

/// Memories at one time of plugins that need more of the component model, QuickJS's: most are small, but they have no pool.
const CONCURRENT_MEMORIES: u32 = 8;

/// Bytes of a slot's memory that are cleared by writing rather than given back to the kernel after each message: with
/// `PAGEMAP_SCAN` only pages that were written are touched, and a small plugin's message so costs no page fault.
const KEEP_RESIDENT: usize = 2 << 20;

/// The same where the kernel cannot tell which pages were written, so that all of them are.
const KEEP_RESIDENT_BLIND: usize = 128 << 10;

/// Bytes of a table kept likewise.
const KEEP_TABLE_RESIDENT: usize = 64 << 10;

/// What all plugins are given, whoever they are.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) world: clock::World,
    pub(super) timezone: Arc<str>,
    pub(super) http: Client,
}

/// Runs plugins: engines for each class of memory, and one for components that need more of the component model.
pub struct Runtime {
    /// For most plugins.
    pooled: Arc<Class>,
    /// For those with little initial data, as in Rust and C, where there are many; none where address space is bounded.
    copied: Option<Arc<Class>>,
    /// For those that may have more memory than a slot of the pools.
    large: Arc<Class>,
    concurrent: Arc<Class>,
    /// Whether there are so many plugins that those of them which can be are better run in `copied`.
    has_many: AtomicBool,
    ticker: Arc<Ticker>,
    pub(super) compiler: Compiler,
    pub(super) verdicts: Verdicts,
}

/// A component as the engine has it: compiled, checked and linked.
pub(super) struct Code {
    pub(super) pre: PluginPre<Run>,
    pub(super) class: Arc<Class>,
    /// Memories that an instance takes, of those that the pool has.
    pub(super) memories: u32,
    /// Bytes of memory that it begins with.
    initial: u64,
}

/// One engine with what is linked to it.
pub(super) struct Class {
    engine: Engine,
    linker: Linker<Run>,
    permits: Arc<Semaphore>,
    memories: u32,
    host: Host,
    ticker: Arc<Ticker>,
    /// Instances between two messages, each with its permits.
    kept: Arc<Kept<Resting>>,
}

/// What a call has when there is room for it.
pub(super) struct Room<'a> {
    /// The plugin's own share.
    pub(super) own: SemaphorePermit<'a>,
    pub(super) place: Place,
}

/// Where a call runs.
pub(super) enum Place {
    /// In an instance that has answered before.
    Kept(Resting),
    /// In one that is yet to be made, with memories for it.
    Free(OwnedSemaphorePermit),
}

impl Runtime {
    /// Makes the engines; `timezone` is what plugins see as TZ.
    pub fn new(world: clock::World, timezone: &str) -> anyhow::Result<Self> {
        Self::with_client(world, timezone, None, Client::new())
    }

    /// The same with a folder of its own for compiled code, which so survives a restart. Whoever can write to that folder can run code
    /// as this process. One that cannot be used costs time, and is only warned of.
    pub fn with_cache(world: clock::World, timezone: &str, folder: Option<&Path>) -> anyhow::Result<Self> {
        Self::with_client(world, timezone, folder, Client::new())
    }

    /// The same with a client of the caller's for plugins' HTTP, which may go another way than to the network.
    pub fn with_client(
        world: clock::World,
        timezone: &str,
        folder: Option<&Path>,
        http: Client,
    ) -> anyhow::Result<Self> {
        let cache = folder.and_then(|folder| {
            compiler::cache(folder)
                .inspect_err(|error| {
                    tracing::warn!("compiled plugins are not kept in `{}`: {error:#}", folder.display());
                })
                .ok()
        });
        let host = Host { world, timezone: timezone.into(), http };
        let ticker = Arc::new(Ticker::default());
        let (pool, memories) = made_pool(true, cache.as_ref());
        let pooled = Class::new(pool, memories, &host, &ticker)?;
        let mut copied = None;
        if !address_space_is_bounded() {
            let (pool, memories) = made_pool(false, cache.as_ref());
            copied = Some(Class::new(pool, memories, &host, &ticker)?);
        }
        let large = Engine::new(&large_config(cache.as_ref())).map_err(unusable)?;
        let large = Class::new(large, LARGE_MEMORIES, &host, &ticker)?;
        let mut config = large_config(cache.as_ref());
        config.concurrency_support(true);
        let concurrent = Engine::new(&config).map_err(unusable)?;
        let concurrent = Class::new(concurrent, CONCURRENT_MEMORIES, &host, &ticker)?;
        let classes = [&pooled, &large, &concurrent].into_iter().chain(&copied);
        ticker.start(classes.map(|class| class.engine.clone()).collect())?;
        Ok(Self {
            pooled: Arc::new(pooled),
            copied: copied.map(Arc::new),
            large: Arc::new(large),
            concurrent: Arc::new(concurrent),
            has_many: AtomicBool::new(false),
            ticker,
            compiler: Compiler::new()?,
            verdicts: Verdicts::default(),
        })
    }

    /// Says how many plugins there are, before those are compiled that are not yet.
    pub fn expect(&self, plugins: usize) {
        self.has_many.store(plugins > MANY_PLUGINS, Ordering::Relaxed);
    }

    /// Compiles a component with the engine for so much memory, or with the one that has what it needs beside; a component that another
    /// plugin has compiled already is shared with it. `digest` is the content's.
    pub(super) async fn load(&self, bytes: Arc<[u8]>, digest: &str, memory: u64) -> Result<Arc<Code>, String> {
        let is_large = memory > limits::PLUGIN_MEMORY;
        let class = if is_large { self.large.clone() } else { self.pooled.clone() };
        let copied = self.copied.clone().filter(|_| !is_large && self.has_many.load(Ordering::Relaxed));
        let concurrent = self.concurrent.clone();
        let code = self.compiler.compile((digest.to_owned(), is_large), move || {
            let class = copied.filter(|_| initial_data(&bytes) <= COPIED_DATA).unwrap_or(class);
            match class.load(&bytes) {
                // QuickJS components are sync-typed as all are, and still use a built-in of the async component model.
                Err(why) if why.contains("component model async") => concurrent.load(&bytes),
                loaded => loaded,
            }
        });
        let code = code.await?;
        if code.initial > memory {
            return Err(format!(
                "it begins with {} MiB of memory, which is more than its `limits.memory` of {} MiB",
                code.initial >> 20,
                memory >> 20
            ));
        }
        Ok(code)
    }

    /// What time it is, since the Unix epoch.
    pub fn now(&self) -> Duration {
        self.pooled.host.world.clock.now()
    }

    /// The way out.
    pub fn http(&self) -> &Client {
        &self.pooled.host.http
    }

    /// Time and randomness.
    pub fn world(&self) -> clock::World {
        self.pooled.host.world.clone()
    }

    /// Whether a class serves plugins with so much memory.
    pub(super) fn serves(&self, class: &Arc<Class>, memory: u64) -> bool {
        Arc::ptr_eq(class, &self.concurrent) || Arc::ptr_eq(class, &self.large) == (memory > limits::PLUGIN_MEMORY)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.ticker.stop();
    }
}

impl Class {
    fn new(engine: Engine, memories: u32, host: &Host, ticker: &Arc<Ticker>) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(unusable)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(unusable)?;
        // In place of WASI's own.
        linker.allow_shadowing(true);
        monotonic_clock::add_to_linker::<Run, Clocks>(&mut linker, Run::clocks).map_err(unusable)?;
        linker.allow_shadowing(false);
        World::add_to_linker::<Run, HasSelf<Run>>(&mut linker, |run| run).map_err(unusable)?;
        Ok(Self {
            engine,
            linker,
            permits: Arc::new(Semaphore::new(memories as usize)),
            memories,
            host: host.clone(),
            ticker: ticker.clone(),
            // Half, so that plugins which are called for the first time, or keep nothing, seldom have to wait for others' to be dropped.
            kept: Arc::new(Kept::new(memories / 2, limits::PLUGIN_IDLE)),
        })
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// Compiles a component and resolves its imports.
    fn load(self: &Arc<Self>, bytes: &[u8]) -> Result<Code, String> {
        if let Some(why) = not_a_component(bytes) {
            return Err(why.into());
        }
        let component =
            Component::new(&self.engine, bytes).map_err(|error| format!("it does not compile: {error:#}"))?;
        let (mut memories, mut initial) = (1, 0);
        if let Some(needs) = component.resources_required() {
            memories = needs.num_memories.max(1);
            initial = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(64 << 10);
        }
        if memories > self.memories {
            return Err(format!("it has {memories} memories; at most {} are supported", self.memories));
        }
        let contract = component.component_type();
        let imports = contract.imports(&self.engine).map(|(name, _)| name);
        let exports = contract.exports(&self.engine).map(|(name, _)| name);
        if let Some(problem) = contract::problem(imports, exports) {
            return Err(problem);
        }
        // Names fit, so what is left are types: of a contract that was changed by hand.
        let unfit = |error: wasmtime::Error| format!("it does not keep the contract: {error:#}");
        let pre = self.linker.instantiate_pre(&component).map_err(unfit)?;
        let pre = bindings::PluginPre::new(pre).map_err(unfit)?;
        Ok(Code { pre, class: self.clone(), memories, initial })
    }

    /// A store for an instance.
    pub(super) fn store(&self, run: Run) -> Store<Run> {
        let mut store = Store::new(&self.engine, run);
        store.limiter(|run| run.limits());
        store.set_hostcall_fuel(limits::PLUGIN_CALL);
        store.epoch_deadline_callback(|store| {
            let turns = store.data().turns();
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(async move {
                    // Spent, not held: the ticker hands out as many again for the next epoch.
                    if let Ok(turn) = turns.acquire().await {
                        turn.forget();
                    }
                    tokio::task::yield_now().await;
                }),
            ))
        });
        store
    }

    /// Begins the time that an instance may run before it takes turns with the others. A start function that loops so ends like any
    /// other loop.
    pub(super) fn arm(store: &mut Store<Run>) {
        // Two, so that a short run that an epoch's end falls into is not held up for it.
        store.set_epoch_deadline(2);
    }

    /// How many memories one plugin's calls may have at one time: half of all, so that the others always have room.
    pub(super) fn share(&self) -> usize {
        (self.memories / 2).max(1) as usize
    }

    /// Waits until there is room for a call, within the plugin's own share and in all: in an instance that was kept for this owner, if
    /// there is one.
    pub(super) async fn room<'a>(
        &'a self,
        share: &'a Semaphore,
        memories: u32,
        owner: Option<Owner>,
        patience: Duration,
    ) -> Result<Room<'a>, Failure> {
        // A plugin with more memories than its share runs alone.
        let own_memories = memories.min(self.share() as u32);
        // Nearly always there is room at once, and no clock is asked.
        if let Ok(own) = share.try_acquire_many(own_memories) {
            if let Some(resting) = owner.and_then(|owner| self.kept.take(owner)) {
                return Ok(Room { own, place: Place::Kept(resting) });
            }
            if let Ok(free) = self.permits.clone().try_acquire_many_owned(memories) {
                return Ok(Room { own, place: Place::Free(free) });
            }
        }
        let both = async {
            let own = share.acquire_many(own_memories).await.ok()?;
            if let Some(resting) = owner.and_then(|owner| self.kept.take(owner)) {
                return Some(Room { own, place: Place::Kept(resting) });
            }
            // From here on nobody keeps an instance, until there is room again.
            let _waiting = self.kept.make_room(memories);
            let free = self.permits.clone().acquire_many_owned(memories).await.ok()?;
            Some(Room { own, place: Place::Free(free) })
        };
        match tokio::time::timeout(patience, both).await {
            Ok(Some(room)) => Ok(room),
            Ok(None) => Err(Failure::Unavailable("the server is stopping".into())),
            Err(_) => Err(Failure::Unavailable("too many calls are under way".into())),
        }
    }

    /// The instances that are kept between two messages.
    pub(super) fn kept(&self) -> &Arc<Kept<Resting>> {
        &self.kept
    }

    /// Turns of runs that last longer than an epoch.
    pub(super) fn turns(&self) -> &Arc<Semaphore> {
        &self.ticker.turns
    }

    /// Keeps the epoch moving while a run is under way.
    pub(super) fn running(&self) -> Running<'_> {
        self.ticker.runs.fetch_add(1, Ordering::SeqCst);
        self.ticker.wake();
        Running(&self.ticker)
    }
}

fn unusable(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("the WebAssembly runtime cannot start: {error:#}")
}

/// Why bytes are certainly no component, judged by how they begin; the compiler's own words help nobody here.
fn not_a_component(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [] => Some("the file is empty"),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Some(
            "it is a core WebAssembly module, not a component: build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`",
        ),
        [0, b'a', b's', b'm', ..] => None,
        _ => Some("it is not WebAssembly"),
    }
}

fn common_config(cache: Option<&Cache>) -> Config {
    let mut config = Config::new();
    config.cache(cache.cloned());
    config.epoch_interruption(true);
    // Costs up to 2 µs a fresh instance, and few components need it: see `Runtime::load`.
    config.concurrency_support(false);
    config.wasm_component_model(true);
    config
}

/// Whether the system sets a bound on the address space that this process may reserve.
fn address_space_is_bounded() -> bool {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::As).current.is_some();
    #[cfg(not(unix))]
    return false;
}

/// Bytes of data that a component's memories begin with.
fn initial_data(component: &[u8]) -> u64 {
    let sizes = Parser::new(0).parse_all(component).map_while(Result::ok).map(|payload| match payload {
        Payload::DataSection(data) => data.range().end - data.range().start,
        _ => 0,
    });
    sizes.sum()
}

/// A pool's engine and how many memories it has; the largest that the system's bound on address space lets us reserve. Its memories are
/// mapped as images, or filled by copying.
fn made_pool(images: bool, cache: Option<&Cache>) -> (Engine, u32) {
    let mut memories = POOL_MEMORIES;
    let mut halved = false;
    while memories >= POOL_MEMORIES_MIN {
        match Engine::new(&pool_config(memories, images, cache)) {
            // Where it had to be made smaller, half of what fits is left for everything else.
            Ok(_) if memories < POOL_MEMORIES && !halved => halved = true,
            Ok(engine) => {
                let slot_mib = limits::PLUGIN_MEMORY >> 20;
                tracing::info!(memories, slot_mib, images, "plugins' memories come from a pool");
                return (engine, memories);
            }
            Err(error) => tracing::debug!(memories, images, "the pool does not fit: {error:#}"),
        }
        memories /= 2;
    }
    tracing::warn!(images, "address space is too scarce for a pool; plugins' memories are allocated for each message");
    let engine = Engine::new(&large_config(cache)).unwrap_or_default();
    (engine, POOL_MEMORIES_MIN)
}

fn pool_config(memories: u32, images: bool, cache: Option<&Cache>) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    let slot = usize::try_from(limits::PLUGIN_MEMORY).unwrap_or(usize::MAX);
    let tables = u32::try_from(limits::PLUGIN_TABLES).unwrap_or(u32::MAX);
    let instances = u32::try_from(limits::PLUGIN_INSTANCES).unwrap_or(u32::MAX);
    let resident =
        if PoolingAllocationConfig::is_pagemap_scan_available() { KEEP_RESIDENT } else { KEEP_RESIDENT_BLIND };
    pool.total_memories(memories)
        // Counted for the worst case, so that memories alone decide how many instances fit.
        .total_tables(memories * tables)
        .total_stacks(memories)
        .total_component_instances(memories)
        .total_core_instances(memories * instances)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(memories)
        .max_tables_per_component(tables)
        .max_memory_size(slot)
        .table_elements(limits::PLUGIN_TABLE_ELEMENTS)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(KEEP_TABLE_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = common_config(cache);
    config.memory_init_cow(images);
    config.memory_reservation(limits::PLUGIN_MEMORY).memory_guard_size(64 << 10);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

fn large_config(cache: Option<&Cache>) -> Config {
    let mut config = common_config(cache);
    // Grown by moving: a reservation of all that 32 bits can address would not fit under a bound on address space.
    config.memory_reservation(limits::PLUGIN_MEMORY).memory_guard_size(64 << 10);
    config.memory_reservation_for_growth(16 << 20);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

/// Moves the engines' epochs on while plugins run, so that none keeps its thread: an OS thread, because plugins that loop may hold
/// every thread of the async runtime.
///
/// Runs that last longer than an epoch take turns: at each epoch's end as many go on as there are cores but one. All others wait without
/// a thread, so that a message never finds more than a few of them before it, however many loop.
struct Ticker {
    runs: AtomicUsize,
    turns: Arc<Semaphore>,
    cores: usize,
    asleep: AtomicBool,
    stopped: AtomicBool,
    thread: OnceLock<thread::Thread>,
}

/// A run under way.
pub(super) struct Running<'a>(&'a Ticker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.runs.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Ticker {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1)).max(1);
        Self {
            runs: AtomicUsize::new(0),
            turns: Arc::new(Semaphore::new(cores)),
            cores,
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }
}

impl Ticker {
    fn start(self: &Arc<Self>, engines: Vec<Engine>) -> std::io::Result<()> {
        let ticker = self.clone();
        let thread = thread::Builder::new().name("epoch".into()).spawn(move || ticker.run(&engines))?;
        // Set once: a ticker is started once.
        let _ = self.thread.set(thread.thread().clone());
        Ok(())
    }

    fn run(&self, engines: &[Engine]) {
        while !self.stopped.load(Ordering::SeqCst) {
            if self.runs.load(Ordering::SeqCst) == 0 {
                self.asleep.store(true, Ordering::SeqCst);
                // Looked at again after saying so, or a run that began in between would never see an epoch pass.
                if self.runs.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                continue;
            }
            thread::sleep(limits::EPOCH);
            for engine in engines {
                engine.increment_epoch();
            }
            self.turns.add_permits(self.cores.saturating_sub(self.turns.available_permits()));
        }
    }

    fn wake(&self) {
        // Read before it is written: it is seldom true, and a write takes the line from the other cores.
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.asleep.store(true, Ordering::SeqCst);
        self.wake();
    }
}

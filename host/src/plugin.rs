//! Plugins: WebAssembly components that answer messages.
//!
//! A [`Runtime`] compiles a component once into a [`Plugin`]; [`Plugin::call`] runs it for one message, under bounds of time, memory and
//! output: in a fresh instance, unless `instances = "reuse"` lets it have one that has answered before. Everything in the contract and in WASI 0.2's command world is linked, with nothing granted.
//! wasmtime is named only here.

mod bindings;
mod breaker;
mod clocks;
mod compiler;
mod config;
mod contract;
mod conversation;
mod engine;
mod http;
mod kept;
mod log;
mod output;
mod run;
mod store;
mod trial;
mod wasi_http;
mod wechat;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use wasmtime::Store;

use self::{
    bindings::mynah::bot::types,
    breaker::{Breaker, Change},
    engine::{Class, Code, Place, Room},
    kept::{Owner, Resting},
    run::{Charter, Run},
    trial::Trial,
};
pub use self::{
    engine::Runtime,
    trial::{Judgement, Verdict},
};
use crate::{
    config::{Allow, Instances, Limits},
    digest::digest_of,
    http_client::Policy,
    limits,
    store::work::Work,
    wechat::{document::Field, message::Message, reply::Reply},
    wechat_api::Account,
};

/// A component that is compiled, checked and ready to be called.
pub struct Plugin {
    charter: Arc<Charter>,
    compiled: Arc<Compiled>,
    /// Whose the instances are that are kept for it; none if each message meets a fresh one.
    owner: Option<Owner>,
}

/// What `bots.toml` says of a plugin's runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bounds on each of them.
    pub limits: Limits,
    /// What its `config` import gives.
    pub config: Arc<BTreeMap<String, String>>,
    /// What of the outside it may reach.
    pub allow: Arc<Allow>,
    /// Whether an instance answers more than one message.
    pub instances: Instances,
}

/// What does not depend on the plugin's configuration.
struct Compiled {
    digest: String,
    code: Arc<Code>,
    /// Bounds the calls at one time.
    share: Semaphore,
    breaker: Breaker,
    trial: Trial,
    calls: AtomicU64,
    failures: AtomicU64,
}

/// What one message reads and writes, shared with the plugin that answers it; only one of them uses it at a time.
pub type SharedWork = Arc<tokio::sync::Mutex<Work>>;

/// What a plugin says to a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// This is the reply.
    Reply(Reply),
    /// Not mine: the next rule that matches gets the message.
    Pass,
}

/// Why a call gave no answer. Display is one line; the backtrace is apart.
#[derive(Debug)]
pub enum Failure {
    /// The plugin returned an error.
    Error(String),
    /// It trapped: what happened, and where in the plugin.
    Trap {
        /// wasmtime's word for it.
        reason: String,
        /// Its stack, innermost call first, one a line.
        backtrace: String,
    },
    /// It took longer than `limits.time`.
    Time(Duration),
    /// It could not be started, as when all of the pool is in use.
    Unavailable(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) => write!(f, "it returned an error: {text}"),
            Self::Trap { reason, .. } => write!(f, "it trapped: {reason}"),
            Self::Time(limit) => write!(f, "it took longer than {}", humantime::format_duration(*limit)),
            Self::Unavailable(why) => write!(f, "it could not be started: {why}"),
        }
    }
}

impl Plugin {
    /// Compiles a component, off the async runtime's threads, and checks that it is a plugin; this takes a core for up to seconds. The
    /// error says in words what is wrong with it.
    pub async fn compile(
        runtime: &Runtime,
        name: Arc<str>,
        component: Arc<[u8]>,
        settings: Settings,
    ) -> Result<Self, String> {
        let digest = digest_of(&component);
        let code = runtime.load(component, &digest, settings.limits.memory).await?;
        let compiled = Compiled {
            trial: Trial::new(name.clone(), digest.clone(), runtime.verdicts.clone()),
            digest,
            share: Semaphore::new(code.class.share()),
            code,
            breaker: Breaker::default(),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        };
        Ok(Self::new(name, Arc::new(compiled), settings))
    }

    /// The same code with other settings.
    pub fn reconfigured(&self, settings: Settings) -> Self {
        Self::new(self.name().clone(), self.compiled.clone(), settings)
    }

    fn new(name: Arc<str>, compiled: Arc<Compiled>, settings: Settings) -> Self {
        let class = &compiled.code.class;
        let owner = match settings.instances {
            Instances::Fresh => None,
            Instances::Reuse { .. } => Some(class.kept().owner()),
        };
        let host = class.host().clone();
        let outlet = host.http.outlet(Policy::of_plugin(&settings.allow));
        let charter = Charter { name, settings, outlet, host, turns: class.turns().clone() };
        Self { charter: Arc::new(charter), owner, compiled }
    }

    /// Whether the code as it is compiled can run within this much memory.
    pub fn fits(&self, runtime: &Runtime, memory: u64) -> bool {
        runtime.serves(&self.compiled.code.class, memory) && memory >= self.charter.settings.limits.memory
    }

    /// Its name in `bots.toml`.
    pub fn name(&self) -> &Arc<str> {
        &self.charter.name
    }

    /// Identifies the component's content.
    pub fn digest(&self) -> &str {
        &self.compiled.digest
    }

    /// What `bots.toml` says of its runs.
    pub fn settings(&self) -> &Settings {
        &self.charter.settings
    }

    /// Whether both run the very same compiled code.
    pub fn same_version(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.compiled, &other.compiled)
    }

    /// How often it was called for a message as it is compiled now, and how many of these calls failed.
    pub fn calls(&self) -> (u64, u64) {
        (self.compiled.calls.load(Ordering::Relaxed), self.compiled.failures.load(Ordering::Relaxed))
    }

    /// How it stands with its first calls.
    pub fn judgement(&self) -> Judgement {
        self.compiled.trial.judgement()
    }

    /// Takes it for proven, as when it was so before a restart.
    pub fn trust(&self) {
        self.compiled.trial.trust();
    }

    /// Whether it is not called for a while, because it kept failing.
    pub fn is_paused(&self) -> bool {
        self.compiled.breaker.is_open()
    }

    /// Instantiates it once without a message, so that a component that cannot start is found before a follower finds it.
    pub async fn try_start(&self) -> Result<(), Failure> {
        let Compiled { code, share, .. } = &*self.compiled;
        let limit = self.charter.settings.limits.time.min(limits::PLUGIN_START);
        let _room = code.class.room(share, code.memories, None, limits::PLUGIN_QUEUE).await?;
        let mut store = code.class.store(Run::inert(self.charter.clone()));
        self.in_time(&mut store, limit, async |store| code.pre.instantiate_async(store).await.map(drop)).await
    }

    /// Runs it for one message, and logs what it printed. What it writes is kept in `work` if it answers, and dropped if it passes or
    /// fails. `account` is the bot's, where its API can be called.
    pub async fn call(
        &self,
        bot: &str,
        account: Option<&Arc<Account>>,
        message: &Message,
        captures: &[Field],
        work: &SharedWork,
    ) -> Result<Answer, Failure> {
        let clock = &self.charter.host.world.clock;
        if let Err(left) = self.compiled.breaker.admit(|| clock.monotonic()) {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs() + 1));
            return Err(Failure::Unavailable(format!("it kept failing; it is tried again in {left}")));
        }
        let answered = self.answer(run::message(bot, message, captures), account, work).await;
        work.lock().await.end_step(matches!(answered, Ok(Answer::Reply(_))));
        if matches!(answered, Err(Failure::Unavailable(_))) {
            // It was never called, which says nothing about it.
            return answered;
        }
        // An error that it returns is its own way of saying no.
        let failed = matches!(answered, Err(Failure::Trap { .. } | Failure::Time(_)));
        self.compiled.calls.fetch_add(1, Ordering::Relaxed);
        self.compiled.failures.fetch_add(u64::from(answered.is_err()), Ordering::Relaxed);
        match &answered {
            Ok(_) => self.compiled.trial.succeeded(),
            Err(failure) if failed => self.compiled.trial.failed(failure),
            Err(_) => {}
        }
        match self.compiled.breaker.note(failed, &message.sender, || clock.monotonic()) {
            Change::Nothing => {}
            Change::Opened(pause) => {
                let pause = humantime::format_duration(pause);
                tracing::error!(plugin = &**self.name(), "the plugin keeps failing and is not called for {pause}");
            }
            Change::Closed => tracing::info!(plugin = &**self.name(), "the plugin answers again"),
        }
        answered
    }

    /// Runs it once there is room for it, and keeps the instance for another message where that is wanted and it is fit for one.
    async fn answer(
        &self,
        message: types::Message,
        account: Option<&Arc<Account>>,
        work: &SharedWork,
    ) -> Result<Answer, Failure> {
        let Compiled { code, share, .. } = &*self.compiled;
        let (called, patience) = {
            let mut work = work.lock().await;
            work.begin_step(self.name());
            (work.called().clone(), work.queue())
        };
        let Room { own: _own, place } = code.class.room(share, code.memories, self.owner, patience).await?;
        // In this order: what is bound first is dropped last, and nobody may be let in before the instance is gone.
        let Resting { permit, mut store, world, answered } = match place {
            Place::Kept(resting) => resting,
            Place::Free(permit) => {
                let store = code.class.store(Run::inert(self.charter.clone()));
                Resting { store, world: None, answered: 0, permit }
            }
        };
        store.data_mut().begin(work.clone(), called, account.cloned());
        let running = self.in_time(&mut store, self.charter.settings.limits.time, async |store| {
            let world = match world {
                Some(world) => world,
                None => code.pre.instantiate_async(&mut *store).await?,
            };
            let answer = world.mynah_bot_handler().call_handle(store, &message).await?;
            Ok((world, answer))
        });
        let (world, answer) = running.await?;
        let reply = answer.map_err(|text| Failure::Error(run::bounded(&text)))?;
        let answered = answered + 1;
        if let (Some(owner), Instances::Reuse { messages }) = (self.owner, self.charter.settings.instances)
            && answered < messages
            && store.data_mut().rest()
        {
            let resting = Resting { store, world: Some(world), answered, permit };
            code.class.kept().keep(owner, code.memories, resting);
        }
        Ok(run::answer(reply))
    }

    /// Runs something within the plugin's time, and logs what was printed.
    async fn in_time<T>(
        &self,
        store: &mut Store<Run>,
        limit: Duration,
        run: impl AsyncFnOnce(&mut Store<Run>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let class = &self.compiled.code.class;
        Class::arm(store);
        let _running = class.running();
        let done = tokio::select! {
            biased;
            done = run(store) => Ok(done),
            () = self.charter.host.world.clock.sleep(limit) => Err(()),
        };
        let run = store.data_mut();
        run.finish(!matches!(done, Ok(Ok(_))));
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(run.failure(&error)),
            Err(_) => Err(Failure::Time(limit)),
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if let Some(owner) = self.owner {
            self.compiled.code.class.kept().forget(owner);
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", self.name())
            .field("digest", &self.compiled.digest)
            .finish_non_exhaustive()
    }
}

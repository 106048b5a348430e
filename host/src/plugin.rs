//! Plugins: WebAssembly components that answer messages.
//!
//! A [`Runtime`] compiles a component once into a [`Plugin`]; [`Plugin::call`] runs it for one message, in a fresh instance under
//! bounds of time, memory and output. Everything in the contract and in WASI 0.2's command world is linked, with nothing granted.
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
    breaker::{Breaker, Change},
    engine::Code,
    run::Run,
    trial::Trial,
};
pub use self::{
    engine::Runtime,
    trial::{Judgement, Verdict},
};
use crate::{
    called::Called,
    config::{Allow, Limits},
    digest::digest_of,
    http_client::{Outlet, Policy},
    limits,
    store::work::Work,
    wechat::{document::Field, message::Message, reply::Reply},
    wechat_api::Account,
};

/// A component that is compiled, checked and ready to be called.
pub struct Plugin {
    name: Arc<str>,
    settings: Settings,
    /// The way out that `allow.http` grants.
    outlet: Arc<Outlet>,
    compiled: Arc<Compiled>,
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
        let outlet = outlet(&compiled.code.class, &settings);
        Ok(Self { name, outlet, settings, compiled: Arc::new(compiled) })
    }

    /// The same code with other settings.
    pub fn reconfigured(&self, settings: Settings) -> Self {
        let outlet = outlet(&self.compiled.code.class, &settings);
        Self { name: self.name.clone(), outlet, settings, compiled: self.compiled.clone() }
    }

    /// Whether the code as it is compiled can run within this much memory.
    pub fn fits(&self, runtime: &Runtime, memory: u64) -> bool {
        runtime.serves(&self.compiled.code.class, memory) && memory >= self.settings.limits.memory
    }

    /// Its name in `bots.toml`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Identifies the component's content.
    pub fn digest(&self) -> &str {
        &self.compiled.digest
    }

    /// What `bots.toml` says of its runs.
    pub fn settings(&self) -> &Settings {
        &self.settings
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
        let limit = self.settings.limits.time.min(limits::PLUGIN_START);
        self.in_time(None, limit, async |store| self.compiled.code.pre.instantiate_async(store).await.map(drop)).await
    }

    /// Runs it for one message in a fresh instance, and logs what it printed. What it writes is kept in `work` if it answers, and
    /// dropped if it passes or fails. `account` is the bot's, where its API can be called.
    pub async fn call(
        &self,
        bot: &str,
        account: Option<&Arc<Account>>,
        message: &Message,
        captures: &[Field],
        work: &SharedWork,
    ) -> Result<Answer, Failure> {
        let clock = &self.compiled.code.class.host().world.clock;
        if let Err(left) = self.compiled.breaker.admit(clock.monotonic()) {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs() + 1));
            return Err(Failure::Unavailable(format!("it kept failing; it is tried again in {left}")));
        }
        work.lock().await.begin_step(&self.name);
        let answered = self
            .in_time(Some(work.clone()), self.settings.limits.time, async |store| {
                store.data_mut().account = account.cloned();
                let message = run::message(bot, message, captures);
                // The store's deadline has been armed since it was made, so a start function that loops ends like any other loop.
                let plugin = self.compiled.code.pre.instantiate_async(&mut *store).await?;
                plugin.mynah_bot_handler().call_handle(store, &message).await
            })
            .await
            .and_then(|answer| match answer {
                Ok(reply) => Ok(run::answer(reply)),
                Err(text) => Err(Failure::Error(run::bounded(&text))),
            });
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
        match self.compiled.breaker.note(failed, &message.sender, clock.monotonic()) {
            Change::Nothing => {}
            Change::Opened(pause) => {
                let pause = humantime::format_duration(pause);
                tracing::error!(plugin = &*self.name, "the plugin keeps failing and is not called for {pause}");
            }
            Change::Closed => tracing::info!(plugin = &*self.name, "the plugin answers again"),
        }
        answered
    }

    /// Runs something in a fresh store, once there is room for it and within the plugin's time.
    async fn in_time<T>(
        &self,
        work: Option<SharedWork>,
        limit: Duration,
        run: impl AsyncFnOnce(&mut Store<Run>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let Compiled { code, share, .. } = &*self.compiled;
        let Code { class, memories, .. } = &**code;
        let (patience, called) = match &work {
            Some(work) => {
                let work = work.lock().await;
                (work.queue(), work.called().clone())
            }
            None => (limits::PLUGIN_QUEUE, Called::default()),
        };
        let _permits = class.acquire(share, *memories, patience).await?;
        let mut store = class.store(Run::new(class.host(), self, work, called));
        let _running = class.running();
        let done = tokio::select! {
            biased;
            done = run(&mut store) => Ok(done),
            () = class.host().world.clock.sleep(limit) => Err(()),
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

fn outlet(class: &engine::Class, settings: &Settings) -> Arc<Outlet> {
    Arc::new(class.host().http.outlet(Policy::of_plugin(&settings.allow)))
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("digest", &self.compiled.digest)
            .finish_non_exhaustive()
    }
}

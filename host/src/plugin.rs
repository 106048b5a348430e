//! Plugins: WebAssembly components that answer messages.
//!
//! A [`Runtime`] compiles a component once into a [`Plugin`]; [`Plugin::call`] runs it for one message, in a fresh instance under
//! bounds of time, memory and output. Everything in the contract and in WASI 0.2's command world is linked, with nothing granted.
//! wasmtime is named only here.

mod bindings;
mod config;
mod conversation;
mod engine;
mod http;
mod log;
mod output;
mod run;
mod store;
mod wechat;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use wasmtime::Store;

pub use self::engine::Runtime;
use self::{engine::Class, run::Run};
use crate::{
    config::Limits,
    store::work::Work,
    wechat::{document::Field, message::Message, reply::Reply},
};

/// A component that is compiled, checked and ready to be called.
pub struct Plugin {
    name: Arc<str>,
    limits: Limits,
    config: Arc<BTreeMap<String, String>>,
    compiled: Arc<Compiled>,
}

/// What does not depend on the plugin's configuration.
struct Compiled {
    digest: String,
    pre: bindings::PluginPre<Run>,
    class: Arc<Class>,
    /// Memories that an instance takes, of those that the pool has.
    memories: u32,
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
    /// Compiles a component and checks that it is a plugin; this takes a core for up to seconds. The error says in words what is
    /// wrong with it.
    pub fn compile(
        runtime: &Runtime,
        name: Arc<str>,
        component: &[u8],
        limits: Limits,
        config: Arc<BTreeMap<String, String>>,
    ) -> Result<Self, String> {
        let class = runtime.class(limits.memory);
        let digest = Self::digest_of(component);
        let (pre, memories) = class.load(component, limits.memory)?;
        Ok(Self { name, limits, config, compiled: Arc::new(Compiled { digest, pre, class, memories }) })
    }

    /// The same code under other limits and with another configuration.
    pub fn reconfigured(&self, limits: Limits, config: Arc<BTreeMap<String, String>>) -> Self {
        Self { name: self.name.clone(), limits, config, compiled: self.compiled.clone() }
    }

    /// Whether the code as it is compiled can run within this much memory.
    pub fn fits(&self, runtime: &Runtime, memory: u64) -> bool {
        Arc::ptr_eq(&self.compiled.class, &runtime.class(memory)) && memory >= self.limits.memory
    }

    /// Identifies a component's content: its SHA-256 digest in lower-case hex.
    pub fn digest_of(component: &[u8]) -> String {
        hex::encode(<sha2::Sha256 as sha2::Digest>::digest(component))
    }

    /// Its name in `bots.toml`.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Identifies the component's content.
    pub fn digest(&self) -> &str {
        &self.compiled.digest
    }

    /// Instantiates it once without a message, so that a component that cannot start is found before a follower finds it.
    pub async fn try_start(&self) -> Result<(), Failure> {
        let mut store = self.store(None);
        let started = async {
            let _permits = self.compiled.class.acquire(self.compiled.memories).await?;
            self.compiled.pre.instantiate_async(&mut store).await.map(drop).map_err(|error| run::failure(&error))
        };
        let started = self.in_time(started).await;
        store.data_mut().finish();
        started
    }

    /// Runs it for one message in a fresh instance, and logs what it printed.
    /// What it writes is kept in `work` if it answers, and dropped if it passes or fails.
    pub async fn call(
        &self,
        bot: &str,
        message: &Message,
        captures: &[Field],
        work: &SharedWork,
    ) -> Result<Answer, Failure> {
        work.lock().await.begin_step(&self.name);
        let answered = self.run(bot, message, captures, work).await;
        work.lock().await.end_step(matches!(answered, Ok(Answer::Reply(_))));
        answered
    }

    async fn run(
        &self,
        bot: &str,
        message: &Message,
        captures: &[Field],
        work: &SharedWork,
    ) -> Result<Answer, Failure> {
        let mut store = self.store(Some(work.clone()));
        let message = run::message(bot, message, captures);
        let answered = async {
            let _permits = self.compiled.class.acquire(self.compiled.memories).await?;
            // The store's deadline has been armed since it was made, so a start function that loops ends like any other loop.
            let plugin = self.compiled.pre.instantiate_async(&mut store).await.map_err(|error| run::failure(&error))?;
            let answer = plugin.mynah_bot_handler().call_handle(&mut store, &message).await;
            answer.map_err(|error| run::failure(&error))
        };
        let answered = self.in_time(answered).await;
        store.data_mut().finish();
        match answered? {
            Ok(reply) => Ok(run::answer(reply)),
            Err(text) => Err(Failure::Error(run::bounded(&text))),
        }
    }

    fn store(&self, work: Option<SharedWork>) -> Store<Run> {
        let run = Run::new(self.compiled.class.host(), &self.name, self.config.clone(), work, self.limits.memory);
        self.compiled.class.store(run)
    }

    async fn in_time<T>(&self, run: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let _running = self.compiled.class.running();
        match tokio::time::timeout(self.limits.time, run).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Time(self.limits.time)),
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("digest", &self.compiled.digest)
            .finish_non_exhaustive()
    }
}

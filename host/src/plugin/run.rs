//! One run of a plugin: what the host keeps for it, and the way in and out of the contract's types.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::OwnedMutexGuard;
use wasmtime::{ResourceLimiter, StoreLimits, StoreLimitsBuilder, Trap, WasmBacktrace, component::ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::{Answer, Failure, bindings::mynah::bot::types, engine::Host, output::Output};
use crate::{
    clock::{Clock, Randomness},
    limits,
    plugin::SharedWork,
    store::work::{Refusal, Work},
    wechat::{document::Field, message::Message, reply},
};

/// Core instances of one component: Python's have some twenty.
const INSTANCES: usize = 100;

/// Elements of each table, as in the pool.
const TABLE_ELEMENTS: usize = 20_000;

/// Handles of WASI resources that a plugin may hold at one time: streams, clocks' pollables.
const RESOURCES: usize = 1_000;

/// What the host keeps for one run.
pub(super) struct Run {
    pub(super) plugin: Arc<str>,
    pub(super) config: Arc<BTreeMap<String, String>>,
    /// What the message reads and writes; none in an inert run.
    pub(super) work: Option<SharedWork>,
    /// Bytes of log lines that are still accepted.
    pub(super) log_room: usize,
    /// Bytes of log lines that were not.
    pub(super) log_cut: usize,
    stdout: Output,
    stderr: Output,
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl Run {
    pub(super) fn new(
        host: &Host,
        plugin: &Arc<str>,
        config: Arc<BTreeMap<String, String>>,
        work: Option<SharedWork>,
        memory: u64,
    ) -> Self {
        let (stdout, stderr) = (Output::default(), Output::default());
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let source = || Source(host.world.randomness.clone());
        let mut seed = [0; 16];
        host.world.randomness.fill(&mut seed);
        let wasi = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .env("TZ", &*host.timezone)
            .secure_random(source())
            .insecure_random(source())
            .insecure_random_seed(u128::from_le_bytes(seed))
            .wall_clock(Time(host.world.clock.clone()))
            .monotonic_clock(Time(host.world.clock.clone()))
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        let limits = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(memory).unwrap_or(usize::MAX))
            .table_elements(TABLE_ELEMENTS)
            .instances(INSTANCES)
            .build();
        Self {
            plugin: plugin.clone(),
            config,
            work,
            log_room: limits::PLUGIN_OUTPUT,
            log_cut: 0,
            stdout,
            stderr,
            wasi,
            table,
            limits,
        }
    }

    pub(super) fn limits(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limits
    }

    /// Passes on what the plugin printed, and says what was cut.
    pub(super) fn finish(&mut self) {
        for (stream, output) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let (text, cut) = output.take();
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                tracing::info!(target: "plugin", plugin = &*self.plugin, stream, "{}", printable(line));
            }
            if cut > 0 {
                tracing::warn!(target: "plugin", plugin = &*self.plugin, stream, "{cut} more bytes were cut");
            }
        }
        if self.log_cut > 0 {
            let cut = self.log_cut;
            tracing::warn!(target: "plugin", plugin = &*self.plugin, "{cut} more bytes of log lines were cut");
        }
    }
}

impl WasiView for Run {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for Run {}

/// The error of an interface that this version of the host does not have yet.
pub(super) fn unavailable(interface: &str) -> types::Error {
    types::Error { code: "unavailable".into(), message: format!("this version of mynah has no `{interface}` yet") }
}

/// An operation on what the message reads and writes; an inert run has nothing to operate on.
pub(super) async fn lock(work: Option<SharedWork>) -> Result<OwnedMutexGuard<Work>, types::Error> {
    match work {
        Some(work) => Ok(work.lock_owned().await),
        None => Err(types::Error { code: "unavailable".into(), message: "there is no message".into() }),
    }
}

/// A refusal as the contract has it.
pub(super) fn refused(refusal: Refusal) -> types::Error {
    types::Error { code: refusal.code.into(), message: refusal.message }
}

/// The plugin's text without control characters, which could forge or hide lines of the log on a terminal.
pub(super) fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// A plugin's text for the log, on one line and within bounds.
pub(super) fn bounded(text: &str) -> String {
    let end = text.floor_char_boundary(limits::PLUGIN_LOG_LINE.min(text.len()));
    let mut line = printable(&text[..end].replace(['\r', '\n'], " "));
    if end < text.len() {
        line.push_str(&format!("… ({} more bytes)", text.len() - end));
    }
    line
}

/// What wasmtime's error means to an operator.
pub(super) fn failure(error: &wasmtime::Error) -> Failure {
    let reason = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => bounded(&error.root_cause().to_string()),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
    Failure::Trap { reason, backtrace }
}

/// A message as the contract has it.
pub(super) fn message(bot: &str, message: &Message, captures: &[Field]) -> types::Message {
    let fields = |fields: &[Field]| {
        fields.iter().map(|field| types::Field { name: field.name.clone(), value: field.value.clone() }).collect()
    };
    types::Message {
        bot: bot.to_owned(),
        account: message.account.clone(),
        sender: message.sender.clone(),
        id: message.id.clone(),
        created: message.created,
        kind: message.kind.clone(),
        text: message.text.clone(),
        captures: fields(captures),
        fields: fields(&message.fields),
    }
}

/// A plugin's reply as the protocol has it.
pub(super) fn answer(reply: types::Reply) -> Answer {
    use types::Reply as Given;
    Answer::Reply(match reply {
        Given::Pass => return Answer::Pass,
        Given::Text(text) => reply::Reply::Text(text),
        Given::Image(media_id) => reply::Reply::Image { media_id },
        Given::Voice(media_id) => reply::Reply::Voice { media_id },
        Given::Video(video) => reply::Reply::Video(reply::Video {
            media_id: video.media_id,
            title: video.title,
            description: video.description,
        }),
        Given::Music(music) => reply::Reply::Music(reply::Music {
            title: music.title,
            description: music.description,
            url: music.url,
            hq_url: music.hq_url,
            thumb_media_id: music.thumb_media_id,
        }),
        Given::News(articles) => reply::Reply::News(
            articles
                .into_iter()
                .map(|article| reply::Article {
                    title: article.title,
                    description: article.description,
                    picture: article.picture,
                    url: article.url,
                })
                .collect(),
        ),
        Given::Transfer(account) => reply::Reply::Transfer(account),
        Given::TransferToAi => reply::Reply::TransferToAi,
        Given::Raw(raw) => reply::Reply::Raw(reply::Raw {
            kind: raw.kind,
            fields: raw.fields.into_iter().map(|field| Field { name: field.name, value: field.value }).collect(),
        }),
        Given::Silence => reply::Reply::Silence,
    })
}

/// The host's clock as WASI wants it.
struct Time(Arc<dyn Clock>);

impl HostWallClock for Time {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0.now()
    }
}

impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The host's randomness as WASI wants it.
struct Source(Arc<dyn Randomness>);

impl rand::TryRng for Source {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

//! One run of a plugin: what the host keeps for it, and the way in and out of the contract's types.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, Semaphore},
    time::Instant,
};
use wasmtime::{PoolConcurrencyLimitError, ResourceLimiter, Trap, WasmBacktrace, component::ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::{
    Answer, Failure, Settings, bindings::mynah::bot::types, clocks::ClocksView, engine::Host, output::Output,
    wasi_http::WasiHttp,
};
use crate::{
    called::Called,
    clock::{Clock, Randomness},
    http_client::Outlet,
    limits,
    plugin::SharedWork,
    store::work::{Refusal, Work},
    wechat::{document::Field, message::Message, reply},
    wechat_api::Account,
};

/// What a plugin's runs have in common.
pub(super) struct Charter {
    /// Its name in `bots.toml`.
    pub(super) name: Arc<str>,
    pub(super) settings: Settings,
    /// The way out that `allow.http` grants.
    pub(super) outlet: Outlet,
    pub(super) host: Host,
    /// Turns of runs that last long.
    pub(super) turns: Arc<Semaphore>,
}

/// What the host keeps for an instance, and for the message that it has.
pub(super) struct Run {
    pub(super) charter: Arc<Charter>,
    /// What the message reads and writes; none in an inert run.
    pub(super) work: Option<SharedWork>,
    /// Log lines, and bytes of them, that are still accepted.
    pub(super) log_room: (usize, usize),
    /// Log lines that were not.
    pub(super) log_cut: u64,
    /// The bot's account, where its API can be called.
    pub(super) account: Option<Arc<Account>>,
    /// Notes that the outside was called.
    called: Called,
    /// When answers of the outside must be there.
    deadline: Instant,
    /// What is only made when the plugin first asks for something of it, which small plugins never do.
    outside: Option<Outside>,
    wasi: Option<Box<Wasi>>,
    wasi_http: Option<WasiHttp>,
    table: ResourceTable,
    limits: Bounds,
}

/// What a run needs to call the outside.
#[derive(Clone)]
pub(super) struct Outside {
    charter: Arc<Charter>,
    /// Whether there is no message, and so no way out.
    is_inert: bool,
    /// Notes that it was called.
    pub(super) called: Called,
    /// When answers must be there.
    pub(super) deadline: Instant,
    /// Calls that may still be made.
    left: Arc<AtomicU32>,
}

impl Outside {
    fn new(charter: &Arc<Charter>, is_inert: bool, called: &Called, deadline: Instant) -> Self {
        let left = Arc::new(AtomicU32::new(limits::OUTSIDE_CALLS));
        Self { charter: charter.clone(), is_inert, called: called.clone(), deadline, left }
    }

    /// The plugin's name.
    pub(super) fn plugin(&self) -> &str {
        &self.charter.name
    }

    /// Counts one more call.
    pub(super) fn count(&self) -> Result<(), types::Error> {
        let counted = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        counted.map(drop).map_err(|_| types::Error {
            code: "too-many".into(),
            message: format!("one message calls the outside at most {} times", limits::OUTSIDE_CALLS),
        })
    }

    /// The way out for HTTP, for one request.
    pub(super) fn way(&self) -> Result<&Outlet, types::Error> {
        if self.is_inert {
            return Err(no_message());
        }
        self.count()?;
        Ok(&self.charter.outlet)
    }
}

/// Lines and bytes of log that each message has.
const LOG_ROOM: (usize, usize) = (limits::PLUGIN_LINES, limits::PLUGIN_OUTPUT);

/// Resources of WASI that an instance may hold open between two messages: the standard streams, and what a language's runtime keeps. One
/// that opens some with each message would run into its bound in the end.
const RESOURCES_KEPT: usize = 16;

/// What is left of a plugin's time when it is told that the outside did not answer in time, so that it can still say so itself.
fn last_words(time: Duration) -> Duration {
    (time / 10).min(Duration::from_secs(1))
}

impl Run {
    /// Without a message.
    pub(super) fn inert(charter: Arc<Charter>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::PLUGIN_RESOURCES);
        let limits = Bounds::new(charter.settings.limits.memory);
        Self {
            charter,
            work: None,
            log_room: LOG_ROOM,
            log_cut: 0,
            account: None,
            called: Called::default(),
            deadline: Instant::now(),
            outside: None,
            wasi: None,
            wasi_http: None,
            table,
            limits,
        }
    }

    /// Begins with a message.
    pub(super) fn begin(&mut self, work: SharedWork, called: Called, account: Option<Arc<Account>>) {
        let time = self.charter.settings.limits.time;
        self.deadline = Instant::now() + time.saturating_sub(last_words(time));
        (self.log_room, self.log_cut) = (LOG_ROOM, 0);
        (self.work, self.called, self.account) = (Some(work), called, account);
    }

    /// Lets go of the message that it has answered, and says whether the instance is fit for another one.
    pub(super) fn rest(&mut self) -> bool {
        // Bodies of responses may still be open, and they are the message's.
        let is_closed = self.wasi_http.is_none();
        (self.work, self.account, self.outside, self.called) = (None, None, None, Called::default());
        is_closed && !self.limits.refused && self.table.iter_mut().count() <= RESOURCES_KEPT
    }

    /// Where runs that last long wait for their turn.
    pub(super) fn turns(&self) -> Arc<Semaphore> {
        self.charter.turns.clone()
    }

    /// What it needs to call the outside.
    pub(super) fn outside(&mut self) -> &Outside {
        let Self { charter, work, called, deadline, outside, .. } = self;
        outside.get_or_insert_with(|| Outside::new(charter, work.is_none(), called, *deadline))
    }

    pub(super) fn limits(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limits
    }

    pub(super) fn clocks(&mut self) -> ClocksView<'_> {
        ClocksView { clock: self.charter.host.world.clock.clone(), table: &mut self.table }
    }

    pub(super) fn wasi_http(&mut self) -> (&mut WasiHttp, &mut ResourceTable) {
        let Self { charter, work, called, deadline, outside, wasi_http, table, .. } = self;
        let http = wasi_http.get_or_insert_with(|| {
            WasiHttp::new(outside.get_or_insert_with(|| Outside::new(charter, work.is_none(), called, *deadline)))
        });
        (http, table)
    }

    /// Passes on what the plugin printed, its last words as warnings if it failed, and says what was cut.
    pub(super) fn finish(&mut self, failed: bool) {
        let plugin = &*self.charter.name;
        let outputs = self.wasi.iter().flat_map(|wasi| [("stdout", &wasi.stdout), ("stderr", &wasi.stderr)]);
        for (stream, output) in outputs {
            let (text, cut) = output.take();
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            for line in lines.by_ref().take(limits::PLUGIN_LINES) {
                if failed && stream == "stderr" {
                    tracing::warn!(target: "plugin", plugin, stream, "{}", printable(line));
                } else {
                    tracing::info!(target: "plugin", plugin, stream, "{}", printable(line));
                }
            }
            let more = lines.count();
            if cut > 0 || more > 0 {
                tracing::warn!(target: "plugin", plugin, stream, "{more} more lines and {cut} more bytes were cut");
            }
        }
        if self.log_cut > 0 {
            tracing::warn!(target: "plugin", plugin, "{} more log lines were cut", self.log_cut);
        }
    }

    /// What wasmtime's error means to an operator.
    pub(super) fn failure(&self, error: &wasmtime::Error) -> Failure {
        if error.is::<PoolConcurrencyLimitError>() {
            return Failure::Unavailable(bounded(&error.root_cause().to_string()));
        }
        let mut reason = match error.downcast_ref::<Trap>() {
            Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            None => bounded(&error.root_cause().to_string()),
        };
        if self.limits.refused {
            reason += &format!("; it had reached its memory limit of {} MiB", self.limits.memory >> 20);
        }
        Failure::Trap { reason, backtrace: error.downcast_ref().map(backtrace).unwrap_or_default() }
    }
}

/// WASI with nothing granted, and what the plugin prints.
struct Wasi {
    context: WasiCtx,
    stdout: Output,
    stderr: Output,
}

impl Wasi {
    fn new(host: &Host) -> Self {
        let (stdout, stderr) = (Output::default(), Output::default());
        let source = || Source::new(host.world.randomness.clone());
        let mut seed = [0; 16];
        host.world.randomness.fill(&mut seed);
        let context = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .env("TZ", &*host.timezone)
            .secure_random(source())
            .insecure_random(source())
            .insecure_random_seed(u128::from_le_bytes(seed))
            .wall_clock(Time(host.world.clock.clone()))
            .monotonic_clock(Time(host.world.clock.clone()))
            .max_random_size(limits::PLUGIN_RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        Self { context, stdout, stderr }
    }
}

/// A plugin's stack, innermost call first, one a line. Everything in it is the plugin's own text.
fn backtrace(backtrace: &WasmBacktrace) -> String {
    let frames = backtrace.frames();
    let mut lines = String::new();
    for (n, frame) in frames.iter().take(limits::PLUGIN_FRAMES).enumerate() {
        let name = frame.func_name().unwrap_or("?");
        // Rust's demangler is bounded in what it writes; C++'s is not, and its names stay as they are.
        let name = bounded(&format!("{:#}", rustc_demangle::demangle(name)));
        let name: String = name.chars().take(FUNCTION_NAME).collect();
        lines += &format!("  {n}: {name}\n");
    }
    if frames.len() > limits::PLUGIN_FRAMES {
        lines += &format!("  … {} more\n", frames.len() - limits::PLUGIN_FRAMES);
    }
    lines
}

/// Characters of a function's name that are shown.
const FUNCTION_NAME: usize = 200;

/// Bounds what an instance may grow to: all of its memories together, where wasmtime's own limiter bounds each.
struct Bounds {
    memory: usize,
    grown: usize,
    /// Whether it asked for more memory than it may have.
    refused: bool,
    elements: usize,
}

impl Bounds {
    fn new(memory: u64) -> Self {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        Self { memory, grown: 0, refused: false, elements: 0 }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.grown.saturating_add(desired.saturating_sub(current));
        if grown > self.memory {
            self.refused = true;
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grown = grown;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        let allowed = elements <= limits::PLUGIN_TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum);
        if allowed {
            self.elements = elements;
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        limits::PLUGIN_INSTANCES
    }

    fn tables(&self) -> usize {
        limits::PLUGIN_TABLES
    }

    fn memories(&self) -> usize {
        limits::PLUGIN_MEMORIES
    }
}

impl WasiView for Run {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.charter.host)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut self.table }
    }
}

impl types::Host for Run {}

/// The error of what `bots.toml` does not allow.
pub(super) fn not_granted(message: String) -> types::Error {
    types::Error { code: "not-granted".into(), message }
}

/// An operation on what the message reads and writes; an inert run has nothing to operate on.
pub(super) async fn lock(work: Option<SharedWork>) -> Result<OwnedMutexGuard<Work>, types::Error> {
    match work {
        Some(work) => Ok(work.lock_owned().await),
        None => Err(no_message()),
    }
}

/// The error of an inert run, as when a component is tried out.
fn no_message() -> types::Error {
    types::Error { code: "unavailable".into(), message: "there is no message".into() }
}

/// A refusal as the contract has it.
pub(super) fn refused(refusal: Refusal) -> types::Error {
    types::Error { code: refusal.code.into(), message: refusal.message }
}

/// The plugin's text without control characters, which could forge or hide lines of the log on a terminal.
pub(super) fn printable(line: &str) -> String {
    let harmful = |c: char| {
        let turns_text_around =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && c != '\t') || turns_text_around
    };
    line.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
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

/// The host's randomness as WASI wants it, drawn in blocks: WASI asks for a number for each byte.
struct Source {
    randomness: Arc<dyn Randomness>,
    block: [u8; 256],
    left: usize,
}

impl Source {
    fn new(randomness: Arc<dyn Randomness>) -> Self {
        Self { randomness, block: [0; 256], left: 0 }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.left < N {
            self.randomness.fill(&mut self.block);
            self.left = self.block.len();
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.block[self.left - N..self.left]);
        self.left -= N;
        bytes
    }
}

impl rand::TryRng for Source {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.randomness.fill(bytes);
        Ok(())
    }
}

//! Deliveries of one message share one run and one answer.
//!
//! WeChat gives a message up to three deliveries of five seconds each. The first runs it, in the task of its connection; where that is
//! dropped, or has been given an interim answer, the run goes on in a task of its own. The others join it, or get the answer that is remembered. A run that wrote something is committed together with
//! its answer before anybody is told. When WeChat's time is nearly up, an interim answer is given, the message is recorded as pending in
//! the same commit, and what the run says in the end is kept until the follower asks for it, or sent by way of the [`outbox`].

mod followers;
mod lasting;
mod memory;
mod outbox;
mod run;
mod scopes;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

pub use self::run::DIALOGUE;
use self::{
    followers::Followers,
    lasting::{Interim, Lasting},
    memory::{Memory, Seen},
    outbox::Outbox,
    run::{Delivery, Done},
    scopes::Scopes,
};
use crate::{
    bot::Bot,
    clock::World,
    limits,
    store::{Commit, MessageKey, PendingStep, Store},
    wechat::{document::Format, message::Message},
};

/// How long WeChat waits for an answer to all its deliveries of a message, less a second for the way.
const PATIENCE: Duration = Duration::from_secs(14);

/// How long it waits for the answer to one delivery, less half a second.
const ONE_DELIVERY: Duration = Duration::from_millis(4500);

/// How long after that a commit under way is waited for before it is looked at again.
const COMMIT_GRACE: Duration = Duration::from_millis(100);

/// Runs at one time. Beyond, messages get the apology at once: a backlog of this size could not be answered in time.
const RUNS: usize = 4096;

/// How long a message stays pending: whoever asked has long given up.
const PENDING_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers from before this process, or from when the store failed, are looked for so long: by then WeChat has given up on their messages.
const RECOLLECTION: Duration = Duration::from_secs(60);

/// The body of a response, as it was first rendered: all deliveries of a message get the same one. UTF-8, always.
pub type Body = Bytes;

/// Where messages arrive.
pub struct Inbox {
    store: Arc<dyn Store>,
    world: World,
    memory: Memory,
    followers: Followers,
    scopes: Scopes,
    outbox: Outbox,
    /// When the store last failed, so that nobody knows for sure what it committed.
    doubt: Mutex<Option<Instant>>,
    runs: AtomicUsize,
    /// KiB of messages that may still be taken in.
    room: Arc<Semaphore>,
    started: Instant,
    /// Whether a process before this one recorded answers that a retry may still ask for. Nobody knows until it was looked up.
    predecessor: AtomicBool,
}

/// Room for the bytes of one message, taken until its run is over.
pub struct Room(#[expect(dead_code, reason = "given back when it is dropped")] OwnedSemaphorePermit);

/// What is needed to run a message again after a restart.
#[derive(Serialize, Deserialize)]
struct Pending {
    bot: String,
    message: Message,
    /// When it became pending, in seconds since the Unix epoch.
    since: u64,
}

impl Inbox {
    /// An inbox whose runs read and write `store`.
    pub fn new(store: Arc<dyn Store>, world: World) -> Self {
        Self {
            store,
            world,
            memory: Memory::default(),
            followers: Followers::default(),
            scopes: Scopes::default(),
            outbox: Outbox::default(),
            doubt: Mutex::new(None),
            runs: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(limits::BYTES_IN_FLIGHT >> 10)),
            started: Instant::now(),
            predecessor: AtomicBool::new(true),
        }
    }

    /// Waits for room for a message of so many bytes, but no longer than WeChat waits for an answer.
    pub async fn room(&self, bytes: usize) -> Option<Room> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1);
        if let Ok(room) = self.room.clone().try_acquire_many_owned(kib) {
            return Some(Room(room));
        }
        let room = self.room.clone().acquire_many_owned(kib);
        tokio::time::timeout(ONE_DELIVERY, room).await.ok()?.ok().map(Room)
    }

    /// How many messages are being run, late ones among them.
    pub fn under_way(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    /// Takes in one delivery of a message and returns the body that answers it.
    pub async fn deliver(self: &Arc<Self>, bot: &Arc<Bot>, message: Message, format: Format, room: Room) -> Body {
        let key = key(&bot.name, &message);
        match self.memory.seen(key) {
            Seen::Answered(body) => body,
            Seen::First => self.begin(bot.clone(), message, format, key, room).await,
            // The run ended without an answer, which only a panic does; the panic hook has logged it.
            Seen::Running(answer) => answer.await.unwrap_or_else(|_| silence()),
        }
    }

    /// Runs again what was pending when the last process ended, and sends what it had not sent. Never keeps a host from starting.
    pub async fn resume(self: &Arc<Self>, bot: impl Fn(&str) -> Option<Arc<Bot>>) {
        let recently = self.world.clock.now().saturating_sub(RECOLLECTION);
        if let Ok(false) = self.store.answered_since(recently).await {
            self.predecessor.store(false, Ordering::Relaxed);
        }
        self.resume_sending(&bot).await;
        let pending = match self.store.pending().await {
            Ok(pending) => pending,
            Err(error) => {
                return tracing::error!("messages that were pending at the last stop cannot be read: {error}");
            }
        };
        for (key, record) in pending {
            let pending: Option<Pending> = postcard::from_bytes(&record).ok();
            let now = self.world.clock.now();
            let Some(pending) = pending.filter(|pending| now < Duration::from_secs(pending.since) + PENDING_FOR) else {
                tracing::error!(message = ?key, "a pending message is too old, or its record cannot be read; it is given up");
                let mut commit = Commit::new(run::late_key(key), now);
                commit.pending = Some(PendingStep::End(key));
                if let Err(error) = self.store.commit(commit).await {
                    tracing::error!("{error}");
                }
                continue;
            };
            let Some(bot) = bot(&pending.bot) else {
                tracing::error!(bot = pending.bot, "a message is pending for a bot that is not in the configuration");
                continue;
            };
            tracing::info!(
                bot = &*bot.name,
                id = &*pending.message.id,
                "running a message again that was pending at the last stop"
            );
            let span = span(&bot, &pending.message);
            let delivery = Delivery::pending(bot, pending.message, key);
            let inbox = self.clone();
            tokio::spawn(
                async move {
                    let _late = inbox.followers.late(&delivery.bot.name, &delivery.message.sender);
                    inbox.run(&delivery).await;
                }
                .instrument(span),
            );
        }
    }

    /// Runs a message; its answer is there as soon as this has one for WeChat, though the run may go on.
    fn begin(
        self: &Arc<Self>,
        bot: Arc<Bot>,
        message: Message,
        format: Format,
        key: MessageKey,
        room: Room,
    ) -> Lasting<impl Future<Output = Body> + Send + 'static> {
        let span = span(&bot, &message);
        let delivery = Delivery::new(bot, message, format, key);
        let (inbox, interim) = (self.clone(), Interim::default());
        let unanswered = Unanswered { inbox: Some(self.clone()), key };
        let given = interim.clone();
        let run = async move {
            let _room = room;
            let running = Running::one_more(&inbox.runs);
            if running.before >= RUNS {
                tracing::error!("too many messages are under way; this one is not answered");
                let apology = delivery.bot.apology(&delivery.message);
                let body = delivery.render(&inbox.world, &apology);
                return unanswered.answered(body);
            }
            inbox.conduct(&delivery, unanswered, &given).await
        };
        Lasting::new(run.instrument(span), interim, silence)
    }

    /// Runs a message to its end, and has an answer in WeChat's time whatever happens.
    async fn conduct(self: &Arc<Self>, delivery: &Delivery, unanswered: Unanswered, given: &Interim) -> Body {
        if self.in_doubt()
            && let Ok(Some(answer)) = self.store.answer(&delivery.key).await
        {
            tracing::info!("answered from the record");
            return unanswered.answered(answer.into());
        }
        let mut run = pin!(self.run(delivery));
        let mut patience = self.patience(&delivery.message);
        loop {
            tokio::select! {
                biased;
                done = &mut run => return match done {
                    Done::Answered(body) => unanswered.answered(body),
                    Done::Failed(body) => unanswered.failed(body),
                    Done::Kept => unanswered.answered(silence()),
                },
                () = self.world.clock.sleep(patience) => {
                    if let Some(body) = Box::pin(self.give_interim_answer(delivery)).await {
                        let _late = self.followers.late(&delivery.bot.name, &delivery.message.sender);
                        given.give(unanswered.answered(body));
                        run.await;
                        // Nobody hears it any more.
                        return silence();
                    }
                    // The answer is being committed; only if that fails, because it was overtaken, is an interim one due.
                    patience = COMMIT_GRACE;
                }
            }
        }
    }

    /// Whether an answer may be recorded that is not remembered.
    fn in_doubt(&self) -> bool {
        let doubt = *self.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        let predecessor = self.predecessor.load(Ordering::Relaxed) && self.started.elapsed() < RECOLLECTION;
        predecessor || doubt.is_some_and(|since| since.elapsed() < RECOLLECTION)
    }

    /// How long from now WeChat will still take an answer. The delivery seen first need not be WeChat's first, as when this host was
    /// restarted; CreateTime tells, unless the two clocks disagree too much for it to mean anything.
    fn patience(&self, message: &Message) -> Duration {
        let age = self.world.clock.now().saturating_sub(Duration::from_secs(message.created.into()));
        if age <= PATIENCE { (PATIENCE - age).max(ONE_DELIVERY) } else { PATIENCE }
    }
}

/// A message under way that has no answer yet. One that ends without any, because of a panic, is forgotten.
struct Unanswered {
    /// Taken when it is answered.
    inbox: Option<Arc<Inbox>>,
    key: MessageKey,
}

impl Unanswered {
    fn answered(mut self, body: Body) -> Body {
        if let Some(inbox) = self.inbox.take() {
            inbox.memory.answered(self.key, &body);
        }
        body
    }

    /// The retry is to try again, rather than to hear the same.
    fn failed(mut self, body: Body) -> Body {
        if let Some(inbox) = self.inbox.take() {
            inbox.memory.failed(self.key, &body);
        }
        body
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            inbox.memory.forget(self.key);
        }
    }
}

/// A run under way, counted until it is dropped.
struct Running<'a> {
    runs: &'a AtomicUsize,
    before: usize,
}

impl<'a> Running<'a> {
    fn one_more(runs: &'a AtomicUsize) -> Self {
        Self { runs, before: runs.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// What tells a message from all others, the same for each of its deliveries. MsgId alone is not unique in practice, and events
/// have none as a rule.
fn key(bot: &str, message: &Message) -> MessageKey {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        // With its length, so that no two lists of parts are one text.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(bot);
    add(&message.account);
    add(&message.sender);
    add(&message.created.to_string());
    add(&message.id);
    match message.event() {
        Some(event) => {
            add("event");
            add(event);
            add(message.event_key().unwrap_or_default());
        }
        None if message.id.is_empty() => {
            // Nothing but its content is left to tell it by.
            add(&message.kind);
            add(message.text.as_deref().unwrap_or_default());
            for field in &message.fields {
                add(&field.name);
                add(&field.value);
            }
        }
        None => add("message"),
    }
    MessageKey(hash.finalize().into())
}

fn silence() -> Body {
    Body::from_static(crate::wechat::reply::SUCCESS.as_bytes())
}

fn span(bot: &Bot, message: &Message) -> tracing::Span {
    tracing::info_span!(
        "message",
        bot = &*bot.name,
        id = &*message.id,
        kind = &*message.kind,
        sender = &*message.sender
    )
}

#[cfg(test)]
mod tests;

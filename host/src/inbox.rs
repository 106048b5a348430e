//! Deliveries of one message share one run and one answer.
//!
//! WeChat gives a message up to three deliveries of five seconds each. The first begins the run, in a task of its own that no dropped
//! connection cancels; the others join it, or get the answer that is remembered. A run that wrote something is committed together with
//! its answer before anybody is told. When WeChat's time is nearly up, an interim answer is given, the message is recorded as pending in
//! the same commit, and what the run says in the end is kept until the follower asks for it.

mod followers;
mod memory;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, RwLock, Semaphore, watch};
use tracing::Instrument as _;

use self::{
    followers::{Followers, Turn},
    memory::{Memory, Seen},
};
use crate::{
    bot::{Answered, Bot},
    clock::World,
    limits,
    plugin::SharedWork,
    store::{Commit, MessageKey, Outcome, PendingStep, Store, StoreError, work::Work},
    wechat::{
        document::Format,
        message::Message,
        reply::{CheckedReply, Header},
    },
};

/// How long WeChat waits for an answer to all its deliveries of a message, less a second for the way.
const PATIENCE: Duration = Duration::from_secs(14);

/// How long it waits for the answer to one delivery, less half a second.
const ONE_DELIVERY: Duration = Duration::from_millis(4500);

/// How long after that a commit under way is waited for before it is looked at again.
const COMMIT_GRACE: Duration = Duration::from_millis(100);

/// Runs at one time. Beyond, messages get the apology at once: a backlog of this size could not be answered in time.
const RUNS: usize = 4096;

/// How often a run whose reads were overtaken is tried before it is alone, and how often in all where it may not be.
const TRIES: usize = 3;

/// Runs longer than this are never run alone: everybody else would wait for them.
const ALONE: Duration = Duration::from_secs(6);

/// Answers from before this process are looked for this long after its start: by then WeChat has given up on their messages.
const RECOLLECTION: Duration = Duration::from_secs(60);

/// The body of a response, as it was first rendered: all deliveries of a message get the same one.
pub type Body = Arc<str>;

/// Where messages arrive.
pub struct Inbox {
    store: Arc<dyn Store>,
    world: World,
    memory: Memory,
    followers: Followers,
    /// Held by every commit, and alone by a run that must not be overtaken again.
    alone: RwLock<()>,
    runs: AtomicUsize,
    /// KiB of messages that may still be taken in.
    room: Arc<Semaphore>,
    started: Instant,
}

/// Room for the bytes of one message, taken until its run is over.
pub struct Room(#[expect(dead_code, reason = "given back when it is dropped")] OwnedSemaphorePermit);

/// What is needed to run a message again after a restart.
#[derive(Serialize, Deserialize)]
struct Pending {
    bot: String,
    message: Message,
}

/// A message on its way through its run.
struct Delivery {
    bot: Arc<Bot>,
    message: Message,
    format: Format,
    key: MessageKey,
    phase: Mutex<Phase>,
}

/// How far a run is; decides who may answer.
enum Phase {
    /// The follower's turn, once it has come, is held here, so that a run that is late can let go of it.
    Running(Option<Turn>),
    /// The answer is being committed: WeChat's time may run out, but the answer is all but there.
    Committing(Option<Turn>),
    /// The interim answer was given.
    Late,
}

impl Inbox {
    /// An inbox whose runs read and write `store`.
    pub fn new(store: Arc<dyn Store>, world: World) -> Self {
        Self {
            store,
            world,
            memory: Memory::default(),
            followers: Followers::default(),
            alone: RwLock::new(()),
            runs: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(limits::BYTES_IN_FLIGHT >> 10)),
            started: Instant::now(),
        }
    }

    /// Waits for room for a message of so many bytes, but no longer than WeChat waits for an answer.
    pub async fn room(&self, bytes: usize) -> Option<Room> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1);
        let room = self.room.clone().acquire_many_owned(kib);
        tokio::time::timeout(ONE_DELIVERY, room).await.ok()?.ok().map(Room)
    }

    /// Takes in one delivery of a message and returns the body that answers it.
    pub async fn deliver(self: &Arc<Self>, bot: &Arc<Bot>, message: Message, format: Format, room: Room) -> Body {
        let key = key(&bot.name, &message);
        let mut answer = match self.memory.seen(key) {
            Seen::Answered(body) => return body,
            Seen::Running(answer) => answer,
            Seen::First(publish) => {
                let answer = publish.subscribe();
                self.begin(bot.clone(), message, format, key, room, publish);
                answer
            }
        };
        match answer.wait_for(Option::is_some).await {
            Ok(body) => body.clone().unwrap_or_else(silence),
            // The run's task ended without an answer, which only a panic does; the panic hook has logged it.
            Err(_) => silence(),
        }
    }

    /// Runs again what was pending when the last process ended.
    pub async fn resume(self: &Arc<Self>, bot: impl Fn(&str) -> Option<Arc<Bot>>) -> Result<(), StoreError> {
        for (key, record) in self.store.pending().await? {
            let pending: Option<Pending> = postcard::from_bytes(&record).ok();
            let found = pending.and_then(|pending| Some((bot(&pending.bot)?, pending.message)));
            let Some((bot, message)) = found else {
                tracing::error!(message = ?key, "a pending message can no longer be run: its bot is gone, or its record cannot be read");
                let mut commit = Commit::new(late_key(key), self.world.clock.now());
                commit.pending = Some(PendingStep::End(key));
                self.store.commit(commit).await?;
                continue;
            };
            tracing::info!(
                bot = &*bot.name,
                id = &*message.id,
                "running a message again that was pending at the last stop"
            );
            let span = span(&bot, &message);
            let delivery = Delivery { bot, message, format: Format::Xml, key, phase: Mutex::new(Phase::Late) };
            let inbox = self.clone();
            tokio::spawn(
                async move {
                    let _late = inbox.followers.late(&delivery.bot.name, &delivery.message.sender);
                    inbox.run(&delivery).await;
                }
                .instrument(span),
            );
        }
        Ok(())
    }

    fn begin(
        self: &Arc<Self>,
        bot: Arc<Bot>,
        message: Message,
        format: Format,
        key: MessageKey,
        room: Room,
        publish: watch::Sender<Option<Body>>,
    ) {
        let span = span(&bot, &message);
        let delivery = Delivery { bot, message, format, key, phase: Mutex::new(Phase::Running(None)) };
        let inbox = self.clone();
        tokio::spawn(
            async move {
                let _room = room;
                let running = Running::one_more(&inbox.runs);
                if running.before >= RUNS {
                    tracing::error!("too many messages are under way; this one is not answered");
                    let apology = delivery.bot.apology(&delivery.message);
                    inbox.publish(&delivery, &publish, inbox.render(&delivery, &apology));
                } else {
                    inbox.conduct(&delivery, &publish).await;
                }
            }
            .instrument(span),
        );
    }

    /// Runs a message to its end, and publishes an answer in WeChat's time whatever happens.
    async fn conduct(&self, delivery: &Delivery, publish: &watch::Sender<Option<Body>>) {
        if self.started.elapsed() < RECOLLECTION
            && let Ok(Some(answer)) = self.store.answer(&delivery.key).await
        {
            tracing::info!("answered from the record");
            return self.publish(delivery, publish, String::from_utf8_lossy(&answer).into());
        }
        let run = self.run(delivery);
        tokio::pin!(run);
        let mut patience = self.patience(&delivery.message);
        loop {
            tokio::select! {
                body = &mut run => return self.publish(delivery, publish, body.unwrap_or_else(silence)),
                () = tokio::time::sleep(patience) => {
                    if let Some(interim) = self.give_interim_answer(delivery).await {
                        let _late = self.followers.late(&delivery.bot.name, &delivery.message.sender);
                        self.publish(delivery, publish, interim);
                        run.await;
                        return;
                    }
                    // The answer is being committed; only if that fails, because it was overtaken, is an interim one due.
                    patience = COMMIT_GRACE;
                }
            }
        }
    }

    /// How long from now WeChat will still take an answer. The delivery seen first need not be WeChat's first, as when this host was
    /// restarted; CreateTime tells, unless the two clocks disagree too much for it to mean anything.
    fn patience(&self, message: &Message) -> Duration {
        let age = self.world.clock.now().saturating_sub(Duration::from_secs(message.created.into()));
        if age <= PATIENCE { (PATIENCE - age).max(ONE_DELIVERY) } else { PATIENCE }
    }

    /// Runs a message, again if its reads were overtaken, and commits what it did. Returns its answer, unless that came too late and
    /// is kept instead.
    async fn run(&self, delivery: &Delivery) -> Option<Body> {
        let turn = self.followers.turn(&delivery.bot.name, &delivery.message.sender).await;
        // A run that is late already does not hold up the messages behind it.
        match &mut *delivery.phase() {
            Phase::Running(slot) => *slot = Some(turn),
            Phase::Committing(_) | Phase::Late => drop(turn),
        }
        for tried in 1.. {
            let start = Instant::now();
            // A run that was overtaken once is not again: nobody else commits while it runs.
            let alone = if tried > 1 { Some(self.alone.write().await) } else { None };
            let done = self.attempt(delivery, alone.is_some()).await;
            drop(alone);
            if matches!(done, Attempt::Overtaken) {
                delivery.phase().back_to_running();
            }
            match done {
                Attempt::Answered(body) => return Some(body),
                Attempt::Kept => return None,
                Attempt::Overtaken if tried < TRIES && start.elapsed() < ALONE => {
                    tracing::debug!(tried, "its reads were overtaken; it is run again");
                }
                Attempt::Overtaken => {
                    tracing::error!("its reads were overtaken again and again; what it did is dropped");
                    let apology = delivery.bot.apology(&delivery.message);
                    return Some(self.render(delivery, &apology));
                }
            }
        }
        None
    }

    async fn attempt(&self, delivery: &Delivery, alone: bool) -> Attempt {
        let Delivery { bot, message, .. } = delivery;
        let start = Instant::now();
        let now = self.world.clock.now();
        let mut work = match Work::begin(self.store.clone(), bot.name.clone(), message.sender.clone(), now).await {
            Ok(work) => work,
            Err(error) => return self.unavailable(delivery, &error).await,
        };
        work.set_awaiting(self.followers.awaits(&bot.name, &message.sender));
        let work: SharedWork = Arc::new(tokio::sync::Mutex::new(work));
        let answered = bot.answer(message, &self.world, &work).await;
        tracing::info!(
            rule = answered.rule.map(|line| format!("line {line}")),
            plugin = answered.plugin.as_deref(),
            failed = answered.failed.then_some(true),
            reply = answered.reply.reply().kind(),
            ms = start.elapsed().as_millis(),
            "answered"
        );
        // Nobody else has it once the run is over.
        let Some(work) = Arc::into_inner(work).map(tokio::sync::Mutex::into_inner) else {
            tracing::error!("what the run did is still in use and is dropped");
            return Attempt::Answered(self.render(delivery, &bot.apology(message)));
        };
        let late = {
            let mut phase = delivery.phase();
            match &mut *phase {
                Phase::Running(turn) => {
                    *phase = Phase::Committing(turn.take());
                    false
                }
                Phase::Committing(_) => false,
                Phase::Late => true,
            }
        };
        let committed = if late {
            self.commit_late(delivery, work, answered, alone).await
        } else {
            self.commit(delivery, work, answered, alone).await
        };
        match committed {
            Ok(attempt) => attempt,
            Err(error) => self.unavailable(delivery, &error).await,
        }
    }

    /// Commits what a run did together with its answer.
    async fn commit(
        &self,
        delivery: &Delivery,
        mut work: Work,
        answered: Answered,
        alone: bool,
    ) -> Result<Attempt, StoreError> {
        work.keep(answered.pages);
        let body = self.render(delivery, &answered.reply);
        // A run that wrote nothing costs no write to the disk; its answer is remembered in memory alone.
        let answer = work.writes().then(|| body.as_bytes().to_vec());
        if answer.is_none() && !work.reads_several() {
            return Ok(Attempt::Answered(body));
        }
        let commit = work.commit(delivery.key, answer);
        Ok(match self.committed(commit, alone).await? {
            Outcome::Committed => Attempt::Answered(body),
            Outcome::Answered(earlier) => Attempt::Answered(String::from_utf8_lossy(&earlier).into()),
            Outcome::Conflict => Attempt::Overtaken,
            Outcome::Quota(scope) => {
                tracing::error!(
                    plugin = &*scope.plugin,
                    "the plugin has no room left in the store; what it did is dropped"
                );
                Attempt::Answered(self.render(delivery, &delivery.bot.apology(&delivery.message)))
            }
            Outcome::Ended => Attempt::Kept,
        })
    }

    /// Commits what a run did whose message was given an interim answer, and keeps its reply.
    async fn commit_late(
        &self,
        delivery: &Delivery,
        work: Work,
        answered: Answered,
        alone: bool,
    ) -> Result<Attempt, StoreError> {
        let Delivery { bot, message, key, .. } = delivery;
        let mut replies = Vec::new();
        // Where there was no interim answer, as with a phone's LOCATION, nobody is going to ask.
        if !bot.late_reply(message).is_silence() && !answered.reply.is_silence() {
            replies.push(answered.reply.into_reply());
            replies.extend(answered.pages);
        }
        for _ in 0..TRIES {
            let now = self.world.clock.now();
            let commit = work.late_commit(late_key(*key), *key, replies.clone(), now).await?;
            match self.committed(commit, alone).await? {
                Outcome::Committed | Outcome::Answered(_) => {
                    tracing::info!("the answer came late and is kept");
                    return Ok(Attempt::Kept);
                }
                Outcome::Ended => return Ok(Attempt::Kept),
                // The follower may have gone on between reading and writing; what the run read may have been overtaken as well, and
                // then it still is the next time.
                Outcome::Conflict => {}
                Outcome::Quota(scope) => {
                    tracing::error!(
                        plugin = &*scope.plugin,
                        "the plugin has no room left in the store; what it did is dropped"
                    );
                    return self.end_with_apology(delivery).await;
                }
            }
        }
        Ok(Attempt::Overtaken)
    }

    /// Ends a pending message whose run cannot be committed.
    async fn end_with_apology(&self, delivery: &Delivery) -> Result<Attempt, StoreError> {
        let Delivery { bot, message, key, .. } = delivery;
        let now = self.world.clock.now();
        let work = Work::begin(self.store.clone(), bot.name.clone(), message.sender.clone(), now).await?;
        let apology = bot.apology(message);
        let replies = if apology.is_silence() { Vec::new() } else { vec![apology.into_reply()] };
        let commit = work.late_commit(late_key(*key), *key, replies, now).await?;
        self.committed(commit, false).await?;
        Ok(Attempt::Kept)
    }

    /// Gives the interim answer, durably, unless the run's own is being committed already.
    async fn give_interim_answer(&self, delivery: &Delivery) -> Option<Body> {
        {
            let mut phase = delivery.phase();
            if !matches!(*phase, Phase::Running(_)) {
                return None;
            }
            // The follower's next messages go on from here.
            *phase = Phase::Late;
        }
        let body = self.render(delivery, delivery.bot.late_reply(&delivery.message));
        let pending = Pending { bot: delivery.bot.name.to_string(), message: delivery.message.clone() };
        let mut commit = Commit::new(delivery.key, self.world.clock.now());
        commit.answer = Some(body.as_bytes().to_vec());
        commit.pending = Some(PendingStep::Begin(postcard::to_stdvec(&pending).unwrap_or_default()));
        match self.store.commit(commit).await {
            Ok(Outcome::Answered(earlier)) => return Some(String::from_utf8_lossy(&earlier).into()),
            Ok(_) => tracing::info!("the answer is late; an interim one was given"),
            Err(error) => tracing::error!("the answer is late, and that is not recorded: {error}"),
        }
        Some(body)
    }

    async fn committed(&self, commit: Commit, alone: bool) -> Result<Outcome, StoreError> {
        let _shared = if alone { None } else { Some(self.alone.read().await) };
        self.store.commit(commit).await
    }

    /// What a message gets when the store fails.
    async fn unavailable(&self, delivery: &Delivery, error: &StoreError) -> Attempt {
        tracing::error!("{error}");
        let late = matches!(*delivery.phase(), Phase::Late);
        if late {
            // It stays pending, and is run again after a restart.
            return Attempt::Kept;
        }
        Attempt::Answered(self.render(delivery, &delivery.bot.apology(&delivery.message)))
    }

    fn render(&self, delivery: &Delivery, reply: &CheckedReply) -> Body {
        let message = &delivery.message;
        let header = Header { to: &message.sender, from: &message.account, created: self.world.clock.now().as_secs() };
        let mut body = String::new();
        reply.render(&header, delivery.format, &mut body);
        body.into()
    }

    fn publish(&self, delivery: &Delivery, publish: &watch::Sender<Option<Body>>, body: Body) {
        self.memory.answered(delivery.key, body.clone());
        publish.send_replace(Some(body));
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

/// What came of one attempt at a message.
enum Attempt {
    /// This is its answer, and it is committed.
    Answered(Body),
    /// It was late, and its answer is kept for the follower.
    Kept,
    /// What it read has changed meanwhile, and nothing of it was committed.
    Overtaken,
}

impl Phase {
    fn back_to_running(&mut self) {
        if let Self::Committing(turn) = self {
            *self = Self::Running(turn.take());
        }
    }
}

impl Delivery {
    fn phase(&self) -> std::sync::MutexGuard<'_, Phase> {
        // Nothing that holds the lock can panic half way through a change.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The key of the commit that ends a pending message: the message's own is taken by its interim answer.
fn late_key(key: MessageKey) -> MessageKey {
    MessageKey(Sha256::new().chain_update(b"late").chain_update(key.0).finalize().into())
}

fn silence() -> Body {
    crate::wechat::reply::SUCCESS.into()
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

//! One message's run: its turn, its attempts, and the commit that ends it, in time or late.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::{Body, Inbox, Pending, followers::Turn, outbox::Late};
use crate::{
    bot::{Answered, Bot},
    clock::World,
    limits,
    plugin::SharedWork,
    store::{Commit, MessageKey, Outcome, PendingStep, Scope, StoreError, work::Work},
    wechat::{
        document::Format,
        message::Message,
        reply::{CheckedReply, Header, Reply},
    },
};

/// How often a run is tried whose reads were overtaken.
const TRIES: usize = 5;

/// How long a run that was overtaken keeps the other messages of its plugin from committing. One that takes longer lets them go on, and
/// may be overtaken again.
const ALONE: Duration = Duration::from_secs(15);

/// How often a late answer is tried to be committed while the store fails, and the pause between.
const LATE_TRIES: usize = 60;
const LATE_PAUSE: Duration = Duration::from_secs(1);

/// What messages and replies are told under, for whoever wants to read along.
pub const DIALOGUE: &str = "dialogue";

/// Characters of a message and of a reply that are shown there.
const SHOWN: usize = 60;

/// Bytes that are set aside for a response's body: most texts' fit in.
const BODY: usize = 512;

/// A message on its way through its run.
pub(super) struct Delivery {
    pub(super) bot: Arc<Bot>,
    pub(super) message: Message,
    pub(super) key: MessageKey,
    format: Format,
    phase: Mutex<Phase>,
    /// Whether the message is recorded as pending.
    recorded: AtomicBool,
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

/// What came of a run.
pub(super) enum Done {
    /// This is its answer, and it is committed.
    Answered(Body),
    /// The store failed, and this is said instead.
    Failed(Body),
    /// It was late, and its answer is kept for the follower.
    Kept,
}

/// What came of one attempt.
enum Attempt {
    Done(Done),
    /// What it read of these scopes has changed meanwhile, and nothing of it was committed.
    Overtaken(Vec<Scope>),
    /// The same, after it had called the outside, which must not happen again.
    OvertakenOutside,
}

impl Delivery {
    /// A message that has just arrived.
    pub(super) fn new(bot: Arc<Bot>, message: Message, format: Format, key: MessageKey) -> Self {
        let phase = Mutex::new(Phase::Running(None));
        Self { bot, message, key, format, phase, recorded: AtomicBool::new(false) }
    }

    /// A message that has been given its interim answer by a process before this one.
    pub(super) fn pending(bot: Arc<Bot>, message: Message, key: MessageKey) -> Self {
        let phase = Mutex::new(Phase::Late);
        Self { bot, message, key, format: Format::Xml, phase, recorded: AtomicBool::new(true) }
    }

    /// The body of a response with this reply.
    pub(super) fn render(&self, world: &World, reply: &CheckedReply) -> Body {
        let header =
            Header { to: &self.message.sender, from: &self.message.account, created: world.clock.now().as_secs() };
        let mut body = String::with_capacity(BODY);
        reply.render(&header, self.format, &mut body);
        body.into()
    }

    fn is_late(&self) -> bool {
        matches!(*self.phase(), Phase::Late)
    }

    /// The answer is about to be committed; false if the interim one was given already.
    fn begin_commit(&self) -> bool {
        let mut phase = self.phase();
        match &mut *phase {
            Phase::Running(turn) => {
                *phase = Phase::Committing(turn.take());
                true
            }
            Phase::Committing(_) => true,
            Phase::Late => false,
        }
    }

    /// Nothing was committed, and there is another attempt.
    fn back_to_running(&self) {
        let mut phase = self.phase();
        if let Phase::Committing(turn) = &mut *phase {
            *phase = Phase::Running(turn.take());
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        // Nothing that holds the lock can panic half way through a change.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// Runs a message, again if its reads were overtaken, and commits what it did.
    pub(super) async fn run(self: &Arc<Self>, delivery: &Delivery) -> Done {
        let Delivery { bot, message, .. } = delivery;
        // A message that is late before its turn has come does not hold up those behind it; of late ones, a follower has one at a time.
        let mut lane = None;
        if !delivery.is_late() {
            let turn = self.followers.turn(&bot.name, &message.sender).await;
            if let Phase::Running(slot) = &mut *delivery.phase() {
                *slot = Some(turn);
            }
        }
        if delivery.is_late() {
            lane = Some(self.followers.lane(&bot.name, &message.sender).await);
        }
        let mut contested: Vec<Scope> = Vec::new();
        for tried in 1..=TRIES {
            let mut alone = None;
            if !contested.is_empty() {
                alone = Some(self.scopes.alone(contested.iter()).await);
            }
            let is_alone = AtomicBool::new(alone.is_some());
            let done = {
                let mut attempt = pin!(self.attempt(delivery, &contested, &is_alone));
                tokio::select! {
                    biased;
                    done = &mut attempt => done,
                    () = tokio::time::sleep(ALONE), if alone.is_some() => {
                        is_alone.store(false, Ordering::Release);
                        alone = None;
                        attempt.as_mut().await
                    }
                }
            };
            drop(alone);
            match done {
                Attempt::Done(done) => {
                    drop(lane);
                    return done;
                }
                Attempt::Overtaken(scopes) => {
                    delivery.back_to_running();
                    tracing::debug!(tried, "its reads were overtaken; it is run again");
                    contested = scopes;
                }
                Attempt::OvertakenOutside => {
                    tracing::error!(
                        "its reads were overtaken after it had called the outside, so it is not run again; what it stored is dropped"
                    );
                    return Box::pin(self.give_up(delivery)).await;
                }
            }
        }
        tracing::error!("its reads were overtaken {TRIES} times; what it did is dropped");
        Box::pin(self.give_up(delivery)).await
    }

    /// Ends a message whose run could not be committed.
    async fn give_up(self: &Arc<Self>, delivery: &Delivery) -> Done {
        if delivery.is_late() { self.end_with_apology(delivery).await } else { self.apologise(delivery) }
    }

    /// Gives the interim answer, durably, unless the run's own is being committed already.
    pub(super) async fn give_interim_answer(&self, delivery: &Delivery) -> Option<Body> {
        // A word to the host is answered as soon as its turn comes, which those before it in line give up in time.
        if delivery.bot.is_word(&delivery.message) {
            return None;
        }
        {
            let mut phase = delivery.phase();
            if !matches!(*phase, Phase::Running(_)) {
                return None;
            }
            // The follower's next messages go on from here.
            *phase = Phase::Late;
        }
        let pushed = self.may_push(&delivery.bot).await;
        let body = delivery.render(&self.world, delivery.bot.late_reply(&delivery.message, pushed));
        let now = self.world.clock.now();
        let pending =
            Pending { bot: delivery.bot.name.to_string(), message: delivery.message.clone(), since: now.as_secs() };
        let mut commit = Commit::new(delivery.key, now);
        commit.answer = Some(body.to_vec());
        commit.pending = Some(PendingStep::Begin(postcard::to_stdvec(&pending).unwrap_or_default()));
        match self.store.commit(commit).await {
            Ok(Outcome::Answered(earlier)) => return Some(earlier.into()),
            Ok(_) => {
                delivery.recorded.store(true, Ordering::Release);
                tracing::info!("the answer is late; an interim one was given");
            }
            Err(error) => {
                self.doubt();
                tracing::error!(
                    "the answer is late, and would be lost by a restart, since that cannot be recorded: {error}"
                );
            }
        }
        Some(body)
    }

    async fn attempt(self: &Arc<Self>, delivery: &Delivery, contested: &[Scope], alone: &AtomicBool) -> Attempt {
        let Delivery { bot, message, .. } = delivery;
        let start = Instant::now();
        let was_late = delivery.is_late();
        let mut work = match self.begin_work(delivery).await {
            Ok(work) => work,
            Err(error) => return Attempt::Done(self.failed(delivery, &error)),
        };
        // Of a late run, the follower waits for itself; that is no reason to say so to the follower.
        work.set_awaiting(match &*delivery.phase() {
            Phase::Running(Some(turn)) => turn.awaits(0),
            _ => self.followers.awaits(&bot.name, &message.sender, usize::from(was_late)),
        });
        work.set_queue(if was_late { limits::PLUGIN_QUEUE_LATE } else { limits::PLUGIN_QUEUE });
        let work: SharedWork = Arc::new(tokio::sync::Mutex::new(work));
        let answered = bot.answer(message, &self.world, &work).await;
        tell(message, &answered, start.elapsed());
        // Nobody else has it once the run is over.
        let Some(mut work) = Arc::into_inner(work).map(tokio::sync::Mutex::into_inner) else {
            tracing::error!("what the run did is still in use and is dropped");
            return Attempt::Done(self.apologise(delivery));
        };
        // Those with whom the run is alone are held already. WeChat's time may run out here: then the commit is a late one.
        let held = |scope: &&Scope| !(alone.load(Ordering::Acquire) && contested.contains(scope));
        let _shared = self.scopes.share(work.scopes().filter(held)).await;
        if delivery.begin_commit() {
            work.keep_pages(answered.pages);
            let body = delivery.render(&self.world, &answered.reply);
            // A run that wrote nothing costs no write to the disk; its answer is remembered in memory alone.
            if !work.writes() && !work.reads_several() {
                return Attempt::Done(Done::Answered(body));
            }
            Box::pin(self.commit(delivery, work, body)).await
        } else {
            // Apart, like all that is seldom done: every message's run has the size of the largest thing that it may do.
            Box::pin(self.commit_late(delivery, &work, answered)).await
        }
    }

    /// Begins the work of a message; where its answer is late anyway, waits for a store that fails.
    async fn begin_work(&self, delivery: &Delivery) -> Result<Work, StoreError> {
        let mut tried = 0;
        loop {
            let (bot, sender) = (delivery.bot.name.clone(), delivery.message.sender.clone());
            match Work::begin(self.store.clone(), bot, sender, self.world.clock.now()).await {
                Err(error) if delivery.is_late() && tried < LATE_TRIES => {
                    tracing::warn!("waiting for the store: {error}");
                    tried += 1;
                    tokio::time::sleep(LATE_PAUSE).await;
                }
                begun => return begun,
            }
        }
    }

    /// Commits what a run did together with its answer.
    async fn commit(&self, delivery: &Delivery, work: Work, body: Body) -> Attempt {
        let answer = work.writes().then(|| body.to_vec());
        let overtaken = overtaken(&work);
        Attempt::Done(match self.store.commit(work.commit(delivery.key, answer)).await {
            Ok(Outcome::Committed) => Done::Answered(body),
            Ok(Outcome::Answered(earlier)) => Done::Answered(earlier.into()),
            Ok(Outcome::Conflict) => return overtaken,
            Ok(Outcome::Quota(scope)) => {
                no_room(&scope);
                self.apologise(delivery)
            }
            Ok(Outcome::Ended) => Done::Kept,
            Err(error) => self.failed(delivery, &error),
        })
    }

    /// Commits what a run did whose message was given an interim answer, and keeps its reply.
    async fn commit_late(self: &Arc<Self>, delivery: &Delivery, work: &Work, answered: Answered) -> Attempt {
        let Delivery { bot, message, key, .. } = delivery;
        let mut replies = Vec::new();
        // Where there was no interim answer, as with a phone's LOCATION, nobody waits for one.
        if !bot.late_reply(message, false).is_silence() && !answered.reply.is_silence() {
            replies.push(answered.reply.into_reply());
            replies.extend(answered.pages);
        }
        let late = self.divide(delivery, replies).await;
        let pushed = late.push.is_some();
        let mut conflicts = 0;
        for _ in 0..LATE_TRIES {
            let now = self.world.clock.now();
            let pending = delivery.recorded.load(Ordering::Acquire).then_some(*key);
            let Late { push, kept, pages } = late.clone();
            let committed = match work.late_commit(late_key(*key), pending, kept, pages, now).await {
                Ok(mut commit) => {
                    commit.outbox.extend(push.map(|reply| self.outgoing(delivery, reply)));
                    self.store.commit(commit).await
                }
                Err(error) => Err(error),
            };
            match committed {
                Ok(Outcome::Committed | Outcome::Answered(_)) if pushed => {
                    tracing::info!("the answer came late and is going to be sent");
                    self.dispatch(bot, &message.sender);
                    return Attempt::Done(Done::Kept);
                }
                Ok(Outcome::Committed | Outcome::Answered(_)) => {
                    tracing::info!("the answer came late and is kept");
                    return Attempt::Done(Done::Kept);
                }
                Ok(Outcome::Ended) => {
                    tracing::warn!("the answer came late, and another run of the message had ended it already");
                    return Attempt::Done(Done::Kept);
                }
                // The follower may have gone on between reading and writing; if it is the run's own reads that were overtaken, they
                // still are the next time.
                Ok(Outcome::Conflict) if conflicts < 2 => conflicts += 1,
                Ok(Outcome::Conflict) => return overtaken(work),
                Ok(Outcome::Quota(scope)) => {
                    no_room(&scope);
                    return Attempt::Done(self.end_with_apology(delivery).await);
                }
                Err(error) => {
                    self.doubt();
                    tracing::warn!("waiting for the store, to keep a late answer: {error}");
                    tokio::time::sleep(LATE_PAUSE).await;
                }
            }
        }
        // It stays pending, and is run again after a restart.
        tracing::error!("a late answer could not be kept");
        Attempt::Done(Done::Kept)
    }

    /// Ends a pending message whose run cannot be committed.
    async fn end_with_apology(self: &Arc<Self>, delivery: &Delivery) -> Done {
        let Delivery { bot, message, key, .. } = delivery;
        let apology = bot.apology(message);
        let replies = if apology.is_silence() { Vec::new() } else { vec![apology.into_reply()] };
        let Late { push, kept, pages } = self.divide(delivery, replies).await;
        let pushed = push.is_some();
        let pending = delivery.recorded.load(Ordering::Acquire).then_some(*key);
        let ended = async {
            let work = self.begin_work(delivery).await?;
            let now = self.world.clock.now();
            let mut commit = work.late_commit(late_key(*key), pending, kept, pages, now).await?;
            commit.outbox.extend(push.map(|reply| self.outgoing(delivery, reply)));
            self.store.commit(commit).await
        };
        match ended.await {
            Ok(Outcome::Committed) if pushed => self.dispatch(bot, &message.sender),
            Ok(_) => {}
            Err(error) => tracing::error!("a message that failed late could not be ended: {error}"),
        }
        Done::Kept
    }

    fn apologise(&self, delivery: &Delivery) -> Done {
        Done::Answered(delivery.render(&self.world, &delivery.bot.apology(&delivery.message)))
    }

    /// What a message gets when the store fails. What was handed to it may have been committed all the same.
    fn failed(&self, delivery: &Delivery, error: &StoreError) -> Done {
        tracing::error!("{error}");
        self.doubt();
        Done::Failed(delivery.render(&self.world, &delivery.bot.apology(&delivery.message)))
    }

    fn doubt(&self) {
        *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// What a conflict means for a run.
fn overtaken(work: &Work) -> Attempt {
    if work.called().is_noted() {
        return Attempt::OvertakenOutside;
    }
    Attempt::Overtaken(work.scopes().cloned().collect())
}

/// The key of the commit that ends a pending message: the message's own is taken by its interim answer.
pub(super) fn late_key(key: MessageKey) -> MessageKey {
    MessageKey(Sha256::new().chain_update(b"late").chain_update(key.0).finalize().into())
}

/// Says that a message was answered; what was said only to its author, who runs `mynah dev`: a server's log is no place for what
/// followers write.
fn tell(message: &Message, answered: &Answered, time: Duration) {
    let rule = answered.rule.map(|line| format!("line {line}"));
    let plugin = answered.plugin.as_deref();
    let failed = answered.failed.then_some(true);
    let reply = answered.reply.reply();
    let ms = milliseconds(time);
    if tracing::enabled!(target: DIALOGUE, tracing::Level::INFO) {
        tracing::info!(target: DIALOGUE, rule, plugin, failed, ms, "{} → {}", said(message), replied(reply));
    } else {
        tracing::info!(rule, plugin, failed, reply = reply.kind(), ms, "answered");
    }
}

fn said(message: &Message) -> String {
    match (&message.text, message.event()) {
        (Some(text), _) => short(text),
        (None, Some(event)) => format!("[{} {}]", short(event), short(message.field("EventKey").unwrap_or_default())),
        (None, None) => format!("[{}]", short(&message.kind)),
    }
}

fn replied(reply: &Reply) -> String {
    match reply {
        Reply::Text(text) => short(text),
        other => format!("[{}]", other.kind()),
    }
}

/// As much of a text as fits on a line, and of it what a terminal may see.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// To a tenth: most answers take less than one.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

fn no_room(scope: &Scope) {
    tracing::error!(plugin = &*scope.plugin, "the plugin has no room left in the store; what it did is dropped");
}

//! Late answers on their way to followers as customer-service messages, where `late.mode` is `push`.
//!
//! An answer is put into the outbox by the very commit that ends its message. It is marked as being sent, durably, before a byte of it
//! leaves: so a host that was killed before sends it after its restart, and one that was killed meanwhile, or got no answer, does not send
//! it again, since nobody knows whether it arrived. What WeChat refuses is kept for 「继续」, as it would have been without `push`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{Inbox, run::Delivery};
use crate::{
    bot::Bot,
    store::{Addressee, Commit, MessageKey, OutboxStep, Outcome, Parcel, StoreError, follower::KEPT, work::Work},
    wechat::reply::Reply,
    wechat_api::{Account, ApiError, has_form},
};

/// Answers that wait to be sent, in all; more are kept for 「继续」. WeChat takes some hundred a second.
const WAITING: usize = 10_000;

/// Answers that are being sent at one time.
const SENDS: usize = 16;

/// Between two messages to one follower, so that a phone shows them in order.
const PACE: Duration = Duration::from_millis(500);

/// The pause after the API could not be reached, which doubles each time up to the second; and when to keep the answer rather than try on.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);

/// How long WeChat takes customer-service messages after the follower last wrote. What is older is not even tried.
const WINDOW: Duration = Duration::from_secs(48 * 60 * 60);

/// How long it is remembered that an account may not push. After that one late answer tries again: the account may have been certified.
const REFUSED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause while the store fails.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long a stopping host waits for what is being sent: the API's own time for a call, and a little.
const SETTLING: Duration = Duration::from_secs(12);

/// WeChat's words for "this account may not", "the follower's 48 hours are over", "too many since the follower last wrote".
const NOT_PERMITTED: i64 = 48001;
const WINDOW_OVER: i64 = 45015;
const QUOTA_USED: i64 = 45047;

/// What is on its way out.
pub(super) struct Outbox {
    /// Followers whose answers are being sent, each by one task, and whether more came since it last looked.
    busy: Mutex<HashMap<(Arc<str>, String), bool>>,
    sends: Semaphore,
    waiting: AtomicUsize,
    stopping: AtomicBool,
}

/// A parcel's content.
#[derive(Serialize, Deserialize)]
struct Outgoing {
    reply: Reply,
    /// In seconds since the Unix epoch.
    since: u64,
}

/// What is noted of a bot whose account may not push.
#[derive(Serialize, Deserialize)]
struct Refused {
    app_id: String,
    /// In seconds since the Unix epoch.
    until: u64,
}

/// A late answer, divided into what is sent and what is kept.
#[derive(Default, Clone)]
pub(super) struct Late {
    /// Sent.
    pub(super) push: Option<Reply>,
    /// Kept as an answer.
    pub(super) kept: Vec<Reply>,
    /// Kept as the further pages of what is sent, which ends with how to ask for them.
    pub(super) pages: Vec<Reply>,
}

/// What to do after an attempt to send.
enum Next {
    /// The parcel is done with.
    Go,
    /// It certainly was not sent.
    Wait(ApiError),
    /// Another host has it, or this one is stopping.
    Leave,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            busy: Mutex::default(),
            sends: Semaphore::new(SENDS),
            waiting: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }
}

impl Inbox {
    /// Whether a late answer of this bot is pushed, as far as is known.
    pub(super) async fn may_push(&self, bot: &Bot) -> bool {
        let Some(account) = bot.pushes() else { return false };
        let refused = match self.store.note(&note_name(&bot.name)).await {
            Ok(note) => note.and_then(|note| postcard::from_bytes::<Refused>(&note).ok()),
            Err(_) => return false,
        };
        refused.is_none_or(|refused| {
            refused.app_id != **account.app_id() || self.world.clock.now().as_secs() >= refused.until
        })
    }

    /// Says what of a late answer is sent, and what kept.
    pub(super) async fn divide(&self, delivery: &Delivery, mut replies: Vec<Reply>) -> Late {
        let Delivery { bot, message, .. } = delivery;
        let sendable = replies.first().is_some_and(has_form) && self.may_push(bot).await;
        if !sendable {
            return Late { kept: replies, ..Late::default() };
        }
        let before = self.store.outbox(&bot.name, &message.sender).await.map_or(KEPT, |parcels| parcels.len());
        if before >= KEPT || self.outbox.waiting.load(Ordering::Relaxed) >= WAITING {
            tracing::warn!("too many late answers wait to be sent; this one is kept");
            return Late { kept: replies, ..Late::default() };
        }
        let pages = replies.split_off(1);
        Late { push: replies.pop(), kept: Vec::new(), pages }
    }

    /// The step that puts a reply into the outbox.
    pub(super) fn outgoing(&self, delivery: &Delivery, reply: Reply) -> OutboxStep {
        let outgoing = Outgoing { reply, since: self.world.clock.now().as_secs() };
        OutboxStep::Put {
            bot: delivery.bot.name.clone(),
            openid: delivery.message.sender.clone(),
            // Nothing in it can fail to be encoded.
            record: postcard::to_stdvec(&outgoing).unwrap_or_default(),
        }
    }

    /// Sends what was put into the outbox for a follower.
    pub(super) fn dispatch(self: &Arc<Self>, bot: &Arc<Bot>, openid: &str) {
        self.outbox.waiting.fetch_add(1, Ordering::Relaxed);
        self.send_to(bot, openid);
    }

    /// Sends what the last process left. What is for bots that are gone stays until it is too old.
    pub(super) async fn resume_sending(self: &Arc<Self>, bot: impl Fn(&str) -> Option<Arc<Bot>>) {
        let addressees = match self.store.addressees().await {
            Ok(addressees) => addressees,
            Err(error) => return tracing::error!("late answers that were to be sent cannot be read: {error}"),
        };
        for Addressee { bot: name, openid, parcels } in addressees {
            self.outbox.waiting.fetch_add(usize::try_from(parcels).unwrap_or(WAITING), Ordering::Relaxed);
            match bot(&name) {
                Some(bot) => self.send_to(&bot, &openid),
                None => self.forget_old(&name, &openid).await,
            }
        }
    }

    /// Waits for what is being sent, for a bounded time, and begins nothing more: the rest is sent after the next start.
    pub async fn settle(&self) {
        self.outbox.stopping.store(true, Ordering::Release);
        let all = self.outbox.sends.acquire_many(SENDS as u32);
        if tokio::time::timeout(SETTLING, all).await.is_err() {
            tracing::warn!("stopped while late answers were being sent; nobody knows whether they arrived");
        }
    }

    fn send_to(self: &Arc<Self>, bot: &Arc<Bot>, openid: &str) {
        let follower = (bot.name.clone(), openid.to_owned());
        {
            let mut busy = self.outbox.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(more) = busy.get_mut(&follower) {
                *more = true;
                return;
            }
            busy.insert(follower.clone(), false);
        }
        // Until all is sent, the follower's 「继续」 is answered with patience.
        let late = self.followers.late(&bot.name, openid);
        let (inbox, bot) = (self.clone(), bot.clone());
        let span = tracing::info_span!(parent: None, "push", bot = &*bot.name, sender = openid);
        let send = async move {
            let _late = late;
            inbox.send_all(&bot, follower).await;
        };
        tokio::spawn(send.instrument(span));
    }

    /// Sends all that there is for a follower, one after the other.
    async fn send_all(&self, bot: &Arc<Bot>, follower: (Arc<str>, String)) {
        let openid = follower.1.as_str();
        let (mut pause, mut waited) = (PAUSE, Duration::ZERO);
        let mut first = true;
        loop {
            let parcels = match self.store.outbox(&bot.name, openid).await {
                Ok(parcels) => parcels,
                Err(error) => {
                    tracing::warn!("waiting for the store, to send a late answer: {error}");
                    tokio::time::sleep(STORE_PAUSE).await;
                    continue;
                }
            };
            let Some(parcel) = parcels.into_iter().next() else {
                let mut busy = self.outbox.busy.lock().unwrap_or_else(PoisonError::into_inner);
                if busy.get(&follower) == Some(&true) {
                    busy.insert(follower.clone(), false);
                    continue;
                }
                busy.remove(&follower);
                return;
            };
            if !std::mem::take(&mut first) {
                tokio::time::sleep(PACE).await;
            }
            match self.send_one(bot, openid, &parcel, waited < PATIENCE).await {
                Next::Go => (pause, waited) = (PAUSE, Duration::ZERO),
                Next::Wait(error) => {
                    tracing::warn!("a late answer waits to be sent: {error}");
                    tokio::time::sleep(pause).await;
                    waited += pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                // It stays marked as busy: nobody else of this process is to begin.
                Next::Leave => return,
            }
        }
    }

    /// Sends one answer, or keeps it for the follower where that is impossible.
    async fn send_one(&self, bot: &Arc<Bot>, openid: &str, parcel: &Parcel, patient: bool) -> Next {
        if parcel.sending {
            tracing::error!(
                "the host stopped while a late answer was being sent; it may have arrived, and is not sent again"
            );
            return self.end(bot, openid, parcel, None, None).await;
        }
        let Ok(Outgoing { reply, since }) = postcard::from_bytes(&parcel.record) else {
            tracing::error!("a late answer cannot be read and is given up");
            return self.end(bot, openid, parcel, None, None).await;
        };
        let old = self.world.clock.now() >= Duration::from_secs(since) + WINDOW;
        let account = match bot.pushes() {
            Some(account) if patient && !old && self.may_push(bot).await => account,
            _ => {
                tracing::warn!("a late answer could not be sent and is kept");
                return self.end(bot, openid, parcel, Some(reply), None).await;
            }
        };
        let Ok(_permit) = self.outbox.sends.acquire().await else { return Next::Leave };
        if self.outbox.stopping.load(Ordering::Acquire) {
            return Next::Leave;
        }
        match account.prepare().await {
            Ok(()) => {}
            Err(error @ ApiError::Refused { .. }) => {
                return self.refused(bot, openid, parcel, reply, account, &error).await;
            }
            Err(error) => return Next::Wait(error),
        }
        match self.step(OutboxStep::Begin(parcel.id)).await {
            Outcome::Committed => {}
            _ => return Next::Leave,
        }
        match account.send(openid, &reply).await {
            Ok(()) => {
                let next = self.end(bot, openid, parcel, None, None).await;
                tracing::info!(reply = reply.kind(), "a late answer was sent");
                next
            }
            Err(error @ (ApiError::Refused { .. } | ApiError::NoForm)) => {
                self.refused(bot, openid, parcel, reply, account, &error).await
            }
            Err(error @ ApiError::Unreachable(_)) => {
                self.step(OutboxStep::Back(parcel.id)).await;
                Next::Wait(error)
            }
            Err(error @ (ApiError::Unknown(_) | ApiError::Time | ApiError::TooLarge(_))) => {
                tracing::error!("a late answer may have arrived or not, and is not sent again: {error}");
                self.end(bot, openid, parcel, None, None).await
            }
        }
    }

    /// Keeps an answer that WeChat did not take, and remembers if that is for good.
    async fn refused(
        &self,
        bot: &Arc<Bot>,
        openid: &str,
        parcel: &Parcel,
        reply: Reply,
        account: &Arc<Account>,
        error: &ApiError,
    ) -> Next {
        let code = if let ApiError::Refused { code, .. } = error { *code } else { 0 };
        let mut note = None;
        match code {
            NOT_PERMITTED => {
                tracing::warn!("this account may not push, so late answers are kept for a day, this one too: {error}");
                let until = (self.world.clock.now() + REFUSED_FOR).as_secs();
                note = postcard::to_stdvec(&Refused { app_id: account.app_id().to_string(), until }).ok();
            }
            WINDOW_OVER | QUOTA_USED => tracing::info!("a late answer is kept: {error}"),
            _ => tracing::warn!("a late answer could not be sent and is kept: {error}"),
        }
        self.end(bot, openid, parcel, Some(reply), note).await
    }

    /// Takes a parcel out of the outbox, keeping its reply for the follower where one is given.
    async fn end(
        &self,
        bot: &Arc<Bot>,
        openid: &str,
        parcel: &Parcel,
        kept: Option<Reply>,
        note: Option<Vec<u8>>,
    ) -> Next {
        loop {
            let ended = async {
                let now = self.world.clock.now();
                let step = OutboxStep::End(parcel.id);
                let key = step_key(&step);
                let mut commit = match kept.clone() {
                    Some(reply) => {
                        let (store, name) = (self.store.clone(), bot.name.clone());
                        let work = Work::begin(store, name, openid.to_owned(), now).await?;
                        work.late_commit(key, None, vec![reply], Vec::new(), now).await?
                    }
                    None => Commit::new(key, now),
                };
                commit.outbox.push(step);
                commit.note = note.clone().map(|note| (note_name(&bot.name), Some(note)));
                self.store.commit(commit).await
            };
            match ended.await {
                Ok(Outcome::Committed) => {
                    self.outbox.waiting.fetch_sub(1, Ordering::Relaxed);
                    return Next::Go;
                }
                // The follower went on between reading and writing.
                Ok(Outcome::Conflict) => {}
                Ok(_) => return Next::Leave,
                // What was sent must not be forgotten, or it would look as if nobody knew.
                Err(error) => self.wait_for_store(&error).await,
            }
        }
    }

    /// Commits a step of the outbox by itself.
    async fn step(&self, step: OutboxStep) -> Outcome {
        loop {
            let mut commit = Commit::new(step_key(&step), self.world.clock.now());
            commit.outbox.push(step.clone());
            match self.store.commit(commit).await {
                Ok(outcome) => return outcome,
                Err(error) => self.wait_for_store(&error).await,
            }
        }
    }

    async fn wait_for_store(&self, error: &StoreError) {
        tracing::warn!("waiting for the store, to note what became of a late answer: {error}");
        tokio::time::sleep(STORE_PAUSE).await;
    }

    /// Drops what waits for a bot that is not in the configuration, once nobody would want it any more.
    async fn forget_old(&self, bot: &Arc<str>, openid: &str) {
        tracing::error!(bot = &**bot, "late answers wait to be sent for a bot that is not in the configuration");
        let now = self.world.clock.now();
        for parcel in self.store.outbox(bot, openid).await.unwrap_or_default() {
            let fresh = postcard::from_bytes::<Outgoing>(&parcel.record)
                .is_ok_and(|outgoing| now < Duration::from_secs(outgoing.since) + WINDOW);
            if !fresh {
                let mut commit = Commit::new(step_key(&OutboxStep::End(parcel.id)), now);
                commit.outbox.push(OutboxStep::End(parcel.id));
                if let Err(error) = self.store.commit(commit).await {
                    tracing::error!("{error}");
                }
            }
        }
    }
}

/// The key of a commit that is no message's. No answer is ever recorded under it.
fn step_key(step: &OutboxStep) -> MessageKey {
    let id = match step {
        OutboxStep::Put { .. } => 0,
        OutboxStep::Begin(id) | OutboxStep::Back(id) | OutboxStep::End(id) => id.0,
    };
    MessageKey(Sha256::new().chain_update(b"outbox").chain_update(id.to_le_bytes()).finalize().into())
}

/// Under which name it is noted that a bot may not push.
fn note_name(bot: &str) -> String {
    format!("push refused: {bot}")
}

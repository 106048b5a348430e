//! The unit of work of one message: everything it reads and writes, until all of it is committed together with its answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Access, Commit, FollowerChange, FollowerStep, MessageKey, PendingStep, Scope, Store, StoreError, Version,
    follower::{Conversation, Follower},
};
use crate::{called::Called, limits, wechat::reply::Reply};

/// Bytes of a plugin's key.
pub const KEY: usize = 512;

/// Bytes of a plugin's value.
pub const VALUE: usize = 1024 * 1024;

/// Bytes of a conversation's state.
pub const STATE: usize = 64 * 1024;

/// Bytes of keys and values that one plugin may store for one bot.
pub const QUOTA: u64 = 256 * 1024 * 1024;

/// Bytes of keys and values that one message may write.
pub const WRITTEN: usize = 16 * 1024 * 1024;

/// Operations on the store that one message may make: more than sensible plugins do, and not so many that they add up to a load.
pub const OPERATIONS: u32 = 10_000;

/// Keys in one answer to `list`.
pub const LISTED: u32 = 1_000;

/// The longest conversation.
pub const CONVERSATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why an operation of a plugin failed; `code` is the contract's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What a plugin branches on.
    pub code: &'static str,
    /// What a person reads.
    pub message: String,
}

/// What one message reads and writes.
pub struct Work {
    store: Arc<dyn Store>,
    bot: Arc<str>,
    openid: String,
    now: Duration,
    follower: Follower,
    follower_version: Version,
    follower_changed: bool,
    scopes: BTreeMap<Scope, Access>,
    /// What the plugin that is running has done so far.
    step: Option<Step>,
    operations: u32,
    /// Whether an answer that came too late for its message is still being made.
    awaiting: bool,
    /// How long its plugins may wait to be called.
    queue: Duration,
    called: Called,
    /// The conversation as it was read, to tell whether it went on meanwhile.
    conversation_read: Option<Conversation>,
}

/// What one plugin does: kept when it answers, dropped when it passes or fails.
struct Step {
    scope: Scope,
    writes: BTreeMap<String, Option<Vec<u8>>>,
    written: usize,
    /// Bytes of the scope when the first write asked.
    usage: Option<u64>,
    conversation: Option<Option<Conversation>>,
}

impl Work {
    /// Begins the work of a message by reading what is recorded of its follower.
    pub async fn begin(
        store: Arc<dyn Store>,
        bot: Arc<str>,
        openid: String,
        now: Duration,
    ) -> Result<Self, StoreError> {
        let (follower, follower_version) = read_follower(&*store, &bot, &openid, now).await?;
        let conversation_read = follower.conversation().cloned();
        Ok(Self {
            store,
            bot,
            openid,
            now,
            follower,
            follower_version,
            follower_changed: false,
            scopes: BTreeMap::new(),
            step: None,
            operations: 0,
            awaiting: false,
            queue: limits::PLUGIN_QUEUE,
            called: Called::default(),
            conversation_read,
        })
    }

    /// Says whether the follower waits for a late answer.
    pub fn set_awaiting(&mut self, awaiting: bool) {
        self.awaiting = awaiting;
    }

    /// Says how long its plugins may wait to be called.
    pub fn set_queue(&mut self, queue: Duration) {
        self.queue = queue;
    }

    /// How long its plugins may wait to be called.
    pub fn queue(&self) -> Duration {
        self.queue
    }

    /// Whether the outside was called for it: then it must not be run again, since that cannot be taken back.
    pub fn called(&self) -> &Called {
        &self.called
    }

    /// The scopes that it has read or written, in order.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.keys()
    }

    /// Whether the follower waits for a late answer.
    pub fn awaiting(&self) -> bool {
        self.awaiting
    }

    /// The follower, as the message sees it.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Changes what is recorded of the follower.
    pub fn change_follower<T>(&mut self, change: impl FnOnce(&mut Follower) -> T) -> T {
        self.follower_changed = true;
        change(&mut self.follower)
    }

    /// Keeps the further pages of a text until the follower asks for them.
    pub fn keep_pages(&mut self, pages: Vec<Reply>) {
        if !pages.is_empty() {
            let now = self.now;
            self.change_follower(|follower| follower.keep_pages(pages, now));
        }
    }

    /// Takes the next reply that was kept for the follower.
    pub fn take_kept(&mut self) -> Option<Reply> {
        let reply = self.follower.take_kept();
        self.follower_changed |= reply.is_some();
        reply
    }

    /// Says which plugin does what follows.
    pub fn begin_step(&mut self, plugin: &Arc<str>) {
        let scope = Scope::new(self.bot.clone(), plugin.clone());
        self.step = Some(Step { scope, writes: BTreeMap::new(), written: 0, usage: None, conversation: None });
    }

    /// Takes over what the plugin did, or drops it. What it read counts either way: it may have decided by it.
    pub fn end_step(&mut self, keep: bool) {
        let Some(step) = self.step.take() else { return };
        if !keep {
            return;
        }
        if let Some(conversation) = step.conversation {
            self.change_follower(|follower| follower.set_conversation(conversation));
        }
        if !step.writes.is_empty() {
            let access = self.scopes.entry(step.scope).or_default();
            access.writes.extend(step.writes);
            access.quota = Some(QUOTA);
        }
    }

    /// Whether there is anything to commit.
    pub fn writes(&self) -> bool {
        self.follower_changed || self.scopes.values().any(|access| !access.writes.is_empty())
    }

    /// Whether it read so much that some of it may have been overtaken while the rest was read.
    pub fn reads_several(&self) -> bool {
        self.scopes.values().map(|access| access.reads.len() + access.lists.len()).sum::<usize>() > 1
    }

    /// Everything as one commit, with the message's answer.
    pub fn commit(self, message: MessageKey, answer: Option<Vec<u8>>) -> Commit {
        let change = if self.follower_changed { change(&self.follower) } else { FollowerChange::Keep };
        let mut commit = Commit::new(message, self.now);
        commit.follower =
            Some(FollowerStep { bot: self.bot, openid: self.openid, read: self.follower_version, change });
        commit.scopes = self.scopes;
        commit.answer = answer;
        commit
    }

    /// Everything as the commit of a run that ends `pending` long after its message was given an interim answer. The follower may
    /// have gone on meanwhile, so the record is read anew; what the run did to a conversation that went on is dropped. `replies` are kept
    /// as answers, `pages` as those of a text that is sent.
    pub async fn late_commit(
        &self,
        message: MessageKey,
        pending: Option<MessageKey>,
        replies: Vec<Reply>,
        pages: Vec<Reply>,
        now: Duration,
    ) -> Result<Commit, StoreError> {
        let (mut follower, read) = read_follower(&*self.store, &self.bot, &self.openid, now).await?;
        if self.follower_changed {
            if follower.conversation() == self.conversation_read.as_ref() {
                follower.set_conversation(self.follower.conversation().cloned());
            } else {
                tracing::warn!(
                    "the conversation went on while the answer was late; what the late run did to it is dropped"
                );
            }
        }
        if !replies.is_empty() {
            follower.keep(replies, now);
        }
        if !pages.is_empty() {
            follower.keep_pages(pages, now);
        }
        let mut commit = Commit::new(message, now);
        commit.follower =
            Some(FollowerStep { bot: self.bot.clone(), openid: self.openid.clone(), read, change: change(&follower) });
        commit.scopes = self.scopes.clone();
        commit.pending = pending.map(PendingStep::End);
        Ok(commit)
    }

    /// A key's value, as this message sees it.
    pub async fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        self.count()?;
        check_key(key)?;
        let step = self.step.as_ref().ok_or_else(no_step)?;
        if let Some(written) = step.writes.get(key) {
            return Ok(written.clone());
        }
        let read = self.store.get(&step.scope, key).await.map_err(unavailable)?;
        let access = self.scopes.entry(step.scope.clone()).or_default();
        access.reads.insert((key.to_owned(), read.version));
        Ok(read.value)
    }

    /// Writes a key.
    pub async fn set(&mut self, key: &str, value: Vec<u8>) -> Result<(), Refusal> {
        self.count()?;
        check_key(key)?;
        if value.len() > VALUE {
            return Err(too_large(format!("a value has at most {VALUE} bytes, not {}", value.len())));
        }
        let step = self.step.as_mut().ok_or_else(no_step)?;
        let bytes = key.len() + value.len();
        let written = step.written + bytes;
        if written > WRITTEN {
            return Err(too_large(format!("one message writes at most {WRITTEN} bytes")));
        }
        let usage = match step.usage {
            Some(usage) => usage,
            None => self.store.usage(&step.scope).await.map_err(unavailable)?,
        };
        step.usage = Some(usage);
        // What is replaced is not taken off, so that this is never too little; the commit counts exactly.
        if usage + written as u64 > QUOTA && self.replaces_less(key, bytes).await? {
            return Err(Refusal {
                code: "quota",
                message: format!("the plugin has stored {usage} of {QUOTA} bytes for this bot"),
            });
        }
        let step = self.step.as_mut().ok_or_else(no_step)?;
        step.written = written;
        step.writes.insert(key.to_owned(), Some(value));
        Ok(())
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: &str) -> Result<(), Refusal> {
        self.count()?;
        check_key(key)?;
        let step = self.step.as_mut().ok_or_else(no_step)?;
        step.written += key.len();
        step.writes.insert(key.to_owned(), None);
        Ok(())
    }

    /// Keys with a prefix in byte order, after `after`.
    pub async fn list(&mut self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Refusal> {
        self.count()?;
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let limit = limit.min(LISTED) as usize;
        let step = self.step.as_ref().ok_or_else(no_step)?;
        let own = || {
            step.writes
                .iter()
                .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
        };
        let mut keys: BTreeSet<String> = BTreeSet::new();
        let mut from = after.map(str::to_owned);
        let version = loop {
            let read = self.store.list(&step.scope, prefix, from.as_deref(), limit).await.map_err(unavailable)?;
            // Where this message has deleted keys, more have to be read to fill the list.
            let more = read.value.len() == limit && limit > 0;
            from = read.value.last().cloned().or(from);
            keys.extend(read.value.into_iter().filter(|key| !matches!(step.writes.get(key), Some(None))));
            if !more || keys.len() >= limit {
                break read.version;
            }
        };
        // Keys that this message has made belong among them, but only those before the last that was read stand in order.
        let whole = keys.len() < limit;
        let last = keys.last().cloned();
        let made =
            own().filter(|(key, value)| value.is_some() && (whole || last.as_ref().is_none_or(|last| *key < last)));
        keys.extend(made.map(|(key, _)| key.clone()));
        self.scopes.entry(step.scope.clone()).or_default().lists.insert(version);
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Adds to a decimal counter.
    pub async fn add(&mut self, key: &str, delta: i64) -> Result<i64, Refusal> {
        let not_a_number = || Refusal { code: "not-a-number", message: format!("the value of `{key}` is no counter") };
        let before = match self.get(key).await? {
            None => 0,
            Some(value) => {
                std::str::from_utf8(&value).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(not_a_number)?
            }
        };
        let sum = before.checked_add(delta).ok_or_else(|| Refusal {
            code: "not-a-number",
            message: format!("the counter `{key}` would leave the range of 64 bits"),
        })?;
        self.set(key, sum.to_string().into_bytes()).await?;
        Ok(sum)
    }

    /// What the running plugin remembers of this follower.
    pub fn recall(&self) -> Result<Option<Vec<u8>>, Refusal> {
        let step = self.step.as_ref().ok_or_else(no_step)?;
        let conversation = match &step.conversation {
            Some(changed) => changed.as_ref(),
            None => self.follower.conversation(),
        };
        Ok(conversation.filter(|found| *found.plugin == *step.scope.plugin).map(|found| found.state.clone()))
    }

    /// Begins or goes on with a conversation of the running plugin; for no time at all ends it.
    pub fn remember(&mut self, state: Vec<u8>, seconds: u32) -> Result<(), Refusal> {
        if seconds == 0 {
            return self.forget();
        }
        if state.len() > STATE {
            return Err(too_large(format!("a conversation's state has at most {STATE} bytes, not {}", state.len())));
        }
        let length = Duration::from_secs(seconds.into()).min(CONVERSATION);
        let until = (self.now + length).as_secs();
        let step = self.step.as_mut().ok_or_else(no_step)?;
        step.conversation = Some(Some(Conversation { plugin: step.scope.plugin.to_string(), state, until }));
        Ok(())
    }

    /// Ends the running plugin's conversation; another's stays.
    pub fn forget(&mut self) -> Result<(), Refusal> {
        if self.recall()?.is_some() {
            let step = self.step.as_mut().ok_or_else(no_step)?;
            step.conversation = Some(None);
        }
        Ok(())
    }

    async fn replaces_less(&self, key: &str, bytes: usize) -> Result<bool, Refusal> {
        let step = self.step.as_ref().ok_or_else(no_step)?;
        let before = self.store.get(&step.scope, key).await.map_err(unavailable)?;
        Ok(before.value.is_none_or(|value| key.len() + value.len() < bytes))
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.operations += 1;
        if self.operations > OPERATIONS {
            let message = format!("one message makes at most {OPERATIONS} operations on the store");
            return Err(Refusal { code: "too-many", message });
        }
        Ok(())
    }
}

async fn read_follower(
    store: &dyn Store,
    bot: &str,
    openid: &str,
    now: Duration,
) -> Result<(Follower, Version), StoreError> {
    let read = store.follower(bot, openid, now).await?;
    let mut follower = match &read.value {
        None => Follower::default(),
        Some(record) => Follower::decode(record).unwrap_or_else(|| {
            tracing::error!(bot, openid, "the follower's record cannot be read and is begun anew");
            Follower::default()
        }),
    };
    follower.expire(now);
    Ok((follower, read.version))
}

fn change(follower: &Follower) -> FollowerChange {
    if follower.is_empty() {
        return FollowerChange::Delete;
    }
    FollowerChange::Put { record: follower.encode(), expires: follower.expires() }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal { code: "bad-key", message: "a key must not be empty".into() });
    }
    if key.len() > KEY {
        return Err(too_large(format!("a key has at most {KEY} bytes, not {}", key.len())));
    }
    Ok(())
}

fn too_large(message: String) -> Refusal {
    Refusal { code: "too-large", message }
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::error!("{error}");
    Refusal { code: "unavailable", message: "the store is unavailable".into() }
}

fn no_step() -> Refusal {
    Refusal { code: "unavailable", message: "no plugin is running".into() }
}

//! What is remembered of messages: those under way, and the answers of the last minutes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::Body;
use crate::store::MessageKey;

/// How long an answer is remembered: WeChat delivers a message again for some 15 seconds.
const KEPT: Duration = Duration::from_secs(60);

/// Bytes of answers that are remembered; beyond, the oldest go before their time. At a thousand messages a second, a minute of
/// ordinary answers takes half of it.
const BYTES: usize = 64 << 20;

/// Bytes that an answer takes beside its body.
const OVERHEAD: usize = 200;

/// Parts of the memory, so that messages on different cores seldom wait for one another.
const SHARDS: usize = 16;

/// Remembers messages.
pub(super) struct Memory {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    messages: HashMap<MessageKey, Known>,
    /// The answered ones, oldest first.
    answered: VecDeque<(Instant, MessageKey)>,
    bytes: usize,
}

enum Known {
    Running(watch::Receiver<Option<Body>>),
    Answered(Body),
}

/// What was known of a message when a delivery of it came.
pub(super) enum Seen {
    /// Nothing: whoever got this runs it, and publishes its answer here.
    First(watch::Sender<Option<Body>>),
    /// It is under way.
    Running(watch::Receiver<Option<Body>>),
    /// It was answered.
    Answered(Body),
}

impl Default for Memory {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Memory {
    /// What is known of a message; from now on it is under way.
    pub(super) fn seen(&self, key: MessageKey) -> Seen {
        let mut shard = self.shard(key);
        match shard.messages.get(&key) {
            Some(Known::Answered(body)) => return Seen::Answered(body.clone()),
            // One whose task has ended without an answer is run anew.
            Some(Known::Running(answer)) if answer.has_changed().is_ok() => return Seen::Running(answer.clone()),
            _ => {}
        }
        let (publish, answer) = watch::channel(None);
        shard.messages.insert(key, Known::Running(answer));
        Seen::First(publish)
    }

    /// Remembers an answer.
    pub(super) fn answered(&self, key: MessageKey, body: Body) {
        let now = Instant::now();
        let mut shard = self.shard(key);
        shard.bytes += body.len() + OVERHEAD;
        shard.messages.insert(key, Known::Answered(body));
        shard.answered.push_back((now, key));
        while let Some((since, oldest)) = shard.answered.front().copied() {
            if now.duration_since(since) < KEPT && shard.bytes <= BYTES / SHARDS {
                break;
            }
            shard.answered.pop_front();
            if let Some(Known::Answered(body)) = shard.messages.remove(&oldest) {
                shard.bytes -= body.len() + OVERHEAD;
            }
        }
    }

    /// Forgets a message that is under way, so that its next delivery begins anew.
    pub(super) fn forget(&self, key: MessageKey) {
        self.shard(key).messages.remove(&key);
    }

    fn shard(&self, key: MessageKey) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.0[0]) % SHARDS];
        // Nothing that holds the lock can panic half way through a change.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> MessageKey {
        MessageKey([n; 32])
    }

    #[test]
    fn the_first_delivery_runs_and_the_others_join_it() {
        let memory = Memory::default();
        let Seen::First(publish) = memory.seen(key(1)) else { panic!("first") };
        assert!(matches!(memory.seen(key(1)), Seen::Running(_)));
        assert!(matches!(memory.seen(key(2)), Seen::First(_)));
        memory.answered(key(1), "hi".into());
        publish.send_replace(Some("hi".into()));
        let Seen::Answered(body) = memory.seen(key(1)) else { panic!("answered") };
        assert_eq!(&*body, "hi");
    }

    #[test]
    fn a_run_that_vanished_is_begun_anew() {
        let memory = Memory::default();
        drop(memory.seen(key(1)));
        assert!(matches!(memory.seen(key(1)), Seen::First(_)));
    }

    #[test]
    fn answers_are_bounded_in_bytes() {
        let memory = Memory::default();
        let body: Body = "x".repeat(1 << 20).into();
        for n in 0..8 {
            let mut bytes = [0; 32];
            bytes[1] = n;
            memory.answered(MessageKey(bytes), body.clone());
        }
        let shard = memory.shard(MessageKey([0; 32]));
        assert!(shard.bytes <= BYTES / SHARDS && shard.messages.len() == 3, "{}", shard.messages.len());
        assert_eq!(shard.bytes, 3 * ((1 << 20) + OVERHEAD));
    }
}

//! What is remembered of messages: those under way, and the answers of the last minutes.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

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
    messages: HashMap<MessageKey, Known, BuildHasherDefault<Prefix>>,
    /// The answered ones, oldest first.
    answered: VecDeque<Answered>,
    /// Their bodies, one after the other: a minute's answers as values of their own would be strewn all over the heap, and cost more
    /// there than the answering does.
    bodies: VecDeque<u8>,
    /// Bytes of bodies that have been dropped since the beginning.
    dropped: u64,
}

enum Known {
    /// Who waits for its answer, beside the delivery that runs it.
    Running(Vec<oneshot::Sender<Body>>),
    /// Where its answer lies among all that there ever were.
    Answered { at: u64, bytes: u32 },
}

struct Answered {
    since: Instant,
    key: MessageKey,
    bytes: u32,
}

/// What was known of a message when a delivery of it came.
pub(super) enum Seen {
    /// Nothing: whoever got this runs it, and says what came of it.
    First,
    /// It is under way. Its end without an answer is an error, and whoever asks again runs it anew.
    Running(oneshot::Receiver<Body>),
    /// It was answered.
    Answered(Body),
}

/// The first bytes of a key, which is the hash of a message already.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(prefix) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*prefix);
        }
    }

    /// Arrays write their length first, which says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
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
        let Shard { messages, bodies, dropped, .. } = &mut *shard;
        match messages.get_mut(&key) {
            None => {
                messages.insert(key, Known::Running(Vec::new()));
                Seen::First
            }
            Some(Known::Running(waiting)) => {
                let (tell, answer) = oneshot::channel();
                waiting.push(tell);
                Seen::Running(answer)
            }
            Some(Known::Answered { at, bytes }) => {
                let start = usize::try_from(*at - *dropped).unwrap_or(usize::MAX);
                Seen::Answered(bodies.range(start..).take(*bytes as usize).copied().collect())
            }
        }
    }

    /// Remembers an answer, and tells those who wait for it.
    pub(super) fn answered(&self, key: MessageKey, body: &Body) {
        // No reply is nearly as large.
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let since = Instant::now();
        let waiting = {
            let mut shard = self.shard(key);
            let at = shard.dropped + shard.bodies.len() as u64;
            shard.bodies.extend(&body[..bytes as usize]);
            shard.answered.push_back(Answered { since, key, bytes });
            let before = shard.messages.insert(key, Known::Answered { at, bytes });
            shard.drop_old(since);
            before
        };
        tell(waiting, body);
    }

    /// Tells those who wait for a message what is said instead of an answer, and forgets it, so that its next delivery begins anew.
    pub(super) fn failed(&self, key: MessageKey, body: &Body) {
        let waiting = self.shard(key).messages.remove(&key);
        tell(waiting, body);
    }

    /// Forgets a message that is under way, and so ends the waiting of those who joined it.
    pub(super) fn forget(&self, key: MessageKey) {
        self.shard(key).messages.remove(&key);
    }

    fn shard(&self, key: MessageKey) -> MutexGuard<'_, Shard> {
        // Not by what the map goes by, or each shard's map would use a part of its room only.
        let shard = &self.shards[usize::from(key.0[31]) % SHARDS];
        // Nothing that holds the lock can panic half way through a change.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn drop_old(&mut self, now: Instant) {
        while let Some(oldest) = self.answered.front() {
            let kept = self.bodies.len() + self.answered.len() * OVERHEAD;
            if now.duration_since(oldest.since) < KEPT && kept <= BYTES / SHARDS {
                break;
            }
            let bytes = oldest.bytes as usize;
            self.messages.remove(&oldest.key);
            self.answered.pop_front();
            self.bodies.drain(..bytes);
            self.dropped += bytes as u64;
        }
    }
}

fn tell(known: Option<Known>, body: &Body) {
    if let Some(Known::Running(waiting)) = known {
        for one in waiting {
            // Whoever has hung up does not wait any more.
            let _ = one.send(body.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> MessageKey {
        MessageKey([n; 32])
    }

    /// Keys of one shard.
    fn in_shard(n: u8) -> MessageKey {
        let mut bytes = [0; 32];
        bytes[1] = n;
        MessageKey(bytes)
    }

    fn answer(memory: &Memory, key: MessageKey) -> Option<Body> {
        match memory.seen(key) {
            Seen::Answered(body) => Some(body),
            Seen::First | Seen::Running(_) => None,
        }
    }

    #[test]
    fn the_first_delivery_runs_and_the_others_join_it() {
        let memory = Memory::default();
        assert!(matches!(memory.seen(key(1)), Seen::First));
        let Seen::Running(mut joined) = memory.seen(key(1)) else { panic!("joined") };
        assert!(matches!(memory.seen(key(2)), Seen::First));
        assert!(joined.try_recv().is_err());
        memory.answered(key(1), &"hi".into());
        assert_eq!(joined.try_recv().unwrap(), "hi");
        assert_eq!(answer(&memory, key(1)).unwrap(), "hi");
    }

    #[test]
    fn a_run_that_failed_or_vanished_is_begun_anew() {
        let memory = Memory::default();
        memory.seen(key(1));
        let Seen::Running(mut joined) = memory.seen(key(1)) else { panic!("joined") };
        memory.failed(key(1), &"sorry".into());
        assert_eq!(joined.try_recv().unwrap(), "sorry");
        assert!(matches!(memory.seen(key(1)), Seen::First));
        let Seen::Running(joined) = memory.seen(key(1)) else { panic!("joined") };
        memory.forget(key(1));
        assert!(joined.blocking_recv().is_err());
        assert!(matches!(memory.seen(key(1)), Seen::First));
    }

    #[test]
    fn answers_are_bounded_in_bytes() {
        let memory = Memory::default();
        for n in 0..8 {
            memory.answered(in_shard(n), &vec![n; 1 << 20].into());
        }
        {
            let shard = memory.shard(in_shard(0));
            assert_eq!((shard.messages.len(), shard.answered.len(), shard.bodies.len()), (3, 3, 3 << 20));
        }
        assert!(matches!(memory.seen(in_shard(4)), Seen::First));
        assert!(answer(&memory, in_shard(5)).unwrap() == vec![5; 1 << 20]);
        assert!(answer(&memory, in_shard(7)).unwrap() == vec![7; 1 << 20]);
    }

    #[test]
    fn an_answer_comes_back_whatever_has_been_dropped_before_it() {
        let memory = Memory::default();
        // So many that the buffer wraps round.
        for n in 0..200 {
            let body = vec![n; 40_000 + usize::from(n) * 100];
            memory.answered(in_shard(n), &body.clone().into());
            assert!(answer(&memory, in_shard(n)).unwrap() == body, "{n}");
            if let Some(before) = n.checked_sub(40) {
                assert!(answer(&memory, in_shard(before)).unwrap() == vec![before; 40_000 + usize::from(before) * 100]);
            }
        }
    }
}

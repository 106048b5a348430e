//! Instances between two messages, for plugins that `instances = "reuse"` lets keep theirs.
//!
//! They hold memories of the pool while nobody uses them, so they are few, they go when they were idle for a while, and they make room at
//! once for whoever waits for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use wasmtime::Store;

use super::{bindings::Plugin as World, run::Run};

/// An instance, and what it takes.
pub(super) struct Resting {
    pub(super) store: Store<Run>,
    /// The instance itself; none before its first message.
    pub(super) world: Option<World>,
    /// Messages that it has answered.
    pub(super) answered: u32,
    /// Given back after the store, which is what it stands for.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Whose an instance is: a plugin's as it is compiled and configured now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(u64);

/// What is kept of all plugins that share a pool.
pub(super) struct Kept<T> {
    idle: Mutex<Idle<T>>,
    /// Calls that wait for room: while there are any, nothing is kept.
    waiting: AtomicUsize,
    owners: AtomicU64,
    /// Memories that may be kept.
    most: u32,
    /// How long.
    time: Duration,
}

struct Idle<T> {
    /// What was kept last is at the back.
    entries: VecDeque<Entry<T>>,
    /// Whether there is a task that looks after those that were kept for too long.
    is_watched: bool,
}

struct Entry<T> {
    owner: Owner,
    memories: u32,
    since: Instant,
    what: T,
}

/// While it lives, nothing is kept.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> Kept<T> {
    pub(super) fn new(most: u32, time: Duration) -> Self {
        let idle = Mutex::new(Idle { entries: VecDeque::new(), is_watched: false });
        Self { idle, waiting: AtomicUsize::new(0), owners: AtomicU64::new(0), most, time }
    }

    /// An owner unlike any before.
    pub(super) fn owner(&self) -> Owner {
        Owner(self.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// The one that was kept last for this owner, whose memory is the likeliest to be in the processor's caches.
    pub(super) fn take(&self, owner: Owner) -> Option<T> {
        let mut idle = self.lock();
        let at = idle.entries.iter().rposition(|entry| entry.owner == owner)?;
        idle.entries.remove(at).map(|entry| entry.what)
    }

    /// Drops at least so many memories' worth of what is kept, the oldest first, and lets nothing be kept until what it returns is dropped.
    pub(super) fn make_room(&self, memories: u32) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(&self.waiting);
        let mut dropped = Vec::new();
        let mut idle = self.lock();
        let mut freed = 0;
        while freed < memories
            && let Some(entry) = idle.entries.pop_front()
        {
            freed += entry.memories;
            dropped.push(entry);
        }
        // An instance is not dropped while others wait for the lock.
        drop(idle);
        drop(dropped);
        waiting
    }

    /// Drops what is kept for this owner.
    pub(super) fn forget(&self, owner: Owner) {
        let mut idle = self.lock();
        let all = std::mem::take(&mut idle.entries);
        let (dropped, rest): (VecDeque<Entry<T>>, VecDeque<Entry<T>>) =
            all.into_iter().partition(|entry| entry.owner == owner);
        idle.entries = rest;
        drop(idle);
        drop(dropped);
    }

    /// Drops what was kept for too long, and says when to look again; never if nothing is left.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut dropped = Vec::new();
        let mut idle = self.lock();
        let next = loop {
            match idle.entries.front() {
                Some(oldest) if oldest.since + self.time > now => break Some(oldest.since + self.time),
                Some(_) => dropped.extend(idle.entries.pop_front()),
                None => {
                    idle.is_watched = false;
                    break None;
                }
            }
        };
        drop(idle);
        drop(dropped);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Idle<T>> {
        // Nothing that holds the lock can panic half way through a change.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Kept<T> {
    /// Keeps this for its owner's next message, unless somebody waits for room; what there is no room for then is dropped.
    pub(super) fn keep(self: &Arc<Self>, owner: Owner, memories: u32, what: T) {
        let mut dropped = Vec::new();
        let entry = Entry { owner, memories, since: Instant::now(), what };
        let mut idle = self.lock();
        // Read under the lock: whoever begins to wait after this finds it among the entries.
        if memories > self.most || self.waiting.load(Ordering::SeqCst) > 0 {
            drop(idle);
            return;
        }
        idle.entries.push_back(entry);
        let mut kept: u32 = idle.entries.iter().map(|entry| entry.memories).sum();
        while kept > self.most
            && let Some(entry) = idle.entries.pop_front()
        {
            kept -= entry.memories;
            dropped.push(entry);
        }
        let watch = !std::mem::replace(&mut idle.is_watched, true);
        drop(idle);
        drop(dropped);
        if watch {
            tokio::spawn(Self::watch(Arc::downgrade(self), self.time));
        }
    }

    /// Drops what was kept for too long, as long as there is anything.
    async fn watch(kept: Weak<Self>, time: Duration) {
        let mut next = Instant::now() + time;
        loop {
            tokio::time::sleep_until(next).await;
            let Some(kept) = kept.upgrade() else { return };
            match kept.expire(Instant::now()) {
                Some(at) => next = at,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    fn kept(most: u32) -> Arc<Kept<&'static str>> {
        Arc::new(Kept::new(most, TIME))
    }

    #[tokio::test]
    async fn each_owner_gets_its_own_and_the_last_one_first() {
        let kept = kept(8);
        let (a, b) = (kept.owner(), kept.owner());
        kept.keep(a, 1, "a1");
        kept.keep(a, 1, "a2");
        kept.keep(b, 1, "b1");
        assert_eq!([kept.take(a), kept.take(a), kept.take(a)], [Some("a2"), Some("a1"), None]);
        assert_eq!([kept.take(b), kept.take(b)], [Some("b1"), None]);
    }

    #[tokio::test]
    async fn the_oldest_goes_when_there_are_too_many() {
        let kept = kept(4);
        let (a, b) = (kept.owner(), kept.owner());
        kept.keep(a, 2, "a1");
        kept.keep(a, 2, "a2");
        kept.keep(b, 1, "b1");
        assert_eq!([kept.take(a), kept.take(a)], [Some("a2"), None]);
        assert_eq!(kept.take(b), Some("b1"));
        kept.keep(b, 5, "too large");
        assert_eq!(kept.take(b), None);
    }

    #[tokio::test]
    async fn whoever_waits_gets_room_and_meanwhile_nothing_is_kept() {
        let kept = kept(4);
        let a = kept.owner();
        for what in ["1", "2", "3"] {
            kept.keep(a, 1, what);
        }
        let waiting = kept.make_room(2);
        assert_eq!([kept.take(a), kept.take(a)], [Some("3"), None]);
        kept.keep(a, 1, "4");
        assert_eq!(kept.take(a), None);
        drop(waiting);
        kept.keep(a, 1, "5");
        assert_eq!(kept.take(a), Some("5"));
    }

    #[tokio::test]
    async fn what_is_forgotten_or_idle_for_too_long_is_dropped() {
        let kept = kept(4);
        let (a, b) = (kept.owner(), kept.owner());
        kept.keep(a, 1, "a");
        kept.keep(b, 1, "b");
        kept.forget(a);
        assert_eq!(kept.take(a), None);
        let now = Instant::now();
        let next = kept.expire(now).expect("b is still there");
        assert!(next <= now + TIME);
        assert_eq!(kept.expire(next), None);
        assert_eq!(kept.take(b), None);
    }
}

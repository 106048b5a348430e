//! Time and randomness for transcripts: the same in every run, on every machine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::{Clock, Randomness, Sleep};

/// A clock that stands still but for two reasons: a transcript says that time passes, or what answers the message under way takes
/// time, as a plugin that sleeps. Computing takes none.
///
/// The time that something takes passes at once. The host's own bounds are met on the way, in order: a plugin that sleeps for 20
/// seconds gets as far as the bound of 14, the host says that the answer is late, and the clock stands there until time passes again.
#[derive(Debug, Clone)]
pub struct RehearsedClock(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    /// When it began, since the Unix epoch and as [`State::now`] was.
    began: (Duration, Duration),
    now: Duration,
    /// Up to when time may pass, whoever takes it.
    until: Duration,
    /// The message under way.
    message: u64,
    /// Whether one of its bounds was reached, so that nothing more of its time passes.
    halted: bool,
    /// Everything that waits.
    waits: BTreeMap<u64, Wait>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    deadline: Duration,
    message: u64,
    /// Whether time passes for it, or it only bounds something.
    takes: bool,
}

/// A time of no importance: the first of January 2026.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// Waits for as long as it lives.
struct Waiting {
    clock: Arc<watch::Sender<State>>,
    id: u64,
    wait: Wait,
}

impl Default for RehearsedClock {
    fn default() -> Self {
        let clock = Self(Arc::new(watch::Sender::new(State::default())));
        // Go's runtime, for one, takes a time of zero for a clock that is broken.
        clock.restart(BEGIN);
        clock
    }
}

impl RehearsedClock {
    /// Begins anew at this time since the Unix epoch, long after whatever was measured before.
    pub fn restart(&self, time: Duration) {
        self.0.send_modify(|state| {
            state.now += Duration::from_secs(7 * 24 * 60 * 60);
            state.until = state.now;
            state.began = (time, state.now);
            state.halted = true;
        });
    }

    /// A message begins: the time that it takes may pass.
    pub fn begin_message(&self) {
        self.0.send_modify(|state| {
            state.message += 1;
            state.halted = false;
        });
    }

    /// The message was answered: the clock stands, though parts of its run may go on.
    pub fn end_message(&self) {
        self.0.send_modify(|state| state.halted = true);
    }

    /// Lets so much time pass. `under_way` says how many runs there are: time passes only while all of them wait for it.
    pub async fn pass(&self, time: Duration, under_way: impl Fn() -> usize) {
        let target = self.0.borrow().now.saturating_add(time);
        loop {
            // Whatever is computing goes first; what it does takes no time. One that waits for another run would never be done.
            let patience = tokio::time::Instant::now() + COMPUTING;
            while under_way() > self.takers() && tokio::time::Instant::now() < patience {
                tokio::time::sleep(POLL).await;
            }
            let mut arrived = false;
            self.0.send_modify(|state| {
                state.until = target;
                if !state.waits.values().any(|wait| wait.takes) {
                    state.now = state.now.max(target);
                }
                arrived = state.now >= target && !state.is_due();
            });
            if arrived && (under_way() <= self.takers() || tokio::time::Instant::now() >= patience) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn takers(&self) -> usize {
        self.0.borrow().waits.values().filter(|wait| wait.takes).count()
    }

    fn wait(&self, time: Duration, takes: bool) -> Waiting {
        let mut id = 0;
        let mut wait = Wait { deadline: Duration::ZERO, message: 0, takes };
        self.0.send_modify(|state| {
            id = state.next;
            state.next += 1;
            wait = Wait { deadline: state.now.saturating_add(time), message: state.message, takes };
            state.waits.insert(id, wait);
        });
        Waiting { clock: self.0.clone(), id, wait }
    }
}

/// How often the clock looks whether everybody waits for it.
const POLL: Duration = Duration::from_millis(1);

/// How long runs may compute while time is to pass.
const COMPUTING: Duration = Duration::from_secs(10);

impl State {
    /// Whether something whose time has come has not gone on yet. Time stands until it has.
    fn is_due(&self) -> bool {
        self.waits.values().any(|wait| wait.deadline <= self.now)
    }

    /// Moves on to the next time that anybody waits for, if this one may; says whether time has passed.
    fn move_for(&mut self, mover: Wait) -> bool {
        let of_message = mover.message == self.message && !self.halted;
        if self.is_due() || !(of_message || self.now < self.until) {
            return false;
        }
        let Some(next) = self.waits.values().min_by_key(|wait| wait.deadline).copied() else { return false };
        self.now = if of_message { next.deadline } else { next.deadline.min(self.until) };
        if next.message == self.message && !next.takes {
            self.halted = true;
        }
        true
    }
}

impl Waiting {
    async fn until_reached(&self) {
        let mut changes = self.clock.subscribe();
        // The sender is owned here, so waiting ends with the time.
        let _ = changes.wait_for(|state| state.now >= self.wait.deadline).await;
    }

    async fn until_passed(&self) {
        let mut changes = self.clock.subscribe();
        loop {
            if changes.borrow_and_update().now >= self.wait.deadline {
                return;
            }
            if !self.clock.send_if_modified(|state| state.move_for(self.wait)) {
                let _ = changes.changed().await;
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.clock.send_modify(|state| {
            state.waits.remove(&self.id);
        });
    }
}

impl Clock for RehearsedClock {
    fn now(&self) -> Duration {
        let state = self.0.borrow();
        let (time, since) = state.began;
        time + (state.now - since)
    }

    fn monotonic(&self) -> Duration {
        self.0.borrow().now
    }

    fn sleep(&self, time: Duration) -> Sleep {
        let waiting = self.wait(time, false);
        Sleep::other(async move {
            tokio::select! {
                () = waiting.until_reached() => {}
                // Real time counts as well: a plugin that loops never lets this clock move.
                () = tokio::time::sleep(time) => {}
            }
        })
    }

    fn take(&self, time: Duration) -> Sleep {
        let waiting = self.wait(time, true);
        Sleep::other(async move { waiting.until_passed().await })
    }
}

/// Randomness that a seed decides.
#[derive(Debug, Default)]
pub struct SeededRandomness(Mutex<(Vec<u8>, u64)>);

impl SeededRandomness {
    /// Begins anew.
    pub fn seed(&self, seed: &[u8]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (seed.to_owned(), 0);
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (seed, counter) = &mut *state;
        // A hash of a counter: no library's next version changes what it gives.
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::new().chain_update(&*seed).chain_update(counter.to_le_bytes()).finalize();
            chunk.copy_from_slice(&block[..chunk.len()]);
            *counter += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn clock() -> RehearsedClock {
        let clock = RehearsedClock::default();
        clock.restart(S(1_000));
        clock
    }

    #[tokio::test]
    async fn what_a_message_takes_passes_at_once() {
        let clock = clock();
        assert_eq!(clock.now(), S(1_000));
        clock.begin_message();
        clock.take(S(3)).await;
        assert_eq!(clock.now(), S(1_003));
        clock.end_message();
        assert_eq!(clock.now(), S(1_003));
    }

    #[tokio::test]
    async fn a_bound_comes_first_and_stops_the_clock() {
        let clock = clock();
        clock.begin_message();
        let bound = clock.sleep(S(14));
        let run = tokio::spawn(clock.take(S(20)));
        bound.await;
        assert_eq!(clock.now(), S(1_014));
        clock.end_message();
        tokio::time::sleep(S(0)).await;
        assert!(!run.is_finished());
        let running = || usize::from(!run.is_finished());
        clock.pass(S(5), running).await;
        assert_eq!((clock.now(), run.is_finished()), (S(1_019), false));
        clock.pass(S(5), running).await;
        assert_eq!((clock.now(), run.is_finished()), (S(1_024), true));
    }

    #[tokio::test]
    async fn one_messages_time_is_not_anothers() {
        let clock = clock();
        clock.begin_message();
        let late = tokio::spawn(clock.take(S(60)));
        let bound = clock.sleep(S(14));
        bound.await;
        clock.end_message();
        clock.begin_message();
        clock.take(S(2)).await;
        clock.end_message();
        assert_eq!((clock.now(), late.is_finished()), (S(1_016), false));
        late.abort();
    }

    #[test]
    fn it_is_never_zero() {
        let clock = RehearsedClock::default();
        assert!(!clock.now().is_zero() && !clock.monotonic().is_zero());
    }

    #[tokio::test]
    async fn time_passes_though_nobody_waits() {
        let clock = clock();
        clock.pass(S(90), || 0).await;
        assert_eq!(clock.now(), S(1_090));
        clock.restart(S(5));
        assert_eq!(clock.now(), S(5));
        assert!(clock.monotonic() > S(90));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let drawn = |seed: &[u8]| {
            let randomness = SeededRandomness::default();
            randomness.seed(seed);
            let mut bytes = [0; 70];
            randomness.fill(&mut bytes);
            bytes
        };
        assert_eq!(drawn(b"a"), drawn(b"a"));
        assert_ne!(drawn(b"a"), drawn(b"b"));
        assert_ne!(drawn(b"a")[..32], drawn(b"a")[32..64]);
    }
}

//! Stops calling a plugin that keeps failing, and tries again after a pause.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Failures in a row that are taken for more than bad luck.
const FAILURES: u32 = 10;

/// Followers whom they must concern: one who knows what makes a plugin fail must not be able to take it from the others.
const FOLLOWERS: usize = 3;

/// The first pause; each one after a failed try is twice as long.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Watches one plugin's calls.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Whether anything is noted in `state`; most plugins never fail, and their calls take no lock.
    is_troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    followers: BTreeSet<String>,
    /// Set while it is open: when a call may be tried, and how long the pause was.
    open: Option<(Duration, Duration)>,
}

/// What a call's outcome changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// The plugin is not called for so long.
    Opened(Duration),
    /// It is called as before.
    Closed,
}

impl Breaker {
    /// Whether the plugin may be called now; else how long until it may be tried. One call is tried at the end of a pause, and until
    /// that is over the others still wait.
    pub(super) fn admit(&self, now: impl FnOnce() -> Duration) -> Result<(), Duration> {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.lock();
        let Some((until, pause)) = state.open else { return Ok(()) };
        let now = now();
        if now < until {
            return Err(until - now);
        }
        state.open = Some((now + pause, pause));
        Ok(())
    }

    /// Whether the plugin is not called for a while.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// Takes note of a call's outcome.
    pub(super) fn note(&self, failed: bool, follower: &str, now: impl FnOnce() -> Duration) -> Change {
        if !failed && !self.is_troubled.load(Ordering::Relaxed) {
            return Change::Nothing;
        }
        let mut state = self.lock();
        self.is_troubled.store(failed, Ordering::Relaxed);
        if !failed {
            let was_open = state.open.is_some();
            *state = State::default();
            return if was_open { Change::Closed } else { Change::Nothing };
        }
        state.failures = state.failures.saturating_add(1);
        if state.followers.len() < FOLLOWERS {
            state.followers.insert(follower.to_owned());
        }
        let pause = match state.open {
            Some((_, pause)) => (pause * 2).min(PAUSE_MAX),
            None if state.failures >= FAILURES && state.followers.len() >= FOLLOWERS => PAUSE,
            None => return Change::Nothing,
        };
        state.open = Some((now() + pause, pause));
        Change::Opened(pause)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> impl FnOnce() -> Duration {
        move || Duration::from_secs(seconds)
    }

    #[test]
    fn opens_after_failures_of_several_followers_and_closes_by_a_success() {
        let breaker = Breaker::default();
        for n in 0..FAILURES - 1 {
            assert_eq!(breaker.note(true, &n.to_string(), at(0)), Change::Nothing);
        }
        assert_eq!(breaker.admit(at(0)), Ok(()));
        assert_eq!(breaker.note(true, "x", at(0)), Change::Opened(PAUSE));
        assert_eq!(breaker.admit(at(1)), Err(Duration::from_secs(4)));
        // One is tried, the others wait for it.
        assert_eq!(breaker.admit(at(5)), Ok(()));
        assert_eq!(breaker.admit(at(5)), Err(PAUSE));
        assert_eq!(breaker.note(true, "x", at(5)), Change::Opened(PAUSE * 2));
        assert_eq!(breaker.admit(at(15)), Ok(()));
        assert_eq!(breaker.note(false, "x", at(15)), Change::Closed);
        assert_eq!(breaker.admit(at(15)), Ok(()));
        assert_eq!(breaker.note(true, "x", at(15)), Change::Nothing);
    }

    #[test]
    fn one_follower_cannot_take_a_plugin_from_the_others() {
        let breaker = Breaker::default();
        for _ in 0..1000 {
            assert_eq!(breaker.note(true, "hostile", at(0)), Change::Nothing);
        }
        assert_eq!(breaker.admit(at(0)), Ok(()));
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let breaker = Breaker::default();
        for n in 0..10 * FAILURES {
            assert_eq!(breaker.note(n % FAILURES != 0, &n.to_string(), at(0)), Change::Nothing);
        }
    }

    #[test]
    fn the_pause_grows_to_a_bound() {
        let breaker = Breaker::default();
        let mut last = Change::Nothing;
        for n in 0..FAILURES + 20 {
            last = breaker.note(true, &n.to_string(), at(0));
        }
        assert_eq!(last, Change::Opened(PAUSE_MAX));
    }
}

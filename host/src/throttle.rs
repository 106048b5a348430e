//! Bounds how often something is logged that anybody can bring about.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Lines a second, once the burst is used up.
const RATE: f64 = 1.0;

/// Admits a burst, then one a second, and counts what it did not admit.
#[derive(Debug)]
pub struct Throttle {
    burst: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    room: f64,
    since: Instant,
    skipped: u64,
}

impl Throttle {
    /// Admits `burst` at once.
    pub fn new(burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { burst, state: Mutex::new(State { room: burst, since: Instant::now(), skipped: 0 }) }
    }

    /// Whether this one may be logged; if so, how many before it were not, if any.
    pub fn admit(&self) -> Option<Option<u64>> {
        // Nothing that holds the lock can panic half way through a change.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.room = (state.room + now.duration_since(state.since).as_secs_f64() * RATE).min(self.burst);
        state.since = now;
        if state.room < 1.0 {
            state.skipped += 1;
            return None;
        }
        state.room -= 1.0;
        let skipped = std::mem::take(&mut state.skipped);
        Some((skipped > 0).then_some(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_a_burst_and_counts_the_rest() {
        let throttle = Throttle::new(3);
        let admitted = (0..1000).filter(|_| throttle.admit().is_some()).count();
        // A slow machine may take a second for this, and be admitted one more.
        assert!((3..10).contains(&admitted), "{admitted}");
        assert!(throttle.state.lock().unwrap().skipped > 900);
    }
}

//! A note that a message's run has called the outside, which cannot be taken back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a request may have left the host; shared by those who send and by whoever would run the message again.
#[derive(Debug, Clone, Default)]
pub struct Called(Arc<AtomicBool>);

impl Called {
    /// Notes it.
    pub fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was noted.
    pub fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

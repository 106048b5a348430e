//! A new version's first calls: whether it proves itself, or fails from the start and should be rolled back.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU32, Ordering},
};

use tokio::sync::mpsc;

use super::{Failure, Runtime};
use crate::limits;

/// How it stands with a version's first calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It has not been called often enough to tell.
    OnTrial,
    /// It has answered.
    Proven,
    /// All of its first calls failed.
    Failed,
}

/// What a version's first calls came to; said once for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Its component's digest.
    pub digest: String,
    /// None when it has proven itself; else how the last of its first calls failed.
    pub failure: Option<String>,
}

/// Where verdicts go.
#[derive(Clone, Default)]
pub(super) struct Verdicts(Arc<Mutex<Option<mpsc::UnboundedSender<Verdict>>>>);

/// One version's first calls.
pub(super) struct Trial {
    plugin: Arc<str>,
    digest: String,
    judgement: AtomicU8,
    failures: AtomicU32,
    verdicts: Verdicts,
}

const ON_TRIAL: u8 = 0;
const PROVEN: u8 = 1;
const FAILED: u8 = 2;

impl Runtime {
    /// What comes of the first calls of each version from now on; there is one such receiver at a time. Its queue holds no more than one
    /// verdict for each version.
    pub fn verdicts(&self) -> mpsc::UnboundedReceiver<Verdict> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.verdicts.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }
}

impl Verdicts {
    fn send(&self, verdict: Verdict) {
        if let Some(sender) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Who asked may have gone, and then nobody wants to know.
            let _ = sender.send(verdict);
        }
    }
}

impl Trial {
    pub(super) fn new(plugin: Arc<str>, digest: String, verdicts: Verdicts) -> Self {
        Self { plugin, digest, judgement: AtomicU8::new(ON_TRIAL), failures: AtomicU32::new(0), verdicts }
    }

    pub(super) fn judgement(&self) -> Judgement {
        match self.judgement.load(Ordering::Relaxed) {
            ON_TRIAL => Judgement::OnTrial,
            PROVEN => Judgement::Proven,
            _ => Judgement::Failed,
        }
    }

    /// Ends the trial without a word.
    pub(super) fn trust(&self) {
        self.judgement.store(PROVEN, Ordering::Relaxed);
    }

    /// A call answered or passed.
    pub(super) fn succeeded(&self) {
        // By far the most calls are of a version that is known.
        if self.judgement.load(Ordering::Relaxed) == ON_TRIAL {
            self.end(PROVEN, None);
        }
    }

    /// A call trapped or ran out of time.
    pub(super) fn failed(&self, failure: &Failure) {
        if self.judgement.load(Ordering::Relaxed) == ON_TRIAL
            && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= limits::FIRST_CALLS
        {
            self.end(FAILED, Some(failure.to_string()));
        }
    }

    fn end(&self, judgement: u8, failure: Option<String>) {
        // Only the first of several that end it at one time says so.
        if self.judgement.compare_exchange(ON_TRIAL, judgement, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.verdicts.send(Verdict { plugin: self.plugin.clone(), digest: self.digest.clone(), failure });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trial() -> (Trial, mpsc::UnboundedReceiver<Verdict>) {
        let verdicts = Verdicts::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        *verdicts.0.lock().expect("not poisoned") = Some(sender);
        (Trial::new("p".into(), "digest".into(), verdicts), receiver)
    }

    const FAILURE: Failure = Failure::Time(Duration::from_secs(4));

    #[test]
    fn a_version_whose_first_calls_all_fail_is_rejected_once() {
        let (trial, mut verdicts) = trial();
        for _ in 1..limits::FIRST_CALLS {
            trial.failed(&FAILURE);
            assert_eq!(trial.judgement(), Judgement::OnTrial);
        }
        trial.failed(&FAILURE);
        trial.failed(&FAILURE);
        trial.succeeded();
        assert_eq!(trial.judgement(), Judgement::Failed);
        let verdict = verdicts.try_recv().expect("a verdict");
        assert_eq!(verdict.failure.as_deref(), Some("it took longer than 4s"));
        assert!(verdicts.try_recv().is_err());
    }

    #[test]
    fn one_answer_proves_a_version_for_good() {
        let (trial, mut verdicts) = trial();
        trial.failed(&FAILURE);
        trial.succeeded();
        for _ in 0..10 * limits::FIRST_CALLS {
            trial.failed(&FAILURE);
        }
        assert_eq!(trial.judgement(), Judgement::Proven);
        assert_eq!(verdicts.try_recv().expect("a verdict").failure, None);
        assert!(verdicts.try_recv().is_err());
    }

    #[test]
    fn a_trusted_version_is_not_on_trial() {
        let (trial, mut verdicts) = trial();
        trial.trust();
        for _ in 0..limits::FIRST_CALLS {
            trial.failed(&FAILURE);
        }
        assert_eq!(trial.judgement(), Judgement::Proven);
        assert!(verdicts.try_recv().is_err());
    }
}

//! A run that goes on when nobody waits for it any more.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::CatchUnwind};
use tokio::runtime::Handle;

use super::Body;

/// Waits for a run's answer. It is polled where it is awaited, which spares a message a task of its own and the way between two tasks; if
/// it is dropped before its end, or gives an interim answer, the rest is handed to a task.
pub(super) struct Lasting<F: Future<Output = Body> + Send + 'static> {
    run: Option<Pin<Box<CatchUnwind<AssertUnwindSafe<F>>>>>,
    interim: Interim,
    otherwise: fn() -> Body,
}

/// Where a run leaves an answer that is not its last.
#[derive(Clone, Default)]
pub(super) struct Interim(Arc<Mutex<Option<Body>>>);

impl Interim {
    /// Answers before the run is over.
    pub(super) fn give(&self, body: Body) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<F: Future<Output = Body> + Send + 'static> Lasting<F> {
    /// `otherwise` is the answer if the run panics, which only the panic hook tells of.
    pub(super) fn new(run: F, interim: Interim, otherwise: fn() -> Body) -> Self {
        Self { run: Some(Box::pin(AssertUnwindSafe(run).catch_unwind())), interim, otherwise }
    }

    fn hand_over(&mut self) {
        // Without a runtime the process is ending, and the run with it.
        if let Some(run) = self.run.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(run);
        }
    }
}

impl<F: Future<Output = Body> + Send + 'static> Future for Lasting<F> {
    type Output = Body;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Body> {
        let Some(run) = &mut self.run else { return Poll::Ready((self.otherwise)()) };
        let done = run.as_mut().poll(context);
        if done.is_ready() {
            self.run = None;
        }
        if let Some(interim) = self.interim.take() {
            self.hand_over();
            return Poll::Ready(interim);
        }
        done.map(|body| body.unwrap_or_else(|_| (self.otherwise)()))
    }
}

impl<F: Future<Output = Body> + Send + 'static> Drop for Lasting<F> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn otherwise() -> Body {
        "otherwise".into()
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_goes_on() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let run = async move {
            let _ = gone.await;
            let _ = tell.send(());
            Body::new()
        };
        let mut run = Lasting::new(run, Interim::default(), otherwise);
        assert!(futures_util::FutureExt::now_or_never(&mut run).is_none());
        drop(run);
        go.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn an_interim_answer_does_not_end_the_run() {
        let (interim, (go, gone), (tell, told)) = (Interim::default(), oneshot::channel::<()>(), oneshot::channel());
        let given = interim.clone();
        let run = async move {
            given.give("interim".into());
            let _ = gone.await;
            let _ = tell.send(());
            "too late".into()
        };
        assert_eq!(Lasting::new(run, interim, otherwise).await, "interim");
        go.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn of_a_run_that_ends_with_its_interim_answer_that_is_the_answer() {
        let interim = Interim::default();
        let given = interim.clone();
        let run = async move {
            given.give("interim".into());
            "too late".into()
        };
        assert_eq!(Lasting::new(run, interim, otherwise).await, "interim");
    }

    #[tokio::test]
    async fn a_run_that_panics_is_answered_otherwise() {
        let run = async { panic!("on purpose") };
        assert_eq!(Lasting::new(run, Interim::default(), otherwise).await, "otherwise");
    }
}

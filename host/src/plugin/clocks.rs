//! `wasi:clocks/monotonic-clock`: as WASI's own, but for sleeping, which goes by the host's clock as everything else does. So
//! transcripts can let a plugin sleep without waiting for it.

use std::{sync::Arc, time::Duration};

use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::{
    DynPollable, Pollable,
    bindings::clocks::monotonic_clock::{Duration as Nanoseconds, Host, Instant},
    subscribe,
};

use crate::clock::Clock;

/// What the interface works on.
pub(super) struct Clocks;

/// A run's clock, and where its handles are.
pub(super) struct ClocksView<'a> {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) table: &'a mut ResourceTable,
}

impl HasData for Clocks {
    type Data<'a> = ClocksView<'a>;
}

/// A moment to sleep until.
struct Deadline {
    clock: Arc<dyn Clock>,
    at: Duration,
}

#[async_trait::async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        match self.at.checked_sub(self.clock.monotonic()).filter(|left| !left.is_zero()) {
            Some(left) => self.clock.take(left).await,
            // One that polls in a loop must let others have their turn.
            None => tokio::task::yield_now().await,
        }
    }
}

impl ClocksView<'_> {
    fn subscribe(&mut self, at: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline = self.table.push(Deadline { clock: self.clock.clone(), at })?;
        subscribe(self.table, deadline)
    }
}

impl Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        Ok(u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX))
    }

    fn resolution(&mut self) -> wasmtime::Result<Nanoseconds> {
        Ok(RESOLUTION)
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Duration::from_nanos(when))
    }

    fn subscribe_duration(&mut self, when: Nanoseconds) -> wasmtime::Result<Resource<DynPollable>> {
        let at = self.clock.monotonic().saturating_add(Duration::from_nanos(when));
        self.subscribe(at)
    }
}

/// Nanoseconds.
const RESOLUTION: u64 = 1_000;

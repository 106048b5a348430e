//! `mynah:bot/conversation`: a dialogue that spans messages.

use super::{
    bindings::mynah::bot::{conversation::Host, types::Error},
    run::{Run, lock, refused},
};

impl Host for Run {
    async fn recall(&mut self) -> Result<Option<Vec<u8>>, Error> {
        lock(self.work.clone()).await?.recall().map_err(refused)
    }

    async fn remember(&mut self, state: Vec<u8>, seconds: u32) -> Result<(), Error> {
        lock(self.work.clone()).await?.remember(state, seconds).map_err(refused)
    }

    async fn end(&mut self) -> Result<(), Error> {
        lock(self.work.clone()).await?.forget().map_err(refused)
    }
}

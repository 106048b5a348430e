//! `mynah:bot/conversation`: a dialogue that spans messages. This version of the host has none to offer.

use super::{
    bindings::mynah::bot::{conversation::Host, types::Error},
    run::{Run, unavailable},
};

impl Host for Run {
    async fn recall(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Err(unavailable("conversation"))
    }

    async fn remember(&mut self, _state: Vec<u8>, _seconds: u32) -> Result<(), Error> {
        Err(unavailable("conversation"))
    }

    async fn end(&mut self) -> Result<(), Error> {
        Err(unavailable("conversation"))
    }
}

//! `mynah:bot/http`: HTTP to allowed hosts. This version of the host has none to offer.

use super::{
    bindings::mynah::bot::{
        http::{Host, Request, Response},
        types::Error,
    },
    run::{Run, unavailable},
};

impl Host for Run {
    async fn send(&mut self, _request: Request) -> Result<Response, Error> {
        Err(unavailable("http"))
    }
}

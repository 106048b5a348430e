//! `mynah:bot/store`: durable storage. This version of the host has none to offer.

use super::{
    bindings::mynah::bot::{store::Host, types::Error},
    run::{Run, unavailable},
};

impl Host for Run {
    async fn get(&mut self, _key: String) -> Result<Option<Vec<u8>>, Error> {
        Err(unavailable("store"))
    }

    async fn set(&mut self, _key: String, _value: Vec<u8>) -> Result<(), Error> {
        Err(unavailable("store"))
    }

    async fn delete(&mut self, _key: String) -> Result<(), Error> {
        Err(unavailable("store"))
    }

    async fn list(&mut self, _prefix: String, _after: Option<String>, _limit: u32) -> Result<Vec<String>, Error> {
        Err(unavailable("store"))
    }

    async fn add(&mut self, _key: String, _delta: i64) -> Result<i64, Error> {
        Err(unavailable("store"))
    }
}

//! `mynah:bot/store`: durable storage of a plugin for a bot.

use super::{
    bindings::mynah::bot::{store::Host, types::Error},
    run::{Run, lock, refused},
};

impl Host for Run {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Error> {
        lock(self.work.clone()).await?.get(&key).await.map_err(refused)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Error> {
        lock(self.work.clone()).await?.set(&key, value).await.map_err(refused)
    }

    async fn delete(&mut self, key: String) -> Result<(), Error> {
        lock(self.work.clone()).await?.delete(&key).map_err(refused)
    }

    async fn list(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Vec<String>, Error> {
        lock(self.work.clone()).await?.list(&prefix, after.as_deref(), limit).await.map_err(refused)
    }

    async fn add(&mut self, key: String, delta: i64) -> Result<i64, Error> {
        lock(self.work.clone()).await?.add(&key, delta).await.map_err(refused)
    }
}

//! `mynah:bot/wechat`: the account's own API. This version of the host has none to offer.

use super::{
    bindings::mynah::bot::{types::Error, wechat::Host},
    run::{Run, unavailable},
};

impl Host for Run {
    async fn call(&mut self, _path: String, _body: Option<String>) -> Result<String, Error> {
        Err(unavailable("wechat"))
    }

    async fn upload(&mut self, _kind: String, _file_name: String, _data: Vec<u8>) -> Result<String, Error> {
        Err(unavailable("wechat"))
    }

    async fn download(&mut self, _media_id: String) -> Result<Vec<u8>, Error> {
        Err(unavailable("wechat"))
    }
}

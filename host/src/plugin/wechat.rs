//! `mynah:bot/wechat`: the account's own API. This version of the host decides what is allowed, but calls nothing yet.

use super::{
    bindings::mynah::bot::{types::Error, wechat::Host},
    run::{Run, bounded, not_granted, unavailable},
};

impl Host for Run {
    async fn call(&mut self, path: String, _body: Option<String>) -> Result<String, Error> {
        self.grant(&path)
    }

    async fn upload(&mut self, _kind: String, _file_name: String, _data: Vec<u8>) -> Result<String, Error> {
        self.grant("/cgi-bin/media/upload")
    }

    async fn download(&mut self, _media_id: String) -> Result<Vec<u8>, Error> {
        self.grant("/cgi-bin/media/get")
    }
}

impl Run {
    fn grant<T>(&self, path: &str) -> Result<T, Error> {
        if self.allow.wechat(path) {
            return Err(unavailable("wechat"));
        }
        let (plugin, path) = (&*self.plugin, bounded(path));
        tracing::warn!(
            plugin,
            "the WeChat API's {path} is not granted; to allow it, add `allow = {{ wechat = [\"{path}\"] }}` to `[plugins.{plugin}]`"
        );
        Err(not_granted(format!("`{path}` is not in this plugin's `allow.wechat`")))
    }
}

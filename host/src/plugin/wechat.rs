//! `mynah:bot/wechat`: the account's own API, for the paths that `allow.wechat` names. The plugin sees neither the app secret nor a token.

use std::sync::Arc;

use super::{
    bindings::mynah::bot::{types::Error, wechat::Host},
    run::{Run, bounded, not_granted},
};
use crate::wechat_api::{Account, ApiError, Path, Terms};

impl Host for Run {
    async fn call(&mut self, path: String, body: Option<String>) -> Result<String, Error> {
        self.outside().count()?;
        let path = Path::parse(&path).map_err(|why| {
            tracing::warn!(
                plugin = &*self.charter.name,
                "a call of the WeChat API's {} was refused: {why}",
                bounded(&path)
            );
            not_granted(why.to_owned())
        })?;
        let account = self.grant(path.as_str())?;
        account.call(&path, body, &self.terms()).await.map_err(refused)
    }

    async fn upload(&mut self, kind: String, file_name: String, data: Vec<u8>) -> Result<String, Error> {
        self.outside().count()?;
        let account = self.grant("/cgi-bin/media/upload")?;
        account.upload(&kind, &file_name, data, &self.terms()).await.map_err(refused)
    }

    async fn download(&mut self, media_id: String) -> Result<Vec<u8>, Error> {
        self.outside().count()?;
        let account = self.grant("/cgi-bin/media/get")?;
        account.download(&media_id, &self.terms()).await.map_err(refused)
    }
}

impl Run {
    /// The account, if the plugin may call this path of its API.
    fn grant(&self, path: &str) -> Result<Arc<Account>, Error> {
        let (plugin, shown) = (&*self.charter.name, bounded(path));
        if !self.charter.settings.allow.wechat(path) {
            tracing::warn!(
                plugin,
                "the WeChat API's {shown} is not granted; to allow it, add `allow = {{ wechat = [\"{shown}\"] }}` to \
                 `[plugins.{plugin}]`"
            );
            return Err(not_granted(format!("`{shown}` is not in this plugin's `allow.wechat`")));
        }
        let Some(account) = &self.account else {
            tracing::warn!(plugin, "the WeChat API's {shown} cannot be called: the bot has no `app_secret`");
            return Err(Error { code: "unavailable".into(), message: "the bot has no `app_secret`".into() });
        };
        Ok(account.clone())
    }

    fn terms(&mut self) -> Terms {
        let outside = self.outside();
        Terms { called: outside.called.clone(), deadline: outside.deadline }
    }
}

/// An error as the contract has it.
fn refused(error: ApiError) -> Error {
    Error { code: error.code(), message: error.message() }
}

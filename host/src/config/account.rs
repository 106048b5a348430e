//! What identifies a bot's account: its app id, the keys of encryption, and the secret of the WeChat API.

use std::sync::Arc;

use toml::Spanned;
use url::Url;

use super::{
    Api,
    problems::Problem,
    reader::Reader,
    table::{Entry, Table},
    values::{Origin, sourced},
};
use crate::{
    secret::Secret,
    wechat::cipher::{AesKey, Cipher},
};

/// Where WeChat's own API is.
const API: &str = "https://api.weixin.qq.com";

impl Reader<'_, '_> {
    pub(super) fn app_id(&mut self, table: &mut Table<'_>) -> Option<Spanned<String>> {
        let app_id = table.get::<String>("app_id", self.problems)?;
        if app_id.get_ref().is_empty() || !app_id.get_ref().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.error(
                format!("`{}` is no app id", app_id.get_ref()),
                app_id.span(),
                "it looks like `wx0123456789abcdef`",
            );
        }
        Some(app_id)
    }

    /// `encoding_aes_key` and `previous_aes_key`.
    pub(super) fn cipher(
        &mut self,
        bot: &str,
        app_id: Option<&Spanned<String>>,
        table: &mut Table<'_>,
    ) -> Option<Cipher> {
        let places = ["encoding_aes_key", "previous_aes_key"].map(|key| table.take(key));
        let [current_place, previous_place] =
            [&places[0], &places[1]].map(|entry| entry.as_ref().map(|entry| entry.key_span.clone()));
        let [current, previous] = places;
        let current = current.map(|entry| self.aes_key("encoding_aes_key", entry));
        let previous = previous.map(|entry| self.aes_key("previous_aes_key", entry));
        match (app_id, current_place, previous_place) {
            (Some(app_id), Some(_), _) => {
                // A key that is wrong was reported; an optional one that was not given is no obstacle.
                let previous = match previous {
                    Some(previous) => Some(previous?),
                    None => None,
                };
                Some(Cipher::new(current??, previous, app_id.get_ref().clone()))
            }
            (None, Some(place), _) => {
                self.error(
                    format!("bot `{bot}` has an `encoding_aes_key` but no `app_id`"),
                    place,
                    "add `app_id = \"wx…\"`: every encrypted message names the account that it is for",
                );
                None
            }
            (_, None, Some(place)) => {
                self.error(
                    format!("bot `{bot}` has a `previous_aes_key` but no `encoding_aes_key`"),
                    place,
                    "the current key is `encoding_aes_key`",
                );
                None
            }
            (_, None, None) => None,
        }
    }

    fn aes_key(&mut self, name: &str, entry: Entry<'_>) -> Option<AesKey> {
        let key = sourced(entry, &format!("`{name}`"), self.source, self.origins, self.problems)?;
        if key.origin == Origin::NotNeeded {
            return AesKey::parse(&"A".repeat(43)).ok();
        }
        match AesKey::parse(key.text.trim()) {
            Ok(key) => Some(key),
            Err(error) => {
                self.error(
                    format!("`{name}`: {error}"),
                    key.span,
                    "copy the EncodingAESKey from the account's server configuration (服务器配置)",
                );
                None
            }
        }
    }

    /// `app_secret` and `api`.
    pub(super) fn api(&mut self, bot: &str, app_id: Option<&Spanned<String>>, table: &mut Table<'_>) -> Option<Api> {
        let base = table.get::<String>("api", self.problems);
        let entry = table.take("app_secret");
        let base = match base {
            Some(base) if entry.is_none() => {
                let problem =
                    Problem::warning(format!("bot `{bot}` has an `api` but no `app_secret`, so it is never called"));
                self.problems.push(problem.at(self.source, base.span()).hint("add `app_id` and `app_secret`"));
                return None;
            }
            Some(base) => self.api_base(bot, &base)?,
            None => API.to_owned(),
        };
        let entry = entry?;
        let place = entry.key_span.clone();
        let secret = sourced(entry, "`app_secret`", self.source, self.origins, self.problems)?;
        let text = secret.text.trim();
        // Not its length: test accounts' and doubles' are of their own kind. Whoever copies it with something around it is told here.
        if secret.origin != Origin::NotNeeded
            && (text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        {
            self.error(
                format!("the `app_secret` of bot `{bot}` is not letters and digits only"),
                secret.span,
                "copy the AppSecret from the account's console (设置与开发 → 基本配置)",
            );
            return None;
        }
        let Some(app_id) = app_id else {
            self.error(
                format!("bot `{bot}` has an `app_secret` but no `app_id`"),
                place,
                "add `app_id = \"wx…\"`: it stands beside the AppSecret",
            );
            return None;
        };
        Some(Api { app_id: Arc::from(app_id.get_ref().as_str()), app_secret: Secret::new(text), base })
    }

    fn api_base(&mut self, bot: &str, given: &Spanned<String>) -> Option<String> {
        let plain = |url: &Url| {
            ["http", "https"].contains(&url.scheme())
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let Some(url) = Url::parse(given.get_ref()).ok().filter(plain) else {
            self.error(
                format!("`{}` is no base address of an API", given.get_ref()),
                given.span(),
                "such as `https://api.weixin.qq.com`; leave it out for that one",
            );
            return None;
        };
        let host = url.host_str().unwrap_or_default();
        let loopback = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        if url.scheme() == "http" && !loopback {
            let message = format!("bot `{bot}` sends its `app_secret` and access tokens to `{host}` unencrypted");
            let problem = Problem::warning(message).at(self.source, given.span());
            self.problems.push(problem.hint("`https://` unless nobody can listen on the way"));
        }
        Some(url.as_str().trim_end_matches('/').to_owned())
    }
}

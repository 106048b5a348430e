//! `mynah:bot/http`: HTTP to allowed hosts. This version of the host decides what is allowed, but sends nothing yet.

use super::{
    bindings::mynah::bot::{
        http::{Host, Request, Response},
        types::Error,
    },
    run::{Run, bounded, not_granted, unavailable},
};
use crate::config::Allow;

impl Host for Run {
    async fn send(&mut self, request: Request) -> Result<Response, Error> {
        if !self.allow.http(&request.url) {
            refuse(&self.plugin, &request.url);
            return Err(not_granted(format!("`{}` is not in this plugin's `allow.http`", bounded(&request.url))));
        }
        Err(unavailable("http"))
    }
}

/// Tells the operator what a plugin asked for, and how to allow it.
pub(super) fn refuse(plugin: &str, url: &str) {
    match Allow::entry_for(url) {
        Some(entry) => {
            let entry = bounded(&entry);
            tracing::warn!(
                plugin,
                "HTTP with {entry} is not granted; to allow it, add `allow = {{ http = [\"{entry}\"] }}` to `[plugins.{plugin}]`"
            );
        }
        None => tracing::warn!(plugin, "`{}` is no URL of HTTP", bounded(url)),
    }
}

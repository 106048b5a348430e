//! `wasi:http`: linked, because the components of several languages import it whether they use it or not. This version of the host sends
//! nothing.

use std::sync::Arc;

use hyper::{Request, Response};
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::run::Run;
use crate::config::Allow;

/// Bytes of a request's or response's headers, as they stand in memory.
const FIELDS: usize = 64 << 10;

/// A run's part in `wasi:http`.
pub(super) struct WasiHttp {
    context: WasiHttpCtx,
    policy: Policy,
}

/// Decides about requests.
struct Policy {
    plugin: Arc<str>,
    allow: Arc<Allow>,
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttp {
    pub(super) fn new(plugin: &Arc<str>, allow: &Arc<Allow>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS);
        Self { context, policy: Policy { plugin: plugin.clone(), allow: allow.clone() } }
    }

    fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.policy, table, ctx: &mut self.context }
    }
}

impl WasiHttpView for Run {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (http, table) = self.wasi_http();
        http.view(table)
    }
}

impl WasiHttpHooks for Policy {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let url = request.uri().to_string();
        if self.allow.http(&url) {
            tracing::warn!(plugin = &*self.plugin, "HTTP is allowed, but this version of mynah sends nothing yet");
        } else {
            super::http::refuse(&self.plugin, &url);
        }
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

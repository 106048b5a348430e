//! `wasi:http`, under the same rules as our own `http`: what is allowed is decided for each request, bodies are streamed within bounds.
//! Redirects are responses as any: whoever follows one asks anew.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response,
    body::{Body, Frame, SizeHint},
};
use tracing::Instrument;
use url::Url;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use super::run::{Outside, Run};
use crate::{
    http_client::{self, Bounds, Broken, Kind, Unfinished},
    limits,
};

/// A run's part in `wasi:http`.
pub(super) struct WasiHttp {
    context: WasiHttpCtx,
    policy: Policy,
}

/// Sends what is allowed.
struct Policy {
    outside: Outside,
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttp {
    pub(super) fn new(outside: &Outside) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(limits::HTTP_HEAD);
        Self { context, policy: Policy { outside: outside.clone() } }
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
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let outside = self.outside.clone();
        // At once, since the plugin may end before the task that sends has begun.
        outside.called.note();
        let sending = async move {
            let outlet = outside.way().map_err(|error| Error::InternalError(Some(error.message)))?;
            let (head, body) = request.into_parts();
            let url = Url::parse(&head.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
            let body = Streamed { length: length(&head.headers), body: Limited::new(body, limits::HTTP_STREAM) };
            let body = body.boxed_unsync();
            let bounds = Bounds { deadline: outside.deadline, response: limits::HTTP_STREAM, redirects: 0 };
            let opening = outlet.open(head.method, &url, head.headers, body, bounds, &outside.called);
            let opened = tokio::time::timeout(head_time(options), opening).await;
            let response = opened.map_err(|_| Error::HttpResponseTimeout)?.map_err(|error| {
                outside.tell(&error);
                refusal(&error)
            })?;
            let response = response.map(|body| body.map_err(|why| broken(&why)).boxed_unsync());
            let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, nothing))
        };
        // It is a task of its own, and its log lines are this message's all the same.
        Box::new(sending.in_current_span())
    }
}

/// A request's body as a plugin writes it.
struct Streamed {
    /// Its bytes, where the plugin has said so: not every server takes a body of no known length.
    length: Option<u64>,
    body: Limited<WasiBody>,
}

/// What the plugin says of its body's length, which wasmtime has checked and holds it to.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Unfinished;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        let frame = pin!(&mut self.body).poll_frame(cx).map_err(|why| Unfinished(why.to_string()));
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let (Some(length), Some(data)) = (&mut self.length, frame.data_ref())
        {
            *length = length.saturating_sub(data.len() as u64);
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// When the plugin itself gives up on a response's head; the run's own time ends sooner or later.
fn head_time(options: Option<RequestOptions>) -> Duration {
    let asked = options.map(|options| (options.connect_timeout, options.first_byte_timeout));
    match asked {
        Some((Some(connect), Some(first_byte))) => connect.saturating_add(first_byte),
        Some((Some(time), None) | (None, Some(time))) => time.saturating_add(limits::HTTP_CONNECT_TIME),
        Some((None, None)) | None => limits::PLUGIN_TIME_MAX,
    }
}

/// Why there is no response, in WASI's words.
fn refusal(error: &http_client::Error) -> Error {
    match &error.kind {
        Kind::NotGranted(_) => Error::HttpRequestDenied,
        Kind::AddressRefused => Error::DestinationIpProhibited,
        Kind::BadRequest => Error::HttpRequestUriInvalid,
        Kind::TooLarge => Error::HttpResponseBodySize(None),
        Kind::Timeout => Error::ConnectionTimeout,
        Kind::Unavailable => Error::DestinationUnavailable,
    }
}

/// Why a response broke off, in WASI's words.
fn broken(why: &Broken) -> Error {
    match why {
        Broken::Late => Error::HttpResponseTimeout,
        Broken::TooLarge => Error::HttpResponseBodySize(None),
        Broken::Lost(_) => Error::HttpResponseIncomplete,
    }
}

//! The one way out: HTTP requests of plugins and of the host itself, under one policy and with bounds on everything.
//!
//! A [`Client`] is made once. Each of those who send has an [`Outlet`] of it, with a [`Policy`] and connections of its own: none is
//! ever used under another policy than that it was made under, nor does one plugin's request follow another's on the same
//! connection. An outlet sends one request and reads the response whole ([`Outlet::send`], which follows redirects), or leaves the
//! bodies to be streamed ([`Outlet::open`], which does not).
//!
//! What holds for every request, a redirected one too:
//! - Its scheme, host and port are allowed, after the same parsing that makes the request.
//! - The address that it goes to is public, or is named in `bots.toml`, or is of a private network where `private = true` allows one. Names
//!   are resolved, and the addresses checked, in the step that connects to them, so that no second look-up can say otherwise.
//!   Link-local addresses and those of clouds' metadata are reached only where they stand in `bots.toml` as addresses.
//! - Granted headers are added on the way to their own origin alone. They stand in no error and no log line. (A service that repeats
//!   what it is sent would repeat them, too; TRACE, which asks for that, is refused.)
//! - Proxies of the environment (`HTTP_PROXY` and its like) are not used: a proxy resolves names itself, and nothing could be checked.
//! - Only HTTP/1.1 is spoken, which every service speaks; nothing is decompressed, so that bytes are bounded as they are received.

mod address;
mod network;
mod policy;
mod redirect;
#[cfg(test)]
mod tests;

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, timeout_at},
};
use url::Url;

use self::network::{Pool, Refused};
pub use self::{
    network::{Resolve, Resolved, SystemResolver},
    policy::Policy,
};
use crate::{called::Called, config::Origin, limits};

/// Sends requests; what all outlets share.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    /// Made with the first connection: reading the machine's certificates takes a while, and not every server sends anything.
    tls: OnceLock<Result<rustls::ClientConfig, String>>,
    resolver: Arc<dyn Resolve>,
    /// Answers in place of the network.
    answers: Option<Arc<dyn Answers>>,
    exchanges: Arc<Semaphore>,
    /// KiB of responses that are held.
    room: Arc<Semaphore>,
}

/// Answers in place of the network, for tests of plugins. The policy holds as ever, but for the addresses that names stand for.
pub trait Answers: Send + Sync + 'static {
    /// How long the answer takes; none unless it is said.
    fn wait<'a>(&'a self, _request: &'a http::Request<Bytes>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }

    /// Answers a request as it would have gone out; an error is a peer that cannot be reached.
    fn answer(&self, request: &http::Request<Bytes>) -> Result<http::Response<Bytes>, String>;
}

/// The way out of one plugin, or of one part of the host.
pub struct Outlet {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    pool: OnceLock<Pool>,
    exchanges: Arc<Semaphore>,
}

/// A request whose body is there.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, POST, …
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// What the sender says; framing headers among them are left out.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A response that was read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// 200, 404, …
    pub status: StatusCode,
    /// What the peer says.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// How much a response may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// When it must have been read.
    pub deadline: Instant,
    /// Bytes of its body.
    pub response: usize,
    /// Redirects that are followed; where none are, a redirect is a response as any.
    pub redirects: usize,
}

/// Why there is no response. Its text names the origin at most: what follows it in a URL may be a secret.
#[derive(Debug)]
pub struct Error {
    /// What a caller branches on.
    pub kind: Kind,
    /// Whether the request may have had an effect.
    pub sent: Sent,
    message: String,
}

/// Kinds of [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The policy does not let the request go to this origin.
    NotGranted(Origin),
    /// The policy lets it go there, but not to the address that the name stands for.
    AddressRefused,
    /// It is no request that could be sent.
    BadRequest,
    /// The request or the response is larger than it may be.
    TooLarge,
    /// The deadline has passed.
    Timeout,
    /// The peer cannot be reached, or does not speak HTTP.
    Unavailable,
}

/// Whether a request may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte of it left the host: it can be sent again.
    Never,
    /// It may have reached the peer, and what came of it is unknown.
    Perhaps,
}

impl Error {
    fn new(kind: Kind, sent: Sent, message: impl Into<String>) -> Self {
        Self { kind, sent, message: message.into() }
    }

    /// The same, where an earlier request of the same exchange was answered.
    fn after_another(self) -> Self {
        Self { sent: Sent::Perhaps, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {}

/// The body of a request.
pub type OutgoingBody = UnsyncBoxBody<Bytes, Unfinished>;

/// The body of a request ended early: its sender gave up, or went beyond its bounds.
#[derive(Debug, thiserror::Error)]
#[error("the request's body was not finished: {0}")]
pub struct Unfinished(pub String);

impl Client {
    /// A client that uses the system's resolver.
    pub fn new() -> Self {
        Self::with_resolver(Arc::new(SystemResolver))
    }

    /// A client with a resolver of its own.
    pub fn with_resolver(resolver: Arc<dyn Resolve>) -> Self {
        Self::made_of(resolver, None)
    }

    /// A client that never uses the network.
    pub fn answered_by(answers: Arc<dyn Answers>) -> Self {
        Self::made_of(Arc::new(SystemResolver), Some(answers))
    }

    fn made_of(resolver: Arc<dyn Resolve>, answers: Option<Arc<dyn Answers>>) -> Self {
        let shared = Shared {
            tls: OnceLock::new(),
            resolver,
            answers,
            exchanges: Arc::new(Semaphore::new(limits::HTTP_EXCHANGES)),
            room: Arc::new(Semaphore::new(limits::HTTP_BYTES_IN_FLIGHT >> 10)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A way out under a policy, with connections of its own.
    pub fn outlet(&self, policy: Policy) -> Outlet {
        Outlet {
            shared: self.shared.clone(),
            policy: Arc::new(policy),
            pool: OnceLock::new(),
            exchanges: Arc::new(Semaphore::new(limits::HTTP_EXCHANGES_EACH)),
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Outlet {
    /// Sends a request, follows redirects, and reads the response.
    pub async fn send(&self, request: Request, bounds: Bounds, called: &Called) -> Result<Response, Error> {
        let Request { mut method, mut url, mut headers, mut body } = request;
        let mut followed = 0;
        loop {
            let sent = self.send_once(&method, &url, &headers, &body, bounds, called).await;
            let response = sent.map_err(|error| if followed > 0 { error.after_another() } else { error })?;
            if bounds.redirects == 0 {
                return Ok(response);
            }
            let Some(next) = redirect::next(&method, &url, &response) else { return Ok(response) };
            if followed == bounds.redirects {
                let message = format!("`{}` redirects more than {followed} times", shown(&url));
                return Err(Error::new(Kind::Unavailable, Sent::Perhaps, message));
            }
            followed += 1;
            redirect::follow(next, &mut method, &mut url, &mut headers, &mut body);
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
        bounds: Bounds,
        called: &Called,
    ) -> Result<Response, Error> {
        let body = Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync();
        let response = self.open(method.clone(), url, headers.clone(), body, bounds, called).await?;
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(url, &error))?.into_data() else { continue };
            let kib = u32::try_from((data.len() >> 10) + 1).unwrap_or(u32::MAX);
            let Ok(more) = self.shared.room.clone().try_acquire_many_owned(kib) else {
                let message = "too many responses are being read at once";
                return Err(Error::new(Kind::Unavailable, Sent::Perhaps, message));
            };
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Response { status: head.status, headers: head.headers, body: bytes.freeze() })
    }

    /// Sends a request whose body may still be made, and leaves the response to be read within its bounds. Redirects are
    /// responses as any.
    pub async fn open(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: OutgoingBody,
        bounds: Bounds,
        called: &Called,
    ) -> Result<http::Response<IncomingBody>, Error> {
        let bad = |message: String| Error::new(Kind::BadRequest, Sent::Never, message);
        let Some(origin) = Origin::of(url) else { return Err(bad(format!("`{}` is no URL of HTTP", shown(url)))) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("a URL must not hold a user's name or password; a header can".into()));
        }
        if !self.policy.allows(&origin) {
            let message = format!("`{origin}` is not allowed");
            return Err(Error::new(Kind::NotGranted(origin), Sent::Never, message));
        }
        // CONNECT asks for a tunnel, and TRACE for an echo of what the host has added.
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(bad(format!("the method {method} is not supported")));
        }
        self.policy.apply(&origin, &mut headers);
        let head: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if headers.len() > limits::HTTP_HEADERS || head + url.as_str().len() > limits::HTTP_HEAD {
            return Err(Error::new(Kind::TooLarge, Sent::Never, "the request's headers are too large"));
        }
        let uri = uri(&origin, url).ok_or_else(|| bad(format!("`{}` is no URL of HTTP", shown(url))))?;
        let mut request = http::Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;

        let late = |sent| Error::new(Kind::Timeout, sent, format!("`{origin}` did not answer in time"));
        let permits = async {
            let own = self.exchanges.clone().acquire_owned().await.ok()?;
            Some((own, self.shared.exchanges.clone().acquire_owned().await.ok()?))
        };
        let permits = match timeout_at(bounds.deadline, permits).await {
            Ok(Some(permits)) => permits,
            Ok(None) => return Err(Error::new(Kind::Unavailable, Sent::Never, "the server is stopping")),
            Err(_) => {
                let message = "too many requests are under way";
                return Err(Error::new(Kind::Timeout, Sent::Never, message));
            }
        };
        let start = Instant::now();
        let response = match &self.shared.answers {
            Some(answers) => match timeout_at(bounds.deadline, answer(&**answers, request, &origin, called)).await {
                Ok(answered) => answered?,
                Err(_) => return Err(late(Sent::Perhaps)),
            },
            None => {
                let note = Note { capture: capture_connection(&mut request), called: called.clone() };
                match timeout_at(bounds.deadline, self.pool()?.request(request)).await {
                    Ok(Ok(response)) => response.map(Source::Network),
                    Ok(Err(error)) => return Err(network_error(&error, note.sent(), &origin)),
                    Err(_) => return Err(late(note.sent())),
                }
            }
        };
        let (status, ms) = (response.status().as_u16(), start.elapsed().as_millis() as u64);
        tracing::debug!("{method} {origin} → {status}, {ms} ms");
        let response = response.map(|source| IncomingBody {
            source,
            left: bounds.response,
            deadline: Box::pin(tokio::time::sleep_until(bounds.deadline)),
            _permits: permits,
        });
        // Where the peer says so, not a byte of it needs to be read.
        if response.body().size_hint().lower() > bounds.response as u64 {
            return Err(broken(url, &Broken::TooLarge));
        }
        Ok(response)
    }

    fn pool(&self) -> Result<&Pool, Error> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let tls = self.shared.tls.get_or_init(|| network::tls().map_err(|error| error.to_string()));
        let tls = tls
            .as_ref()
            .map_err(|why| Error::new(Kind::Unavailable, Sent::Never, format!("TLS cannot be used: {why}")))?;
        Ok(self.pool.get_or_init(|| network::pool(tls.clone(), self.shared.resolver.clone(), self.policy.clone())))
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Notes, whichever way an exchange ends, whether a connection was there for its request.
struct Note {
    capture: CaptureConnection,
    called: Called,
}

impl Note {
    fn sent(&self) -> Sent {
        if self.capture.connection_metadata().is_some() { Sent::Perhaps } else { Sent::Never }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if self.sent() == Sent::Perhaps {
            self.called.note();
        }
    }
}

/// The body of a response, within its bounds of bytes and time.
pub struct IncomingBody {
    source: Source,
    /// Bytes that may still come.
    left: usize,
    deadline: Pin<Box<Sleep>>,
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// Where a response comes from.
enum Source {
    Network(Incoming),
    Answers(Full<Bytes>),
}

/// Why the body of a response broke off.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The deadline passed.
    #[error("it was not there in time")]
    Late,
    /// It is larger than it may be.
    #[error("it is larger than it may be")]
    TooLarge,
    /// The connection was lost, or what came was not HTTP.
    #[error("it broke off: {0}")]
    Lost(hyper::Error),
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        // Looked at first: a peer that always has another byte never keeps anyone waiting.
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Broken::Late)));
        }
        let frame = match &mut self.source {
            Source::Network(body) => pin!(body).poll_frame(cx).map_err(Broken::Lost),
            Source::Answers(body) => pin!(body).poll_frame(cx).map_err(|never| match never {}),
        };
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len()) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(Broken::TooLarge))),
            }
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Network(body) => body.size_hint(),
            Source::Answers(body) => body.size_hint(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Network(body) => body.is_end_stream(),
            Source::Answers(body) => body.is_end_stream(),
        }
    }
}

/// An answer of a test's script, to a request that is there in whole.
async fn answer(
    answers: &dyn Answers,
    request: http::Request<OutgoingBody>,
    origin: &Origin,
    called: &Called,
) -> Result<http::Response<Source>, Error> {
    called.note();
    let (head, body) = request.into_parts();
    let unavailable = |why: &dyn fmt::Display| {
        Error::new(Kind::Unavailable, Sent::Perhaps, format!("no answer from `{origin}`: {why}"))
    };
    let body = Limited::new(body, limits::HTTP_BODY).collect().await.map_err(|error| unavailable(&error))?;
    let request = http::Request::from_parts(head, body.to_bytes());
    answers.wait(&request).await;
    let response = answers.answer(&request).map_err(|why| unavailable(&why))?;
    Ok(response.map(|body| Source::Answers(Full::new(body))))
}

/// The URL as a request has it, made of what was parsed and checked rather than of what was written.
fn uri(origin: &Origin, url: &Url) -> Option<Uri> {
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let path = PathAndQuery::try_from(path).ok()?;
    Uri::builder().scheme(origin.scheme.as_str()).authority(origin.authority()).path_and_query(path).build().ok()
}

/// What may be told of a URL: its origin.
fn shown(url: &Url) -> String {
    Origin::of(url).map_or_else(|| format!("{}:…", url.scheme()), |origin| origin.to_string())
}

fn network_error(error: &hyper_util::client::legacy::Error, sent: Sent, origin: &Origin) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    let mut unsent = sent == Sent::Never || error.is_connect();
    let mut why = None;
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            let message = format!("`{origin}` is not allowed to be at this address: {refused}");
            return Error::new(Kind::AddressRefused, Sent::Never, message);
        }
        // hyper gives a request back that it has not begun to write.
        unsent |= error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        why = Some(error);
        cause = error.source();
    }
    let sent = if unsent { Sent::Never } else { Sent::Perhaps };
    let why = why.map_or_else(|| error.to_string(), ToString::to_string);
    let what = if error.is_connect() { "cannot connect to" } else { "no answer from" };
    Error::new(Kind::Unavailable, sent, format!("{what} `{origin}`: {why}"))
}

fn broken(url: &Url, broken: &Broken) -> Error {
    let kind = match broken {
        Broken::Late => Kind::Timeout,
        Broken::TooLarge => Kind::TooLarge,
        Broken::Lost(_) => Kind::Unavailable,
    };
    Error::new(kind, Sent::Perhaps, format!("the response of `{}`: {broken}", shown(url)))
}

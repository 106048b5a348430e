//! One HTTP request of WeChat's into one response.

use std::{borrow::Cow, fmt::Display, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
};

use crate::{
    bot::Bot,
    clock::World,
    fault::{self, Signed},
    inbox::Inbox,
    limits,
    reload::Reloader,
    server::Service,
    throttle::Throttle,
    wechat::{
        cipher::WhichKey,
        document::{Document, Format, MAX_BODY, ParseError},
        envelope::render_envelope,
        message::Message,
        reply::SUCCESS,
        signature,
    },
};

/// Answers WeChat's calls with the current generation's bots.
pub struct Webhook {
    reloader: Arc<Reloader>,
    inbox: Arc<Inbox>,
    world: World,
    /// Bounds how often the log tells of requests that are no bot's.
    strays: Throttle,
}

/// Why a request is turned away: the status and the one line that its sender is told.
struct Refusal(StatusCode, Cow<'static, str>);

/// The parameters that WeChat puts into the URL.
#[derive(Default)]
struct Query<'a> {
    /// All of it, as it arrived.
    raw: &'a str,
    signature: Option<Cow<'a, str>>,
    timestamp: Option<Cow<'a, str>>,
    nonce: Option<Cow<'a, str>>,
    echostr: Option<Cow<'a, str>>,
    encrypt_type: Option<Cow<'a, str>>,
    msg_signature: Option<Cow<'a, str>>,
}

/// How a message arrived, and so how its reply leaves.
#[derive(Clone, Copy)]
struct Form {
    format: Format,
    /// The key that decrypted it.
    key: Option<WhichKey>,
}

impl Webhook {
    /// Answers with whatever generation the reloader has at the time.
    pub fn new(reloader: Arc<Reloader>, inbox: Arc<Inbox>, world: World) -> Self {
        Self { reloader, inbox, world, strays: Throttle::new(limits::REFUSALS_LOGGED) }
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let generation = self.reloader.current();
        let Some(bot) = generation.bot(request.uri().path()) else {
            // Others look for pages that are not here; this is WeChat, or means to be.
            if Query::parse(request.uri().query().unwrap_or_default()).signature.is_some()
                && let Some(more) = self.strays.admit()
            {
                let paths = generation.bots().map(|(path, _)| path.to_owned());
                tracing::warn!(more, "{}", fault::no_bot(request.uri().path(), paths));
            }
            return Err(Refusal(StatusCode::NOT_FOUND, fault::NO_BOT.into()));
        };
        match *request.method() {
            Method::GET => self.verify(bot, &request),
            Method::POST => self.receive(bot, request).await,
            _ => Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are spoken here".into())),
        }
    }

    /// WeChat's verification of the URL: the `echostr` comes back if the signature is right.
    fn verify(&self, bot: &Bot, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        self.check_signature(bot, &query)?;
        let Some(echostr) = query.echostr else { return Err(missing(bot, "echostr", &query)) };
        tracing::info!(bot = &*bot.name, "WeChat verified this URL");
        Ok(response(StatusCode::OK, PLAIN, echostr.into_owned()))
    }

    async fn receive(&self, bot: &Arc<Bot>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        let query = Query::parse(head.uri.query().unwrap_or_default());
        self.check_signature(bot, &query)?;
        let room = self
            .inbox
            .room(size(&body)?)
            .await
            .ok_or_else(|| Refusal(StatusCode::SERVICE_UNAVAILABLE, "too many messages are under way".into()))?;
        let body = read(body).await?;
        let (message, form) = self.open(bot, &query, &body)?;

        let body = self.inbox.deliver(bot, message, form.format, room).await;
        Ok(self.reply(bot, &query, form, body))
    }

    /// Reads a body, decrypting it where it is encrypted.
    fn open(&self, bot: &Bot, query: &Query<'_>, body: &[u8]) -> Result<(Message, Form), Refusal> {
        let unreadable = |why: &dyn Display| {
            complain(bot, &format_args!("{}: {why}", fault::UNREADABLE));
            Refusal(StatusCode::BAD_REQUEST, format!("{}: {why}", fault::UNREADABLE).into())
        };
        let document = Document::parse(body).map_err(|error| match error {
            ParseError::Empty => {
                complain(bot, &format_args!("{}: {}", fault::UNREADABLE, fault::no_body()));
                Refusal(StatusCode::BAD_REQUEST, format!("{}: {error}", fault::UNREADABLE).into())
            }
            error => unreadable(&error),
        })?;
        let format = document.format;
        let encrypted = match query.encrypt_type.as_deref() {
            None | Some("" | "raw") => false,
            Some("aes") => true,
            Some(_) => return Err(unreadable(&"`encrypt_type` is neither `aes` nor `raw`")),
        };
        if !encrypted {
            if bot.require_encryption {
                complain(bot, &fault::plaintext_refused());
                return Err(Refusal(StatusCode::FORBIDDEN, fault::ENCRYPTED_ONLY.into()));
            }
            if document.leaf("Encrypt").is_some() && document.leaf("MsgType").is_none() {
                let fault = fault::encrypt_type_dropped();
                complain(bot, &format_args!("{}: {fault}", fault::UNREADABLE));
                return Err(Refusal(StatusCode::BAD_REQUEST, format!("{}: {}", fault::UNREADABLE, fault.what).into()));
            }
            let message = Message::try_from(document).map_err(|error| unreadable(&error))?;
            return Ok((message, Form { format, key: None }));
        }

        // One answer for everything that can be wrong with a ciphertext: the log tells the operator, nothing tells an attacker.
        let refuse = |why: &dyn Display| {
            complain(bot, &format_args!("an encrypted message was refused: {why}"));
            Refusal(StatusCode::FORBIDDEN, fault::UNDECIPHERABLE.into())
        };
        let Some(cipher) = &bot.cipher else { return Err(refuse(&fault::no_key())) };
        let Some(msg_signature) = query.msg_signature.as_deref() else {
            return Err(missing(bot, "msg_signature", query));
        };
        let Some(encrypt) = document.leaf("Encrypt") else {
            return Err(refuse(&"it has no `Encrypt`, though the URL says `encrypt_type=aes`"));
        };
        let (timestamp, nonce) =
            (query.timestamp.as_deref().unwrap_or_default(), query.nonce.as_deref().unwrap_or_default());
        if !signature::verify(&[bot.token.expose(), timestamp, nonce, encrypt], msg_signature) {
            return Err(refuse(&format_args!("`msg_signature` is wrong{}", self.age(timestamp))));
        }
        let opened = cipher.decrypt(encrypt).map_err(|error| refuse(&fault::undecipherable(&error)))?;
        let inner = Document::parse(&opened.message).map_err(|error| unreadable(&error))?;
        let format = inner.format;
        let message = Message::try_from(inner).map_err(|error| unreadable(&error))?;
        Ok((message, Form { format, key: Some(opened.key) }))
    }

    fn reply(&self, bot: &Bot, query: &Query<'_>, form: Form, body: Bytes) -> Response<Full<Bytes>> {
        if body == SUCCESS {
            return response(StatusCode::OK, PLAIN, body);
        }
        let kind = match form.format {
            Format::Xml => XML,
            Format::Json => JSON,
        };
        let (Some(key), Some(cipher)) = (form.key, &bot.cipher) else {
            return response(StatusCode::OK, kind, body);
        };
        let mut random = [0; 16];
        self.world.randomness.fill(&mut random);
        let encrypt = cipher.encrypt(key, random, &body);
        let nonce = query.nonce.as_deref().unwrap_or_default();
        let mut now = self.world.clock.now().as_secs();
        // A reply signed with the request's own timestamp and nonce could be sent back to us as a message.
        if query.timestamp.as_deref() == Some(now.to_string().as_str()) {
            now += 1;
        }
        let msg_signature = signature::sign(&[bot.token.expose(), &now.to_string(), nonce, &encrypt]);
        response(StatusCode::OK, kind, render_envelope(form.format, &encrypt, &msg_signature, now, nonce))
    }

    fn check_signature(&self, bot: &Bot, query: &Query<'_>) -> Result<(), Refusal> {
        let Some(given) = query.signature.as_deref() else { return Err(missing(bot, "signature", query)) };
        let Some(timestamp) = query.timestamp.as_deref() else { return Err(missing(bot, "timestamp", query)) };
        let Some(nonce) = query.nonce.as_deref() else { return Err(missing(bot, "nonce", query)) };
        if signature::verify(&[bot.token.expose(), timestamp, nonce], given) {
            return Ok(());
        }
        if given == fault::PROBE {
            if let Some(more) = bot.complaints.admit() {
                tracing::info!(bot = &*bot.name, more, "`mynah doctor` tried a wrong signature, and it was refused");
            }
        } else if let Some(more) = bot.complaints.admit() {
            let generation = self.reloader.current();
            let others = generation.bots().filter(|(_, other)| other.name != bot.name);
            let others = others.map(|(_, other)| (&*other.name, other.token.expose()));
            let signed = Signed { signature: given, timestamp, nonce };
            let fault = fault::wrong_signature(signed, bot.token.expose(), others);
            let age = self.age(timestamp);
            tracing::warn!(bot = &*bot.name, more, "{}{age}: {fault}", fault::WRONG_SIGNATURE);
        }
        Err(Refusal(StatusCode::FORBIDDEN, fault::WRONG_SIGNATURE.into()))
    }

    /// How old a timestamp is, for the log: a stale one is a replay or a wrong clock.
    fn age(&self, timestamp: &str) -> String {
        let now = i64::try_from(self.world.clock.now().as_secs()).unwrap_or(i64::MAX);
        match timestamp.parse::<i64>() {
            Ok(sent) => match now.saturating_sub(sent) {
                age @ 0.. => format!(" (timestamp {age} s old)"),
                ahead => format!(" (timestamp {} s ahead of this machine's clock)", ahead.unsigned_abs()),
            },
            Err(_) => " (timestamp is not a number)".into(),
        }
    }
}

impl Service for Webhook {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.handle(request).await {
            Ok(response) => response,
            Err(Refusal(status, line)) => {
                let mut refused = response(status, PLAIN, format!("{line}\n"));
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
                }
                refused
            }
        }
    }
}

impl<'a> Query<'a> {
    /// Reads the parameters; of one given twice, the first counts.
    fn parse(query: &'a str) -> Self {
        let mut parsed = Self { raw: query, ..Self::default() };
        for (name, value) in pairs(query) {
            let slot = match &*name {
                "signature" => &mut parsed.signature,
                "timestamp" => &mut parsed.timestamp,
                "nonce" => &mut parsed.nonce,
                "echostr" => &mut parsed.echostr,
                "encrypt_type" => &mut parsed.encrypt_type,
                "msg_signature" => &mut parsed.msg_signature,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        parsed
    }
}

/// A query's names and values, decoded. WeChat's have nothing that is encoded, and are found without looking at each byte of them.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let encoded = query.contains(['%', '+']);
    let plain = query.split('&').filter(move |pair| !pair.is_empty() && !encoded);
    let plain = plain.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let decoded = form_urlencoded::parse(if encoded { query.as_bytes() } else { &[] });
    plain.map(|(name, value)| (name.into(), value.into())).chain(decoded)
}

const PLAIN: &str = "text/plain; charset=utf-8";
const XML: &str = "text/xml; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

fn too_large() -> Refusal {
    Refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("a message has at most {MAX_BODY} bytes").into())
}

/// How large a body is going to be at the most.
fn size(body: &Incoming) -> Result<usize, Refusal> {
    let hint = hyper::body::Body::size_hint(body);
    if hint.lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    Ok(hint.upper().and_then(|upper| usize::try_from(upper).ok()).map_or(MAX_BODY, |upper| upper.min(MAX_BODY)))
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(limits::REQUEST_BODY_TIME, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Refusal(StatusCode::BAD_REQUEST, format!("the body did not arrive whole: {error}").into()))
        }
        Err(_) => Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive".into())),
    }
}

fn missing(bot: &Bot, parameter: &str, query: &Query<'_>) -> Refusal {
    let fault = fault::missing_parameter(parameter, query.raw);
    complain(bot, &fault);
    Refusal(StatusCode::BAD_REQUEST, fault.what)
}

/// Logs why a request was refused, unless it has been said too often.
fn complain(bot: &Bot, why: &dyn Display) {
    if let Some(more) = bot.complaints.admit() {
        tracing::warn!(bot = &*bot.name, more, "{why}");
    }
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // `echostr` is the caller's own text: no browser may take it for a page.
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_query_is_read_as_the_standard_has_it(query in "[a-z=&%+20-9]{0,40}") {
            let standard: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            prop_assert_eq!(pairs(&query).collect::<Vec<_>>(), standard);
        }
    }
}

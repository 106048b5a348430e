//! The WeChat API of one account: its access token, calls, media, and customer-service messages.
//!
//! An [`Account`] holds the app secret and the token; neither leaves it but in requests to the API. Whoever calls gets WeChat's own error
//! code, or learns that the request was never sent, or that nobody knows what became of it: nothing is sent twice but after WeChat itself
//! has said that it refused the token.

mod error;
mod media;
mod message;
mod path;
mod token;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use self::token::{Token, Tokens};
pub use self::{error::ApiError, message::has_form, path::Path};
use crate::{
    called::Called,
    clock::World,
    config::{self, Allow, Origin},
    http_client::{self, Bounds, Client, Kind, Outlet, Policy, Sent},
    limits,
    secret::Secret,
    throttle::Throttle,
    wechat::reply::Reply,
};

/// How long the API may take for an answer.
const CALL_TIME: Duration = Duration::from_secs(10);

/// How long it may take for media, of some MiB.
const MEDIA_TIME: Duration = Duration::from_secs(60);

/// Bytes of an answer. The largest that the platform documents are lists of 10,000 OpenIDs, some 300 KiB.
const ANSWER: usize = 4 << 20;

/// Bytes of media: the platform takes up to 10 MiB.
const MEDIA: usize = limits::HTTP_BODY;

/// Where customer-service messages go.
const SEND: &str = "/cgi-bin/message/custom/send";

/// An account whose API can be called.
pub struct Account {
    app_id: Arc<str>,
    secret: Secret,
    /// The API's address, without a slash at its end.
    base: String,
    outlet: Outlet,
    /// For what WeChat says is elsewhere.
    http: Client,
    tokens: Tokens,
    complaints: Throttle,
}

impl Account {
    /// The account of this configuration; nothing is sent yet. Shared from the beginning, since fetching a token may outlast its caller.
    pub fn new(config: &config::Api, http: &Client, world: World) -> Arc<Self> {
        let origin = Url::parse(&config.base).ok().as_ref().and_then(Origin::of);
        // The configuration has checked the address.
        let policy = origin.map_or_else(|| Policy::of_plugin(&Allow::default()), Policy::of_host);
        Arc::new(Self {
            app_id: config.app_id.clone(),
            secret: config.app_secret.clone(),
            base: config.base.clone(),
            outlet: http.outlet(policy),
            http: http.clone(),
            tokens: Tokens::new(world),
            complaints: Throttle::new(limits::REFUSALS_LOGGED),
        })
    }

    /// Whether it is what this configuration describes, so that its token can be kept.
    pub fn is_for(&self, config: &config::Api) -> bool {
        self.app_id == config.app_id && self.secret.expose() == config.app_secret.expose() && self.base == config.base
    }

    /// Its app id.
    pub fn app_id(&self) -> &Arc<str> {
        &self.app_id
    }

    /// POSTs a JSON text to `path`, or GETs where there is none. Returns WeChat's answer unless that is an error.
    pub async fn call(self: &Arc<Self>, path: &Path, body: Option<String>, terms: &Terms) -> Result<String, ApiError> {
        let body = body.map(json_body);
        let answer = self.ask(path.as_str(), path.query(), body, &terms.within(CALL_TIME), ANSWER).await?;
        let text = String::from_utf8(answer.body).map_err(|_| ApiError::Unknown("its answer is no text".into()));
        self.noted(path.as_str(), text)
    }

    /// Makes sure that there is a token, before something is done that must not be tried in vain.
    pub async fn prepare(self: &Arc<Self>) -> Result<(), ApiError> {
        let prepared = self.token(None, Instant::now() + CALL_TIME).await.map(drop);
        self.noted(token::ISSUE, prepared)
    }

    /// Sends a customer-service message to a follower. A reply without a form there is [`ApiError::NoForm`].
    pub async fn send(self: &Arc<Self>, openid: &str, reply: &Reply) -> Result<(), ApiError> {
        let body = message::render(openid, reply).ok_or(ApiError::NoForm)?;
        let answer = self.ask(SEND, "", Some(json_body(body)), &Terms::own(), ANSWER).await?;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // Only a clear yes is one.
        let sent = match answer.get("errcode").and_then(Value::as_i64) {
            Some(0) => Ok(()),
            _ => Err(ApiError::Unknown("its answer says neither yes nor no".into())),
        };
        self.noted(SEND, sent)
    }

    /// One call with the account's token, and once more with another one if WeChat refuses the first: then nothing has happened yet.
    async fn ask(
        self: &Arc<Self>,
        path: &str,
        query: &str,
        body: Option<Body>,
        terms: &Terms,
        bound: usize,
    ) -> Result<Answer, ApiError> {
        let mut refused: Option<Token> = None;
        loop {
            let token = match self.token(refused.as_ref(), terms.deadline).await {
                Ok(token) => token,
                Err(error) => return self.noted(token::ISSUE, Err(error)),
            };
            let answer = match self.exchange(self.url(path, query, &token), body.clone(), terms, bound).await {
                Ok(answer) => answer.checked(&token),
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if error.is_of_token() && refused.is_none() => refused = Some(token),
                Ok(answer) if answer.location.is_some() && path != media::DOWNLOAD => {
                    return self.noted(path, Err(ApiError::Unknown("it was answered with a redirect".into())));
                }
                answer => return self.noted(path, answer),
            }
        }
    }

    /// A token that is good as far as is known. Fetching one goes on if the caller has no time left, for the next one to have it.
    async fn token(self: &Arc<Self>, refused: Option<&Token>, deadline: Instant) -> Result<Token, ApiError> {
        if let Some(token) = self.tokens.good(refused) {
            return Ok(token);
        }
        let (account, refused) = (self.clone(), refused.cloned());
        let fetching = tokio::spawn(async move { account.tokens.get(&account, refused.as_ref()).await });
        match tokio::time::timeout_at(deadline, fetching).await {
            Ok(Ok(token)) => token,
            Ok(Err(_)) => Err(ApiError::Unreachable("the server is stopping".into())),
            Err(_) => Err(ApiError::Unreachable("it gave no access token in time".into())),
        }
    }

    /// POSTs a JSON text without a token.
    async fn post_bare(&self, path: &str, body: String) -> Result<String, ApiError> {
        let answer =
            self.exchange(format!("{}{path}", self.base), Some(json_body(body)), &Terms::own(), ANSWER).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// One request to the API itself, and its answer. The URL has the token in it, and goes into no error and no log.
    async fn exchange(&self, url: String, body: Option<Body>, terms: &Terms, bound: usize) -> Result<Answer, ApiError> {
        exchange(&self.outlet, &url, body, terms, bound).await
    }

    fn url(&self, path: &str, query: &str, token: &Token) -> String {
        let token: String = form_urlencoded::byte_serialize(token.expose().as_bytes()).collect();
        let join = if query.is_empty() { "" } else { "&" };
        format!("{}{path}?access_token={token}{join}{query}", self.base)
    }

    /// Tells the operator of a failure, and what to do about it.
    fn noted<T>(&self, path: &str, done: Result<T, ApiError>) -> Result<T, ApiError> {
        if let Err(error) = &done
            && let Some(more) = self.complaints.admit()
        {
            tracing::warn!(app_id = &*self.app_id, path, more, "{error}");
        }
        done
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("app_id", &self.app_id).field("base", &self.base).finish_non_exhaustive()
    }
}

/// On whose behalf a call is made.
#[derive(Clone)]
pub struct Terms {
    /// Notes that the outside was called.
    pub called: Called,
    /// When the answer must be there, if not before.
    pub deadline: Instant,
}

impl Terms {
    /// The host's own.
    fn own() -> Self {
        Self { called: Called::default(), deadline: Instant::now() + CALL_TIME }
    }

    /// The same within a time from now.
    fn within(&self, time: Duration) -> Self {
        Self { called: self.called.clone(), deadline: self.deadline.min(Instant::now() + time) }
    }
}

/// What is posted.
#[derive(Clone)]
struct Body {
    content_type: String,
    bytes: Bytes,
}

/// What came back, with a status that says that all is well, or that what was asked for is elsewhere.
struct Answer {
    location: Option<String>,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// The answer without the token, should it have it in it, unless it is an error.
    fn checked(mut self, token: &Token) -> Result<Self, ApiError> {
        // Media are no text.
        if let Ok(text) = std::str::from_utf8(&self.body) {
            let text = token.redacted(text);
            error::check(&text)?;
            if let Cow::Owned(text) = text {
                self.body = text.into_bytes();
            }
        }
        Ok(self)
    }
}

/// One request, and an answer whose status says that all is well.
async fn exchange(
    outlet: &Outlet,
    url: &str,
    body: Option<Body>,
    terms: &Terms,
    bound: usize,
) -> Result<Answer, ApiError> {
    let url = Url::parse(url).map_err(|_| ApiError::Unreachable("this is no address".into()))?;
    let mut headers = HeaderMap::new();
    let mut request_body = Bytes::new();
    let method = if body.is_some() { Method::POST } else { Method::GET };
    if let Some(Body { content_type, bytes }) = body {
        let content_type = HeaderValue::try_from(content_type)
            .map_err(|_| ApiError::Unreachable("its content type cannot be sent".into()))?;
        headers.insert(header::CONTENT_TYPE, content_type);
        request_body = bytes;
    }
    let request = http_client::Request { method, url, headers, body: request_body };
    // A redirect would lead the token elsewhere.
    let bounds = Bounds { deadline: terms.deadline, response: bound, redirects: 0 };
    let response =
        outlet.send(request, bounds, &terms.called).await.map_err(|error| match (&error.kind, error.sent) {
            (_, Sent::Never) => ApiError::Unreachable(error.to_string()),
            (Kind::TooLarge, Sent::Perhaps) => ApiError::TooLarge(bound),
            (Kind::Timeout, Sent::Perhaps) => ApiError::Time,
            (_, Sent::Perhaps) => ApiError::Unknown(error.to_string()),
        })?;
    let said = |name| response.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let location = response.status.is_redirection().then(|| said(header::LOCATION)).flatten();
    if location.is_none() && !response.status.is_success() {
        return Err(ApiError::Unknown(format!("it was answered with the HTTP status {}", response.status.as_u16())));
    }
    Ok(Answer { location, content_type: said(header::CONTENT_TYPE), body: response.body.into() })
}

fn json_body(text: String) -> Body {
    Body { content_type: "application/json".to_owned(), bytes: text.into() }
}

#[cfg(test)]
mod tests;

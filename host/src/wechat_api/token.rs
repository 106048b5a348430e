//! The access token: fetched by one caller while the others wait, replaced before it expires, and at once when WeChat refuses it.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{Account, ApiError, error};
use crate::{clock::World, secret::Secret};

/// Where tokens come from. This one gives every program of the account the same token until it nearly expires.
pub(super) const ISSUE: &str = "/cgi-bin/stable_token";

/// A token is replaced so long before it expires: within its last five minutes, when the platform gives out the next one, and both are
/// good.
const EARLY: Duration = Duration::from_secs(240);

/// How long a token is used on that could not be replaced early, before that is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// How often a refresh is forced at the most: more often, the platform does not refresh.
const FORCED_PAUSE: Duration = Duration::from_secs(30);

/// How long WeChat's refusal to give a token is believed: the next one would be the same, and each costs the account a call.
const REFUSED_FOR: Duration = Duration::from_secs(3);

/// A token as it was given out.
#[derive(Clone)]
pub(super) struct Token(Arc<Secret>);

impl Token {
    /// The token itself, for the one place that puts it into a URL.
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }

    /// A text of WeChat's without the token, should it have it in it.
    pub(super) fn redacted<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.contains(self.expose()) { text.replace(self.expose(), "…").into() } else { text.into() }
    }

    fn is(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

/// The token of one account.
pub(super) struct Tokens {
    world: World,
    current: Mutex<Option<Current>>,
    /// Held by whoever fetches a token; the time of the last forced refresh.
    fetching: tokio::sync::Mutex<Fetching>,
    /// Fetches that came to an end.
    fetched: AtomicU64,
}

#[derive(Clone)]
struct Current {
    token: Token,
    /// By the monotonic clock.
    replace_at: Duration,
    expires_at: Duration,
}

#[derive(Default)]
struct Fetching {
    forced: Option<Duration>,
    /// How the last fetch failed, and when.
    failure: Option<(Duration, ApiError)>,
}

impl Tokens {
    pub(super) fn new(world: World) -> Self {
        Self { world, current: Mutex::default(), fetching: tokio::sync::Mutex::default(), fetched: AtomicU64::new(0) }
    }

    /// Time and randomness.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// The token that is there, if it is good as far as is known, and not `refused`, the one that WeChat has just refused.
    pub(super) fn good(&self, refused: Option<&Token>) -> Option<Token> {
        let current = self.current()?;
        let fresh = current.replace_at > self.world.clock.monotonic();
        (fresh && refused.is_none_or(|refused| !current.token.is(refused))).then_some(current.token)
    }

    /// Fetches a token, or waits for whoever does.
    pub(super) async fn get(&self, account: &Account, refused: Option<&Token>) -> Result<Token, ApiError> {
        let before = self.fetched.load(Ordering::Acquire);
        let mut fetching = self.fetching.lock().await;
        // Whoever held the lock may have fetched it for all.
        if let Some(token) = self.good(refused) {
            return Ok(token);
        }
        let now = self.world.clock.monotonic();
        if let Some((since, error)) = &fetching.failure {
            let waited_for = self.fetched.load(Ordering::Acquire) != before;
            let recent = matches!(error, ApiError::Refused { .. }) && now < *since + REFUSED_FOR;
            if waited_for || recent {
                return Err(error.clone());
            }
        }
        let fetched = self.fetch(account, refused, &mut fetching).await;
        self.fetched.fetch_add(1, Ordering::AcqRel);
        fetching.failure = fetched.as_ref().err().map(|error| (self.world.clock.monotonic(), error.clone()));
        match (fetched, self.current()) {
            (Err(error), Some(current)) if refused.is_none() && current.expires_at > now + RETRY => {
                tracing::warn!(
                    app_id = &**account.app_id(),
                    "the access token is good for a while, but cannot be replaced: {error}"
                );
                self.set(Some(Current { replace_at: now + RETRY, ..current.clone() }));
                Ok(current.token)
            }
            (fetched, _) => fetched,
        }
    }

    async fn fetch(
        &self,
        account: &Account,
        refused: Option<&Token>,
        fetching: &mut Fetching,
    ) -> Result<Token, ApiError> {
        let mut current = self.issue(account, false).await?;
        // Another program may have had it replaced. If not, the platform believes it good, and has to be told.
        if refused.is_some_and(|refused| current.token.is(refused)) {
            let now = self.world.clock.monotonic();
            if fetching.forced.is_none_or(|forced| now >= forced + FORCED_PAUSE) {
                fetching.forced = Some(now);
                tracing::warn!(
                    app_id = &**account.app_id(),
                    "WeChat refuses the access token that it gives out; asking for another"
                );
                current = self.issue(account, true).await?;
            }
        }
        let token = current.token.clone();
        self.set(Some(current));
        Ok(token)
    }

    async fn issue(&self, account: &Account, force: bool) -> Result<Current, ApiError> {
        let asked = json!({
            "grant_type": "client_credential",
            "appid": &**account.app_id(),
            "secret": account.secret.expose(),
            "force_refresh": force,
        });
        let asked_at = self.world.clock.monotonic();
        let answer = account.post_bare(ISSUE, asked.to_string()).await.map_err(|error| match error {
            // Nobody has to know what became of it: a token that nobody got does no harm.
            ApiError::Unknown(why) => ApiError::Unreachable(why),
            ApiError::Time => ApiError::Unreachable("it gave no access token in time".into()),
            other => other,
        })?;
        error::check(&answer)?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let token = answer.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let (Some(token), Some(seconds)) = (token, answer.get("expires_in").and_then(Value::as_u64)) else {
            return Err(ApiError::Unreachable("its answer has no access token".into()));
        };
        let life = Duration::from_secs(seconds);
        // One with a life so short that it would be early at once is used for half of it.
        let replace_after = life.saturating_sub(EARLY).max(life / 2);
        tracing::info!(app_id = &**account.app_id(), seconds, forced = force.then_some(true), "got an access token");
        Ok(Current {
            token: Token(Arc::new(Secret::new(token))),
            replace_at: asked_at + replace_after,
            expires_at: asked_at + life,
        })
    }

    fn current(&self) -> Option<Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, current: Option<Current>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }
}

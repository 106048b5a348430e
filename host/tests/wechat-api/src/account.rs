//! Accounts and their tokens, with the terms of WeChat's own.

use std::time::Duration;

/// How long a token is good.
const TOKEN_FOR: Duration = Duration::from_secs(7_200);

/// In its last five minutes a token is replaced when asked for, and both are good meanwhile.
const EARLY: Duration = Duration::from_secs(300);

/// A forced refresh so soon after another one refreshes nothing.
const FORCED_PAUSE: Duration = Duration::from_secs(30);

/// How long a code of web authorization is good.
pub(crate) const CODE_FOR: Duration = Duration::from_secs(300);

/// An account, and every token that it was given.
pub(crate) struct Account {
    pub(crate) app_id: String,
    pub(crate) secret: String,
    tokens: Vec<Token>,
    forced: Option<Duration>,
}

struct Token {
    text: String,
    until: Duration,
    /// Whether it is refused although its time is not over.
    revoked: bool,
    /// Whether it is still given out.
    current: bool,
}

/// A code of web authorization.
pub(crate) struct Code {
    pub(crate) openid: String,
    pub(crate) scope: String,
    pub(crate) until: Duration,
    pub(crate) used: bool,
}

/// What is wrong with a token, as WeChat says it.
pub(crate) type Wrong = (i64, &'static str);

impl Account {
    pub(crate) fn new(app_id: &str, secret: &str) -> Self {
        Self { app_id: app_id.to_owned(), secret: secret.to_owned(), tokens: Vec::new(), forced: None }
    }

    /// `/cgi-bin/stable_token`: the current token and the seconds that it has left.
    pub(crate) fn stable_token(&mut self, force: bool, now: Duration) -> (String, u64) {
        let force = force && self.forced.is_none_or(|forced| now >= forced + FORCED_PAUSE);
        if force {
            self.forced = Some(now);
            for token in &mut self.tokens {
                (token.revoked, token.current) = (true, false);
            }
        }
        if let Some(token) = self.tokens.iter().find(|token| token.current && token.until > now + EARLY) {
            return (token.text.clone(), (token.until - now).as_secs());
        }
        self.tokens.iter_mut().for_each(|token| token.current = false);
        // As long as WeChat's are, and no two alike.
        let text = format!("{:0<136}", format!("TOKEN_{}_{}_", self.app_id, self.tokens.len() + 1));
        self.tokens.push(Token { text: text.clone(), until: now + TOKEN_FOR, revoked: false, current: true });
        (text, TOKEN_FOR.as_secs())
    }

    /// Whether a token is one of this account's, and good.
    pub(crate) fn check(&self, text: &str, now: Duration) -> Option<Result<(), Wrong>> {
        let token = self.tokens.iter().find(|token| token.text == text)?;
        Some(if token.revoked {
            Err((40001, "invalid credential, access_token is invalid or not latest"))
        } else if token.until <= now {
            Err((42001, "access_token expired"))
        } else {
            Ok(())
        })
    }

    pub(crate) fn expire(&mut self, now: Duration) {
        self.tokens.iter_mut().for_each(|token| token.until = token.until.min(now));
    }

    pub(crate) fn poison(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.revoked = true);
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.iter().map(|token| token.text.clone()).collect()
    }
}

impl Code {
    pub(crate) fn new(openid: &str, scope: &str, until: Duration) -> Self {
        Self { openid: openid.to_owned(), scope: scope.to_owned(), until, used: false }
    }
}

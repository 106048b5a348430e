//! What can go wrong with a call, and what to do about it.

use serde_json::Value;

/// Characters of WeChat's own words that are shown.
const WORDS: usize = 300;

/// Codes that say that the token was refused, so that the call had no effect.
pub(super) const TOKEN_REFUSED: [i64; 3] = [40001, 40014, 42001];

/// Why a call failed. None of the texts has a token or a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// WeChat says no: the call had no effect.
    #[error("WeChat refused it: {code}, {text}{}", hint(*code).map(|hint| format!(" ({hint})")).unwrap_or_default())]
    Refused {
        /// `errcode`.
        code: i64,
        /// `errmsg`.
        text: String,
    },
    /// It was never sent.
    #[error("the WeChat API cannot be reached: {0}")]
    Unreachable(String),
    /// It was sent, and nobody knows whether it took effect.
    #[error("nobody knows what became of the call: {0}")]
    Unknown(String),
    /// Nothing came in time; whether it took effect is unknown as well.
    #[error("the WeChat API did not answer in time")]
    Time,
    /// More came back than is taken.
    #[error("the answer of the WeChat API has more than {0} bytes")]
    TooLarge(usize),
    /// There are no customer-service messages of this kind.
    #[error("this kind of reply cannot be sent as a customer-service message")]
    NoForm,
}

impl ApiError {
    /// What a plugin branches on: WeChat's own code where there is one.
    pub fn code(&self) -> String {
        match self {
            Self::Refused { code, .. } => code.to_string(),
            Self::Unreachable(_) => "unavailable".into(),
            Self::Unknown(_) => "unknown".into(),
            Self::Time => "timeout".into(),
            Self::TooLarge(_) => "too-large".into(),
            Self::NoForm => "no-form".into(),
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { code, .. } => hint(*code),
            _ => None,
        }
    }

    /// What a plugin's author reads.
    pub fn message(&self) -> String {
        match self {
            Self::Refused { code, text } => match hint(*code) {
                Some(hint) => format!("{text} ({hint})"),
                None => text.clone(),
            },
            other => other.to_string(),
        }
    }

    /// Whether WeChat refused the token, and nothing else.
    pub(super) fn is_of_token(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if TOKEN_REFUSED.contains(code))
    }
}

/// The error that an answer is, if it is one.
pub(super) fn check(answer: &str) -> Result<(), ApiError> {
    // Most answers are no error; those that are begin with it.
    if !answer.contains("errcode") {
        return Ok(());
    }
    let Ok(Value::Object(answer)) = serde_json::from_str(answer) else { return Ok(()) };
    let code = match answer.get("errcode") {
        Some(Value::Number(code)) => code.as_i64().unwrap_or(-1),
        Some(Value::String(code)) => code.parse().unwrap_or(-1),
        _ => 0,
    };
    if code == 0 {
        return Ok(());
    }
    let text = answer.get("errmsg").and_then(Value::as_str).unwrap_or_default();
    Err(ApiError::Refused { code, text: words(text) })
}

/// WeChat's own words, on one line and within bounds.
fn words(text: &str) -> String {
    text.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What to do about the usual errors.
fn hint(code: i64) -> Option<&'static str> {
    Some(match code {
        40001 => {
            "the access token was refused; is `app_secret` this account's, and does no other program refresh its tokens?"
        }
        40013 => "`app_id` is not the account's: copy it from 设置与开发 → 基本配置",
        40014 | 42001 => "the access token was refused, and so was a new one",
        40125 => "`app_secret` is not the account's, or was reset: copy it from 设置与开发 → 基本配置",
        40164 => "add this server's address to the account's IP list: 设置与开发 → 基本配置 → IP白名单",
        45009 => "the account's calls of this kind are used up for today",
        45015 => "the follower has not written to the account for 48 hours",
        45047 => "too many customer-service messages since the follower last wrote",
        48001 => {
            "the account lacks the permission for this: 设置与开发 → 接口权限; customer-service messages need a certified account"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_from_an_answer() {
        assert_eq!(check(r#"{"errcode":0,"errmsg":"ok","items":[]}"#), Ok(()));
        assert_eq!(check(r#"{"items":[{"text":"errcode"}]}"#), Ok(()));
        assert_eq!(check("not JSON, errcode"), Ok(()));
        assert_eq!(check(r#"[{"errcode":1}]"#), Ok(()));
        let refused = |code, text: &str| Err(ApiError::Refused { code, text: text.into() });
        assert_eq!(check(r#"{"errcode":45015,"errmsg":"a\nb"}"#), refused(45015, "a b"));
        assert_eq!(check(r#"{"errcode":"61450"}"#), refused(61450, ""));
    }

    #[test]
    fn the_usual_errors_say_what_to_do() {
        let error = ApiError::Refused { code: 40164, text: "invalid ip 1.2.3.4".into() };
        assert_eq!(
            error.to_string(),
            "WeChat refused it: 40164, invalid ip 1.2.3.4 (add this server's address to the account's IP list: 设置与开发 → 基本配置 → \
             IP白名单)"
        );
        assert_eq!(error.code(), "40164");
        let error = ApiError::Refused { code: 1, text: "unheard of".into() };
        assert_eq!(error.message(), "unheard of");
    }
}

//! The error that the host's functions answer with.

use std::fmt;

/// Why the host did not do what the plugin asked for.
///
/// `code` is for the plugin to branch on, `message` is for the log. Codes are open, so a `match`
/// needs a last arm. Some of them:
///
/// | code | meaning |
/// |---|---|
/// | `not-granted` | bots.toml does not allow this plugin to do that |
/// | `unavailable` | this host has no such service, or has lost it for now |
/// | `timeout`, `unknown` | the other side did not answer in time, or not so that anybody knows what it did |
/// | `too-large` | a key, a value or a body beyond the host's bounds |
/// | `quota` | the plugin has used up its share |
/// | a number | WeChat's own `errcode`, from [`wechat`](crate::wechat) |
///
/// It is an ordinary [`std::error::Error`], so `?` passes it on, and a handler that returns it
/// leaves it to the log and the follower to the bot's `on_error`:
///
/// ```
/// use mynah_plugin::{Error, IntoReply, Message, store};
///
/// #[mynah_plugin::plugin]
/// fn handle(message: Message) -> Result<String, Error> {
///     let visits = store::add(&message.sender, 1)?;
///     Ok(format!("第 {visits} 次见面！"))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong, for the plugin: `"not-granted"`, `"quota"`, `"45015"`, …
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
}

impl Error {
    /// An error of the plugin's own making, or one that a test's double answers with.
    ///
    /// ```
    /// let error = mynah_plugin::Error::new("timeout", "no answer within 3 s");
    /// assert_eq!(error.to_string(), "timeout: no answer within 3 s");
    /// ```
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

//! The plugin's own settings: `[plugins.NAME.config]` in bots.toml.
//!
//! ```toml
//! [plugins.quiz]
//! wasm = "target/wasm32-wasip2/release/quiz.wasm"
//! config = { rounds = "5", questions = { file = "questions.toml" }, key = { env = "QUIZ_KEY" } }
//! ```
//!
//! A value given as `{ file = … }` or `{ env = … }` arrives as its content. Any value may so be a
//! secret, and does not belong in a log.

use std::{fmt::Display, str::FromStr};

use crate::Error;

/// The value under `key`, or `None` where bots.toml has none.
///
/// ```
/// use mynah_plugin::{config, testing};
///
/// testing::set_config("greeting", "早上好");
/// assert_eq!(config::get("greeting").as_deref(), Some("早上好"));
/// assert_eq!(config::get("farewell"), None);
/// ```
#[must_use]
pub fn get(key: &str) -> Option<String> {
    crate::host::config::get(key)
}

/// The value under `key` as a number, a `bool`, or whatever else reads itself from a text.
///
/// # Errors
///
/// Code `"bad-config"` where there is a value that does not read as a `T`. The error names the
/// key and not the value, which may be a secret.
///
/// ```
/// use mynah_plugin::{config, testing};
///
/// testing::set_config("rounds", "5");
/// testing::set_config("seconds", "a few");
/// assert_eq!(config::parse("rounds"), Ok(Some(5)));
/// assert_eq!(config::parse::<u32>("points"), Ok(None));
/// assert_eq!(
///     config::parse::<u32>("seconds").unwrap_err().to_string(),
///     "bad-config: `seconds`: invalid digit found in string",
/// );
/// ```
pub fn parse<T>(key: &str) -> Result<Option<T>, Error>
where
    T: FromStr<Err: Display>,
{
    get(key)
        .map(|value| value.trim().parse())
        .transpose()
        .map_err(|error| Error::new("bad-config", format!("`{key}`: {error}")))
}

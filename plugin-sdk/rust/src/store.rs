//! Durable key-value storage of this plugin for this bot.
//!
//! A message takes effect as a whole: its writes are committed together with its reply, or not at
//! all. Not at all is what happens when the plugin fails or returns
//! [`Reply::Pass`](crate::Reply::Pass). Reads see the last commit and this message's own writes.
//!
//! Two messages at once never mix. Where one's reads were overtaken by the other's commit, the host
//! runs the handler again, alone, before anything leaves. So read, compute and write as if nobody
//! else were there.
//!
//! All followers share the plugin's keys; put [`Message::sender`](crate::Message::sender) in a key
//! that belongs to one of them:
//!
//! ```
//! use mynah_plugin::{Error, Message, Reply, store, testing};
//!
//! /// One more point for the follower, who is told how many there are now.
//! fn handle(message: Message) -> Result<String, Error> {
//!     let points = store::add(&format!("points/{}", message.sender), 1)?;
//!     Ok(format!("你有 {points} 分"))
//! }
//!
//! testing::deliver(handle, testing::text("签到"))?;
//! let second = testing::deliver(handle, testing::text("签到"))?;
//! assert_eq!(second, Reply::text("你有 2 分"));
//! # Ok::<(), String>(())
//! ```
//!
//! # Errors
//!
//! `"bad-key"` for an empty key; `"too-large"` for a key over 512 bytes, a value over 1 MiB, or more than 16 MiB for one message;
//! `"quota"` beyond 256 MiB for the plugin and bot; `"too-many"` after 10,000 operations for one message; `"not-a-number"` from
//! [`add`] on what is no counter; `"unavailable"` when the host's store fails.

use crate::Error;

/// The value under `key`.
///
/// ```
/// use mynah_plugin::store;
///
/// assert_eq!(store::get("city")?, None);
/// store::set("city", "广州")?;
/// assert_eq!(store::get("city")?, Some("广州".into()));
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    crate::host::store::get(key)
}

/// Puts `value` under `key`, in place of what may be there. Takes a text as well as bytes.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    crate::conversation::wrote("store::set");
    crate::host::store::set(key, value.as_ref())
}

/// Removes `key` and its value; without them it does nothing.
pub fn delete(key: &str) -> Result<(), Error> {
    crate::conversation::wrote("store::delete");
    crate::host::store::delete(key)
}

/// Keys with this prefix in byte order, those after `after`, at most `limit`.
///
/// A long list is read in pages: each page's last key is the next page's `after`.
///
/// ```
/// use mynah_plugin::store;
///
/// for key in ["vote/b", "vote/a", "vote/c", "name"] {
///     store::set(key, "1")?;
/// }
/// let first = store::list("vote/", None, 2)?;
/// assert_eq!(first, ["vote/a", "vote/b"]);
/// let second = store::list("vote/", first.last().map(String::as_str), 2)?;
/// assert_eq!(second, ["vote/c"]);
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn list(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
    crate::host::store::list(prefix, after, limit)
}

/// Adds `delta` to the counter under `key` and returns the sum. A counter that is not there counts
/// as 0. Its value is its decimal digits, as [`get`] shows.
///
/// ```
/// use mynah_plugin::store;
///
/// assert_eq!(store::add("visits", 3)?, 3);
/// assert_eq!(store::add("visits", -1)?, 2);
/// assert_eq!(store::get("visits")?, Some(b"2".to_vec()));
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn add(key: &str, delta: i64) -> Result<i64, Error> {
    crate::conversation::wrote("store::add");
    crate::host::store::add(key, delta)
}

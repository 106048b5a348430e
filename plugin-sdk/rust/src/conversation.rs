//! A dialogue with one follower that spans messages: a quiz, a form, a game.
//!
//! [`ask`] is the friendly way; [`recall`], [`remember`] and [`end`] are the host's own terms, for a plugin that keeps its state
//! itself.
//!
//! From [`remember`] on, everything that this follower says comes to this plugin before any rule
//! is looked at, until [`end`], until the time is over, or until the follower says one of the
//! bot's `escape` words. A plugin that returns [`Reply::Pass`](crate::Reply::Pass) meanwhile hands
//! that one message to the rules, and its changes to the dialogue are dropped. Events never come
//! this way.
//!
//! ```
//! use mynah_plugin::{Error, IntoReply, Message, Reply, conversation, testing};
//!
//! /// Asks for a name, then greets by it.
//! fn handle(message: Message) -> Result<String, Error> {
//!     if conversation::recall()?.is_none() {
//!         conversation::remember("asked", 300)?;
//!         return Ok("你叫什么名字？".to_owned());
//!     }
//!     conversation::end()?;
//!     Ok(format!("你好，{}！", message.text()))
//! }
//!
//! let question = testing::deliver(handle, testing::text("认识一下"));
//! assert_eq!(question, Ok(Reply::text("你叫什么名字？")));
//! let greeting = testing::deliver(handle, testing::text("小明"));
//! assert_eq!(greeting, Ok(Reply::text("你好，小明！")));
//! assert_eq!(testing::remembered(), None);
//! ```
//!
//! # Errors
//!
//! `"too-large"` for a state over 64 KiB, `"unavailable"` when the host's store fails. A conversation lasts at most 30 days; more is
//! taken as that.
//!
//! The words of the bot's `late`, such as 「继续」, are the host's as well while it keeps an answer for the follower. A run that
//! took so long that the follower was told to wait may find that the dialogue went on meanwhile; what it does to the dialogue is
//! then dropped, and its reply is not.

mod dialogue;

pub use dialogue::{ask, ask_within, once};
pub(crate) use dialogue::{run, wrote};

use crate::Error;

/// The state that [`remember`] stored, or `None` outside a conversation.
pub fn recall() -> Result<Option<Vec<u8>>, Error> {
    crate::host::conversation::recall()
}

/// Begins the conversation, or goes on with it, for `seconds` from now.
///
/// The state is the plugin's own affair: a step's number, some JSON.
///
/// ```
/// use mynah_plugin::{conversation, testing};
///
/// conversation::remember("question 3", 120)?;
/// assert_eq!(conversation::recall()?.as_deref(), Some(&b"question 3"[..]));
/// assert_eq!(testing::remembered(), Some((b"question 3".to_vec(), 120)));
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn remember(state: impl AsRef<[u8]>, seconds: u32) -> Result<(), Error> {
    crate::host::conversation::remember(state.as_ref(), seconds)
}

/// Ends the conversation; without one it does nothing.
pub fn end() -> Result<(), Error> {
    crate::host::conversation::end()
}

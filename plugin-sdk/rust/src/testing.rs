//! A host's double, for unit tests that run natively with `cargo test`. It is not there on
//! WebAssembly.
//!
//! A handler is an ordinary function, and [`message`] and its like make messages for it. Behind
//! [`config`](crate::config), [`store`](crate::store) and the other modules stands a double that
//! keeps the contract in memory:
//!
//! ```
//! use mynah_plugin::{IntoReply, Message, Reply, config, testing};
//!
//! fn handle(message: Message) -> impl IntoReply {
//!     let mark = config::get("mark").unwrap_or_default();
//!     format!("{}{mark}", message.text())
//! }
//!
//! # // A doc test's `#[test]` would not run.
//! // #[test]
//! fn puts_its_mark_at_the_end() {
//!     testing::set_config("mark", "！");
//!     let reply = testing::deliver(handle, testing::text("你好"));
//!     assert_eq!(reply, Ok(Reply::text("你好！")));
//! }
//! # puts_its_mark_at_the_end();
//! ```
//!
//! Each thread has a double of its own. `cargo test` runs each test on a thread of its own, so tests
//! do not meet; where one thread runs several (`--test-threads=1`), they begin with [`reset`].

pub(crate) mod host;

use crate::http::{Request, Response};
use crate::log::Level;
use crate::{Error, Field, IntoReply, Message, Reply};

/// Delivers a message the way the host does: what the handler wrote to the store and remembered of
/// the conversation stays if it answered, and is dropped if it failed or passed.
///
/// ```
/// use mynah_plugin::{Message, Reply, store, testing};
///
/// fn handle(message: Message) -> Option<String> {
///     store::set("last", message.text()).ok()?;
///     message.text().contains("天气").then(|| "晴".to_owned())
/// }
///
/// assert_eq!(testing::deliver(handle, testing::text("早")), Ok(Reply::Pass));
/// assert_eq!(store::get("last"), Ok(None));
/// assert_eq!(testing::deliver(handle, testing::text("天气")), Ok(Reply::text("晴")));
/// assert_eq!(store::get("last"), Ok(Some("天气".into())));
/// ```
///
/// # Errors
///
/// The text that the host would log, where the handler failed.
pub fn deliver<R: IntoReply>(handle: impl FnOnce(Message) -> R, message: Message) -> Result<Reply, String> {
    let before = host::state();
    let answer = crate::conversation::run(message, |message| handle(message).into_reply());
    if matches!(answer, Ok(Reply::Pass) | Err(_)) {
        host::restore(before);
    }
    answer
}

/// Forgets everything: settings, log, store, conversation, and the scripted answers.
pub fn reset() {
    host::reset();
}

/// Puts a value where [`config::get`](crate::config::get) finds it.
pub fn set_config(key: impl Into<String>, value: impl Into<String>) {
    host::set_config(key.into(), value.into());
}

/// What was logged so far, oldest first.
#[must_use]
pub fn log_lines() -> Vec<(Level, String)> {
    host::log_lines()
}

/// The conversation's state and how many seconds it was given, or `None` outside a conversation.
///
/// Time stands still here. To see what happens after it is over, call
/// [`conversation::end`](crate::conversation::end).
#[must_use]
pub fn remembered() -> Option<(Vec<u8>, u32)> {
    host::state().conversation
}

/// Answers [`http::send`](crate::http::send). Until then it is `"not-granted"`.
pub fn on_http(answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    host::on_http(Box::new(answer));
}

/// Answers [`wechat::call`](crate::wechat::call). Until then it is `"not-granted"`.
pub fn on_wechat_call(answer: impl FnMut(&str, Option<&str>) -> Result<String, Error> + 'static) {
    host::on_wechat_call(Box::new(answer));
}

/// Answers [`wechat::upload`](crate::wechat::upload). Until then it is `"not-granted"`.
pub fn on_upload(answer: impl FnMut(&str, &str, &[u8]) -> Result<String, Error> + 'static) {
    host::on_upload(Box::new(answer));
}

/// Answers [`wechat::download`](crate::wechat::download). Until then it is `"not-granted"`.
pub fn on_download(answer: impl FnMut(&str) -> Result<Vec<u8>, Error> + 'static) {
    host::on_download(Box::new(answer));
}

/// A message of any kind, without text or fields, from the follower `"follower"`.
///
/// Its parts are public, and [`Message::with_field`] and [`Message::with_capture`] add to it.
///
/// ```
/// use mynah_plugin::{Content, Message, testing};
///
/// let message = Message { sender: "somebody-else".to_owned(), ..testing::message("hologram") };
/// assert_eq!(message.content(), Content::Other("hologram"));
/// ```
pub fn message(kind: impl Into<String>) -> Message {
    Message {
        bot: "demo".to_owned(),
        account: "gh_demo".to_owned(),
        sender: "follower".to_owned(),
        id: "1".to_owned(),
        created: 1_700_000_000,
        kind: kind.into(),
        text: None,
        captures: Vec::new(),
        fields: Vec::new(),
    }
}

/// A text message.
pub fn text(text: impl Into<String>) -> Message {
    Message { text: Some(text.into()), ..message("text") }
}

/// A picture.
pub fn image(pic_url: &str, media_id: &str) -> Message {
    message("image").with_field("PicUrl", pic_url).with_field("MediaId", media_id)
}

/// A voice message, with what WeChat heard in it or without.
pub fn voice(media_id: &str, recognition: Option<&str>) -> Message {
    Message {
        text: recognition.map(str::to_owned),
        ..message("voice")
            .with_field("MediaId", media_id)
            .with_field("Format", "amr")
            .with_field("Recognition", recognition.unwrap_or_default())
    }
}

/// A video from the album. One filmed in the chat is of the kind `"shortvideo"`.
pub fn video(media_id: &str, thumb_media_id: &str) -> Message {
    message("video").with_field("MediaId", media_id).with_field("ThumbMediaId", thumb_media_id)
}

/// A place on the map, in degrees north and east.
pub fn location(latitude: f64, longitude: f64, label: &str) -> Message {
    message("location")
        .with_field("Location_X", latitude.to_string())
        .with_field("Location_Y", longitude.to_string())
        .with_field("Scale", "15")
        .with_field("Label", label)
}

/// A shared article.
pub fn link(title: &str, description: &str, url: &str) -> Message {
    message("link").with_field("Title", title).with_field("Description", description).with_field("Url", url)
}

/// An event by WeChat's name for it: `"subscribe"`, `"SCAN"`, `"CLICK"`, …
///
/// ```
/// use mynah_plugin::{Content, Event, testing};
///
/// let message = testing::event("CLICK").with_field("EventKey", "QUIZ");
/// assert_eq!(message.content(), Content::Event(Event::Click { key: "QUIZ" }));
/// ```
pub fn event(name: &str) -> Message {
    Message { id: String::new(), ..message("event").with_field("Event", name) }
}

/// For tests only: not there on WebAssembly.
impl Message {
    /// The message with one more field, by WeChat's name for it; see [`Message::field`].
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push(Field::new(name, value));
        self
    }

    /// The message with one more of the rule's captures; see [`Message::capture`].
    #[must_use]
    pub fn with_capture(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.captures.push(Field::new(name, value));
        self
    }
}

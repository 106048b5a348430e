//! Answers: constructors for every kind, and what a handler may return.

use std::fmt::Display;

use crate::{Article, Field, Music, Raw, Reply, Video};

/// What a handler may return: a [`Reply`], or something that plainly means one.
///
/// | returned | the follower gets |
/// |---|---|
/// | `String`, `&str` | a text |
/// | [`Article`], `Vec<Article>` | articles |
/// | [`Video`], [`Music`], [`Raw`] | just that |
/// | `()` | nothing: [`Reply::Silence`] |
/// | `None` | the next rule that matches: [`Reply::Pass`] |
/// | `Err(error)` | the bot's `on_error`; the error goes to the log |
///
/// `Option` and `Result` hold any of these, and each other:
///
/// ```
/// use mynah_plugin::{IntoReply, Reply};
///
/// fn double(text: &str) -> Result<Option<String>, std::num::ParseIntError> {
///     let Some(digits) = text.strip_prefix("double ") else {
///         return Ok(None);
///     };
///     let number: u16 = digits.parse()?;
///     Ok(Some((2 * u32::from(number)).to_string()))
/// }
///
/// assert_eq!(double("double 21").into_reply(), Ok(Reply::text("42")));
/// assert_eq!(double("treble 14").into_reply(), Ok(Reply::Pass));
/// assert_eq!(
///     double("double x").into_reply(),
///     Err("invalid digit found in string".to_owned()),
/// );
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply",
    label = "a plugin cannot answer with this",
    note = "return a `Reply`, a `String`, an `Article`, `()`, or an `Option` or `Result` of one"
)]
pub trait IntoReply {
    /// The reply, or the error text for the log.
    fn into_reply(self) -> Result<Reply, String>;
}

impl Reply {
    /// A text. WeChat takes 2,048 bytes of UTF-8, shows `\n` as a new line, and follows
    /// `<a href="…">`.
    ///
    /// ```
    /// use mynah_plugin::Reply;
    ///
    /// let reply = Reply::text(r#"看<a href="https://example.com">这里</a>"#);
    /// assert!(matches!(reply, Reply::Text(_)));
    /// ```
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A picture, by its media id: one that a follower sent, or that
    /// [`wechat::upload`](crate::wechat::upload) gave.
    ///
    /// ```
    /// use mynah_plugin::{Content, Reply, testing};
    ///
    /// let message = testing::image("https://mmbiz.qpic.cn/a", "media-1");
    /// let Content::Image { media_id, .. } = message.content() else { unreachable!() };
    /// assert_eq!(Reply::image(media_id), Reply::Image("media-1".to_owned()));
    /// ```
    pub fn image(media_id: impl Into<String>) -> Self {
        Self::Image(media_id.into())
    }

    /// A voice message, by its media id.
    ///
    /// ```
    /// use mynah_plugin::Reply;
    ///
    /// assert_eq!(Reply::voice("media-1"), Reply::Voice("media-1".to_owned()));
    /// ```
    pub fn voice(media_id: impl Into<String>) -> Self {
        Self::Voice(media_id.into())
    }

    /// A video, by its media id alone or as a [`Video`] with a title.
    ///
    /// ```
    /// use mynah_plugin::{Reply, Video};
    ///
    /// assert_eq!(Reply::video("media-1"), Reply::Video(Video::new("media-1")));
    /// let titled = Reply::video(Video::new("media-1").title("日出"));
    /// assert_ne!(Reply::video("media-1"), titled);
    /// ```
    pub fn video(video: impl Into<Video>) -> Self {
        Self::Video(video.into())
    }

    /// A piece of music.
    ///
    /// ```
    /// use mynah_plugin::{Music, Reply};
    ///
    /// let music = Music::new("thumb-1").title("茉莉花").url("https://example.com/a.mp3");
    /// assert!(matches!(Reply::music(music), Reply::Music(_)));
    /// ```
    pub fn music(music: Music) -> Self {
        Self::Music(music)
    }

    /// Articles. WeChat shows one in answer to a message, up to eight in answer to an event.
    ///
    /// ```
    /// use mynah_plugin::{Article, Reply};
    ///
    /// let reply = Reply::news([
    ///     Article::new("八哥", "https://example.com/mynah").description("会说话的鸟"),
    ///     Article::new("鹦鹉", "https://example.com/parrot"),
    /// ]);
    /// let Reply::News(articles) = reply else { unreachable!() };
    /// assert_eq!(articles.len(), 2);
    /// ```
    pub fn news(articles: impl IntoIterator<Item = Article>) -> Self {
        Self::News(articles.into_iter().collect())
    }

    /// Hand the follower over to human customer service, to whoever is free.
    ///
    /// ```
    /// use mynah_plugin::Reply;
    ///
    /// assert_eq!(Reply::transfer(), Reply::Transfer(None));
    /// ```
    #[must_use]
    pub fn transfer() -> Self {
        Self::Transfer(None)
    }

    /// Hand the follower over to one agent of human customer service.
    ///
    /// ```
    /// use mynah_plugin::Reply;
    ///
    /// let reply = Reply::transfer_to("test1@test");
    /// assert_eq!(reply, Reply::Transfer(Some("test1@test".to_owned())));
    /// ```
    pub fn transfer_to(agent: impl Into<String>) -> Self {
        Self::Transfer(Some(agent.into()))
    }
}

impl Video {
    /// A video by its media id, without a title.
    pub fn new(media_id: impl Into<String>) -> Self {
        Self { media_id: media_id.into(), title: None, description: None }
    }

    /// The line that stands with the video.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The lines below the title.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

impl Music {
    /// Music with its still picture's media id, the only part that WeChat insists on.
    pub fn new(thumb_media_id: impl Into<String>) -> Self {
        Self { title: None, description: None, url: None, hq_url: None, thumb_media_id: thumb_media_id.into() }
    }

    /// The piece's name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The lines below the name, often the artist.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Where the sound is.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Where the sound is in better quality; WeChat prefers it on Wi-Fi.
    #[must_use]
    pub fn hq_url(mut self, url: impl Into<String>) -> Self {
        self.hq_url = Some(url.into());
        self
    }
}

impl Article {
    /// An article by its title and the page that a tap opens.
    pub fn new(title: impl Into<String>, url: impl Into<String>) -> Self {
        Self { title: title.into(), description: None, picture: None, url: url.into() }
    }

    /// The lines below the title.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The URL of its picture.
    #[must_use]
    pub fn picture(mut self, url: impl Into<String>) -> Self {
        self.picture = Some(url.into());
        self
    }
}

impl Raw {
    /// A reply of a kind that this crate does not know, without fields yet.
    ///
    /// ```
    /// use mynah_plugin::{Raw, Reply};
    ///
    /// let raw = Raw::new("transfer_customer_service").field("TransInfo.KfAccount", "a@test");
    /// assert_eq!(raw.fields[0].name, "TransInfo.KfAccount");
    /// assert!(matches!(Reply::from(raw), Reply::Raw(_)));
    /// ```
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), fields: Vec::new() }
    }

    /// One more leaf, named like the fields of a message: nested names joined with dots.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push(Field::new(name, value));
        self
    }
}

impl From<&str> for Video {
    fn from(media_id: &str) -> Self {
        Self::new(media_id)
    }
}

impl From<String> for Video {
    fn from(media_id: String) -> Self {
        Self::new(media_id)
    }
}

/// `From` and [`IntoReply`] for what always makes one and the same kind of reply.
macro_rules! always_a_reply {
    ($($value:ty => $constructor:expr),* $(,)?) => {$(
        impl From<$value> for Reply {
            fn from(value: $value) -> Self {
                $constructor(value)
            }
        }

        impl IntoReply for $value {
            fn into_reply(self) -> Result<Reply, String> {
                Ok(self.into())
            }
        }
    )*};
}

always_a_reply! {
    &str => Reply::text,
    String => Reply::text,
    Video => Reply::video,
    Music => Reply::music,
    Article => |article| Reply::news([article]),
    Vec<Article> => Reply::news,
    Raw => Reply::Raw,
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, String> {
        Ok(self)
    }
}

impl IntoReply for () {
    fn into_reply(self) -> Result<Reply, String> {
        Ok(Reply::Silence)
    }
}

impl<T: IntoReply> IntoReply for Option<T> {
    fn into_reply(self) -> Result<Reply, String> {
        self.map_or(Ok(Reply::Pass), T::into_reply)
    }
}

impl<T: IntoReply, E: Display> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Reply, String> {
        // With `#`, error types that know their causes (anyhow's, for one) print them too.
        self.map_err(|error| format!("{error:#}"))?.into_reply()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_articles_and_nothing_are_replies() {
        assert_eq!("hi".into_reply(), Ok(Reply::Text("hi".to_owned())));
        assert_eq!(String::from("hi").into_reply(), Ok(Reply::Text("hi".to_owned())));
        let article = Article::new("八哥", "https://example.com");
        assert_eq!(article.clone().into_reply(), Ok(Reply::News(vec![article.clone()])));
        assert_eq!(vec![article.clone()].into_reply(), Ok(Reply::News(vec![article])));
        assert_eq!(().into_reply(), Ok(Reply::Silence));
    }

    #[test]
    fn none_passes() {
        assert_eq!(None::<&str>.into_reply(), Ok(Reply::Pass));
        assert_eq!(Some("hi").into_reply(), Ok(Reply::text("hi")));
    }

    #[test]
    fn an_error_becomes_its_text() {
        let failed: Result<&str, _> = Err(crate::Error::new("quota", "100 calls a day"));
        assert_eq!(failed.into_reply(), Err("quota: 100 calls a day".to_owned()));
    }
}

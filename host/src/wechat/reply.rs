//! Passive replies: what may be answered, and how it is written.

use super::chars;
use super::document::{Field, Format};
use super::raw::{self, RawTree};
use super::writer::Writer;
use serde::{Deserialize, Serialize};

pub use super::raw::RawError;
pub use read::ReadError;

mod read;

/// What to answer a message with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Plain text; links and menu-message links work in it.
    Text(String),
    /// An image.
    Image {
        /// Temporary or permanent media.
        media_id: String,
    },
    /// A voice message.
    Voice {
        /// Temporary or permanent media.
        media_id: String,
    },
    /// A video.
    Video(Video),
    /// A piece of music.
    Music(Music),
    /// Articles, the first one large.
    News(Vec<Article>),
    /// Hand over to human customer service: to the agent with this account, or to any.
    Transfer(Option<String>),
    /// Hand over to the account's own AI answer.
    TransferToAi,
    /// A kind that this enum does not know.
    Raw(Raw),
    /// Acknowledge, say nothing.
    Silence,
}

/// A video.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// Temporary or permanent media.
    pub media_id: String,
    /// Shown with it.
    pub title: Option<String>,
    /// Shown with it.
    pub description: Option<String>,
}

/// A piece of music.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Music {
    /// Shown with it.
    pub title: Option<String>,
    /// Shown with it.
    pub description: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// Where it is in a better quality, taken where there is Wi-Fi.
    pub hq_url: Option<String>,
    /// The cover, which WeChat insists on.
    pub thumb_media_id: String,
}

/// An article.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// Shown on the card.
    pub title: String,
    /// Shown on the card.
    pub description: Option<String>,
    /// The URL of the card's picture.
    pub picture: Option<String>,
    /// Where a tap leads.
    pub url: String,
}

/// A reply by its leaves, named as those of a [`Document`](super::Document).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw {
    /// `MsgType`.
    pub kind: String,
    /// Everything below the header.
    pub fields: Vec<Field>,
}

/// A reply that WeChat would take, and the only kind of reply that can be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedReply(Reply);

/// Who speaks to whom and when: the message's sender and account, the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The follower's OpenID.
    pub to: &'a str,
    /// The account's original id.
    pub from: &'a str,
    /// Seconds since the Unix epoch.
    pub created: u64,
}

/// What [`Reply::check`] had to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Holds the length before the cut.
    #[error("the text has {0} bytes and was cut to {max}", max = MAX_TEXT)]
    TextCut(usize),
    /// WeChat would have dropped them too.
    #[error("the news has {had} articles and was cut to {kept}")]
    ArticlesCut {
        /// How many there were.
        had: usize,
        /// How many may answer this kind of message.
        kept: usize,
    },
    /// XML 1.0 cannot carry them.
    #[error("{0} characters that XML forbids were removed")]
    ForbiddenCharacters(usize),
    /// For an empty text WeChat shows the follower an error.
    #[error("the text is blank, so nothing is said")]
    Blank,
}

/// Why a reply cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// An image, voice message or video without its media; holds which.
    #[error("the {0} has no media id")]
    NoMediaId(&'static str),
    /// Music without its cover.
    #[error("the music has no thumb media id")]
    NoThumbMediaId,
    /// News without an article.
    #[error("the news has no article")]
    NoArticle,
    /// Counts from 1.
    #[error("article {0} has neither title nor url")]
    EmptyArticle(usize),
    /// The kind or the fields of a raw reply.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// Over [`MAX_REPLY`].
    #[error("the reply has {0} bytes, more than {max}", max = MAX_REPLY)]
    TooLarge(usize),
}

/// The longest text in bytes. The platform's documentation of passive replies sets it; a longer one is not delivered.
pub const MAX_TEXT: usize = 2048;

/// The most that all strings of a reply come to. The platform states no bound for the whole; eight articles with long URLs come to
/// a quarter of this, and a plugin cannot make the host hold more.
pub const MAX_REPLY: usize = 64 << 10;

/// The most articles in answer to anything but the kinds below.
pub const MAX_ARTICLES: usize = 8;

/// Messages that only one article may answer.
const ONE_ARTICLE_KINDS: [&str; 6] = ["text", "image", "voice", "video", "news", "location"];

/// The body that says nothing. WeChat also takes an empty one, but recommends this.
pub const SUCCESS: &str = "success";

impl Reply {
    /// Its `MsgType`; `silence` where nothing is said.
    pub fn kind(&self) -> &str {
        match self {
            Self::Text(_) => "text",
            Self::Image { .. } => "image",
            Self::Voice { .. } => "voice",
            Self::Video(_) => "video",
            Self::Music(_) => "music",
            Self::News(_) => "news",
            Self::Transfer(_) => "transfer_customer_service",
            Self::TransferToAi => "transfer_biz_ai_ivr",
            Self::Raw(raw) => &raw.kind,
            Self::Silence => "silence",
        }
    }

    /// Brings the reply within WeChat's bounds: cuts, drops and cleans what can be, and refuses the rest. `answered_kind` is the
    /// [`kind`](super::Message::kind) of the message.
    pub fn check(mut self, answered_kind: &str) -> Result<(CheckedReply, Vec<Warning>), ReplyError> {
        let mut warnings = Vec::new();
        if let Self::News(articles) = &mut self {
            let kept = if ONE_ARTICLE_KINDS.contains(&answered_kind) { 1 } else { MAX_ARTICLES };
            if articles.len() > kept {
                warnings.push(Warning::ArticlesCut { had: articles.len(), kept });
                articles.truncate(kept);
            }
        }

        // Before anything is looked at: a plugin's reply may have many times this size.
        let mut bytes = match &self {
            Self::Raw(raw) => raw.fields.iter().map(|field| field.name.len()).sum(),
            _ => 0,
        };
        self.for_each_string(&mut |text| bytes += text.len());
        if bytes > MAX_REPLY {
            return Err(ReplyError::TooLarge(bytes));
        }

        let mut removed = 0;
        self.for_each_string(&mut |text| removed += chars::remove_forbidden(text));
        if removed > 0 {
            warnings.push(Warning::ForbiddenCharacters(removed));
        }

        match &mut self {
            Self::Text(text) => {
                if text.len() > MAX_TEXT {
                    warnings.push(Warning::TextCut(text.len()));
                    text.truncate(text.floor_char_boundary(MAX_TEXT));
                }
                if is_blank(text) {
                    warnings.push(Warning::Blank);
                    self = Self::Silence;
                }
            }
            Self::Image { media_id } if is_blank(media_id) => {
                return Err(ReplyError::NoMediaId("image"));
            }
            Self::Voice { media_id } if is_blank(media_id) => {
                return Err(ReplyError::NoMediaId("voice message"));
            }
            Self::Video(video) if is_blank(&video.media_id) => {
                return Err(ReplyError::NoMediaId("video"));
            }
            Self::Music(music) if is_blank(&music.thumb_media_id) => {
                return Err(ReplyError::NoThumbMediaId);
            }
            Self::News(articles) => {
                let empty = |article: &Article| is_blank(&article.title) && is_blank(&article.url);
                if articles.is_empty() {
                    return Err(ReplyError::NoArticle);
                }
                if let Some(at) = articles.iter().position(empty) {
                    return Err(ReplyError::EmptyArticle(at + 1));
                }
            }
            // No agent in particular is any agent.
            Self::Transfer(account) => *account = account.take().filter(|account| !is_blank(account)),
            Self::Raw(raw) => {
                if !raw::is_name(&raw.kind) {
                    return Err(RawError::Kind(chars::excerpt(&raw.kind)).into());
                }
                RawTree::build(&raw.fields)?;
            }
            _ => {}
        }

        Ok((CheckedReply(self), warnings))
    }

    /// Everything that a plugin wrote, but for the names of a raw reply's fields, of which only the clean ones pass.
    fn for_each_string(&mut self, see: &mut impl FnMut(&mut String)) {
        let mut see_all = |texts: &mut [Option<&mut String>]| texts.iter_mut().flatten().for_each(|text| see(text));
        match self {
            Self::Text(text) | Self::Image { media_id: text } | Self::Voice { media_id: text } => {
                see_all(&mut [Some(text)])
            }
            Self::Video(Video { media_id, title, description }) => {
                see_all(&mut [Some(media_id), title.as_mut(), description.as_mut()]);
            }
            Self::Music(Music { title, description, url, hq_url, thumb_media_id }) => see_all(&mut [
                title.as_mut(),
                description.as_mut(),
                url.as_mut(),
                hq_url.as_mut(),
                Some(thumb_media_id),
            ]),
            Self::News(articles) => {
                for Article { title, description, picture, url } in articles {
                    see_all(&mut [Some(title), description.as_mut(), picture.as_mut(), Some(url)]);
                }
            }
            Self::Transfer(account) => see_all(&mut [account.as_mut()]),
            Self::Raw(raw) => {
                see_all(&mut [Some(&mut raw.kind)]);
                for field in &mut raw.fields {
                    see_all(&mut [Some(&mut field.value)]);
                }
            }
            Self::TransferToAi | Self::Silence => {}
        }
    }
}

impl CheckedReply {
    /// Saying nothing needs no check.
    pub const SILENCE: Self = Self(Reply::Silence);

    /// What will be said.
    pub fn reply(&self) -> &Reply {
        &self.0
    }

    /// What will be said, to be kept.
    pub fn into_reply(self) -> Reply {
        self.0
    }

    /// Whether nothing will be said. In safe mode, silence goes out unencrypted.
    pub fn is_silence(&self) -> bool {
        self.0 == Reply::Silence
    }

    /// Appends the body of the response. Silence is the word `success` in either format.
    pub fn render(&self, header: &Header<'_>, format: Format, out: &mut String) {
        match &self.0 {
            Reply::Silence => return out.push_str(SUCCESS),
            // The header and the tags come to less than the spare room.
            Reply::Text(text) => out.reserve(text.len() + header.to.len() + header.from.len() + 256),
            _ => {}
        }
        let mut writer = Writer::begin(out, format);
        // They come from the message, which is read more tolerantly than WeChat may read this.
        writer.text("ToUserName", &chars::without_forbidden(header.to));
        writer.text("FromUserName", &chars::without_forbidden(header.from));
        writer.number("CreateTime", header.created);
        writer.text("MsgType", self.0.kind());
        self.render_body(&mut writer);
        writer.end();
    }

    fn render_body(&self, writer: &mut Writer<'_>) {
        match &self.0 {
            Reply::Text(text) => writer.text("Content", text),
            Reply::Image { media_id } => {
                writer.open("Image");
                writer.text("MediaId", media_id);
                writer.close("Image");
            }
            Reply::Voice { media_id } => {
                writer.open("Voice");
                writer.text("MediaId", media_id);
                writer.close("Voice");
            }
            Reply::Video(video) => {
                writer.open("Video");
                writer.text("MediaId", &video.media_id);
                writer.optional("Title", video.title.as_deref());
                writer.optional("Description", video.description.as_deref());
                writer.close("Video");
            }
            Reply::Music(music) => {
                writer.open("Music");
                writer.optional("Title", music.title.as_deref());
                writer.optional("Description", music.description.as_deref());
                writer.optional("MusicUrl", music.url.as_deref());
                writer.optional("HQMusicUrl", music.hq_url.as_deref());
                writer.text("ThumbMediaId", &music.thumb_media_id);
                writer.close("Music");
            }
            Reply::News(articles) => render_news(articles, writer),
            Reply::Transfer(Some(account)) => {
                writer.open("TransInfo");
                writer.text("KfAccount", account);
                writer.close("TransInfo");
            }
            Reply::Raw(raw) => {
                // It has been built once, by the check, and nothing has changed it since.
                if let Ok(tree) = RawTree::build(&raw.fields) {
                    tree.write(writer);
                }
            }
            Reply::Transfer(None) | Reply::TransferToAi | Reply::Silence => {}
        }
    }
}

fn render_news(articles: &[Article], writer: &mut Writer<'_>) {
    // In XML the list is an element with elements called `item`; in JSON it is an array.
    let in_xml = writer.format() == Format::Xml;
    writer.number("ArticleCount", articles.len() as u64);
    if in_xml {
        writer.open("Articles");
    }
    writer.open_list("Articles");
    for article in articles {
        writer.open_listed("item");
        writer.text("Title", &article.title);
        writer.optional("Description", article.description.as_deref());
        writer.optional("PicUrl", article.picture.as_deref());
        writer.text("Url", &article.url);
        writer.close("item");
    }
    writer.close_list();
    if in_xml {
        writer.close("Articles");
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests;

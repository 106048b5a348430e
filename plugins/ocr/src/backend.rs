//! Who reads the pictures.

mod rapid;
mod wechat;

use std::fmt;

pub(crate) use self::rapid::Rapid;

/// Reads the text in a picture.
pub(crate) trait Backend {
    /// Lines of text in the picture at this URL, where WeChat keeps it.
    fn read(&self, url: &str) -> Result<String, Trouble>;
}

/// The one that is configured.
pub(crate) enum Reader {
    Rapid(Rapid),
    Wechat,
}

impl Backend for Reader {
    fn read(&self, url: &str) -> Result<String, Trouble> {
        let text = match self {
            Self::Rapid(rapid) => rapid.read(url)?,
            Self::Wechat => wechat::Wechat.read(url)?,
        };
        if text.trim().is_empty() { Err(Trouble::NoText) } else { Ok(text) }
    }
}

/// Why a picture was not read; Display is what the follower is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    NoText,
    TooLarge,
    /// It is no picture, or of a kind that cannot be read.
    Unreadable,
    /// WeChat does not have it, or no longer.
    Gone,
    /// The service cannot be reached, or fails.
    Away,
    /// There was no time left for it.
    Late,
    UsedUp(String),
}

impl Trouble {
    /// Whether it may go better the next time.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Away | Self::Late)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoText => "没有找到文字。",
            Self::TooLarge => "图片太大了，请压缩到 10 MB 以内再发。",
            Self::Unreadable => "看不懂这张图片的格式，请换成 JPG 或 PNG。",
            Self::Gone => "图片取不到了，请重新发一次。",
            Self::Away => "识别服务暂时用不了，请稍后再试。",
            Self::Late => "时间不够，这一张还没来得及读。",
            Self::UsedUp(words) => words,
        })
    }
}

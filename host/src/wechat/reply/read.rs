//! A rendered reply, read back: for whoever plays WeChat's part.

use super::{Article, Music, Raw, Reply, SUCCESS, Video};
use crate::wechat::document::{Document, Field, Leaf, ParseError};

/// Why a body is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Neither XML nor JSON.
    #[error(transparent)]
    Document(#[from] ParseError),
    /// A header is not there, or is empty.
    #[error("the reply has no `{0}`")]
    Missing(&'static str),
}

impl Reply {
    /// Reads the body of a response as WeChat does: `success`, or nothing at all, is silence.
    pub fn read(body: &str) -> Result<Self, ReadError> {
        if matches!(body.trim(), "" | SUCCESS) {
            return Ok(Self::Silence);
        }
        let document = Document::parse(body.as_bytes())?;
        for name in ["ToUserName", "FromUserName", "CreateTime"] {
            needed(&document, name)?;
        }
        let given = |name: &str| document.leaf(name).map(str::to_owned);
        let plain = |name: &str| given(name).unwrap_or_default();
        Ok(match needed(&document, "MsgType")? {
            "text" => Self::Text(plain("Content")),
            "image" => Self::Image { media_id: plain("Image.MediaId") },
            "voice" => Self::Voice { media_id: plain("Voice.MediaId") },
            "video" => Self::Video(Video {
                media_id: plain("Video.MediaId"),
                title: given("Video.Title"),
                description: given("Video.Description"),
            }),
            "music" => Self::Music(Music {
                title: given("Music.Title"),
                description: given("Music.Description"),
                url: given("Music.MusicUrl"),
                hq_url: given("Music.HQMusicUrl"),
                thumb_media_id: plain("Music.ThumbMediaId"),
            }),
            "news" => Self::News(articles(&document)),
            "transfer_customer_service" => Self::Transfer(given("TransInfo.KfAccount")),
            "transfer_biz_ai_ivr" => Self::TransferToAi,
            kind => Self::Raw(Raw { kind: kind.to_owned(), fields: below_the_header(&document) }),
        })
    }
}

fn needed<'d>(document: &'d Document<'_>, name: &'static str) -> Result<&'d str, ReadError> {
    let value = document.leaf(name).map(str::trim).filter(|value| !value.is_empty());
    value.ok_or(ReadError::Missing(name))
}

fn below_the_header(document: &Document<'_>) -> Vec<Field> {
    let header = ["ToUserName", "FromUserName", "CreateTime", "MsgType"];
    document.leaves().iter().filter(|leaf| !header.contains(&&*leaf.name)).cloned().map(Field::from).collect()
}

fn articles(document: &Document<'_>) -> Vec<Article> {
    let mut articles: Vec<(&str, Article)> = Vec::new();
    for Leaf { name, value } in document.leaves() {
        let value: &str = value;
        // `Articles.item.0.Title` in XML, `Articles.0.Title` in JSON.
        let Some(rest) = name.strip_prefix("Articles.") else { continue };
        let Some((index, part)) = rest.strip_prefix("item.").unwrap_or(rest).split_once('.') else { continue };
        if articles.last().is_none_or(|(last, _)| *last != index) {
            articles.push((index, Article::default()));
        }
        let Some((_, article)) = articles.last_mut() else { continue };
        match part {
            "Title" => value.clone_into(&mut article.title),
            "Description" => article.description = Some(value.to_owned()),
            "PicUrl" => article.picture = Some(value.to_owned()),
            "Url" => value.clone_into(&mut article.url),
            _ => {}
        }
    }
    articles.into_iter().map(|(_, article)| article).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::{document::Format, reply::Header};

    fn article(n: u32) -> Article {
        Article { title: format!("t{n}"), description: Some("d".into()), picture: None, url: format!("http://{n}") }
    }

    #[test]
    fn every_kind_is_read_as_it_was_rendered() {
        let header = Header { to: "o1", from: "gh_1", created: 1 };
        let field = |name: &str| Field { name: name.into(), value: "v".into() };
        for reply in [
            Reply::Text("a\n]]> <a href=\"http://x\">b</a>".into()),
            Reply::Image { media_id: "m".into() },
            Reply::Voice { media_id: "m".into() },
            Reply::Video(Video { media_id: "m".into(), title: Some("t".into()), description: None }),
            Reply::Music(Music {
                title: Some("t".into()),
                url: Some("http://m".into()),
                thumb_media_id: "th".into(),
                ..Music::default()
            }),
            Reply::News(vec![article(1), article(2)]),
            Reply::Transfer(None),
            Reply::Transfer(Some("a@b".into())),
            Reply::TransferToAi,
            Reply::Raw(Raw {
                kind: "future".into(),
                fields: vec![field("A.item.0.B"), field("A.item.1.B"), field("C")],
            }),
            Reply::Silence,
        ] {
            for format in [Format::Xml, Format::Json] {
                let (checked, warnings) = reply.clone().check("event").unwrap();
                assert!(warnings.is_empty());
                let mut body = String::new();
                checked.render(&header, format, &mut body);
                assert_eq!(Reply::read(&body).as_ref(), Ok(&reply), "{body}");
            }
        }
    }

    #[test]
    fn says_why_a_body_is_no_reply() {
        let why = |body: &str| Reply::read(body).unwrap_err().to_string();
        assert_eq!(Reply::read(" \n"), Ok(Reply::Silence));
        assert_eq!(why("fail"), "the body is neither XML nor JSON, it begins with `fail`");
        assert_eq!(why("<xml><MsgType>text</MsgType></xml>"), "the reply has no `ToUserName`");
    }
}

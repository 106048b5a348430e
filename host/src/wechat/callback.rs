//! What a follower does, as the body that WeChat posts for it: the way opposite to [`Message`](super::Message), for whoever plays
//! WeChat's part.

use super::document::{Field, Format};
use super::raw::{RawError, RawTree, is_name};
use super::writer::Writer;
use super::{chars, reply::Header};

/// Something that a follower does: its `MsgType`, and what stands below the common header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// `MsgType`.
    pub kind: String,
    /// Everything below the header but `MsgId`, named as the leaves of a [`Document`](super::Document).
    pub fields: Vec<Field>,
}

/// Stands for the media that a follower sent: nobody fetches it from an account that is not there.
pub const MEDIA_ID: &str = "media-id";

/// Where the picture is that a follower sent, unless they say otherwise.
pub const PICTURE: &str = "http://mmbiz.qpic.cn/mmbiz_jpg/example/0";

impl Act {
    /// A message of a type that has no function of its own here.
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), fields: Vec::new() }
    }

    /// A text.
    pub fn text(content: &str) -> Self {
        Self::new("text").with("Content", content)
    }

    /// A picture, where it can be fetched.
    pub fn image(url: &str) -> Self {
        Self::new("image").with("PicUrl", url).with("MediaId", MEDIA_ID)
    }

    /// A voice message, and the words that WeChat recognised in it; accounts without speech recognition get none.
    pub fn voice(recognition: Option<&str>) -> Self {
        let voice = Self::new("voice").with("MediaId", MEDIA_ID).with("Format", "amr");
        match recognition {
            Some(words) => voice.with("Recognition", words),
            None => voice,
        }
    }

    /// A video from the album.
    pub fn video() -> Self {
        Self::new("video").with("MediaId", MEDIA_ID).with("ThumbMediaId", "thumb-media-id")
    }

    /// A video that was taken in the chat.
    pub fn short_video() -> Self {
        Self { kind: "shortvideo".into(), ..Self::video() }
    }

    /// A place, in degrees.
    pub fn location(latitude: &str, longitude: &str, label: &str) -> Self {
        Self::new("location")
            .with("Location_X", latitude)
            .with("Location_Y", longitude)
            .with("Scale", "15")
            .with("Label", label)
    }

    /// A page that was shared to the account.
    pub fn link(title: &str, description: &str, url: &str) -> Self {
        Self::new("link").with("Title", title).with("Description", description).with("Url", url)
    }

    /// An event with its key: a menu button's. WeChat sends an empty one where there is none.
    pub fn event(event: &str, key: &str) -> Self {
        Self::new("event").with("Event", event).with("EventKey", key)
    }

    /// A QR code that was scanned: `subscribe` where that made them a follower, `SCAN` where they were one.
    pub fn scan(event: &str, scene: &str) -> Self {
        let key = match event.eq_ignore_ascii_case("subscribe") && !scene.starts_with("qrscene_") {
            true => format!("qrscene_{scene}"),
            false => scene.to_owned(),
        };
        Self::event(event, &key).with("Ticket", "ticket")
    }

    /// The same with a field set: in place of the one of this name, or after all others.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        match self.fields.iter_mut().find(|field| field.name == name) {
            Some(field) => field.value = value.to_owned(),
            None => self.fields.push(Field { name: name.to_owned(), value: value.to_owned() }),
        }
        self
    }

    /// The body that WeChat posts: `header` is from the follower to the account, `id` empty where there is no `MsgId`.
    pub fn render(&self, header: &Header<'_>, id: &str, format: Format) -> Result<String, RawError> {
        if !is_name(&self.kind) {
            return Err(RawError::Kind(chars::excerpt(&self.kind)));
        }
        let cleaned: Vec<Field> = self
            .fields
            .iter()
            .map(|field| Field { name: field.name.clone(), value: chars::without_forbidden(&field.value).into_owned() })
            .collect();
        let fields = RawTree::build(&cleaned)?;
        let mut body = String::new();
        let mut writer = Writer::begin(&mut body, format);
        writer.text("ToUserName", header.to);
        writer.text("FromUserName", header.from);
        writer.number("CreateTime", header.created);
        writer.text("MsgType", &self.kind);
        fields.write(&mut writer);
        if !id.is_empty() {
            writer.text("MsgId", id);
        }
        writer.end();
        Ok(body)
    }

    /// Whether WeChat gives it a `MsgId`: messages have one, events have none.
    pub fn has_id(&self) -> bool {
        !self.kind.eq_ignore_ascii_case("event")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::{Document, Message};

    const HEADER: Header<'static> = Header { to: "gh_1", from: "o1", created: 1_700_000_000 };

    /// As a plugin sees it, over the very parser of real deliveries.
    fn seen(act: &Act, format: Format) -> Message {
        let id = if act.has_id() { "7" } else { "" };
        let body = act.render(&HEADER, id, format).unwrap();
        Message::try_from(Document::parse(body.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn the_host_reads_what_is_written_here() {
        for format in [Format::Xml, Format::Json] {
            let text = seen(&Act::text("a ]]> <b>\nc"), format);
            assert_eq!((text.kind.as_str(), text.text.as_deref()), ("text", Some("a ]]> <b>\nc")));
            assert_eq!((text.account.as_str(), text.sender.as_str(), text.id.as_str()), ("gh_1", "o1", "7"));
            assert!(text.fields.is_empty());
            let voice = seen(&Act::voice(Some("你好")), format);
            assert_eq!((voice.text.as_deref(), voice.field("Format")), (Some("你好"), Some("amr")));
            assert_eq!(seen(&Act::voice(None), format).text, None);
            let place = seen(&Act::location("23.1", "113.3", "广州"), format);
            assert_eq!((place.field("Location_X"), place.field("Label")), (Some("23.1"), Some("广州")));
            let nested =
                seen(&Act::event("pic_weixin", "k").with("SendPicsInfo.PicList.item.0.PicMd5Sum", "1b"), format);
            assert_eq!(nested.field("SendPicsInfo.PicList.item.0.PicMd5Sum"), Some("1b"));
            assert_eq!(nested.id, "");
        }
    }

    #[test]
    fn a_scene_arrives_as_the_event_has_it() {
        let joined = Act::scan("subscribe", "shop-1");
        assert_eq!(joined.fields[1].value, "qrscene_shop-1");
        assert_eq!(seen(&joined, Format::Xml).scene(), Some("shop-1"));
        assert_eq!(seen(&Act::scan("SCAN", "shop-1"), Format::Xml).event_key(), Some("shop-1"));
        assert_eq!(seen(&Act::event("subscribe", ""), Format::Xml).scene(), None);
    }

    #[test]
    fn a_field_replaces_the_one_of_its_name() {
        let image = Act::image("http://a").with("MediaId", "m1").with("Idx", "1");
        let seen = seen(&image, Format::Xml);
        assert_eq!((seen.field("MediaId"), seen.field("Idx"), seen.fields.len()), (Some("m1"), Some("1"), 3));
    }

    #[test]
    fn no_field_can_forge_the_header_or_the_markup() {
        let forged = |act: Act| act.render(&HEADER, "", Format::Xml).unwrap_err().to_string();
        assert_eq!(forged(Act::text("x").with("FromUserName", "o2")), "`FromUserName` is the host's to set");
        assert_eq!(forged(Act::text("x").with("a><b", "o2")), "`a><b` is no field name");
        assert_eq!(forged(Act::new("te xt")), "`te xt` is no kind of reply");
        assert_eq!(seen(&Act::text("a\u{1}b"), Format::Xml).text.as_deref(), Some("ab"));
    }
}

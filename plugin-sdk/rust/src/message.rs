//! A typed view of a message, whose kind and fields the contract leaves open.

use crate::{Field, Message};

/// What a message holds, by its kind; made by [`Message::content`].
///
/// WeChat adds kinds and fields without notice. New kinds are [`Content::Other`] until this
/// enum knows them, and every field, known or not, is within reach of [`Message::field`].
///
/// A text that WeChat left out reads as empty. A location without readable coordinates is
/// `Other`.
///
/// ```
/// use mynah_plugin::{Content, Reply, testing};
///
/// let message = testing::location(23.134, 113.359, "广州市");
/// let reply = match message.content() {
///     Content::Text(text) => Reply::text(text),
///     Content::Location { label, .. } => Reply::text(format!("你在{label}")),
///     _ => Reply::Pass,
/// };
/// assert_eq!(reply, Reply::text("你在广州市"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'a> {
    /// A text, as the follower typed it. [`Message::text`] gives it trimmed.
    Text(&'a str),
    /// A picture.
    Image {
        /// Where WeChat serves it to anyone.
        pic_url: &'a str,
        /// Its temporary media id: for [`Reply::image`](crate::Reply::image) and
        /// [`wechat::download`](crate::wechat::download), for three days.
        media_id: &'a str,
    },
    /// A voice message.
    Voice {
        /// Its temporary media id.
        media_id: &'a str,
        /// `"amr"`, `"speex"`, …
        format: &'a str,
        /// What WeChat heard, where the account has speech recognition and it heard something.
        recognition: Option<&'a str>,
    },
    /// A video from the album.
    Video {
        /// Its temporary media id.
        media_id: &'a str,
        /// The media id of its still picture.
        thumb_media_id: &'a str,
    },
    /// A video filmed in the chat.
    ShortVideo {
        /// Its temporary media id.
        media_id: &'a str,
        /// The media id of its still picture.
        thumb_media_id: &'a str,
    },
    /// A place that the follower picked on the map.
    Location {
        /// Degrees north (`Location_X`).
        latitude: f64,
        /// Degrees east (`Location_Y`).
        longitude: f64,
        /// The map's zoom.
        scale: Option<u32>,
        /// The address.
        label: &'a str,
    },
    /// A shared article.
    Link {
        /// Its title.
        title: &'a str,
        /// The lines below the title.
        description: &'a str,
        /// Its address.
        url: &'a str,
    },
    /// A file.
    File {
        /// Its name.
        title: &'a str,
        /// The lines below the name.
        description: &'a str,
        /// WeChat's key for it.
        key: &'a str,
        /// Its MD5 sum in hexadecimal.
        md5: &'a str,
        /// Its length in bytes.
        length: Option<u64>,
    },
    /// A shared page of a mini program.
    MiniProgramPage {
        /// The card's title.
        title: &'a str,
        /// Whose page it is.
        app_id: &'a str,
        /// Which page, with its query.
        page_path: &'a str,
        /// Where WeChat serves the card's picture.
        thumb_url: &'a str,
        /// The media id of the card's picture.
        thumb_media_id: &'a str,
    },
    /// Not something said, but something done.
    Event(Event<'a>),
    /// A kind that this enum does not know: [`Message::kind`].
    Other(&'a str),
}

/// What a follower did, or what WeChat has to report; part of [`Content::Event`].
///
/// Only the first few wait for an answer. WeChat shows nothing in answer to the rest, so a plugin
/// had better return [`Reply::Pass`](crate::Reply::Pass) or `()` there.
///
/// ```
/// use mynah_plugin::{Content, Event, testing};
///
/// let message = testing::event("subscribe").with_field("EventKey", "qrscene_shop-1");
/// let Content::Event(Event::Subscribe { scene, .. }) = message.content() else {
///     panic!("not a subscription");
/// };
/// assert_eq!(scene, Some("shop-1"));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A new follower.
    Subscribe {
        /// The scene of the QR code that led here, without WeChat's prefix `qrscene_`. A key of
        /// another kind, such as a payment's `last_trade_no_…`, is no scene; it is in
        /// `message.field("EventKey")`.
        scene: Option<&'a str>,
        /// The QR code's ticket, where a QR code led here.
        ticket: Option<&'a str>,
    },
    /// A follower less. Nothing can be answered.
    Unsubscribe,
    /// Somebody who follows already scanned a QR code of the account.
    Scan {
        /// The QR code's scene.
        scene: &'a str,
        /// The QR code's ticket.
        ticket: &'a str,
    },
    /// Where the follower is, for accounts that are told: on entering the chat, or every few
    /// seconds in it.
    Location {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
        /// Metres.
        precision: f64,
    },
    /// A menu button that the account answers.
    Click {
        /// The button's key.
        key: &'a str,
    },
    /// A menu button that opened a page. Nothing can be answered.
    View {
        /// The page.
        url: &'a str,
        /// The personalised menu that the button is in.
        menu_id: Option<&'a str>,
    },
    /// A menu button that opened a mini program. Nothing can be answered.
    ViewMiniProgram {
        /// The mini program's page.
        page_path: &'a str,
        /// The personalised menu that the button is in.
        menu_id: Option<&'a str>,
    },
    /// A menu button that scanned a code.
    ScanCode {
        /// The button's key.
        key: &'a str,
        /// `"qrcode"` or `"barcode"`.
        scan_type: &'a str,
        /// What the code says.
        result: &'a str,
        /// Whether the follower is looking at a "receiving" notice (`scancode_waitmsg`).
        waiting: bool,
    },
    /// A menu button that took or chose pictures. The pictures arrive as messages of their own.
    Pictures {
        /// The button's key.
        key: &'a str,
        /// The MD5 sum of each picture, in hexadecimal.
        md5s: Vec<&'a str>,
    },
    /// A menu button that picked a place. It also arrives as a [`Content::Location`].
    LocationSelect {
        /// The button's key.
        key: &'a str,
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
        /// The map's zoom.
        scale: Option<u32>,
        /// The address.
        label: &'a str,
        /// The place's own name, often empty.
        poi_name: &'a str,
    },
    /// What became of a template message; its id is [`Message::id`].
    TemplateSent {
        /// `"success"`, or `"failed:…"` with the reason.
        status: &'a str,
    },
    /// What became of a broadcast; its id is [`Message::id`].
    BroadcastSent {
        /// `"send success"`, or why not.
        status: &'a str,
        /// How many followers got it.
        sent: Option<u32>,
        /// For how many it failed.
        failed: Option<u32>,
    },
    /// What became of an article's publication.
    Published {
        /// The publication's id.
        publish_id: &'a str,
        /// WeChat's number: `"0"` is success.
        status: &'a str,
        /// The article's id, after a success.
        article_id: Option<&'a str>,
    },
    /// A human agent began to talk with the follower.
    AgentJoined {
        /// The agent's account.
        agent: &'a str,
    },
    /// A human agent ended the talk.
    AgentLeft {
        /// The agent's account.
        agent: &'a str,
    },
    /// One human agent handed the talk to another.
    AgentChanged {
        /// The account of the agent who left.
        from: &'a str,
        /// The account of the agent who took over.
        to: &'a str,
    },
    /// An event that this enum does not know, by the name that WeChat gave it.
    Other(&'a str),
}

impl Message {
    /// The message by its kind, with its fields in their types.
    ///
    /// ```
    /// use mynah_plugin::{Content, testing};
    ///
    /// let message = testing::image("https://mmbiz.qpic.cn/a", "media-1");
    /// assert!(matches!(message.content(), Content::Image { media_id: "media-1", .. }));
    /// ```
    #[must_use]
    pub fn content(&self) -> Content<'_> {
        self.known_content().unwrap_or(Content::Other(&self.kind))
    }

    /// The text to answer, without white space around it; empty where there is none.
    ///
    /// That is what was typed, or what WeChat heard in a voice message.
    ///
    /// ```
    /// use mynah_plugin::testing;
    ///
    /// assert_eq!(testing::text(" 天气 \n").text(), "天气");
    /// assert_eq!(testing::image("https://mmbiz.qpic.cn/a", "media-1").text(), "");
    /// ```
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default().trim()
    }

    /// A field by WeChat's own name for it. The names of nested ones are joined with dots.
    ///
    /// ```
    /// use mynah_plugin::testing;
    ///
    /// let message = testing::event("user_pay_from_pay_cell")
    ///     .with_field("TransId", "10022403432015000000000")
    ///     .with_field("ScanCodeInfo.ScanType", "qrcode");
    /// assert_eq!(message.field("ScanCodeInfo.ScanType"), Some("qrcode"));
    /// assert_eq!(message.field("Fee"), None);
    /// ```
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    /// What the rule in bots.toml captured under this name: `"rest"` after a `prefix`, a `regex`'s
    /// groups by name and by number, `"scene"` of a QR code.
    ///
    /// ```
    /// use mynah_plugin::testing;
    ///
    /// // prefix = "天气"
    /// let message = testing::text("天气 广州").with_capture("rest", "广州");
    /// assert_eq!(message.capture("rest"), Some("广州"));
    /// ```
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        value(&self.captures, name)
    }

    /// `None` where the kind is unknown, or its numbers are.
    fn known_content(&self) -> Option<Content<'_>> {
        Some(match self.kind.as_str() {
            "text" => Content::Text(self.text.as_deref().unwrap_or_default()),
            "image" => {
                Content::Image { pic_url: self.field_or_empty("PicUrl"), media_id: self.field_or_empty("MediaId") }
            }
            "voice" => Content::Voice {
                media_id: self.field_or_empty("MediaId"),
                format: self.field_or_empty("Format"),
                recognition: Some(self.text()).filter(|heard| !heard.is_empty()),
            },
            "video" => Content::Video {
                media_id: self.field_or_empty("MediaId"),
                thumb_media_id: self.field_or_empty("ThumbMediaId"),
            },
            "shortvideo" => Content::ShortVideo {
                media_id: self.field_or_empty("MediaId"),
                thumb_media_id: self.field_or_empty("ThumbMediaId"),
            },
            "location" => Content::Location {
                latitude: self.degrees("Location_X")?,
                longitude: self.degrees("Location_Y")?,
                scale: self.number("Scale"),
                label: self.field_or_empty("Label"),
            },
            "link" => Content::Link {
                title: self.field_or_empty("Title"),
                description: self.field_or_empty("Description"),
                url: self.field_or_empty("Url"),
            },
            "file" => Content::File {
                title: self.field_or_empty("Title"),
                description: self.field_or_empty("Description"),
                key: self.field_or_empty("FileKey"),
                md5: self.field_or_empty("FileMd5"),
                length: self.number("FileTotalLen"),
            },
            "miniprogrampage" => Content::MiniProgramPage {
                title: self.field_or_empty("Title"),
                app_id: self.field_or_empty("AppId"),
                page_path: self.field_or_empty("PagePath"),
                thumb_url: self.field_or_empty("ThumbUrl"),
                thumb_media_id: self.field_or_empty("ThumbMediaId"),
            },
            "event" => {
                let name = self.field_or_empty("Event");
                Content::Event(self.known_event(name).unwrap_or(Event::Other(name)))
            }
            _ => return None,
        })
    }

    /// `None` where the event is unknown, or its numbers are.
    fn known_event(&self, name: &str) -> Option<Event<'_>> {
        let key = self.field_or_empty("EventKey");
        // WeChat's documents and its servers disagree about the case of these names.
        Some(match name.to_ascii_lowercase().as_str() {
            "subscribe" => Event::Subscribe {
                scene: key.strip_prefix("qrscene_").filter(|scene| !scene.is_empty()),
                ticket: self.field_unless_empty("Ticket"),
            },
            "unsubscribe" => Event::Unsubscribe,
            "scan" => Event::Scan { scene: key, ticket: self.field_or_empty("Ticket") },
            "location" => Event::Location {
                latitude: self.degrees("Latitude")?,
                longitude: self.degrees("Longitude")?,
                precision: self.degrees("Precision")?,
            },
            "click" => Event::Click { key },
            "view" => Event::View { url: key, menu_id: self.field_unless_empty("MenuId") },
            "view_miniprogram" => Event::ViewMiniProgram { page_path: key, menu_id: self.field_unless_empty("MenuId") },
            kind @ ("scancode_push" | "scancode_waitmsg") => Event::ScanCode {
                key,
                scan_type: self.field_or_empty("ScanCodeInfo.ScanType"),
                result: self.field_or_empty("ScanCodeInfo.ScanResult"),
                waiting: kind == "scancode_waitmsg",
            },
            "pic_sysphoto" | "pic_photo_or_album" | "pic_weixin" => Event::Pictures { key, md5s: self.picture_md5s() },
            "location_select" => Event::LocationSelect {
                key,
                latitude: self.degrees("SendLocationInfo.Location_X")?,
                longitude: self.degrees("SendLocationInfo.Location_Y")?,
                scale: self.number("SendLocationInfo.Scale"),
                label: self.field_or_empty("SendLocationInfo.Label"),
                poi_name: self.field_or_empty("SendLocationInfo.Poiname"),
            },
            "templatesendjobfinish" => Event::TemplateSent { status: self.field_or_empty("Status") },
            "masssendjobfinish" => Event::BroadcastSent {
                status: self.field_or_empty("Status"),
                sent: self.number("SentCount"),
                failed: self.number("ErrorCount"),
            },
            "publishjobfinish" => Event::Published {
                publish_id: self.field_or_empty("PublishEventInfo.publish_id"),
                status: self.field_or_empty("PublishEventInfo.publish_status"),
                article_id: self.field_unless_empty("PublishEventInfo.article_id"),
            },
            "kf_create_session" => Event::AgentJoined { agent: self.field_or_empty("KfAccount") },
            "kf_close_session" => Event::AgentLeft { agent: self.field_or_empty("KfAccount") },
            "kf_switch_session" => Event::AgentChanged {
                from: self.field_or_empty("FromKfAccount"),
                to: self.field_or_empty("ToKfAccount"),
            },
            _ => return None,
        })
    }

    /// `SendPicsInfo.PicList.item.0.PicMd5Sum` and its like, in the order of the pictures.
    fn picture_md5s(&self) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|field| field.name.starts_with("SendPicsInfo."))
            .filter(|field| field.name.ends_with(".PicMd5Sum"))
            .map(|field| field.value.as_str())
            .collect()
    }

    fn field_or_empty(&self, name: &str) -> &str {
        self.field(name).unwrap_or_default()
    }

    fn field_unless_empty(&self, name: &str) -> Option<&str> {
        self.field(name).filter(|value| !value.is_empty())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.field(name)?.trim().parse().ok()
    }

    /// A decimal fraction. Rust also reads "NaN" and "inf" as numbers; they are no place on Earth.
    fn degrees(&self, name: &str) -> Option<f64> {
        self.number(name).filter(|number: &f64| number.is_finite())
    }
}

impl Field {
    /// A named value, such as an HTTP header.
    ///
    /// ```
    /// let header = mynah_plugin::Field::new("Accept", "application/json");
    /// assert_eq!(header.value, "application/json");
    /// ```
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

fn value<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.name == name).map(|field| field.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_kind_that_nobody_knows_yet_is_other() {
        let message = testing::message("hologram").with_field("Depth", "3");
        assert_eq!(message.content(), Content::Other("hologram"));
        assert_eq!(message.field("Depth"), Some("3"));
    }

    #[test]
    fn what_wechat_left_out_reads_as_empty() {
        let image = Content::Image { pic_url: "", media_id: "" };
        assert_eq!(testing::message("image").content(), image);
    }

    #[test]
    fn an_empty_recognition_is_none() {
        let heard = |text| match testing::voice("media-1", text).content() {
            Content::Voice { recognition, .. } => recognition.map(str::to_owned),
            other => panic!("{other:?}"),
        };
        assert_eq!(heard(Some("你好")), Some("你好".to_owned()));
        assert_eq!(heard(Some("  ")), None);
        assert_eq!(heard(None), None);
    }

    #[test]
    fn a_location_without_readable_coordinates_is_other() {
        for latitude in ["", "north", "NaN", "inf"] {
            let message =
                testing::message("location").with_field("Location_X", latitude).with_field("Location_Y", "113.35");
            assert_eq!(message.content(), Content::Other("location"), "{latitude:?}");
        }
    }

    #[test]
    fn files_and_mini_program_pages_have_their_fields() {
        let file = testing::message("file").with_field("Title", "a.pdf").with_field("FileTotalLen", "4096");
        assert!(matches!(file.content(), Content::File { title: "a.pdf", length: Some(4096), .. }));
        let page = testing::message("miniprogrampage").with_field("PagePath", "pages/index?id=1");
        assert!(matches!(page.content(), Content::MiniProgramPage { page_path: "pages/index?id=1", .. }));
    }

    #[test]
    fn only_a_qr_codes_key_is_a_scene() {
        let scene = |key: &str| {
            let message = testing::event("subscribe").with_field("EventKey", key);
            match message.content() {
                Content::Event(Event::Subscribe { scene, .. }) => scene.map(str::to_owned),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(scene("qrscene_shop-1"), Some("shop-1".to_owned()));
        assert_eq!(scene("qrscene_qrscene_x"), Some("qrscene_x".to_owned()));
        assert_eq!(scene("qrscene_"), None);
        assert_eq!(scene(""), None);
        assert_eq!(scene("last_trade_no_4003752001201412058040"), None);
    }

    #[test]
    fn events_are_known_in_any_case() {
        for name in ["SCAN", "scan", "Scan"] {
            let message = testing::event(name).with_field("EventKey", "42");
            let scan = Event::Scan { scene: "42", ticket: "" };
            assert_eq!(message.content(), Content::Event(scan));
        }
    }

    #[test]
    fn an_event_that_nobody_knows_yet_keeps_its_name() {
        let message = testing::event("ShakearoundUserShake");
        assert_eq!(message.content(), Content::Event(Event::Other("ShakearoundUserShake")));
    }

    #[test]
    fn pictures_are_listed_in_order() {
        let message = testing::event("pic_weixin")
            .with_field("EventKey", "ALBUM")
            .with_field("SendPicsInfo.Count", "2")
            .with_field("SendPicsInfo.PicList.item.0.PicMd5Sum", "aa")
            .with_field("SendPicsInfo.PicList.item.1.PicMd5Sum", "bb");
        let pictures = Event::Pictures { key: "ALBUM", md5s: vec!["aa", "bb"] };
        assert_eq!(message.content(), Content::Event(pictures));
    }

    #[test]
    fn only_one_kind_of_code_scan_waits() {
        let waiting = |name| match testing::event(name).content() {
            Content::Event(Event::ScanCode { waiting, .. }) => waiting,
            other => panic!("{other:?}"),
        };
        assert!(waiting("scancode_waitmsg"));
        assert!(!waiting("scancode_push"));
    }
}

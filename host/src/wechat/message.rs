//! What one follower sent.

use std::borrow::Cow;

use super::chars;
use super::document::{Document, Field};
use serde::{Deserialize, Serialize};

/// A message or an event as a plugin sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The account's original id (`ToUserName`).
    pub account: String,
    /// The follower's OpenID (`FromUserName`).
    pub sender: String,
    /// `MsgId`, or an event's `MsgID`; empty where WeChat gives none. Not unique among followers.
    pub id: String,
    /// `CreateTime`, seconds since the Unix epoch.
    pub created: u32,
    /// `MsgType` in lower case.
    pub kind: String,
    /// The text to answer, exactly as sent: `Content`, or else what WeChat recognised in a voice message.
    pub text: Option<String>,
    /// Every other leaf in document order.
    pub fields: Vec<Field>,
}

/// A document that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A header is not there, or is empty.
    #[error("the message has no `{0}`")]
    Missing(&'static str),
    /// Over [`MAX_HEADER`].
    #[error("`{0}` is longer than {max} bytes", max = MAX_HEADER)]
    TooLong(&'static str),
    /// Not a number of seconds in range; holds the value, shortened and escaped.
    #[error("`CreateTime` is `{0}`, not seconds since the Unix epoch")]
    CreateTime(String),
}

/// The longest header value in bytes. Ids become keys elsewhere; an OpenID has 28 characters, a message id 20 digits at most.
pub const MAX_HEADER: usize = 256;

/// What WeChat puts before a scene if the follower was not following yet.
const SCENE_PREFIX: &str = "qrscene_";

impl Message {
    /// The field of exactly this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value.as_str())
    }

    /// What happened, in WeChat's own case, which varies: compare without regard to it. `None` for anything but an event.
    pub fn event(&self) -> Option<&str> {
        if self.kind != "event" {
            return None;
        }
        self.header("Event")
    }

    /// What an event is about: a menu entry's key or URL, a QR code's scene. Trimmed; an empty one is none.
    pub fn event_key(&self) -> Option<&str> {
        self.header("EventKey")
    }

    /// The scene of the QR code that the follower scanned, whether it made them a follower or they were one.
    pub fn scene(&self) -> Option<&str> {
        let event = self.event()?;
        let key = self.event_key()?;
        let scene = key.strip_prefix(SCENE_PREFIX);
        let scene = if event.eq_ignore_ascii_case("SCAN") {
            scene.unwrap_or(key)
        } else if event.eq_ignore_ascii_case("subscribe") {
            // Other prefixes tell of other ways to come here than by a QR code.
            scene?
        } else {
            return None;
        };
        Some(scene).filter(|scene| !scene.is_empty())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.field(name).map(str::trim).filter(|value| !value.is_empty())
    }
}

impl TryFrom<Document<'_>> for Message {
    type Error = MessageError;

    fn try_from(document: Document<'_>) -> Result<Self, MessageError> {
        let mut account = None;
        let mut sender = None;
        let mut created = None;
        let mut kind = None;
        let mut id = None;
        let mut text = None;
        let mut fields = Vec::new();
        for field in document.into_leaves() {
            let place = match &*field.name {
                "ToUserName" => &mut account,
                "FromUserName" => &mut sender,
                "CreateTime" => &mut created,
                "MsgType" => &mut kind,
                "MsgId" | "MsgID" => &mut id,
                "Content" => &mut text,
                _ => {
                    fields.push(field.into());
                    continue;
                }
            };
            *place = Some(field.value);
        }

        let account = required("ToUserName", account)?.into_owned();
        let sender = required("FromUserName", sender)?.into_owned();
        let created = required("CreateTime", created)?;
        let mut kind = required("MsgType", kind)?.into_owned();
        kind.make_ascii_lowercase();
        let mut message = Self {
            account,
            sender,
            id: optional("MsgId", id)?.unwrap_or_default().into_owned(),
            created: seconds(&created).ok_or_else(|| MessageError::CreateTime(chars::excerpt(&created)))?,
            kind,
            text: text.map(Cow::into_owned),
            fields,
        };
        if message.text.is_none() && message.kind == "voice" {
            let recognised = message.field("Recognition").filter(|text| !text.is_empty());
            message.text = recognised.map(str::to_owned);
        }
        Ok(message)
    }
}

fn required<'a>(name: &'static str, value: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, MessageError> {
    optional(name, value)?.ok_or(MessageError::Missing(name))
}

/// An empty header is none.
fn optional<'a>(name: &'static str, value: Option<Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, MessageError> {
    let value = value.map(trimmed).filter(|value| !value.is_empty());
    match value {
        Some(value) if value.len() > MAX_HEADER => Err(MessageError::TooLong(name)),
        value => Ok(value),
    }
}

/// WeChat's own samples have white space around header values, within the CDATA too.
fn trimmed(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.trim()),
        Cow::Owned(value) => Cow::Owned(value.trim().to_owned()),
    }
}

/// `u32::from_str` would take a plus sign.
fn seconds(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "<ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName><CreateTime>1357290913</CreateTime>";

    fn parse(body: &str) -> Result<Message, MessageError> {
        Message::try_from(Document::parse(body.as_bytes()).unwrap())
    }

    fn message(rest: &str) -> Message {
        parse(&format!("<xml>{HEADER}{rest}</xml>")).unwrap()
    }

    fn event(event: &str, key: &str) -> Message {
        message(&format!(
            "<MsgType>event</MsgType><Event><![CDATA[{event}]]></Event><EventKey><![CDATA[{key}]]></EventKey>"
        ))
    }

    #[test]
    fn trims_the_headers_and_keeps_the_text() {
        let body = "<xml><ToUserName><![CDATA[ gh_1\n]]></ToUserName><FromUserName> o1 </FromUserName>\
                    <CreateTime><![CDATA[ 1357290913 ]]></CreateTime><MsgType><![CDATA[ Text ]]></MsgType>\
                    <Content><![CDATA[ hi \n]]></Content><MsgId> 18446744073709551615 </MsgId></xml>";
        let expected = Message {
            account: "gh_1".into(),
            sender: "o1".into(),
            id: "18446744073709551615".into(),
            created: 1_357_290_913,
            kind: "text".into(),
            text: Some(" hi \n".into()),
            fields: vec![],
        };
        assert_eq!(parse(body), Ok(expected));
    }

    #[test]
    fn names_the_header_that_is_missing() {
        for name in ["ToUserName", "FromUserName", "CreateTime", "MsgType"] {
            let body = format!("<xml>{HEADER}<MsgType>text</MsgType></xml>").replace(name, "Other");
            assert_eq!(parse(&body).unwrap_err().to_string(), format!("the message has no `{name}`"));
        }
        let blank = format!("<xml>{HEADER}<MsgType><![CDATA[ ]]></MsgType></xml>");
        assert_eq!(parse(&blank), Err(MessageError::Missing("MsgType")));
    }

    #[test]
    fn a_header_with_elements_in_it_is_missing() {
        let body = format!("<xml>{HEADER}<MsgType><a>text</a></MsgType></xml>");
        assert_eq!(parse(&body), Err(MessageError::Missing("MsgType")));
    }

    #[test]
    fn the_bound_on_a_header_is_exact() {
        let body = |bytes: usize| {
            let id = "1".repeat(bytes);
            format!("<xml>{HEADER}<MsgType>text</MsgType><MsgId>{id}</MsgId></xml>")
        };
        assert!(parse(&body(MAX_HEADER)).is_ok());
        let error = parse(&body(MAX_HEADER + 1)).unwrap_err();
        assert_eq!(error.to_string(), "`MsgId` is longer than 256 bytes");
        let sender = body(1).replace("o1", &"o".repeat(MAX_HEADER + 1));
        assert_eq!(parse(&sender), Err(MessageError::TooLong("FromUserName")));
    }

    #[test]
    fn refuses_a_time_that_is_no_number_of_seconds() {
        for time in ["-1", "+1", "4294967296", "1.5", "12345678901234567890123", "now"] {
            let body = format!("<xml>{HEADER}<MsgType>text</MsgType></xml>").replace("1357290913", time);
            let expected = format!("`CreateTime` is `{time}`, not seconds since the Unix epoch");
            assert_eq!(parse(&body).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_voice_message_is_answered_by_what_was_recognised() {
        let voice = |rest: &str| message(&format!("<MsgType>voice</MsgType>{rest}"));
        let heard = voice("<Recognition><![CDATA[你好]]></Recognition>");
        assert_eq!(heard.text.as_deref(), Some("你好"));
        assert_eq!(heard.field("Recognition"), Some("你好"));
        assert_eq!(voice("<Recognition><![CDATA[]]></Recognition>").text, None);
        assert_eq!(voice("").text, None);
        assert_eq!(message("<MsgType>image</MsgType><Recognition>x</Recognition>").text, None);
    }

    #[test]
    fn an_empty_text_is_still_a_text() {
        let empty = message("<MsgType>text</MsgType><Content><![CDATA[]]></Content>");
        assert_eq!(empty.text.as_deref(), Some(""));
    }

    #[test]
    fn the_id_of_an_event_is_an_id() {
        let sent = message("<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>200163836</MsgID>");
        assert_eq!(sent.id, "200163836");
        assert_eq!(sent.field("MsgID"), None);
        assert_eq!(message("<MsgType>event</MsgType>").id, "");
    }

    #[test]
    fn only_an_event_has_an_event() {
        assert_eq!(event(" CLICK ", "").event(), Some("CLICK"));
        assert_eq!(event("", "").event(), None);
        assert_eq!(message("<MsgType>text</MsgType><Event>CLICK</Event>").event(), None);
    }

    #[test]
    fn finds_the_scene_of_a_qr_code() {
        assert_eq!(event("SCAN", "123").scene(), Some("123"));
        assert_eq!(event("scan", " qrscene_123 ").scene(), Some("123"));
        assert_eq!(event("subscribe", "qrscene_a b").scene(), Some("a b"));
        assert_eq!(event("subscribe", "last_trade_no_1").scene(), None);
        assert_eq!(event("subscribe", "qrscene_").scene(), None);
        assert_eq!(event("SCAN", "qrscene_").scene(), None);
        assert_eq!(event("SCAN", "").scene(), None);
        assert_eq!(event("CLICK", "qrscene_123").scene(), None);
        assert_eq!(message("<MsgType>event</MsgType><Event>subscribe</Event>").scene(), None);
    }
}

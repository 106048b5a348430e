//! The body of a delivery as a flat list of named values.

mod json;
mod names;
mod tree;
mod xml;

use std::borrow::Cow;

use super::chars;
use serde::{Deserialize, Serialize};

/// What an account's messages and replies are written in. A reply goes out in the format of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Format {
    /// What the platform sends unless told otherwise.
    #[default]
    Xml,
    /// An account can choose this instead; the keys are the same.
    Json,
}

/// One leaf of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The names on the way to the leaf, joined with dots; a list's elements carry their index: `SendPicsInfo.PicList.item.0.PicMd5Sum`.
    pub name: String,
    /// The text, empty or not.
    pub value: String,
}

/// One leaf of a document that was just read: what did not have to be changed is still the body's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// As that of a [`Field`].
    pub name: Cow<'static, str>,
    /// The text, empty or not.
    pub value: Cow<'a, str>,
}

/// A parsed body.
///
/// The two formats give the same names. What XML cannot tell is decided by rule: an element carries an index if it is called `item`
/// or `List`, or if a sibling has the same name. In JSON, the elements of an array carry one as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    /// What the body was written in.
    pub format: Format,
    leaves: Vec<Leaf<'a>>,
}

/// Why a body cannot be read. What it repeats of the body is short and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing, or nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// Over [`MAX_BODY`].
    #[error("the body has {0} bytes, more than {max}", max = MAX_BODY)]
    TooLarge(usize),
    /// The offset of the first bad byte.
    #[error("the body is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// It begins with neither `<` nor `{`.
    #[error("the body is neither XML nor JSON, it begins with `{0}`")]
    UnknownFormat(String),
    /// A token that XML does not know.
    #[error("malformed XML at byte {offset}: {problem}")]
    Xml {
        /// Where the token begins, in bytes.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Syntax that JSON does not know.
    #[error("malformed JSON: {0}")]
    Json(String),
    /// A document type could define entities, and entities read files or grow without end.
    #[error("a document type is not allowed")]
    DocType,
    /// A reference to anything but the five entities of XML.
    #[error("unknown entity `&{0};`")]
    UnknownEntity(String),
    /// A character reference without a number, or to a character that XML 1.0 forbids.
    #[error("bad character reference `&{0};`")]
    CharacterReference(String),
    /// The input ends within an element.
    #[error("`{0}` is not closed")]
    Unclosed(String),
    /// An end tag for another element than the open one.
    #[error("`{open}` is closed as `{close}`")]
    Mismatched {
        /// The innermost open element.
        open: String,
        /// What the end tag says.
        close: String,
    },
    /// An end tag with nothing open, text or an element outside of the root.
    #[error("`{0}` stands outside of the root element")]
    OutsideRoot(String),
    /// No element at all.
    #[error("there is no root element")]
    NoRoot,
    /// Not the name of an element.
    #[error("bad element name `{0}`")]
    Name(String),
    /// A name, with those of its parents, over [`MAX_NAME`].
    #[error("the name `{0}` is longer than {max} bytes", max = MAX_NAME)]
    NameTooLong(String),
    /// Over [`MAX_DEPTH`].
    #[error("elements are nested more than {max} deep", max = MAX_DEPTH)]
    TooDeep,
    /// Over [`MAX_LEAVES`].
    #[error("there are more than {max} values", max = MAX_LEAVES)]
    TooManyLeaves,
    /// Whichever of the two were believed, another reader of the same body may believe the other one.
    #[error("`{0}` stands there twice")]
    RepeatedHeader(&'static str),
}

/// The longest body that is parsed. A text message has at most a few thousand bytes; the largest events list a mass send's articles
/// and stay far below this.
pub const MAX_BODY: usize = 1 << 20;

/// The deepest nesting below the root. The deepest documented events have four levels.
pub const MAX_DEPTH: usize = 16;

/// The most leaves. The documented lists hold at most some dozens of entries of a few leaves each.
pub const MAX_LEAVES: usize = 1024;

/// The longest dotted name in bytes. The longest documented one has about sixty.
pub const MAX_NAME: usize = 256;

impl From<Leaf<'_>> for Field {
    fn from(leaf: Leaf<'_>) -> Self {
        Self { name: leaf.name.into_owned(), value: leaf.value.into_owned() }
    }
}

impl<'a> Document<'a> {
    /// Reads a body in either format.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        if body.len() > MAX_BODY {
            return Err(ParseError::TooLarge(body.len()));
        }
        let text = std::str::from_utf8(body).map_err(|e| ParseError::NotUtf8(e.valid_up_to()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (format, tree) = match text.trim_start_matches(chars::is_white).chars().next() {
            Some('<') => (Format::Xml, xml::read(text)?),
            Some('{') => (Format::Json, json::read(text)?),
            Some(_) => return Err(ParseError::UnknownFormat(chars::excerpt(text.trim_start()))),
            None => return Err(ParseError::Empty),
        };
        Ok(Self { format, leaves: tree.flatten()? })
    }

    /// The leaf of exactly this name.
    pub fn leaf(&self, name: &str) -> Option<&str> {
        self.leaves.iter().find(|leaf| leaf.name == name).map(|leaf| &*leaf.value)
    }

    /// All leaves in document order.
    pub fn leaves(&self) -> &[Leaf<'a>] {
        &self.leaves
    }

    /// Gives up the leaves.
    pub fn into_leaves(self) -> Vec<Leaf<'a>> {
        self.leaves
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wechat::samples;

    fn error(body: &str) -> String {
        Document::parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn refuses_what_is_no_document() {
        assert_eq!(error(""), "the body is empty");
        assert_eq!(error("\u{feff} \r\n"), "the body is empty");
        assert_eq!(error("success"), "the body is neither XML nor JSON, it begins with `success`");
        assert_eq!(error("[1]"), "the body is neither XML nor JSON, it begins with `[1]`");
        let not_utf8 = Document::parse(b"<xml>\xff</xml>").unwrap_err();
        assert_eq!(not_utf8.to_string(), "the body is not UTF-8 at byte 5");
    }

    #[test]
    fn the_bound_on_the_body_is_exact() {
        let frame = "<xml><A></A></xml>".len();
        let body = |bytes: usize| format!("<xml><A>{}</A></xml>", "x".repeat(bytes - frame));
        assert!(Document::parse(body(MAX_BODY).as_bytes()).is_ok());
        assert_eq!(error(&body(MAX_BODY + 1)), "the body has 1048577 bytes, more than 1048576");
    }

    #[test]
    fn both_formats_give_the_same_leaves() {
        let xml = "<xml><MsgType>event</MsgType><SubscribeMsgPopupEvent><List><TemplateId>a</TemplateId></List>\
                   <List><TemplateId>b</TemplateId></List></SubscribeMsgPopupEvent></xml>";
        let json =
            r#"{"MsgType": "event", "SubscribeMsgPopupEvent": {"List": [{"TemplateId": "a"}, {"TemplateId": "b"}]}}"#;
        let xml = Document::parse(xml.as_bytes()).unwrap();
        let json = Document::parse(json.as_bytes()).unwrap();
        assert_eq!((xml.format, json.format), (Format::Xml, Format::Json));
        assert_eq!(xml.leaves(), json.leaves());
        assert_eq!(xml.leaf("SubscribeMsgPopupEvent.List.1.TemplateId"), Some("b"));
        assert_eq!(xml.leaf("subscribemsgpopupevent.list.1.templateid"), None);
    }

    #[test]
    fn an_error_repeats_little_of_the_body() {
        let long = "x".repeat(5000);
        for body in [
            format!("<{long}></{long}>"),
            format!("<a{long}></b{long}>"),
            format!("<xml>&{long};</xml>"),
            format!("<xml>&#{long};</xml>"),
            format!("<xml></xml>{long}"),
            format!("<xml><{long}"),
            format!("{{\"{long}\":1}}"),
            format!("{{{long}}}"),
            long.clone(),
        ] {
            let error = error(&body);
            assert!(error.matches('x').count() <= 66, "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse(&body);
        }

        #[test]
        fn no_markup_panics(body in "[<>/&;#x\\[\\]!A-C{}\":,0-9\\\\ \u{0}-\u{1f}微]{0,120}") {
            let _ = Document::parse(body.as_bytes());
            let _ = Document::parse(format!("<xml>{body}</xml>").as_bytes());
            let _ = Document::parse(format!("{{\"A\":{body}}}").as_bytes());
        }

        #[test]
        fn no_damaged_sample_panics(
            sample in proptest::sample::select(samples::bodies()),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
            cut: proptest::sample::Index,
        ) {
            let mut body = sample.into_bytes();
            for (at, byte) in damage {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let _ = Document::parse(&body);
            let _ = Document::parse(&body[..cut.index(body.len())]);
        }
    }
}

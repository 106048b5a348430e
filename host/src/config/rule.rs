//! What a rule of `bots.toml` says: its conditions and what it does.

use std::{ops::Range, sync::Arc};

use super::pattern::{Glob, Pattern};
use crate::wechat::reply::Reply;

/// One `[[bots.NAME.rules]]` table. All conditions that it gives must hold; of a condition with several values, one.
#[derive(Debug)]
pub struct Rule {
    /// Where the rule stands in `bots.toml`, in bytes.
    pub span: Range<usize>,
    /// The line of `bots.toml` on which the rule begins, counted from 1; names the rule in logs and in `explain`.
    pub line: usize,
    /// The whole text (全匹配), as written.
    pub keyword: Vec<String>,
    /// How the text begins; what follows is captured as `rest`.
    pub prefix: Vec<String>,
    /// Somewhere in the text (半匹配).
    pub contains: Vec<String>,
    /// Regular expressions, found anywhere in the text; groups are captured by name and number.
    pub regex: Vec<Pattern>,
    /// Message types (`MsgType`) in lower case.
    pub kind: Vec<String>,
    /// Which events; a rule without any never sees an event.
    pub event: Events,
    /// An event's EventKey: a menu button's key or URL.
    pub key: Vec<Glob>,
    /// A QR code's scene, given without WeChat's `qrscene_`; captured as `scene`.
    pub scene: Vec<Glob>,
    /// What the rule does with a message that it matches.
    pub action: Action,
}

/// The events that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// None: the rule is for messages.
    None,
    /// Every event (`event = "*"`).
    Any,
    /// The named ones (`Event`), in lower case.
    Named(Vec<String>),
}

/// What a rule does.
#[derive(Debug)]
pub enum Action {
    /// Calls the plugin of this name; it may pass the message on to the rules below.
    Plugin(Arc<str>),
    /// Answers with a fixed reply.
    Reply(FixedReply),
    /// Answers by a table: each row is a rule of its own under this rule's conditions, tried from top to bottom.
    Replies(Vec<Row>),
    /// Routes the message again, once, as if it were this text. Captures are filled in.
    TreatAs(String),
}

/// A reply given in `bots.toml`; `{name}` in its texts is filled with the capture of that name.
#[derive(Debug, Clone)]
pub enum FixedReply {
    /// Always this one.
    One(Reply),
    /// One of these, chosen anew for each message; never empty.
    Random(Vec<Reply>),
}

/// One row of a `replies` table.
#[derive(Debug)]
pub struct Row {
    /// What to look for.
    pub matching: Matching,
    /// The text to answer with.
    pub reply: String,
    /// The CSV file with the row, as `bots.toml` names it; none for a row of `bots.toml` itself.
    pub file: Option<Arc<str>>,
    /// Its line there, counted from 1.
    pub line: usize,
}

/// What a row looks for, as written; the variants are the words of a CSV file's `match` column.
#[derive(Debug)]
pub enum Matching {
    /// The whole text.
    Keyword(String),
    /// How the text begins.
    Prefix(String),
    /// Somewhere in the text.
    Contains(String),
    /// A regular expression.
    Regex(Box<Pattern>),
}

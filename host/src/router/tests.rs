//! The router against a plain reading of its rules, one after the other.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    config::{
        pattern::{Glob, Pattern},
        rule::{Events, FixedReply, Matching, Row},
    },
    text,
    wechat::reply::Reply,
};

mod hiding;
mod routing;

pub(super) fn rule(action: Action) -> Rule {
    Rule {
        span: 0..0,
        line: 0,
        keyword: Vec::new(),
        prefix: Vec::new(),
        contains: Vec::new(),
        regex: Vec::new(),
        kind: Vec::new(),
        event: Events::None,
        key: Vec::new(),
        scene: Vec::new(),
        action,
    }
}

pub(super) fn plugin() -> Rule {
    rule(Action::Plugin("echo".into()))
}

pub(super) fn fixed() -> Rule {
    rule(Action::Reply(FixedReply::One(Reply::Silence)))
}

pub(super) fn keyword(word: &str) -> Rule {
    Rule { keyword: vec![word.to_owned()], ..fixed() }
}

pub(super) fn prefix(word: &str) -> Rule {
    Rule { prefix: vec![word.to_owned()], ..fixed() }
}

pub(super) fn contains(word: &str) -> Rule {
    Rule { contains: vec![word.to_owned()], ..fixed() }
}

pub(super) fn regex(source: &str) -> Rule {
    Rule { regex: vec![Pattern::parse(source).unwrap()], ..fixed() }
}

pub(super) fn event(name: &str) -> Rule {
    Rule { event: Events::Named(vec![name.to_owned()]), ..fixed() }
}

pub(super) fn table(rows: impl IntoIterator<Item = Matching>) -> Rule {
    let rows = rows.into_iter().map(|matching| Row { matching, reply: String::new(), file: None, line: 0 });
    rule(Action::Replies(rows.collect()))
}

pub(super) fn text_message(text: &str) -> Message {
    Message {
        account: "gh".to_owned(),
        sender: "o".to_owned(),
        id: "1".to_owned(),
        created: 1,
        kind: "text".to_owned(),
        text: Some(text.to_owned()),
        fields: Vec::new(),
    }
}

pub(super) fn event_message(name: &str, key: Option<&str>) -> Message {
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    let key = key.map(|key| field("EventKey", key));
    Message {
        kind: "event".to_owned(),
        text: None,
        fields: [field("Event", name)].into_iter().chain(key).collect(),
        ..text_message("")
    }
}

/// Few letters, so that words meet often; among them all that folding has to do with.
fn word() -> impl Strategy<Value = String> {
    "[aAbａ你好！! 　]{1,3}|[ſsİi\u{212A}k]{1,2}|[ab你]{0,2}"
}

pub(super) fn patterns() -> impl Strategy<Value = Pattern> {
    let piece = select(vec![
        "a",
        "A",
        "ab",
        "ａ",
        "你",
        "好",
        "！",
        "s",
        "K",
        "i",
        " ",
        ".",
        r"\w",
        r"\d",
        "[aA你]",
        "[^a]",
        "[a&&A]",
        "[Ａ-Ｃ]",
        "^",
        "$",
        r"\b",
        "",
        "(?:a|b)",
        "(a)",
        "(?<x>你|b)",
        "(?<rest>.*)",
        "[\u{212A}]",
        "ı",
        "(?i)",
        "(?s)",
        "(?-u:A)",
        "(?-u:\\x41)",
        r"\x{FF21}",
        "(b(ſ)?)",
        r"\pL",
    ]);
    let operator = select(vec!["", "", "", "?", "+", "*", "{2}", "{0,2}", "+?", "|", "|"]);
    vec((piece, operator), 1..6).prop_filter_map("invalid", |pieces| {
        let source: String = pieces.iter().flat_map(|&(piece, then)| [piece, then]).collect();
        Pattern::parse(&source).ok()
    })
}

fn matching() -> impl Strategy<Value = Matching> {
    prop_oneof![
        word().prop_map(Matching::Keyword),
        word().prop_map(Matching::Prefix),
        word().prop_map(Matching::Contains),
        patterns().prop_map(|pattern| Matching::Regex(Box::new(pattern))),
    ]
}

fn globs() -> impl Strategy<Value = Vec<Glob>> {
    let glob = "[ab*]{0,3}".prop_map(|source| Glob::parse(&source));
    prop_oneof![3 => Just(Vec::new()), 1 => vec(glob, 1..3)]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![4 => Just(Vec::new()), 1 => vec(word(), 1..3)]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let action = prop_oneof![
        3 => Just(()).prop_map(|()| Action::Reply(FixedReply::One(Reply::Silence))),
        1 => Just(()).prop_map(|()| Action::Plugin("echo".into())),
        1 => Just(()).prop_map(|()| Action::TreatAs("a".to_owned())),
        1 => vec(matching(), 0..4).prop_map(|rows| table(rows).action),
    ];
    let names = || vec(select(vec!["subscribe", "scan", "click", "Click"]), 0..3);
    let event = prop_oneof![
        4 => Just(Events::None),
        1 => Just(Events::Any),
        2 => names().prop_map(|names| Events::Named(names.into_iter().map(str::to_owned).collect())),
    ];
    let kinds = prop_oneof![
        4 => Just(Vec::new()),
        1 => vec(select(vec!["text", "voice", "image", "event", "Text"]), 1..3)
            .prop_map(|kinds| kinds.into_iter().map(str::to_owned).collect()),
    ];
    let regex = option::weighted(0.2, vec(patterns(), 1..3)).prop_map(Option::unwrap_or_default);
    let text = (words(), words(), words(), regex);
    // Conditions of messages with those of events contradict each other; mostly they are given apart.
    let apart = prop_oneof![9 => Just(true), 1 => Just(false)];
    let one = (action, event, kinds, text, globs(), globs(), apart).prop_map(
        |(action, event, kind, (keyword, prefix, contains, regex), key, scene, apart)| {
            let mut rule = Rule { keyword, prefix, contains, regex, kind, key, scene, event, ..rule(action) };
            if apart && rule.event == Events::None {
                rule.key.clear();
                rule.scene.clear();
            } else if apart {
                rule.keyword.clear();
                rule.prefix.clear();
                rule.contains.clear();
                rule.regex.clear();
            }
            rule
        },
    );
    vec(one, 0..10)
}

fn messages() -> impl Strategy<Value = Message> {
    let sent = "[aAbａ你好！! 　]{0,5}|[ſsİi\u{212A}k]{0,4}";
    let text = (option::weighted(0.9, sent), select(vec!["text", "text", "voice", "image"]))
        .prop_map(|(text, kind)| Message { kind: kind.to_owned(), text, ..text_message("") });
    let name = select(vec!["subscribe", "SCAN", "CLICK", "click", "other", ""]);
    let key = option::of("(qrscene_)?[ab]{0,3}");
    let event = (name, key).prop_map(|(name, key)| event_message(name, key.as_deref()));
    prop_oneof![3 => text, 1 => event]
}

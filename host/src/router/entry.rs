//! What one entry asks for, and what one message offers.

use std::{borrow::Cow, slice};

use crate::{
    config::{
        pattern::{Glob, Pattern},
        rule::{Events, Matching, Row, Rule},
    },
    text::{self, Text},
    wechat::message::Message,
};

/// A rule, or a row of its table under the rule's own conditions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) rule: &'a Rule,
    pub(super) row: Option<&'a Row>,
}

impl<'a> Entry<'a> {
    /// The conditions that it puts on a text, each with the slot that it has in every entry: the row's first.
    pub(super) fn text_conditions(self) -> impl Iterator<Item = (u8, TextCondition<'a>)> {
        let rule = self.rule;
        let row = self.row.map(|row| match &row.matching {
            Matching::Keyword(word) => TextCondition::Keyword(slice::from_ref(word)),
            Matching::Prefix(word) => TextCondition::Prefix(slice::from_ref(word)),
            Matching::Contains(word) => TextCondition::Contains(slice::from_ref(word)),
            Matching::Regex(pattern) => TextCondition::Regex(slice::from_ref(&**pattern)),
        });
        let own: [TextCondition<'a>; 4] = [
            TextCondition::Keyword(&rule.keyword),
            TextCondition::Prefix(&rule.prefix),
            TextCondition::Contains(&rule.contains),
            TextCondition::Regex(&rule.regex),
        ];
        (0..).zip(row).chain((1..).zip(own)).filter(|(_, condition)| !condition.is_empty())
    }

    pub(super) fn has_text_conditions(self) -> bool {
        self.text_conditions().next().is_some()
    }

    /// Whether it is for events rather than for messages; none is for both.
    pub(super) fn is_for_events(self) -> bool {
        self.rule.event != Events::None
    }

    /// The types of the messages that it can meet; none if that may be any.
    pub(super) fn kinds(self) -> Option<Vec<String>> {
        let text = self.has_text_conditions();
        if self.rule.kind.is_empty() {
            return text.then(|| TEXT_KINDS.map(str::to_owned).into());
        }
        let mut kinds: Vec<String> = Vec::new();
        for kind in &self.rule.kind {
            let kind = kind.to_ascii_lowercase();
            let meets = (kind == EVENT) == self.is_for_events() && (!text || TEXT_KINDS.contains(&&*kind));
            if meets && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Some(kinds)
    }

    /// Whether its conditions rule each other out: an event has no text, a message no key.
    pub(super) fn is_impossible(self) -> bool {
        let rule = self.rule;
        if self.is_for_events() {
            let no_event = matches!(&rule.event, Events::Named(names) if names.is_empty());
            no_event || self.has_text_conditions() || self.kinds().is_some_and(|k| k.is_empty())
        } else {
            !rule.key.is_empty() || !rule.scene.is_empty() || self.kinds().is_some_and(|kinds| kinds.is_empty())
        }
    }

    /// Whether all of its conditions hold; the text condition of the given slot is known to.
    pub(super) fn holds(self, facts: &Facts<'_>, proven: Option<u8>) -> bool {
        let rule = self.rule;
        let kind = &rule.kind;
        if !kind.is_empty() && !kind.iter().any(|kind| kind.eq_ignore_ascii_case(facts.kind)) {
            return false;
        }
        match (&rule.event, &facts.event) {
            (Events::None, None) => rule.key.is_empty() && rule.scene.is_empty() && self.text_holds(facts, proven),
            (Events::None, Some(_)) | (Events::Any | Events::Named(_), None) => false,
            (Events::Any, Some(event)) => self.event_holds(event),
            (Events::Named(names), Some(event)) => {
                let named = |name: &String| event.name.is_some_and(|n| n.eq_ignore_ascii_case(name));
                names.iter().any(named) && self.event_holds(event)
            }
        }
    }

    fn text_holds(self, facts: &Facts<'_>, proven: Option<u8>) -> bool {
        self.text_conditions().all(|(slot, condition)| {
            proven == Some(slot) || facts.text.as_ref().is_some_and(|text| condition.holds(text.folded()))
        })
    }

    fn event_holds(self, event: &Event<'_>) -> bool {
        let holds = |globs: &[Glob], value: Option<&str>| {
            globs.is_empty() || value.is_some_and(|value| globs.iter().any(|glob| glob.matches(value)))
        };
        holds(&self.rule.key, event.key) && holds(&self.rule.scene, event.scene) && !self.has_text_conditions()
    }
}

/// One condition on a text: any of its values will do.
#[derive(Debug, Clone, Copy)]
pub(super) enum TextCondition<'a> {
    Keyword(&'a [String]),
    Prefix(&'a [String]),
    Contains(&'a [String]),
    Regex(&'a [Pattern]),
}

impl TextCondition<'_> {
    /// Whether it holds for a folded text.
    pub(super) fn holds(self, text: &str) -> bool {
        match self {
            TextCondition::Keyword(words) => words.iter().any(|word| text == keyword(word)),
            TextCondition::Prefix(words) => words.iter().any(|word| prefix_len(text, word).is_some()),
            TextCondition::Contains(words) => words.iter().any(|word| text.contains(&*text::fold(word))),
            TextCondition::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
        }
    }

    pub(super) fn len(self) -> usize {
        match self {
            TextCondition::Keyword(words) | TextCondition::Prefix(words) | TextCondition::Contains(words) => {
                words.len()
            }
            TextCondition::Regex(patterns) => patterns.len(),
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A keyword as it is compared: no text has white space around it.
pub(super) fn keyword(word: &str) -> Cow<'_, str> {
    text::fold(word.trim())
}

/// A prefix as it is compared: no text has white space before it, but behind a prefix it tells words apart.
pub(super) fn prefix(word: &str) -> Cow<'_, str> {
    text::fold(word.trim_start())
}

/// How much of the folded text is this prefix.
pub(super) fn prefix_len(text: &str, word: &str) -> Option<usize> {
    text::prefix_len(text, word.trim_start())
}

/// What a message offers to the conditions.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) kind: &'a str,
    /// Of a text or a voice only.
    pub(super) text: Option<Text<'a>>,
    /// Of an event only.
    pub(super) event: Option<Event<'a>>,
}

/// What an event offers; nothing in it is empty.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) key: Option<&'a str>,
    pub(super) scene: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(message: &'a Message) -> Facts<'a> {
        let text = message.text.as_deref();
        let some = |value: Option<&'a str>| value.filter(|value| !value.is_empty());
        Facts {
            kind: &message.kind,
            text: text.filter(|_| TEXT_KINDS.contains(&&*message.kind)).and_then(Text::new),
            event: (message.kind == EVENT).then(|| Event {
                name: some(message.event().map(str::trim)),
                key: some(message.event_key()),
                scene: some(message.scene()),
            }),
        }
    }
}

/// The type of every event.
pub(super) const EVENT: &str = "event";

/// The types of message that have a text: what was written, or what was recognised in speech.
pub(super) const TEXT_KINDS: [&str; 2] = ["text", "voice"];

//! Rules that a text met nearly.

use super::{
    Router,
    entry::{self, Entry, Facts, TextCondition},
};
use crate::{
    text::{self, Text},
    wechat::message::Message,
};

/// A rule or row that a text does not meet, and what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule, counted from 0.
    pub rule: usize,
    /// The row of its table, counted from 0.
    pub row: Option<usize>,
    /// What is missing, in a few words.
    pub why: String,
}

const MOST_NEAR_MISSES: usize = 5;

impl Router {
    /// The rules that a text message does not meet, but nearly does; the nearest first. It looks at every rule, and is
    /// for somebody who asks why.
    pub fn near_misses(&self, text: &str) -> Vec<NearMiss> {
        let message = Message {
            account: String::new(),
            sender: String::new(),
            id: String::new(),
            created: 0,
            kind: "text".to_owned(),
            text: Some(text.to_owned()),
            fields: Vec::new(),
        };
        let facts = Facts::new(&message);
        let Some(text) = &facts.text else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for position in &self.entries {
            let entry = position.entry(&self.rules);
            if entry.is_for_events() || entry.is_impossible() || entry.holds(&facts, None) {
                continue;
            }
            if let Some((nearness, why)) = what_is_missing(entry, text) {
                let miss = NearMiss { rule: position.rule as usize, row: position.row.map(|row| row as usize), why };
                found.push((nearness, miss));
            }
        }
        found.sort_by_key(|&(nearness, _)| nearness);
        found.truncate(MOST_NEAR_MISSES);
        found.into_iter().map(|(_, miss)| miss).collect()
    }
}

/// How near a miss is; the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    OtherType,
    OneCharacter,
    LooseEnd,
    Anchored,
    Elsewhere,
    Beginning,
}

/// What keeps the text from the entry, if it is one thing only.
fn what_is_missing(entry: Entry<'_>, text: &Text<'_>) -> Option<(Nearness, String)> {
    let folded = text.folded();
    let mut missing = entry.text_conditions().filter(|(_, condition)| !condition.holds(folded));
    match (missing.next(), missing.next()) {
        (None, _) if entry.has_text_conditions() => {
            let kinds = entry.rule.kind.join("`, `");
            Some((Nearness::OtherType, format!("the text matches, but the rule is for messages of type `{kinds}`")))
        }
        (Some((_, condition)), None) => condition_missed(condition, folded),
        _ => None,
    }
}

fn condition_missed(condition: TextCondition<'_>, text: &str) -> Option<(Nearness, String)> {
    match condition {
        TextCondition::Keyword(words) => {
            let misses = words.iter().filter_map(|word| keyword_missed(word, text));
            misses.min_by_key(|&(nearness, _)| nearness)
        }
        TextCondition::Prefix(words) => {
            let misses = words.iter().filter_map(|word| prefix_missed(word, text));
            misses.min_by_key(|&(nearness, _)| nearness)
        }
        TextCondition::Contains(words) => words.iter().find_map(|word| {
            begins(&text::fold(word), text).then(|| {
                let why = format!("`{word}` is not in the text, which is only its beginning");
                (Nearness::Beginning, why)
            })
        }),
        TextCondition::Regex(patterns) => patterns.iter().find_map(|pattern| {
            pattern.without_anchors()?.is_match(text).then(|| {
                let why = "the regex matches a part of the text, without its anchors".to_owned();
                (Nearness::Anchored, why)
            })
        }),
    }
}

fn keyword_missed(word: &str, text: &str) -> Option<(Nearness, String)> {
    let keyword = entry::keyword(word);
    if keyword.is_empty() {
        return None;
    }
    if differ_by_one(&keyword, text) {
        let why = format!("keyword `{word}` differs by one character");
        return Some((Nearness::OneCharacter, why));
    }
    if text.contains(&*keyword) {
        let why = format!("keyword `{word}` is the whole text only; `contains` would match");
        return Some((Nearness::LooseEnd, why));
    }
    begins(&keyword, text).then(|| {
        let why = format!("the text is only the beginning of keyword `{word}`");
        (Nearness::Beginning, why)
    })
}

fn prefix_missed(word: &str, text: &str) -> Option<(Nearness, String)> {
    let prefix = entry::prefix(word);
    if prefix.is_empty() {
        return None;
    }
    if text.contains(&*prefix) {
        let why = format!("prefix `{word}` stands in the text, but not at its start");
        return Some((Nearness::Elsewhere, why));
    }
    let length = prefix.chars().count();
    let start: String = text.chars().take(length).collect();
    if differ_by_one(&prefix, &start) {
        let why = format!("prefix `{word}` differs by one character");
        return Some((Nearness::OneCharacter, why));
    }
    begins(&prefix, text).then(|| {
        let why = format!("the text is only the beginning of prefix `{word}`");
        (Nearness::Beginning, why)
    })
}

/// Whether the text is a part of what is looked for, cut off at the end.
fn begins(looked_for: &str, text: &str) -> bool {
    looked_for.len() > text.len() && looked_for.starts_with(text)
}

/// Whether one character more, less, other, or two of them swapped make two words the same. Of a single character nothing
/// would be left, so that no word of one is near another.
fn differ_by_one(one: &str, other: &str) -> bool {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    if one.len() < 2 || other.len() < 2 {
        return false;
    }
    let pairs = one.iter().zip(&other);
    let before = pairs.take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[before..], &other[before..]);
    let pairs = one.iter().rev().zip(other.iter().rev());
    let after = pairs.take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - after], &other[..other.len() - after]) {
        ([_], [_]) | ([_], []) | ([], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tests::{keyword, plugin, prefix, regex};

    #[track_caller]
    fn misses(router: &Router, text: &str) -> Vec<(usize, String)> {
        let misses = router.near_misses(text).into_iter();
        misses.map(|miss| (miss.rule, miss.why)).collect()
    }

    fn claims(pairs: &[(usize, &str)]) -> Vec<(usize, String)> {
        pairs.iter().map(|&(rule, why)| (rule, why.to_owned())).collect()
    }

    #[test]
    fn a_near_miss_says_what_is_missing() {
        let mut voice = keyword("报时");
        voice.kind = vec!["voice".to_owned()];
        let router =
            Router::new([keyword("答题"), keyword("开始答题"), prefix("天气"), regex(r"^\d+元$"), voice, plugin()]);
        for (text, expected) in [
            ("答题吧", &[(0, "keyword `答题` differs by one character")][..]),
            ("我要答题啊", &[(0, "keyword `答题` is the whole text only; `contains` would match")]),
            ("开始", &[(1, "the text is only the beginning of keyword `开始答题`")]),
            ("今天的天气", &[(2, "prefix `天气` stands in the text, but not at its start")]),
            ("天汽 北京", &[(2, "prefix `天气` differs by one character")]),
            ("要５元", &[(3, "the regex matches a part of the text, without its anchors")]),
            ("报时", &[(4, "the text matches, but the rule is for messages of type `voice`")]),
            ("完全无关", &[]),
            ("", &[]),
        ] {
            assert_eq!(misses(&router, text), claims(expected), "{text}");
        }
    }

    #[test]
    fn the_nearest_come_first_and_there_are_few() {
        let mut rules: Vec<_> = (0..20).map(|n| keyword(&format!("问{n}"))).collect();
        rules.push(keyword("问啊"));
        let router = Router::new(rules);
        let found = misses(&router, "问啊呀");
        assert_eq!(found.len(), 1);
        assert_eq!(misses(&router, "问").len(), MOST_NEAR_MISSES);
        assert_eq!(found[0].0, 20);
    }

    #[test]
    fn one_character_is_one_edit() {
        for (one, other, near) in [
            ("quiz", "quzi", true),
            ("quiz", "qiz", true),
            ("quiz", "quizz", true),
            ("quiz", "quit", true),
            ("quiz", "zuiq", false),
            ("quiz", "quiz", false),
            ("a", "b", false),
            ("a", "ab", false),
        ] {
            assert_eq!(differ_by_one(one, other), near, "{one} {other}");
        }
    }
}

//! Which rules can never be reached.
//!
//! One entry hides a later one if each of its conditions follows from one of the later one's. That is looked for with the
//! router's own indices, the later entry's words in the place of a text: whatever an earlier entry needs to find in
//! every such text, it finds in the words themselves.

use std::collections::HashMap;

use super::{
    Router,
    entry::{self, Entry, TextCondition},
    merge::Merge,
};
use crate::{
    config::{
        pattern::Glob,
        rule::{Action, Events},
    },
    text,
};

/// A rule or row that meets nothing first, because an earlier one matches all that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    /// The rule, counted from 0.
    pub rule: usize,
    /// The row of its table, counted from 0.
    pub row: Option<usize>,
    /// The earlier rule.
    pub by_rule: usize,
    /// The earlier rule's row.
    pub by_row: Option<usize>,
    /// Whether the earlier one is a plugin, or another text to route by: then the rule is reached after all where that
    /// does not answer.
    pub by_plugin: bool,
}

/// How many earlier entries are compared with one. Only where hundreds of rules look for nearly the same are there more
/// to compare; then some that are hidden may not be found.
const MOST_COMPARED: usize = 500;

impl Router {
    /// The rules and rows that can never be reached, from top to bottom, each with the first that hides it for good, or
    /// else the first plugin that does.
    pub fn hidden(&self) -> Vec<Hidden> {
        let patterns = self.entries_by_pattern();
        let numbers = 0..self.entries.len() as u32;
        let hidden = numbers.filter_map(|later| {
            let (earlier, by_plugin) = self.hider(later, &patterns)?;
            let at = |number: u32| {
                let position = self.entries[number as usize];
                (position.rule as usize, position.row.map(|row| row as usize))
            };
            let ((rule, row), (by_rule, by_row)) = (at(later), at(earlier));
            Some(Hidden { rule, row, by_rule, by_row, by_plugin })
        });
        hidden.collect()
    }

    /// The entries that are filed under a pattern, by what is compiled of it: patterns are compared by nothing else.
    fn entries_by_pattern(&self) -> HashMap<&str, Vec<u32>> {
        let mut found: HashMap<&str, Vec<u32>> = HashMap::new();
        for number in 0..self.entries.len() as u32 {
            let entry = self.entry(number);
            if self.entries[number as usize].proven.is_some() || entry.is_impossible() {
                continue;
            }
            for (_, condition) in entry.text_conditions() {
                if let TextCondition::Regex(patterns) = condition {
                    for pattern in patterns {
                        let list = found.entry(pattern.folded()).or_default();
                        if list.last() != Some(&number) {
                            list.push(number);
                        }
                    }
                }
            }
        }
        found
    }

    fn hider(&self, later: u32, patterns: &HashMap<&str, Vec<u32>>) -> Option<(u32, bool)> {
        let entry = self.entry(later);
        if entry.is_impossible() {
            return None;
        }
        let mut suspects = if entry.is_for_events() {
            self.suspects_for_events(entry)
        } else {
            self.suspects_for_messages(entry, patterns)
        };
        // If each condition has one value, whoever was found by it needs no second look.
        let single = entry.text_conditions().all(|(_, words)| words.len() == 1);
        let earlier = std::iter::from_fn(|| suspects.next()).take_while(|&number| number < later);
        let mut plugin = None;
        for number in earlier.take(MOST_COMPARED) {
            if !self.follows(number, entry, single) {
                continue;
            }
            match self.entry(number).rule.action {
                Action::Reply(_) | Action::Replies(_) => return Some((number, false)),
                Action::Plugin(_) | Action::TreatAs(_) => plugin = plugin.or(Some((number, true))),
            }
        }
        plugin
    }

    fn suspects_for_events(&self, later: Entry<'_>) -> Merge<'_> {
        let mut found = Merge::default();
        found.add(&self.index.any_event);
        if let Events::Named(names) = &later.rule.event
            && let Some(name) = names.first()
        {
            found.add(self.index.event.get(&name.to_ascii_lowercase()));
        }
        // A glob that covers another finds the other's text, `*` and all.
        if let Some(key) = later.rule.key.first() {
            self.index.key.find(key.source(), &mut found);
        }
        if let Some(scene) = later.rule.scene.first() {
            self.index.scene.find(scene.source(), &mut found);
        }
        found
    }

    fn suspects_for_messages<'r>(&'r self, later: Entry<'_>, patterns: &'r HashMap<&str, Vec<u32>>) -> Merge<'r> {
        let index = &self.index;
        let mut found = Merge::default();
        found.add(&index.any_message);
        if let Some(kind) = later.kinds().as_ref().and_then(|kinds| kinds.first()) {
            found.add(index.kind.get(kind));
        }
        if later.has_text_conditions() {
            found.add(&index.any_text);
        }
        for (_, condition) in later.text_conditions() {
            match condition {
                TextCondition::Keyword(words) => {
                    if let Some(word) = words.first() {
                        let word = entry::keyword(word);
                        found.add(index.keyword.get(&word));
                        index.prefix.find(&word, &mut found);
                        index.literal.find(&word, &mut found);
                    }
                }
                TextCondition::Prefix(words) => {
                    if let Some(word) = words.first() {
                        let word = entry::prefix(word);
                        index.prefix.find(&word, &mut found);
                        index.literal.find(&word, &mut found);
                    }
                }
                TextCondition::Contains(words) => {
                    if let Some(word) = words.first() {
                        index.literal.find(&text::fold(word), &mut found);
                    }
                }
                TextCondition::Regex(given) => {
                    let pattern = given.first().and_then(|first| patterns.get(first.folded()));
                    found.add(pattern.map_or(&[], Vec::as_slice));
                }
            }
        }
        found
    }

    /// Whether an entry's conditions all follow from those of a later one.
    fn follows(&self, earlier: u32, later: Entry<'_>, found_by_all: bool) -> bool {
        let entry = self.entry(earlier);
        if entry.is_for_events() != later.is_for_events() {
            return false;
        }
        if entry.is_for_events() {
            return events_follow(&entry.rule.event, &later.rule.event)
                && globs_follow(&entry.rule.key, &later.rule.key)
                && globs_follow(&entry.rule.scene, &later.rule.scene);
        }
        if !entry.rule.kind.is_empty() {
            let Some(kinds) = later.kinds() else {
                return false;
            };
            let given = |kind: &String| entry.rule.kind.iter().any(|k| k.eq_ignore_ascii_case(kind));
            if !kinds.iter().all(given) {
                return false;
            }
        }
        let proven = self.entries[earlier as usize].proven;
        entry.text_conditions().all(|(slot, condition)| {
            let filed = proven == Some(slot);
            (filed && found_by_all)
                || later.text_conditions().any(|(_, given)| self.text_follows((earlier, condition, filed), given))
        })
    }

    /// Whether a condition on a text follows from another: from each value of that one.
    fn text_follows(
        &self,
        (earlier, condition, filed): (u32, TextCondition<'_>, bool),
        given: TextCondition<'_>,
    ) -> bool {
        match (given, condition) {
            (TextCondition::Keyword(words), TextCondition::Keyword(_)) if filed => {
                // Two long lists of words would take long to compare.
                let filed = |word: &str| self.index.keyword.get(word).binary_search(&earlier).is_ok();
                words.iter().all(|word| filed(&entry::keyword(word)))
            }
            (TextCondition::Keyword(words), _) => words.iter().all(|word| condition.holds(&entry::keyword(word))),
            (TextCondition::Prefix(words), TextCondition::Prefix(_) | TextCondition::Contains(_)) => {
                words.iter().all(|word| condition.holds(&entry::prefix(word)))
            }
            (TextCondition::Contains(words), TextCondition::Contains(_)) => {
                words.iter().all(|word| condition.holds(&text::fold(word)))
            }
            (TextCondition::Regex(given), TextCondition::Regex(patterns)) => {
                let known = |source| patterns.iter().any(|pattern| pattern.folded() == source);
                given.iter().all(|pattern| known(pattern.folded()))
            }
            _ => false,
        }
    }
}

fn events_follow(events: &Events, given: &Events) -> bool {
    match (events, given) {
        (Events::Any, _) => true,
        (Events::Named(names), Events::Named(given)) => {
            given.iter().all(|given| names.iter().any(|name| name.eq_ignore_ascii_case(given)))
        }
        _ => false,
    }
}

fn globs_follow(globs: &[Glob], given: &[Glob]) -> bool {
    globs.is_empty() || !given.is_empty() && given.iter().all(|given| globs.iter().any(|glob| glob.covers(given)))
}

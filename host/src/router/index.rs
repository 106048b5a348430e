//! The indices of the entries: which ones a message may meet, whatever their number.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, StartKind, automaton::OverlappingState};
use smallvec::SmallVec;

use super::{
    entry::{self, Entry, Facts, TextCondition},
    literals,
    merge::Merge,
};
use crate::config::{pattern::Glob, rule::Events};

/// Every entry stands in exactly one of the indices, under each value of the condition that was chosen.
pub(super) struct Index {
    pub(super) keyword: Words,
    /// By how the text begins.
    pub(super) prefix: Strings,
    /// By what stands in the text: what a rule looks for, and what a pattern cannot match without.
    pub(super) literal: Strings,
    /// By type alone.
    pub(super) kind: Words,
    /// Has a condition on the text that no index knows: patterns like `^\d+$`.
    pub(super) any_text: Box<[u32]>,
    pub(super) any_message: Box<[u32]>,
    pub(super) key: Globs,
    pub(super) scene: Globs,
    /// By the event's name in lower case.
    pub(super) event: Words,
    pub(super) any_event: Box<[u32]>,
}

impl Index {
    /// Files the entries, which come in order. Says for which of them being found proves a text condition, and which.
    pub(super) fn new<'a>(entries: impl Iterator<Item = (u32, Entry<'a>)>) -> (Index, Vec<(u32, u8)>) {
        let mut filing = Filing::default();
        for (number, entry) in entries {
            if entry.is_impossible() {
                continue;
            }
            if entry.is_for_events() {
                filing.file_for_events(number, entry);
            } else {
                filing.file_for_messages(number, entry);
            }
        }
        filing.finish()
    }

    /// Finds in the indices that cost next to nothing to ask: all but those of parts of a text.
    pub(super) fn find_quickly<'a>(&'a self, facts: &Facts<'_>, found: &mut Merge<'a>) {
        if let Some(event) = &facts.event {
            if let Some(name) = event.name {
                found.add(self.event.get_ignoring_case(name));
            }
            if let Some(key) = event.key {
                self.key.find(key, found);
            }
            if let Some(scene) = event.scene {
                self.scene.find(scene, found);
            }
            found.add(&self.any_event);
            return;
        }
        if let Some(text) = &facts.text {
            found.add(self.keyword.get(text.folded()));
            found.add(&self.any_text);
        }
        found.add(self.kind.get_ignoring_case(facts.kind));
        found.add(&self.any_message);
    }
}

/// Entries by a whole string.
#[derive(Default)]
pub(super) struct Words {
    numbers: HashMap<Box<[u8]>, u32>,
    lists: Lists,
}

impl Words {
    fn new(pairs: Pairs) -> Words {
        let (strings, lists) = Lists::new(pairs);
        Words { numbers: strings.into_iter().zip(0..).collect(), lists }
    }

    pub(super) fn get(&self, string: &str) -> &[u32] {
        if self.numbers.is_empty() {
            return &[];
        }
        self.numbers.get(string.as_bytes()).map_or(&[], |&number| self.lists.get(number))
    }

    /// For names that were filed in lower case.
    fn get_ignoring_case(&self, name: &str) -> &[u32] {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.get(&name.to_ascii_lowercase())
        } else {
            self.get(name)
        }
    }
}

/// Entries by parts of a string.
#[derive(Default)]
pub(super) struct Strings {
    search: Option<AhoCorasick>,
    anchored: bool,
    lists: Lists,
}

impl Strings {
    /// None where the strings are too many for the search; then the pairs' entries.
    fn new(pairs: Pairs, anchored: bool) -> Result<Strings, Vec<u32>> {
        if pairs.is_empty() {
            return Ok(Strings::default());
        }
        let (strings, lists) = Lists::new(pairs);
        // The full automaton would be a fifth faster and ten times as large.
        let search = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .start_kind(if anchored { StartKind::Anchored } else { StartKind::Unanchored })
            .build(strings);
        match search {
            Ok(search) => Ok(Strings { search: Some(search), anchored, lists }),
            Err(_) => Err(lists.all()),
        }
    }

    /// The first entry that is filed here.
    pub(super) fn first(&self) -> u32 {
        self.lists.first
    }

    /// Finds the entries filed under each string that stands in the text, or at its start.
    pub(super) fn find<'a>(&'a self, text: &str, found: &mut Merge<'a>) {
        let Some(search) = &self.search else {
            return;
        };
        let input = Input::new(text).anchored(if self.anchored { Anchored::Yes } else { Anchored::No });
        let mut strings: SmallVec<[u32; 16]> = SmallVec::new();
        let mut room = 64;
        let mut state = OverlappingState::start();
        // The search fails only on an input of the wrong kind, which it has not.
        while search.try_find_overlapping(input.clone(), &mut state).is_ok()
            && let Some(string) = state.get_match()
        {
            // The search knows a string by its end: one that ends where another at the start does is reported as well.
            if self.anchored && string.start() > 0 {
                continue;
            }
            strings.push(string.pattern().as_u32());
            // A string that stands in the text a thousand times is still one.
            if strings.len() >= room {
                strings.sort_unstable();
                strings.dedup();
                room = room.max(2 * strings.len());
            }
        }
        strings.sort_unstable();
        strings.dedup();
        for &string in &strings {
            found.add(self.lists.get(string));
        }
    }
}

/// Entries by globs.
#[derive(Default)]
pub(super) struct Globs {
    exact: Words,
    /// By what stands before the first `*`.
    prefix: Strings,
}

impl Globs {
    pub(super) fn find<'a>(&'a self, string: &str, found: &mut Merge<'a>) {
        found.add(self.exact.get(string));
        self.prefix.find(string, found);
    }
}

/// Sorted lists of entries, by number.
#[derive(Default)]
struct Lists {
    /// Where each list begins, and where the last one ends.
    starts: Box<[u32]>,
    entries: Box<[u32]>,
    first: u32,
}

impl Lists {
    /// One list for each string, and the strings.
    fn new(mut pairs: Pairs) -> (Vec<Box<[u8]>>, Lists) {
        pairs.sort_unstable();
        pairs.dedup();
        let first = pairs.iter().map(|&(_, entry)| entry).min();
        let mut strings: Vec<Box<[u8]>> = Vec::new();
        let mut starts = Vec::new();
        let mut entries = Vec::with_capacity(pairs.len());
        for (string, entry) in pairs {
            if strings.last() != Some(&string) {
                strings.push(string);
                starts.push(entries.len() as u32);
            }
            entries.push(entry);
        }
        starts.push(entries.len() as u32);
        let lists = Lists { starts: starts.into(), entries: entries.into(), first: first.unwrap_or(u32::MAX) };
        (strings, lists)
    }

    fn get(&self, number: u32) -> &[u32] {
        let number = number as usize;
        &self.entries[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    fn all(self) -> Vec<u32> {
        self.entries.into()
    }
}

type Pairs = Vec<(Box<[u8]>, u32)>;

/// The indices while entries are put into them.
#[derive(Default)]
struct Filing {
    keyword: Pairs,
    prefix: Pairs,
    literal: Pairs,
    kind: Pairs,
    any_text: Vec<u32>,
    any_message: Vec<u32>,
    key: GlobPairs,
    scene: GlobPairs,
    event: Pairs,
    any_event: Vec<u32>,
    proofs: Vec<(u32, u8)>,
}

impl Filing {
    fn file_for_messages(&mut self, number: u32, entry: Entry<'_>) {
        if !entry.has_text_conditions() {
            return match entry.kinds() {
                Some(kinds) => add(&mut self.kind, number, kinds),
                None => self.any_message.push(number),
            };
        }
        // They come in the order of how rarely they are met, save that a row's own goes first, since that of its table
        // would find all of its rows.
        for (slot, condition) in entry.text_conditions() {
            if self.file_under(number, condition) {
                if !matches!(condition, TextCondition::Regex(_)) {
                    self.proofs.push((number, slot));
                }
                return;
            }
        }
        self.any_text.push(number);
    }

    /// Whether the condition is one that an index knows.
    fn file_under(&mut self, number: u32, condition: TextCondition<'_>) -> bool {
        match condition {
            TextCondition::Keyword(words) => {
                add(&mut self.keyword, number, words.iter().map(|w| entry::keyword(w).into_owned()));
            }
            TextCondition::Prefix(words) => {
                let words = words.iter().map(|word| entry::prefix(word));
                if words.clone().any(|word| word.is_empty()) {
                    return false;
                }
                add(&mut self.prefix, number, words.map(|word| word.into_owned()));
            }
            TextCondition::Contains(words) => {
                // An empty one would be found at every place of every text.
                if words.iter().any(String::is_empty) {
                    return false;
                }
                let words = words.iter().map(|word| crate::text::fold(word).into_owned());
                add(&mut self.literal, number, words);
            }
            TextCondition::Regex(patterns) => {
                let strings: Option<Vec<_>> = patterns.iter().map(literals::required).collect();
                let Some(strings) = strings else {
                    return false;
                };
                self.literal.extend(strings.into_iter().flatten().map(|string| (string, number)));
            }
        }
        true
    }

    fn file_for_events(&mut self, number: u32, entry: Entry<'_>) {
        let rule = entry.rule;
        if self.scene.file(number, &rule.scene) || self.key.file(number, &rule.key) {
            return;
        }
        match &rule.event {
            Events::Named(names) => {
                let names = names.iter().map(|name| name.to_ascii_lowercase());
                add(&mut self.event, number, names);
            }
            Events::Any | Events::None => self.any_event.push(number),
        }
    }

    fn finish(self) -> (Index, Vec<(u32, u8)>) {
        let Filing { mut any_text, mut any_event, mut proofs, .. } = self;
        // What the search cannot take is tried with every text. It takes more strings than any memory holds rules.
        let mut unfiled = |strings: Result<Strings, Vec<u32>>| {
            strings.unwrap_or_else(|entries| {
                let entries = sorted(entries);
                proofs.retain(|(number, _)| entries.binary_search(number).is_err());
                any_text.extend(entries);
                Strings::default()
            })
        };
        let prefix = unfiled(Strings::new(self.prefix, true));
        let literal = unfiled(Strings::new(self.literal, false));
        let key = self.key.finish(&mut any_event);
        let scene = self.scene.finish(&mut any_event);
        let index = Index {
            keyword: Words::new(self.keyword),
            prefix,
            literal,
            kind: Words::new(self.kind),
            any_text: sorted(any_text),
            any_message: self.any_message.into(),
            key,
            scene,
            event: Words::new(self.event),
            any_event: sorted(any_event),
        };
        (index, proofs)
    }
}

#[derive(Default)]
struct GlobPairs {
    exact: Pairs,
    prefix: Pairs,
}

impl GlobPairs {
    /// Whether the globs are a condition, and one that an index knows.
    fn file(&mut self, number: u32, globs: &[Glob]) -> bool {
        if globs.is_empty() || globs.iter().any(|glob| glob.literal_prefix().is_empty()) {
            return false;
        }
        for glob in globs {
            match glob.exact() {
                Some(string) => add(&mut self.exact, number, [string.to_owned()]),
                None => add(&mut self.prefix, number, [glob.literal_prefix().to_owned()]),
            }
        }
        true
    }

    fn finish(self, unfiled: &mut Vec<u32>) -> Globs {
        Globs {
            exact: Words::new(self.exact),
            prefix: Strings::new(self.prefix, true).unwrap_or_else(|entries| {
                unfiled.extend(entries);
                Strings::default()
            }),
        }
    }
}

fn add(pairs: &mut Pairs, number: u32, strings: impl IntoIterator<Item = String>) {
    let strings = strings.into_iter().map(|string| string.into_bytes().into());
    pairs.extend(strings.map(|string| (string, number)));
}

fn sorted(mut entries: Vec<u32>) -> Box<[u32]> {
    entries.sort_unstable();
    entries.dedup();
    entries.into()
}

//! Which rules a message meets.
//!
//! Every rule, and every row of a table of replies, is an entry; entries are numbered from top to bottom. Each is filed
//! under the one of its conditions that is met most rarely, so that a message asks a few indices for the entries that it
//! may meet, however many there are. Their numbers are merged in order, and whatever else an entry asks for is checked
//! when its turn comes.

use std::{fmt, sync::Arc};

use crate::{
    config::rule::{Action, Rule},
    text::Text,
    wechat::{document::Field, message::Message},
};

use self::{
    entry::{Entry, Facts},
    index::Index,
    merge::Merge,
};

pub use self::{
    captures::{capture_names, fill, placeholders},
    hidden::Hidden,
    near_miss::NearMiss,
};

mod captures;
mod entry;
mod hidden;
mod index;
mod literals;
mod merge;
mod near_miss;
#[cfg(test)]
mod tests;

/// The rules of one bot, ready to be asked.
pub struct Router {
    rules: Arc<[Rule]>,
    entries: Box<[Position]>,
    index: Index,
}

impl Router {
    /// Files every rule and row.
    pub fn new(rules: impl Into<Arc<[Rule]>>) -> Router {
        let rules = rules.into();
        let mut entries: Vec<Position> = positions(&rules).collect();
        let filed = entries.iter().enumerate().map(|(number, position)| (number as u32, position.entry(&rules)));
        let (index, proofs) = Index::new(filed);
        for (number, slot) in proofs {
            entries[number as usize].proven = Some(slot);
        }
        Router { rules, entries: entries.into(), index }
    }

    /// The rules, as they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules and rows whose conditions all hold for a message, from top to bottom. Nothing is looked at before it is
    /// asked for.
    pub fn route<'a>(&'a self, message: &'a Message) -> Candidates<'a> {
        Candidates::new(self, Facts::new(message))
    }

    fn entry(&self, number: u32) -> Entry<'_> {
        self.entries[number as usize].entry(&self.rules)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("rules", &self.rules.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// A rule, or a row of its table, whose conditions all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of the rules, counted from 0.
    pub rule: usize,
    /// Which row of its table, counted from 0; none for a rule without a table.
    pub row: Option<usize>,
    /// What was captured; each name once.
    pub captures: Vec<Field>,
}

/// The rules and rows that a message meets; see [`Router::route`].
pub struct Candidates<'a> {
    router: &'a Router,
    facts: Facts<'a>,
    found: Merge<'a>,
    /// Which of the slower indices have not been asked yet. They are once no entry is left above their first one.
    prefixes_left: bool,
    literals_left: bool,
}

impl<'a> Candidates<'a> {
    fn new(router: &'a Router, facts: Facts<'a>) -> Candidates<'a> {
        let mut found = Merge::default();
        router.index.find_quickly(&facts, &mut found);
        let text = facts.text.is_some();
        Candidates { router, facts, found, prefixes_left: text, literals_left: text }
    }

    fn next_entry(&mut self) -> Option<u32> {
        let index = &self.router.index;
        if let Some(text) = self.facts.text.as_ref().map(Text::folded) {
            let next = self.found.peek();
            if self.prefixes_left && next.is_none_or(|next| index.prefix.first() <= next) {
                self.prefixes_left = false;
                index.prefix.find(text, &mut self.found);
            }
            let next = self.found.peek();
            if self.literals_left && next.is_none_or(|next| index.literal.first() <= next) {
                self.literals_left = false;
                index.literal.find(text, &mut self.found);
            }
        }
        self.found.next()
    }
}

impl Iterator for Candidates<'_> {
    type Item = Match;

    fn next(&mut self) -> Option<Match> {
        loop {
            let number = self.next_entry()?;
            let position = self.router.entries[number as usize];
            let entry = position.entry(&self.router.rules);
            if entry.holds(&self.facts, position.proven) {
                return Some(Match {
                    rule: position.rule as usize,
                    row: position.row.map(|row| row as usize),
                    captures: captures::of(entry, &self.facts),
                });
            }
        }
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidates").finish_non_exhaustive()
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
struct Position {
    rule: u32,
    row: Option<u32>,
    /// Which of the entry's text conditions needs no check once the index has found the entry.
    proven: Option<u8>,
}

impl Position {
    fn entry(self, rules: &[Rule]) -> Entry<'_> {
        let rule = &rules[self.rule as usize];
        let row = match (&rule.action, self.row) {
            (Action::Replies(rows), Some(row)) => rows.get(row as usize),
            _ => None,
        };
        Entry { rule, row }
    }
}

/// Every entry, from top to bottom. 2³² of them would not fit into any memory.
fn positions(rules: &[Rule]) -> impl Iterator<Item = Position> {
    (0..).zip(rules).flat_map(|(rule, given)| {
        let (rows, single) = match &given.action {
            Action::Replies(rows) => (rows.len() as u32, None),
            Action::Plugin(_) | Action::Reply(_) | Action::TreatAs(_) => (0, Some(None)),
        };
        single.into_iter().chain((0..rows).map(Some)).map(move |row| Position { rule, row, proven: None })
    })
}

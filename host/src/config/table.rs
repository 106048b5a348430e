//! A TOML table that is read key by key, so that every key's mistake is reported and not only the first one's.

use std::{collections::BTreeSet, ops::Range};

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problems::{Problem, Problems, SourceId};

/// A value and where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A table that is being read. [`Table::finish`] reports the keys that nobody asked for.
pub(super) struct Table<'i> {
    entries: DeTable<'i>,
    asked: BTreeSet<&'static str>,
    /// The whole table, or its header.
    pub(super) span: Range<usize>,
    source: SourceId,
}

/// One key of a table with its value.
pub(super) struct Entry<'i> {
    /// Where the key stands.
    pub(super) key_span: Range<usize>,
    pub(super) value: Value<'i>,
}

impl<'i> Table<'i> {
    pub(super) fn new(entries: DeTable<'i>, span: Range<usize>, source: SourceId) -> Self {
        Self { entries, asked: BTreeSet::new(), span, source }
    }

    /// Makes a table of a value, or reports that it is none.
    pub(super) fn from_value(value: Value<'i>, what: &str, source: SourceId, problems: &mut Problems) -> Option<Self> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Some(Self::new(entries, span, source)),
            other => {
                problems.push(
                    Problem::error(format!("{what} must be a table, not {}", described(&other))).at(source, span),
                );
                None
            }
        }
    }

    pub(super) fn source(&self) -> SourceId {
        self.source
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes out a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'i>> {
        self.asked.insert(key);
        let (key, value) = self.entries.remove_entry(key)?;
        Some(Entry { key_span: key.span(), value })
    }

    /// Takes out a key and reads its value with serde.
    pub(super) fn get<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Spanned<T>> {
        let Entry { value, .. } = self.take(key)?;
        read(value, key, self.source, problems)
    }

    /// All that is left, in the order of the file.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (Spanned<String>, Value<'i>)> {
        self.entries.into_iter().map(|(key, value)| {
            let span = key.span();
            (Spanned::new(span, key.into_inner().into_owned()), value)
        })
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, place: &str, problems: &mut Problems) {
        for (key, _) in &self.entries {
            let name = key.get_ref();
            let mut problem = Problem::error(format!("unknown key `{name}` in {place}")).at(self.source, key.span());
            let guess = nearest(name, self.asked.iter().copied());
            problem = problem.hint(match guess {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => format!("the keys known here are {}", list(self.asked.iter().copied())),
            });
            problems.push(problem);
        }
    }
}

/// Reads a value with serde, or reports why it cannot be.
pub(super) fn read<T: DeserializeOwned>(
    value: Value<'_>,
    key: &str,
    source: SourceId,
    problems: &mut Problems,
) -> Option<Spanned<T>> {
    let span = value.span();
    match T::deserialize(value.into_deserializer()) {
        Ok(read) => Some(Spanned::new(span, read)),
        Err(error) => {
            let place = error.span().filter(|place| !place.is_empty()).unwrap_or(span);
            problems.push(Problem::error(format!("`{key}`: {}", error.message())).at(source, place));
            None
        }
    }
}

/// A TOML value's type as a person would say it.
pub(super) fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The name among `known` that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".into(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

//! The file that the questions are read from.
//!
//! It is for people who do not program, so everything that is wrong with it is said at once, with its line.

use std::ops::Range;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, de::DeserializeOwned};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::*;
use crate::answer::{Command, bare, fold};

/// The top of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadEntry {
    title: Option<String>,
    #[serde(default)]
    intro: String,
    #[serde(default)]
    once: bool,
    #[serde(default)]
    closing: String,
    /// Read one by one. It stands here so that serde lists it among the keys it knows.
    #[serde(default, rename = "questions")]
    _questions: IgnoredAny,
    /// As above.
    #[serde(default, rename = "results")]
    _results: IgnoredAny,
}

/// A `[[questions]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionEntry {
    text: Option<String>,
    id: Option<String>,
    choices: Option<Vec<ChoiceEntry>>,
    scale: Option<ScaleEntry>,
    reverse: Option<bool>,
    weight: Option<i32>,
    free: Option<bool>,
    max_length: Option<usize>,
}

/// One of `choices`: `{ text = "…", score = 1 }`, or only the text.
struct ChoiceEntry {
    text: String,
    score: i32,
}

/// `scale`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScaleEntry {
    min: i32,
    max: i32,
    low: Option<String>,
    high: Option<String>,
}

/// A `[[results]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BandEntry {
    from: Option<i32>,
    to: Option<i32>,
    text: Option<String>,
}

impl<'de> Deserialize<'de> for ChoiceEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            text: String,
            #[serde(default)]
            score: i32,
        }

        /// Not `#[serde(untagged)]`, whose errors do not say what is wrong.
        struct TextOrTable;

        impl<'de> Visitor<'de> for TextOrTable {
            type Value = ChoiceEntry;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a text or { text, score }")
            }

            fn visit_str<E>(self, text: &str) -> Result<ChoiceEntry, E> {
                Ok(ChoiceEntry { text: text.to_owned(), score: 0 })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ChoiceEntry, A::Error> {
                let Table { text, score } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ChoiceEntry { text, score })
            }
        }

        deserializer.deserialize_any(TextOrTable)
    }
}

impl Questions {
    /// Reads the file, or says all that is wrong with it.
    pub(crate) fn parse(file: &str) -> Result<Self, Vec<String>> {
        let mut reader = Reader { file, problems: Vec::new() };
        let questions = reader.questions();
        match questions {
            Some(questions) if reader.problems.is_empty() => Ok(questions),
            _ => Err(reader.problems.into_iter().map(|(_, problem)| problem).collect()),
        }
    }
}

/// The file, and what was found wrong with it.
struct Reader<'a> {
    file: &'a str,
    /// Each with the line that it names.
    problems: Vec<(usize, String)>,
}

impl Reader<'_> {
    /// The questions as far as they can be read; `None` only with a problem.
    fn questions(&mut self) -> Option<Questions> {
        let (document, errors) = DeTable::parse_recoverable(self.file);
        for error in &errors {
            self.problem(error.span().unwrap_or_default(), format!("not valid TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            // What could be read is no use: a missing quote hides all that follows.
            return None;
        }
        let mut head = document.into_inner();
        let entries = self.tables(&mut head, "questions");
        let bands = self.tables(&mut head, "results");

        let before = self.problems.len();
        let head = self.head(head);
        if entries.as_ref().is_some_and(Vec::is_empty) {
            self.problem(0..0, "there are no questions; add a `[[questions]]`");
        }
        let question_spans: Vec<_> = entries.iter().flatten().map(|(span, _)| span.clone()).collect();
        let list = self.list(entries.unwrap_or_default());
        let questions_complete = self.problems.len() == before;

        let before = self.problems.len();
        let spans: Vec<_> = bands.iter().flatten().map(|(span, _)| span.clone()).collect();
        let results: Vec<_> =
            bands.unwrap_or_default().into_iter().zip(1..).map(|(band, number)| self.band(band, number)).collect();
        self.overlaps(&results, &spans);
        let results_complete = self.problems.len() == before;
        let questions = Questions { results: results.into_iter().flatten().collect(), list, ..head? };
        // What needs all of the questions, or all of the file.
        if questions_complete {
            self.prompt_lengths(&questions, &question_spans);
        }
        if questions_complete && results_complete {
            self.result_lengths(&questions, &spans);
            self.coverage(&questions, &spans);
        }
        self.problems.sort_by_key(|(line, _)| *line);
        Some(questions)
    }

    fn problem(&mut self, place: Range<usize>, what: impl std::fmt::Display) {
        let before = self.file.get(..place.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        self.problems.push((line, format!("line {line}: {what}")));
    }

    /// Takes the tables of this name out of the file; `None` where there is something else.
    fn tables<'i>(&mut self, head: &mut DeTable<'i>, key: &str) -> Option<Vec<(Range<usize>, DeTable<'i>)>> {
        let Some(value) = head.remove(key) else { return Some(Vec::new()) };
        let span = value.span();
        let DeValue::Array(values) = value.into_inner() else {
            self.problem(span, format!("`{key}` must be tables: `[[{key}]]`"));
            return None;
        };
        let mut tables = Vec::new();
        for value in values {
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) => tables.push((span, table)),
                _ => self.problem(span, format!("`{key}` must be tables: `[[{key}]]`")),
            }
        }
        Some(tables)
    }

    /// Reads a table, and after a mistake reads on without the key that has it, so that the next
    /// mistake is found as well.
    fn read<T: DeserializeOwned>(&mut self, span: &Range<usize>, mut table: DeTable<'_>, name: &str) -> Option<T> {
        let before = self.problems.len();
        loop {
            let value = Spanned::new(span.clone(), DeValue::Table(table.clone()));
            let error = match T::deserialize(ValueDeserializer::from(value)) {
                Ok(read) => return (self.problems.len() == before).then_some(read),
                Err(error) => error,
            };
            let place = error.span().unwrap_or_else(|| span.clone());
            let key = table.iter().find(|(key, value)| (key.span().start..value.span().end).contains(&place.start));
            let key = key.map(|(key, _)| key.get_ref().clone().into_owned());
            self.problem(place, format!("{name}{}", error.message().trim_end()));
            table.remove(key?.as_str());
        }
    }

    /// All but the questions and the results.
    fn head(&mut self, head: DeTable<'_>) -> Option<Questions> {
        let HeadEntry { title, intro, once, closing, .. } = self.read(&(0..0), head, "")?;
        let title = title.unwrap_or_default().trim().to_owned();
        if title.is_empty() {
            self.problem(0..0, "there is no `title`");
        }
        let chars = title.chars().count();
        if chars > MAX_TITLE_CHARS {
            self.problem(0..0, format!("`title` has {chars} characters; {MAX_TITLE_CHARS} are the most"));
        }
        let (intro, closing) = (intro.trim().to_owned(), closing.trim().to_owned());
        self.placeholders(0..0, "`closing`", &closing);
        Some(Questions { title, intro, once, closing, list: Vec::new(), results: Vec::new() })
    }

    /// Every question that can be read.
    fn list(&mut self, entries: Vec<(Range<usize>, DeTable<'_>)>) -> Vec<Question> {
        if let Some((span, _)) = entries.get(MAX_QUESTIONS) {
            let count = entries.len();
            self.problem(span.clone(), format!("there are {count} questions; {MAX_QUESTIONS} are the most"));
        }
        // Also of questions that cannot be read otherwise.
        let mut ids: Vec<String> = Vec::new();
        let mut list = Vec::new();
        for ((span, table), number) in entries.into_iter().zip(1..) {
            let named = table.get("id").and_then(|id| id.get_ref().as_str());
            let id = named.map_or_else(|| format!("q{number:02}"), str::to_owned);
            if let Some(same) = ids.iter().position(|other| *other == id) {
                self.problem(span.clone(), format!("question {number} has the id of question {}: `{id}`", same + 1));
            }
            ids.push(id.clone());
            let name = format!("question {number}: ");
            if let Some(entry) = self.read::<QuestionEntry>(&span, table, &name) {
                list.extend(self.question(&span, entry, id, number));
            }
        }
        list
    }

    fn question(&mut self, span: &Range<usize>, entry: QuestionEntry, id: String, number: usize) -> Option<Question> {
        let QuestionEntry { text, id: given, choices, scale, reverse, weight, free, max_length } = entry;
        let before = self.problems.len();
        let mut wrong = |what: String| self.problem(span.clone(), format!("question {number}: {what}"));

        let text = text.unwrap_or_default().trim().to_owned();
        if text.is_empty() {
            wrong("there is no `text`".to_owned());
        }
        let is_key = |id: &str| {
            (1..=32).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if given.is_some_and(|id| !is_key(&id)) {
            wrong("`id` must be 1 to 32 letters, digits, `-` or `_`".to_owned());
        }
        if scale.is_none() {
            for (key, is_there) in [("reverse", reverse.is_some()), ("weight", weight.is_some())] {
                if is_there {
                    wrong(format!("`{key}` is only for a `scale`"));
                }
            }
        }
        if free == Some(false) {
            wrong("`free` can only be `true`; leave it out otherwise".to_owned());
        }
        if free.is_none() && max_length.is_some() {
            wrong("`max_length` is only for `free = true`".to_owned());
        }

        let kind = match (choices, scale, free) {
            (Some(choices), None, None) => Kind::Choices(checked_choices(choices, &mut wrong)),
            (None, Some(scale), None) => {
                Kind::Scale(checked_scale(scale, reverse.unwrap_or(false), weight.unwrap_or(1), &mut wrong))
            }
            (None, None, Some(_)) => {
                let max_length = max_length.unwrap_or(DEFAULT_FREE);
                if !(1..=MAX_FREE).contains(&max_length) {
                    wrong(format!("`max_length` is {max_length}, and must be from 1 to {MAX_FREE}"));
                }
                Kind::Free { max_length }
            }
            (None, None, None) => {
                wrong("it needs one of `choices`, `scale` and `free`".to_owned());
                return None;
            }
            _ => {
                wrong("it can have only one of `choices`, `scale` and `free`".to_owned());
                return None;
            }
        };
        (self.problems.len() == before).then_some(Question { id, text, kind })
    }

    fn band(&mut self, (span, table): (Range<usize>, DeTable<'_>), number: usize) -> Option<Band> {
        let name = format!("result {number}");
        let BandEntry { from, to, text } = self.read(&span, table, &format!("{name}: "))?;
        for (key, is_there) in [("from", from.is_some()), ("to", to.is_some())] {
            if !is_there {
                self.problem(span.clone(), format!("{name}: there is no `{key}`"));
            }
        }
        let text = text.unwrap_or_default().trim().to_owned();
        if text.is_empty() {
            self.problem(span.clone(), format!("{name}: there is no `text`"));
        }
        self.placeholders(span.clone(), &name, &text);
        let (from, to) = (i64::from(from?), i64::from(to?));
        if from > to {
            self.problem(span, format!("{name}: `from` is {from} and `to` only {to}"));
            return None;
        }
        Some(Band { from, to, text })
    }

    /// Each `{word}` must be one that is filled in.
    fn placeholders(&mut self, span: Range<usize>, name: &str, text: &str) {
        for open in text.split('{').skip(1) {
            let Some((word, _)) = open.split_once('}') else { continue };
            let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if is_word && !PLACEHOLDERS.contains(&word) {
                self.problem(
                    span.clone(),
                    format!("{name}: `{{{word}}}` is not known; there are `{{score}}`, `{{max}}` and `{{title}}`"),
                );
            }
        }
    }

    /// No total may have two results.
    fn overlaps(&mut self, results: &[Option<Band>], spans: &[Range<usize>]) {
        for ((later, number), span) in results.iter().zip(1..).zip(spans) {
            let Some(later) = later else { continue };
            for (earlier, other) in results.iter().zip(1..number) {
                let Some(earlier) = earlier else { continue };
                let (from, to) = (later.from.max(earlier.from), later.to.min(earlier.to));
                if from <= to {
                    let totals = range(from, to);
                    self.problem(
                        span.clone(),
                        format!("results {other} and {number} are both for a total of {totals}"),
                    );
                }
            }
        }
    }

    /// Every question must fit into a text.
    fn prompt_lengths(&mut self, questions: &Questions, spans: &[Range<usize>]) {
        for (index, span) in spans.iter().enumerate() {
            let prompt = questions.prompt(index);
            self.length(span, &format!("question {}", index + 1), &prompt);
            if index == 0 && prompt.len() <= MAX_BYTES {
                self.length(
                    &(0..0),
                    "the opening with `title`, `intro` and question 1",
                    &(questions.opening() + &prompt),
                );
            }
        }
    }

    /// Every result must fit into a text.
    fn result_lengths(&mut self, questions: &Questions, spans: &[Range<usize>]) {
        let most = questions.max();
        for ((band, number), span) in questions.results.iter().zip(1..).zip(spans) {
            self.length(span, &format!("result {number} with `closing`"), &questions.closed(Some(&band.text), most));
        }
        if questions.results.is_empty() {
            self.length(&(0..0), "`closing`", &questions.closed(None, most));
        }
    }

    fn length(&mut self, place: &Range<usize>, what: &str, said: &str) {
        let bytes = said.len();
        if bytes > MAX_BYTES {
            self.problem(place.clone(), format!("{what} takes {bytes} bytes; {MAX_BYTES} are the most"));
        }
    }

    /// Every total that can be must have a result, and every result a total.
    fn coverage(&mut self, questions: &Questions, spans: &[Range<usize>]) {
        let Some(first_span) = spans.first() else { return };
        let ranges = questions.list.iter().map(Question::score_range);
        let (least, most) = ranges.fold((0, 0), |(least, most), (low, high)| (least + low, most + high));
        if most - least > MAX_TOTALS {
            let totals = range(least, most);
            self.problem(0..0, format!("the totals are {totals}, and may not be more than {MAX_TOTALS} apart"));
            return;
        }
        let (least, possible) = questions.totals();
        let totals: Vec<i64> = (least..).zip(&possible).filter(|(_, possible)| **possible).map(|(n, _)| n).collect();

        for ((band, number), span) in questions.results.iter().zip(1..).zip(spans) {
            if !totals.iter().any(|total| (band.from..=band.to).contains(total)) {
                let (band, all) = (range(band.from, band.to), range(least, most));
                self.problem(
                    span.clone(),
                    format!("result {number}: a total of {band} can never be reached; the totals are {all}"),
                );
            }
        }
        let has_result = |total: &i64| questions.results.iter().any(|band| (band.from..=band.to).contains(total));
        for gap in totals.chunk_by(|one, next| has_result(one) == has_result(next)) {
            if let [from, ..] = gap
                && let [.., to] = gap
                && !has_result(from)
            {
                self.problem(first_span.clone(), format!("there is no result for a total of {}", range(*from, *to)));
            }
        }
    }
}

/// The choices of a question; `wrong` hears what is wrong with them.
fn checked_choices(entries: Vec<ChoiceEntry>, wrong: &mut impl FnMut(String)) -> Vec<Choice> {
    if !CHOICES.contains(&entries.len()) {
        wrong(format!("there are {} `choices`, and must be {} to {}", entries.len(), CHOICES.start(), CHOICES.end()));
    }
    let choices: Vec<Choice> = entries
        .into_iter()
        .map(|entry| Choice { text: entry.text.trim().to_owned(), score: i64::from(entry.score) })
        .collect();
    for (index, choice) in choices.iter().enumerate() {
        let (number, text, folded) = (index + 1, &choice.text, fold(&choice.text));
        if text.is_empty() {
            wrong(format!("choice {number} has no text"));
            continue;
        }
        if let Some(same) = choices[..index].iter().position(|other| is_same(&fold(&other.text), &folded)) {
            wrong(format!("choices {} and {number} are the same to a reader of answers: `{text}`", same + 1));
        }
        if let Some(letter) =
            letters().take(choices.len()).position(|letter| fold(&letter.to_string()) == bare(&folded))
            && letter != index
        {
            wrong(format!("choice {number} is `{text}`, which is the letter of choice {}", letter + 1));
        }
        if Command::of(text).is_some() {
            wrong(format!("choice {number} is `{text}`, which is a command of the quiz"));
        }
    }
    choices
}

/// Whether an answer could not tell the two folded texts apart.
fn is_same(one: &str, other: &str) -> bool {
    one == other || (bare(one) == bare(other) && !bare(one).is_empty())
}

/// The scale of a question; `wrong` hears what is wrong with it.
fn checked_scale(entry: ScaleEntry, reverse: bool, weight: i32, wrong: &mut impl FnMut(String)) -> Scale {
    let ScaleEntry { min, max, low, high } = entry;
    if min >= max {
        wrong(format!("the scale's `min` is {min}, and must be less than its `max`, {max}"));
    } else if min < -MAX_SCALE || max > MAX_SCALE {
        wrong(format!("the scale goes from {min} to {max}, and must stay within {} to {MAX_SCALE}", -MAX_SCALE));
    } else if max - min > MAX_STEPS {
        wrong(format!("the scale goes from {min} to {max}; {MAX_STEPS} steps are the most"));
    }
    if !(0..=MAX_WEIGHT).contains(&weight) {
        wrong(format!("`weight` is {weight}, and must be from 0 to {MAX_WEIGHT}"));
    }
    let [low, high] = [low, high].map(|label| label.map(|label| label.trim().to_owned()));
    for (key, label) in [("low", &low), ("high", &high)] {
        if label.as_ref().is_some_and(String::is_empty) {
            wrong(format!("the scale's `{key}` is empty; leave it out"));
        }
    }
    if let (Some(low), Some(high)) = (&low, &high)
        && !low.is_empty()
        && is_same(&fold(low), &fold(high))
    {
        wrong(format!("the scale's `low` and `high` are the same: `{low}`"));
    }
    Scale { min: i64::from(min), max: i64::from(max), low, high, reverse, weight: i64::from(weight) }
}

/// Some totals, or the only one.
fn range(from: i64, to: i64) -> String {
    if from == to { from.to_string() } else { format!("{from} to {to}") }
}

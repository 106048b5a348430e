//! What is wrong with the configuration: collected, so that all of it can be shown at once, and rendered with a caret under the place.

use std::{collections::BTreeSet, fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A file that problems can point into.
#[derive(Debug)]
struct Source {
    name: String,
    /// The file's text with every secret blotted out, byte for byte: all that is ever shown of it.
    shown: String,
}

/// Identifies a file within its [`Problems`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceId(usize);

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but is hardly what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    severity: Severity,
    message: String,
    place: Option<(SourceId, Range<usize>)>,
    hint: Option<String>,
}

impl Problem {
    /// Something that makes the configuration unusable; `message` is lower case, without a full stop, values in backticks.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), place: None, hint: None }
    }

    /// Something that is hardly meant.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Where it is, in bytes.
    pub fn at(mut self, source: SourceId, span: Range<usize>) -> Self {
        self.place = Some((source, span));
        self
    }

    /// What to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// All that was found wrong, in the order of the file, and the files themselves.
#[derive(Debug, Default)]
pub struct Problems {
    sources: Vec<Source>,
    list: Vec<Problem>,
}

impl Problems {
    /// Takes in a file so that problems can point into it; the bytes in `secrets` are never shown.
    pub fn add_source(&mut self, name: impl Into<String>, text: &str, secrets: &[Range<usize>]) -> SourceId {
        self.sources.push(Source { name: name.into(), shown: blot(text, secrets) });
        SourceId(self.sources.len() - 1)
    }

    /// Adds a problem.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many problems of this severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    /// Drops the warnings whose message is in `known`, and adds those that are left to it.
    pub fn drop_warnings(&mut self, known: &mut BTreeSet<String>) {
        let before = known.clone();
        self.list.retain(|problem| problem.severity == Severity::Error || !before.contains(&problem.message));
        known.extend(self.list.iter().map(|problem| problem.message.clone()));
    }

    /// The problems, errors before warnings, each in the order of its file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        let mut sorted: Vec<_> = self.list.iter().collect();
        sorted.sort_by_key(|problem| {
            let place = problem.place.as_ref().map_or((usize::MAX, 0), |(source, span)| (source.0, span.start));
            (problem.severity == Severity::Warning, place)
        });
        sorted.into_iter()
    }

    /// Where a problem is, as `FILE:LINE:COLUMN`.
    pub fn place(&self, problem: &Problem) -> Option<String> {
        let (id, span) = problem.place.as_ref()?;
        let source = self.sources.get(id.0)?;
        let before = &source.shown[..clamp(&source.shown, span).start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some(format!("{}:{line}:{column}", source.name))
    }

    /// Everything as text: one paragraph a problem, and a closing line that counts them.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in self.iter() {
            let level = match problem.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let mut group = Group::with_title(level.primary_title(problem.message.as_str()));
            if let Some((id, span)) = &problem.place
                && let Some(source) = self.sources.get(id.0)
            {
                let annotation = AnnotationKind::Primary.span(clamp(&source.shown, span));
                group = group.element(Snippet::source(source.shown.as_str()).path(&source.name).annotation(annotation));
            }
            if let Some(hint) = &problem.hint {
                group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
            }
            text.push_str(&renderer.render(&[group]));
            text.push_str("\n\n");
        }
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => "no problems".into(),
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Keeps a span within the text, on character boundaries and on its first line: a caret under a page of rules helps nobody.
fn clamp(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    let line_end = text[start..end].find('\n').map_or(end, |newline| start + newline);
    start..line_end
}

/// Replaces the bytes in `secrets` by as many `*`, so that every other place stays where it is.
fn blot(text: &str, secrets: &[Range<usize>]) -> String {
    let mut secrets = secrets.to_vec();
    secrets.sort_by_key(|secret| secret.start);
    let mut secrets = secrets.into_iter().peekable();
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        while secrets.next_if(|secret| secret.end <= at).is_some() {}
        if character != '\n' && secrets.peek().is_some_and(|secret| secret.contains(&at)) {
            shown.extend(std::iter::repeat_n('*', character.len_utf8()));
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_place_the_hint_and_no_secret() {
        let text = "token = \"hunter2\"\npaht = \"/\"\n";
        let mut problems = Problems::default();
        let source = problems.add_source("bots.toml", text, std::slice::from_ref(&(9..16)));
        problems.push(Problem::error("unknown key `paht`").at(source, 18..22).hint("did you mean `path`?"));
        problems.push(Problem::warning("weak token").at(source, 8..17));
        let places: Vec<_> = problems.iter().filter_map(|problem| problems.place(problem)).collect();
        assert_eq!(places, ["bots.toml:2:1", "bots.toml:1:9"]);
        insta::assert_snapshot!(problems, @r#"
        error: unknown key `paht`
         --> bots.toml:2:1
          |
        2 | paht = "/"
          | ^^^^
          |
          = hint: did you mean `path`?

        warning: weak token
         --> bots.toml:1:9
          |
        1 | token = "*******"
          |         ^^^^^^^^^

        1 error, 1 warning
        "#);
    }

    #[test]
    fn a_span_beyond_the_text_is_kept_within_it() {
        let mut problems = Problems::default();
        let source = problems.add_source("a", "答", &[]);
        problems.push(Problem::error("x").at(source, 1..99));
        assert!(problems.to_string().contains("a:1:1"));
    }
}

//! What `mynah test` says.

use std::io::IsTerminal as _;

use tracing::Level;

use crate::{
    rehearsal::Note,
    transcript::{
        pattern::Step,
        replies::Line,
        script::{Exchange, Problem},
    },
};

/// What has been played, and what came of it.
pub(super) struct Report {
    colour: bool,
    /// Whether the transcripts are made to expect what comes.
    updating: bool,
    transcripts: usize,
    messages: usize,
    /// Transcripts that failed, or were changed.
    failed: usize,
    updated: usize,
    /// Whether the transcript under way has something wrong that no update mends.
    stuck: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Red,
    Green,
    Dim,
    Bold,
}

impl Report {
    pub(super) fn new(updating: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = wanted && std::io::stdout().is_terminal();
        Self { colour, updating, transcripts: 0, messages: 0, failed: 0, updated: 0, stuck: false }
    }

    /// A transcript that cannot be played.
    pub(super) fn broken(&mut self, name: &str, why: &str) {
        println!("{}: {why}", self.paint(Colour::Bold, name));
        self.stuck = true;
        self.played(name, false);
    }

    /// A transcript that is none.
    pub(super) fn unreadable(&mut self, name: &str, text: &str, problems: &[Problem]) {
        for Problem { line, message } in problems {
            println!("{}: {message}", self.paint(Colour::Bold, &format!("{name}:{line}")));
            println!("    {}", self.paint(Colour::Dim, text.lines().nth(line - 1).unwrap_or_default()));
        }
        self.stuck = true;
        self.played(name, false);
    }

    /// A message was answered.
    pub(super) fn message(&mut self) {
        self.messages += 1;
    }

    /// A message could not be sent.
    pub(super) fn failed(&mut self, name: &str, line: usize, said: &str, why: &str) {
        println!("{}: {said}", self.paint(Colour::Bold, &format!("{name}:{line}")));
        println!("    {}", self.paint(Colour::Red, why));
        self.stuck = true;
    }

    /// A reply that is not the expected one.
    #[expect(clippy::too_many_arguments, reason = "where it stands, what was expected, what came, and why")]
    pub(super) fn mismatch(
        &self,
        name: &str,
        line: usize,
        said: &str,
        exchange: &Exchange,
        aligned: &[Step],
        came: &[Line],
        notes: &[Note],
    ) {
        if self.updating {
            return;
        }
        // Where it begins to differ.
        let first = aligned.iter().find_map(|step| match step {
            Step::Missing(pattern) => exchange.lines.get(*pattern).copied(),
            _ => None,
        });
        println!("{}: {said}", self.paint(Colour::Bold, &format!("{name}:{}", first.unwrap_or(line))));
        if exchange.expected.is_empty() {
            println!(
                "    {}",
                self.paint(Colour::Dim, "no reply is expected yet; `--update` writes the one that came")
            );
        }
        let mut last = None;
        for step in aligned {
            match *step {
                Step::Same { pattern, .. } if last == Some(pattern) => {}
                Step::Same { pattern, .. } => {
                    last = Some(pattern);
                    println!("    < {}", exchange.expected[pattern].written);
                }
                Step::Missing(pattern) => {
                    let text = format!("  - < {}", exchange.expected[pattern].written);
                    println!("{}", self.paint(Colour::Red, &text));
                }
                Step::Extra(line) => {
                    println!("{}", self.paint(Colour::Green, &format!("  + < {}", came[line].written)));
                }
            }
        }
        let tells = |note: &&Note| {
            note.is_plugins() || note.level <= Level::WARN || note.target.starts_with("mynah::http_client")
        };
        for note in notes.iter().filter(tells) {
            println!("    {}", self.paint(Colour::Dim, &note.to_string().replace('\n', "\n    ")));
        }
        println!();
    }

    /// A transcript is over; `differs` says whether a reply was not the one expected.
    pub(super) fn played(&mut self, name: &str, differs: bool) {
        self.transcripts += 1;
        if self.stuck || (differs && !self.updating) {
            self.failed += 1;
            println!("{} {name}", self.paint(Colour::Red, "FAIL"));
        } else if differs {
            self.updated += 1;
            println!("{} {name}", self.paint(Colour::Green, "updated"));
        } else {
            println!("{} {name}", self.paint(Colour::Green, "ok"));
        }
        self.stuck = false;
    }

    /// Says what came of it all, and whether that is good.
    pub(super) fn finish(&self) -> bool {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let of = format!("{}, {}", count(self.transcripts, "transcript"), count(self.messages, "message"));
        match (self.failed, self.updated) {
            (0, 0) => println!("{of}: all as expected"),
            (0, updated) => println!("{of}: {updated} updated"),
            (failed, 0) if self.updating => println!("{of}: {failed} failed"),
            (failed, 0) => println!("{of}: {failed} failed; if that is how it should be, `--update` writes it down"),
            (failed, updated) => println!("{of}: {failed} failed, {updated} updated"),
        }
        self.failed == 0
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            _ if !self.colour => return text.to_owned(),
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        let lines: Vec<String> = text.split('\n').map(|line| format!("\u{1b}[{code}m{line}\u{1b}[0m")).collect();
        lines.join("\n")
    }
}

//! A transcript: a conversation to be played, and what is expected of it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    acts,
    answers::Answer,
    pattern::{Pattern, Step as Aligned},
    replies::Line,
};
use crate::wechat::callback::Act;

/// The lines around what a transcript says of its own bots, as in other tools' files.
const FENCE: &str = "+++";

/// The longest transcript: a conversation of some ten thousand messages.
pub const MAX_BYTES: u64 = 4 << 20;

/// A transcript, taken apart.
#[derive(Debug, Default)]
pub struct Script {
    /// A `bots.toml` of its own, between lines of `+++` at the top. Its lines have the numbers that they have in the file.
    pub bots: Option<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// Something that happens.
#[derive(Debug)]
pub struct Step {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// What it is.
    pub what: What,
}

/// What happens.
#[derive(Debug)]
pub enum What {
    /// `> …`: the follower does something.
    Say(Exchange),
    /// `~ 15s`: time passes.
    Pass(Duration),
    /// `as NAME:`: from here on another follower speaks.
    As(String),
    /// `bot NAME:`: from here on to another bot.
    Bot(String),
    /// `seed WORD`: what is random comes out another way.
    Seed(String),
    /// `at 2026-02-17 08:00`: when it begins, in the time zone of `bots.toml`.
    At(jiff::civil::DateTime),
    /// `http …` or `wechat …`: what the outside says.
    Answer(Answer),
}

/// What a follower does, and what they are expected to get.
#[derive(Debug)]
pub struct Exchange {
    /// What they do.
    pub act: Act,
    /// The lines that are expected.
    pub expected: Vec<Pattern>,
    /// Where these stand, counted from 1.
    pub lines: Vec<usize>,
}

/// Something that is wrong with a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// What is wrong, and what to write.
    pub message: String,
}

impl Script {
    /// Takes a transcript apart, or says everything that is wrong with it.
    pub fn read(text: &str) -> Result<Self, Vec<Problem>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut script = Self::default();
        let mut problems = Vec::new();
        let mut lines = text.lines().zip(1..).peekable();
        let mut bots = String::new();
        while let Some((line, _)) = lines.next_if(|(line, _)| line.trim().is_empty() || line.starts_with('#')) {
            bots += &format!("{}\n", if line.starts_with('#') { line } else { "" });
        }
        if let Some((_, opened)) = lines.next_if(|(line, _)| line.trim_end() == FENCE) {
            bots += "\n";
            let mut closed = false;
            for (line, _) in lines.by_ref() {
                if line.trim_end() == FENCE {
                    closed = true;
                    break;
                }
                bots += &format!("{line}\n");
            }
            if !closed {
                let message = format!("the `{FENCE}` of this line is not closed by another one");
                return Err(vec![Problem { line: opened, message }]);
            }
            script.bots = Some(bots);
        }
        for (written, line) in lines {
            if let Err(message) = script.add(written, line) {
                problems.push(Problem { line, message });
            }
        }
        if problems.is_empty() { Ok(script) } else { Err(problems) }
    }

    fn add(&mut self, written: &str, line: usize) -> Result<(), String> {
        let what = match written.trim_end() {
            "" => return Ok(()),
            comment if comment.starts_with('#') => return Ok(()),
            expected if expected.starts_with('<') => return self.expect(after(expected), line),
            said if said.starts_with('>') => {
                What::Say(Exchange { act: acts::read(after(said))?, expected: Vec::new(), lines: Vec::new() })
            }
            time if time.starts_with('~') => {
                let time = time[1..].trim();
                let parsed = humantime::parse_duration(time);
                What::Pass(parsed.map_err(|_| format!("`{time}` is no length of time such as `15s` or `1h 30m`"))?)
            }
            body if body.starts_with('|') => return self.answer_goes_on(after(body)),
            word => self.word(word)?,
        };
        self.steps.push(Step { line, what });
        Ok(())
    }

    fn word(&self, written: &str) -> Result<What, String> {
        let (word, rest) = written.split_once(char::is_whitespace).unwrap_or((written, ""));
        let rest = rest.trim();
        let named = |what: &str| {
            let name = rest.trim_end_matches([':', '：']).trim();
            if name.is_empty() { Err(format!("`{word}` needs {what}: `{word} NAME:`")) } else { Ok(name.to_owned()) }
        };
        let begun = self.steps.iter().any(|step| matches!(step.what, What::Say(_) | What::Pass(_)));
        Ok(match word {
            "as" => What::As(named("a follower's name")?),
            "bot" => What::Bot(named("a bot's name")?),
            "seed" if rest.is_empty() => return Err("`seed` needs any word".into()),
            "seed" => What::Seed(rest.to_owned()),
            "at" if begun => return Err("`at` stands before the first message; `~ 1h` lets time pass".into()),
            "at" => {
                let time = rest.parse().map_err(|_| format!("`{rest}` is no time such as `2026-02-17 08:00`"))?;
                What::At(time)
            }
            "http" | "wechat" => What::Answer(Answer::read(word, rest)?),
            _ => {
                return Err(format!(
                    "`{word}` means nothing here: a line begins with `>` (said), `<` (expected), `~` (time), `#` (comment), \
                     `as NAME:`, `bot NAME:`, `at`, `seed`, `http` or `wechat`"
                ));
            }
        })
    }

    fn expect(&mut self, written: &str, line: usize) -> Result<(), String> {
        let Some(Step { what: What::Say(exchange), .. }) = self.steps.last_mut() else {
            return Err("nothing was said that this could be the reply to".into());
        };
        exchange.expected.push(Pattern::read(written)?);
        exchange.lines.push(line);
        Ok(())
    }

    fn answer_goes_on(&mut self, text: &str) -> Result<(), String> {
        let Some(Step { what: What::Answer(answer), .. }) = self.steps.last_mut() else {
            return Err("`|` goes on with the body of an `http` or `wechat` line".into());
        };
        answer.go_on(text);
        Ok(())
    }
}

/// What follows a line's sign and one space.
fn after(line: &str) -> &str {
    let rest = &line[1..];
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// Changes that make a transcript expect what came.
#[derive(Debug, Default)]
pub struct Update {
    dropped: Vec<usize>,
    /// By the line that they come after.
    added: BTreeMap<usize, Vec<String>>,
}

impl Update {
    /// Makes an exchange expect the lines that came; what fits stays as it was written.
    pub fn add(&mut self, step: usize, exchange: &Exchange, aligned: &[Aligned], came: &[Line]) {
        let mut after = step;
        for aligned in aligned {
            match *aligned {
                Aligned::Same { pattern, .. } => after = exchange.lines[pattern],
                Aligned::Missing(pattern) => {
                    after = exchange.lines[pattern];
                    self.dropped.push(after);
                }
                Aligned::Extra(line) => {
                    let line = format!("< {}", came[line].written);
                    self.added.entry(after).or_default().push(line.trim_end().to_owned());
                }
            }
        }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.added.is_empty()
    }

    /// The changed text of the transcript.
    pub fn apply(&self, text: &str) -> String {
        let ends = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut updated = String::new();
        for (line, number) in text.lines().zip(1..) {
            if !self.dropped.contains(&number) {
                updated += line;
                updated += ends;
            }
            for added in self.added.get(&number).into_iter().flatten() {
                updated += added;
                updated += ends;
            }
        }
        updated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transcript::{
            pattern::{align, fits},
            replies::lines,
        },
        wechat::reply::Reply,
    };

    fn problems(text: &str) -> Vec<String> {
        let found = Script::read(text).expect_err("a problem");
        found.into_iter().map(|problem| format!("{}: {}", problem.line, problem.message)).collect()
    }

    #[test]
    fn a_transcript_is_taken_apart() {
        let text = "# 题目\n\nat 2026-02-17 08:00\nas 小红:\nbot shop\nseed 7\n> 答题\n# 开头\n< 一\n<\n< …\n~ 1h 30m\n> [image]\n< x\n";
        let script = Script::read(text).unwrap();
        assert!(script.bots.is_none());
        let steps: Vec<String> = script.steps.iter().map(|step| format!("{} {:?}", step.line, step.what)).collect();
        assert!(steps[0].starts_with("3 At(2026-02-17T08:00:00)"), "{steps:?}");
        assert_eq!(steps[1..4], ["4 As(\"小红\")", "5 Bot(\"shop\")", "6 Seed(\"7\")"]);
        let What::Say(exchange) = &script.steps[4].what else { panic!("{steps:?}") };
        assert_eq!((exchange.act.clone(), &exchange.lines), (Act::text("答题"), &vec![9, 10, 11]));
        assert_eq!(steps[5], "12 Pass(5400s)");
    }

    #[test]
    fn a_transcript_may_have_bots_of_its_own() {
        let script = Script::read("# echo\n+++\n[plugins.echo]\nwasm = \"e.wasm\"\n+++\n> x\n< x\n").unwrap();
        // Line 3 of the file is line 3 of it, so that a problem is found where it is.
        assert_eq!(script.bots.as_deref(), Some("# echo\n\n[plugins.echo]\nwasm = \"e.wasm\"\n"));
        assert_eq!(script.steps[0].line, 6);
        assert!(problems("+++\n> x\n")[0].starts_with("1: the `+++`"));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let found =
            problems("< x\n> [imgae x]\n~ soon\nfoo\nas\nat noon\n> a\n< /(/\nat 2026-01-01 00:00\n| x\nhttp GET x\n");
        let expected = [
            "1: nothing was said",
            "2: there is no message of kind",
            "3: `soon` is no length",
            "4: `foo` means nothing here",
            "5: `as` needs a follower's name",
            "6: `noon` is no time",
            "8: bad regex",
            "9: `at` stands before the first message",
            "10: `|` goes on with",
            "11: ",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn an_update_keeps_what_fits_and_every_comment() {
        let text = "> a\n# why\n< one\n# regex\n< /^t/\n< gone\n< …\n\n> new\n> b\n< b\n";
        let script = Script::read(text).unwrap();
        let mut update = Update::default();
        for (step, reply) in script.steps.iter().zip(["1\ntwo\nx\ny", "n\n\nm", "b"]) {
            let What::Say(exchange) = &step.what else { panic!() };
            let came = lines(&Reply::Text(reply.into()));
            update.add(step.line, exchange, &align(&exchange.expected, &came), &came);
        }
        let updated = update.apply(text);
        assert_eq!(updated, "> a\n# why\n< 1\n# regex\n< /^t/\n< x\n< …\n\n> new\n< n\n<\n< m\n> b\n< b\n");
        // What was updated fits.
        let script = Script::read(&updated).unwrap();
        for (step, reply) in script.steps.iter().zip(["1\ntwo\nx\ny", "n\n\nm", "b"]) {
            let What::Say(exchange) = &step.what else { panic!() };
            assert!(fits(&align(&exchange.expected, &lines(&Reply::Text(reply.into())))));
        }
        assert_eq!(update.apply(&text.replace('\n', "\r\n")), updated.replace('\n', "\r\n"));
    }
}

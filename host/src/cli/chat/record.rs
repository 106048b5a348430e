//! A chat as a transcript.

use std::{
    fs::File,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{transcript::replies, wechat::reply::Reply};

/// Pauses of a person who types are no part of a conversation; those that a bot may notice are.
const PAUSE: Duration = Duration::from_secs(10);

/// What was said so far, and the file that it goes to.
#[derive(Default)]
pub(super) struct Record {
    lines: String,
    file: Option<(String, File)>,
    /// Who spoke last, to which bot.
    last: Option<(String, String)>,
    /// When the last reply came.
    at: Option<Instant>,
}

impl Record {
    /// Adds an exchange, and returns it as it is written.
    pub(super) fn add(&mut self, bot: &str, several: bool, follower: &str, act: &str, reply: &Reply) -> String {
        let mut lines = String::new();
        if let Some(pause) = self.at.map(|at| at.elapsed()).filter(|pause| *pause >= PAUSE) {
            lines += &format!("~ {}\n", humantime::format_duration(Duration::from_secs(pause.as_secs())));
        }
        let before = self.last.as_ref().map(|(bot, follower)| (bot.as_str(), follower.as_str()));
        if several && before.is_none_or(|(last, _)| last != bot) {
            lines += &format!("bot {bot}:\n");
        }
        if before.map_or(follower != super::FOLLOWER, |(_, last)| last != follower) {
            lines += &format!("as {follower}:\n");
        }
        lines += &format!("> {act}\n");
        for line in replies::lines(reply) {
            lines += format!("< {}", line.written).trim_end();
            lines += "\n";
        }
        self.last = Some((bot.to_owned(), follower.to_owned()));
        self.at = Some(Instant::now());
        self.lines += &lines;
        lines
    }

    /// Writes what was said so far, and from now on what follows, to a new file.
    pub(super) fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        let mut file = File::create_new(name).with_context(|| format!("cannot make `{name}`"))?;
        file.write_all(self.lines.as_bytes()).with_context(|| format!("cannot write `{name}`"))?;
        self.file = Some((name.to_owned(), file));
        Ok(())
    }

    /// Writes an exchange to the file, if there is one.
    pub(super) fn write(&mut self, lines: &str) -> anyhow::Result<()> {
        match &mut self.file {
            Some((name, file)) => file.write_all(lines.as_bytes()).with_context(|| format!("cannot write `{name}`")),
            None => Ok(()),
        }
    }
}

//! `mynah doctor`: why WeChat would refuse an account's configuration, each cause in one line with what to do.
//!
//! `DOCTOR.md` lists what is looked at, what is sent, and the usual mistakes with their lines.

mod answers;
mod api;
mod calls;
mod files;
mod place;

use std::{fmt::Display, io::IsTerminal as _, path::Path};

use clap::Args;
use url::Url;

use super::{
    Refused,
    account::{AccountFlags, harmless, read_url, say, unset},
    tokio_runtime,
};
use crate::{
    caller::Account,
    clock::World,
    config::{self, Config},
    fault::{self, Fault},
    wechat::cipher::WhichKey,
};

/// What to look at.
#[derive(Args)]
pub(super) struct Question {
    /// The URL as it is entered in the account's console; without it, only bots.toml and the server on this machine are looked at
    url: Option<String>,
    #[command(flatten)]
    account: AccountFlags,
}

pub(super) fn doctor(path: &Path, question: &Question) -> Result<(), Refused> {
    let url = question.url.as_deref().map(read_url).transpose().map_err(|why| {
        eprintln!("error: {why}");
        Refused::Config
    })?;
    let tokio = tokio_runtime()?;
    let mut report = Report::new();
    let world = World::system();
    let config = tokio.block_on(examine(path, question, url.as_ref(), &world, &mut report))?;
    report.summary();
    match config {
        Some(()) if report.problems == 0 => Ok(()),
        Some(()) => Err(Refused::Failed),
        None => Err(Refused::Config),
    }
}

/// Looks at everything; none when neither `bots.toml` nor the flags say enough to go on.
async fn examine(
    path: &Path,
    question: &Question,
    url: Option<&Url>,
    world: &World,
    report: &mut Report,
) -> Result<Option<()>, Refused> {
    let flags = &question.account;
    // Somewhere else than on the server there may be no bots.toml at all.
    let config = if url.is_some() && flags.suffice() && !path.exists() {
        None
    } else {
        report.section(&path.display().to_string());
        let config = files::check(path, report);
        if config.is_none() && !(url.is_some() && flags.suffice()) {
            return Ok(None);
        }
        config
    };
    let way = flags.way()?;
    let config = config.as_ref();
    match (url, config) {
        (Some(url), config) => {
            report.section(url.as_str());
            let place = place::check(url, &way, report).await;
            let Some((bot, account)) = whose(flags, config, url, report) else { return Ok(Some(())) };
            if place.is_reachable() && agrees(&account, flags, bot, report) {
                let calls = calls::Calls { url, way: &way, account: &account, bot, config, world };
                calls.check(report).await;
            }
            if let (Some(config), Some(bot)) = (config, bot) {
                api::check(config, Some(&bot.name), &place.addresses, world, report).await;
            }
        }
        (None, Some(config)) => {
            calls::check_listening(config, &flags.bot, world, report).await;
            api::check(config, flags.bot.as_deref(), &[], world, report).await;
        }
        (None, None) => {}
    }
    Ok(Some(()))
}

/// Whose URL it is.
fn whose<'c>(
    flags: &AccountFlags,
    config: Option<&'c Config>,
    url: &Url,
    report: &mut Report,
) -> Option<(Option<&'c config::Bot>, Account)> {
    let found = config.map(|config| flags.bot(config, url)).transpose();
    let found = match found {
        Err(_) if flags.suffice() => Ok(None),
        found => found,
    };
    let bot = match found {
        Ok(bot) => bot,
        Err(why) => {
            report.problem(&Fault::new(why, "correct the path, or name the bot with `--bot`"));
            return None;
        }
    };
    if let Some(bot) = bot.filter(|bot| !bot.unset.is_empty() && flags.token.is_none()) {
        // That a variable is not set has been said, as a problem of bots.toml.
        report.note(format_args!("it is not called, because {}", unset(bot)));
        return None;
    }
    match flags.account(bot) {
        Ok(account) => Some((bot, account)),
        Err(why) => {
            report.problem(&Fault::new(why, "correct the command line"));
            None
        }
    }
}

/// Compares what the flags say, which is what the console shows, with the bot.
fn agrees(account: &Account, flags: &AccountFlags, bot: Option<&config::Bot>, report: &mut Report) -> bool {
    let Some(bot) = bot.filter(|bot| bot.unset.is_empty()) else { return true };
    if flags.token.is_some() && account.token.expose() != bot.token.expose() {
        report.problem(&fault::token_differs());
        return false;
    }
    let (true, Some(console)) = (flags.aes_key.is_some(), &account.cipher) else { return true };
    let Some(own) = &bot.cipher else {
        report.problem(&fault::no_key());
        return false;
    };
    match own.decrypt(&console.encrypt(WhichKey::Current, [0; 16], b"")) {
        Ok(_) => true,
        Err(error) => {
            report.problem(&fault::undecipherable(&error));
            false
        }
    }
}

/// Says what was found, line by line, as it is found.
pub(super) struct Report {
    colour: bool,
    problems: usize,
    warnings: usize,
}

impl Report {
    fn new() -> Self {
        Self { colour: std::io::stdout().is_terminal(), problems: 0, warnings: 0 }
    }

    fn section(&mut self, title: &str) {
        say(&harmless(title));
    }

    fn line(&self, level: &str, colour: u8, text: &dyn Display) {
        // One line a finding, whatever a stranger's answer has in it.
        let text = harmless(&text.to_string()).replace('\n', "\\n");
        if self.colour {
            say(&format!("  \u{1b}[{colour}m{level:8}\u{1b}[0m {text}"));
        } else {
            say(&format!("  {level:8} {text}"));
        }
    }

    /// All is well.
    fn ok(&self, text: impl Display) {
        self.line("ok", 32, &text);
    }

    /// Worth knowing, and no fault.
    fn note(&self, text: impl Display) {
        self.line("note", 36, &text);
    }

    /// Hardly meant, but WeChat would not refuse it.
    fn warning(&mut self, fault: &Fault) {
        self.warnings += 1;
        self.line("warning", 33, fault);
    }

    /// WeChat would refuse it, or messages would be lost.
    fn problem(&mut self, fault: &Fault) {
        self.problems += 1;
        self.line("problem", 31, fault);
    }

    fn summary(&self) {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        say(&match (self.problems, self.warnings) {
            (0, 0) => "nothing is wrong".into(),
            (0, warnings) => count(warnings, "warning"),
            (problems, 0) => count(problems, "problem"),
            (problems, warnings) => format!("{}, {}", count(problems, "problem"), count(warnings, "warning")),
        });
    }
}

//! Which account a URL is, and how it is reached: what `send` and `doctor` ask alike.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use url::Url;

use super::Refused;
use crate::{
    caller::{Account, Way},
    config::{self, Config, normal_path},
    limits,
    secret::Secret,
    wechat::cipher::{AesKey, Cipher},
};

/// Whose URL it is.
#[derive(Args)]
pub(super) struct AccountFlags {
    /// The bot of bots.toml; by default the one with the URL's path, or the only one
    #[arg(long, value_name = "NAME")]
    pub(super) bot: Option<String>,
    /// The Token as it stands in the account's console, in place of the bot's
    #[arg(long)]
    pub(super) token: Option<String>,
    /// The AppID as it stands in the account's console, in place of the bot's
    #[arg(long, requires = "aes_key")]
    pub(super) app_id: Option<String>,
    /// The EncodingAESKey as it stands in the account's console, in place of the bot's
    #[arg(long, value_name = "KEY")]
    pub(super) aes_key: Option<String>,
    /// Connect here instead of to the URL's host, as for a name that does not point here yet
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<SocketAddr>,
    /// Trust the certificate authorities in this PEM file, too
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

impl AccountFlags {
    /// How the URL is reached.
    pub(super) fn way(&self) -> Result<Way, Refused> {
        let pem = match &self.cacert {
            Some(path) => config::read_bounded(path, limits::CONFIG_FILE)
                .with_context(|| format!("cannot read `{}`", path.display()))?,
            None => Vec::new(),
        };
        let mut way = Way::new(&pem).map_err(|why| anyhow!("`--cacert` is no PEM file of certificates: {why}"))?;
        way.connect = self.connect;
        Ok(way)
    }

    /// Whether the flags alone say who the account is.
    pub(super) fn suffice(&self) -> bool {
        self.token.is_some() && (self.aes_key.is_none() || self.app_id.is_some())
    }

    /// The bot that is meant: the named one, the one at the URL's path, or the only one.
    pub(super) fn bot<'c>(&self, config: &'c Config, url: &Url) -> Result<&'c config::Bot, String> {
        if let Some(name) = &self.bot {
            let found = config.bots.iter().find(|bot| *bot.name == **name);
            return found.ok_or_else(|| format!("there is no bot `{name}`; there are {}", config.bot_names()));
        }
        let path = normal_path(url.path());
        match (config.bots.iter().find(|bot| bot.path == path), config.bots.as_slice()) {
            (Some(bot), _) | (None, [bot]) => Ok(bot),
            (None, bots) => {
                let mut paths = String::new();
                for bot in bots {
                    let _ = write!(
                        paths,
                        "{}`{}/` (bot `{}`)",
                        if paths.is_empty() { "" } else { ", " },
                        bot.path,
                        bot.name
                    );
                }
                Err(format!("no bot has the path `{}`; there are {paths}", url.path()))
            }
        }
    }

    /// The account: what the flags say, and else the bot.
    pub(super) fn account(&self, bot: Option<&config::Bot>) -> Result<Account, String> {
        let token = match (&self.token, bot) {
            (Some(token), _) => Secret::new(token.trim()),
            (None, Some(bot)) if bot.token.expose().is_empty() => return Err(unset(bot)),
            (None, Some(bot)) => bot.token.clone(),
            (None, None) => return Err("the token is not known: give `--token`".into()),
        };
        let of_bot = bot.filter(|bot| bot.unset.is_empty()).and_then(|bot| bot.cipher.clone());
        let cipher = match &self.aes_key {
            None => of_bot,
            Some(key) => {
                let key = AesKey::parse(key.trim()).map_err(|error| format!("`--aes-key`: {error}"))?;
                let app_id = self.app_id.clone().or_else(|| of_bot.map(|cipher| cipher.app_id().to_owned()));
                let app_id = app_id.ok_or("`--aes-key` needs `--app-id`, too")?;
                Some(Cipher::new(key, None, app_id))
            }
        };
        Ok(Account { token, cipher })
    }
}

/// The secrets of a bot are not known here.
pub(super) fn unset(bot: &config::Bot) -> String {
    let names: Vec<String> = bot.unset.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "the secrets of bot `{}` are not known here: set {} as for the server, or give `--token`",
        bot.name,
        names.join(", ")
    )
}

/// A URL of an account.
pub(super) fn read_url(text: &str) -> Result<Url, String> {
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => {
            let hint = match text.split_once("://") {
                None if !text.is_empty() => format!("; did you mean `http://{text}`?"),
                _ => String::new(),
            };
            return Err(format!("`{text}` is no URL that begins with `http://` or `https://`{hint}"));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a name and a password is none that WeChat takes".into());
    }
    Ok(url)
}

/// Says a line on standard output. Whoever reads it may have seen enough, as `head` does.
pub(super) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Text of a stranger's, fit for a terminal: what could move the cursor or change colours is shown as an escape.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

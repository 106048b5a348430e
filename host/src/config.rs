//! `bots.toml` as values that are valid once they exist.
//!
//! [`load`] reads the file and everything it points to, and reports every problem at once; it never stops at the first.

mod account;
pub mod addition;
mod allow;
pub mod pattern;
pub mod problems;
mod reader;
mod replies;
mod reply;
pub mod rule;
mod rules;
mod secrets;
mod table;
mod values;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use toml::de::DeTable;

pub use self::allow::{Allow, FRAMING_HEADERS, HttpGrant, Origin};
pub use self::values::{Files, Origins, Print, Secrets, read_bounded};
use self::{
    problems::{Problem, Problems, SourceId},
    reader::Reader,
    rule::{Action, Rule},
    table::{Table, list},
};
use crate::{
    limits,
    secret::Secret,
    wechat::{cipher::Cipher, reply::CheckedReply},
};

/// What asks for a kept answer.
const LATE_WORD: &str = "继续";

/// All of `bots.toml`.
#[derive(Debug)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[bots.NAME]`, in the order of the file.
    pub bots: Vec<Bot>,
    /// `[plugins.NAME]`, by name.
    pub plugins: BTreeMap<Arc<str>, Plugin>,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where WeChat, or the proxy before us, calls.
    pub listen: SocketAddr,
    /// Where operators ask how the server is doing; nowhere unless it is given.
    pub admin: Option<SocketAddr>,
    /// An IANA time zone, which plugins see as TZ.
    pub timezone: String,
    /// How many connections may be open at one time.
    pub connections: usize,
    /// The file of the embedded database.
    pub state: PathBuf,
}

/// `[bots.NAME]`: one Official Account.
#[derive(Debug)]
pub struct Bot {
    /// NAME.
    pub name: Arc<str>,
    /// The path of the URL that WeChat calls, without its closing slash.
    pub path: String,
    /// The token of the account's server configuration.
    pub token: Secret,
    /// Whether that is the `default` beside an environment variable that is not set.
    pub token_is_default: bool,
    /// The environment variables that its secrets need and that are not set, where that is no error.
    pub unset: Vec<String>,
    /// Decrypts and encrypts where the account uses compatible or safe mode.
    pub cipher: Option<Cipher>,
    /// What calls of the WeChat API need; without it there are none.
    pub api: Option<Api>,
    /// Whether plaintext messages are refused.
    pub require_encryption: bool,
    /// What a follower gets when a plugin fails; silence where none is given.
    pub on_error: CheckedReply,
    /// How a follower leaves a conversation.
    pub escape: Escape,
    /// What happens to answers that come too late, or are too long.
    pub late: Late,
    /// The rules, from top to bottom.
    pub rules: Arc<[Rule]>,
}

/// `escape`: how a follower leaves a conversation.
#[derive(Debug, Clone)]
pub struct Escape {
    /// The texts that leave it.
    pub words: Vec<String>,
    /// What is said then.
    pub reply: CheckedReply,
}

/// What calls of the WeChat API need.
#[derive(Debug, Clone)]
pub struct Api {
    /// The account's app id.
    pub app_id: Arc<str>,
    /// Its secret, which is exchanged for access tokens.
    pub app_secret: Secret,
    /// Where the API is, without a slash at its end.
    pub base: String,
}

/// `late`: answers that come too late are kept until the follower asks for them, or pushed.
#[derive(Debug, Clone)]
pub struct Late {
    /// Whether they are sent as customer-service messages, and kept only where that is impossible.
    pub push: bool,
    /// The texts that ask for them; never empty.
    pub words: Vec<String>,
    /// What is said in place of an answer that is not there in time.
    pub reply: String,
    /// The same where the answer is certain to be kept.
    pub kept_reply: String,
}

/// `[plugins.NAME]`.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Where `bots.toml` names the component's file, in bytes.
    pub span: Range<usize>,
    /// The component's file.
    pub wasm: PathBuf,
    /// The digest that the component must have, in lower-case hex.
    pub sha256: Option<String>,
    /// The shell command that builds it, run in the folder of `bots.toml`.
    pub build: Option<String>,
    /// Patterns of the files that it is built from, relative to the folder of `bots.toml`; none where `mynah dev` is to find out.
    pub watch: Option<Vec<String>>,
    /// What the plugin gets from its `config` import.
    pub config: Arc<BTreeMap<String, String>>,
    /// Bounds on each of its runs.
    pub limits: Limits,
    /// What of the outside it may reach.
    pub allow: Arc<Allow>,
    /// Whether an instance answers more than one message.
    pub instances: Instances,
}

/// `instances`: what of a plugin's memory the next message meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instances {
    /// Nothing: each message has an instance of its own.
    #[default]
    Fresh,
    /// What earlier messages left: an instance answers several, one after the other.
    Reuse {
        /// How many it answers before a fresh one takes its place.
        messages: u32,
    },
}

/// `[plugins.NAME.limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time for one message.
    pub time: Duration,
    /// Bytes of linear memory.
    pub memory: u64,
}

/// What came of reading a configuration.
pub struct Loaded {
    /// The configuration; none when there is an error among the problems.
    pub config: Option<Config>,
    /// Everything that is wrong with it.
    pub problems: Problems,
    /// The configuration's own file in [`Loaded::problems`], for whoever finds more.
    pub source: Option<SourceId>,
    /// Every file that was read, or should have been.
    pub files: Files,
}

/// Reads `path` and all that it points to; `env` looks up an environment variable.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>, secrets: Secrets) -> Loaded {
    // Before it is read, so that a change meanwhile is one.
    let print = Print::of(path);
    let name = path.display();
    let text = match read_bounded(path, limits::CONFIG_FILE) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
            Problem::error(format!("`{name}` is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
        }),
        Err(error) => {
            let mut problem = Problem::error(format!("cannot read `{name}`: {error}"));
            if error.kind() == std::io::ErrorKind::NotFound {
                problem = problem
                    .hint("run mynah in the folder that holds your `bots.toml`, or name the file with `--config`");
            }
            Err(problem)
        }
    };
    match text {
        Ok(text) => load_text(path, print, &text, env, secrets),
        Err(problem) => {
            let mut problems = Problems::default();
            problems.push(problem);
            let files = Files::from([(path.to_owned(), print)]);
            Loaded { config: None, problems, source: None, files }
        }
    }
}

/// Reads a configuration that is there as text; `path` says where relative paths begin, and what it is called.
pub fn load_text(
    path: &Path,
    print: Option<Print>,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    secrets: Secrets,
) -> Loaded {
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut origins = Origins { base, env, secrets, unset: Vec::new(), files: Files::from([(path.to_owned(), print)]) };
    let mut problems = Problems::default();
    let name = path.display().to_string();

    let (table, errors) = DeTable::parse_recoverable(text);
    let span = table.span();
    let table = table.into_inner();
    let mut hidden = secrets::in_table(&table);
    if !errors.is_empty() {
        hidden.extend(secrets::in_broken_text(text));
    }
    let source = problems.add_source(name, text, &hidden);
    for error in &errors {
        let problem = Problem::error(format!("not valid TOML: {}", error.message()));
        problems.push(match error.span() {
            Some(place) => problem.at(source, place),
            None => problem,
        });
    }
    let config = if errors.is_empty() {
        let newlines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let lines = |at: usize| newlines.partition_point(|newline| *newline < at) + 1;
        let mut reader = Reader { source, lines: &lines, origins: &mut origins, problems: &mut problems };
        Some(reader.config(Table::new(table, span, source)))
    } else {
        None
    };
    Loaded { config: config.filter(|_| !problems.has_errors()), problems, source: Some(source), files: origins.files }
}

/// The configuration of a transcript: where it has no bot, there is one that gives everything to its first plugin.
pub fn with_a_bot(text: &str) -> String {
    let (table, _) = DeTable::parse_recoverable(text);
    let table = table.get_ref();
    let has_bots = table.keys().any(|key| key.get_ref() == "bots");
    let plugins = table.iter().find(|(key, _)| key.get_ref() == "plugins");
    let first = plugins.and_then(|(_, plugins)| plugins.get_ref().as_table()?.keys().next().cloned());
    match first {
        Some(plugin) if !has_bots => {
            let plugin = plugin.get_ref();
            format!(
                "{text}\n[bots.test]\npath = \"/\"\ntoken = \"transcript\"\n[[bots.test.rules]]\nplugin = \"{plugin}\"\n\
                 [[bots.test.rules]]\nevent = \"*\"\nplugin = \"{plugin}\"\n"
            )
        }
        _ => text.to_owned(),
    }
}

impl Bot {
    /// Whether one of the rules calls the plugin of this name.
    pub fn uses(&self, plugin: &str) -> bool {
        self.rules.iter().any(|rule| matches!(&rule.action, Action::Plugin(name) if **name == *plugin))
    }
}

impl Late {
    /// The word that is offered.
    pub fn word(&self) -> &str {
        self.words.first().map_or(LATE_WORD, String::as_str)
    }
}

impl Config {
    /// The bots' names, for messages.
    pub fn bot_names(&self) -> String {
        list(self.bots.iter().map(|bot| &*bot.name))
    }
}

/// A path as bots are found by it: WeChat's settings page is often given `/weixin` where the script's route was `/weixin/`.
pub fn normal_path(path: &str) -> &str {
    path.trim_end_matches('/')
}

#[cfg(test)]
mod tests;

//! The command line: one file a verb.

mod account;
mod build;
mod chat;
mod check;
mod componentize;
mod dev;
mod doctor;
mod explain;
mod log;
mod new;
mod plugins;
mod send;
mod serve;
mod state;
mod test;
mod tool;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use self::log::LogFormat;
use crate::{
    config::{Config, Files, Secrets, problems::Problems},
    generation::{self, Checked},
    rehearsal::Notes,
    router::Router,
};

/// The configuration cannot be used, or the command line cannot (EX_USAGE of sysexits).
const BAD_CONFIG: u8 = 64;

/// A chatbot host for WeChat Official Accounts (微信公众号), with sandboxed WebAssembly plugins.
#[derive(Parser)]
#[command(name = "mynah", version, max_term_width = 100)]
struct Arguments {
    /// The configuration; relative paths in it are relative to its folder
    #[arg(short, long, value_name = "FILE", default_value = "bots.toml", global = true)]
    config: PathBuf,
    /// How log lines are written, to standard error; RUST_LOG sets the level
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Answer WeChat's messages
    Serve,
    /// Build the plugins, serve, and build again what changes
    Dev,
    /// Build the plugins, each with the `build` command of its table
    Build {
        /// Only these
        #[arg(value_name = "PLUGIN")]
        plugins: Vec<String>,
    },
    /// Begin a plugin in the language of your choice
    New(new::New),
    /// Talk to the bots in the terminal, as a follower
    Chat(chat::Options),
    /// Say what is wrong with the configuration and its plugins
    Check,
    /// Play transcripts of conversations (*.chat), and say where a reply is not the one expected
    Test(test::Options),
    /// Say which rule answers a message, and why
    Explain(explain::Question),
    /// Say why WeChat would refuse an account's configuration
    Doctor(Box<doctor::Question>),
    /// Send a message to a running server, as WeChat does
    Send(Box<send::Sending>),
    /// List the plugins and how they are doing, or try one again that was rolled back
    Plugins {
        #[command(subcommand)]
        action: Option<plugins::Action>,
    },
    /// List or export what plugins have stored
    State {
        #[command(subcommand)]
        action: state::Action,
    },
    /// Make a component of a core WebAssembly module, for a plugin's `build` command
    Componentize(componentize::Module),
    /// Fetch a compiler from PyPI, once for all plugins, and print its folder, for a plugin's `build` command
    Tool(tool::Tool),
}

/// Why a command did not succeed; everything has been said on standard error.
enum Refused {
    /// The configuration cannot be used.
    Config,
    /// Something else.
    Failed,
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        log::flush();
        eprintln!("error: {error:#}");
        Self::Failed
    }
}

/// Runs the command that the process was started as.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A broken pipe is all that can go wrong here, and nobody is left to hear of it.
            let _ = error.print();
            return if error.use_stderr() { BAD_CONFIG.into() } else { ExitCode::SUCCESS };
        }
    };
    let notes = Notes::default();
    match arguments.verb {
        Verb::Chat(_) | Verb::Test(_) => log::start_notes(&notes),
        // The doctor says by itself all that there is to say; who wants more asks for it.
        Verb::Doctor(_) if std::env::var_os("RUST_LOG").is_none() => {}
        _ => log::start(arguments.log_format, matches!(arguments.verb, Verb::Dev)),
    }
    let path = arguments.config.as_path();
    let done = match arguments.verb {
        Verb::Serve => serve::serve(path),
        Verb::Dev => dev::dev(path),
        Verb::Build { plugins } => build::build(path, &plugins),
        Verb::Chat(options) => chat::chat(path, &options, &notes),
        Verb::Test(options) => test::test(path, &options, &notes),
        Verb::Check => check::check(path),
        Verb::Doctor(question) => doctor::doctor(path, &question),
        Verb::Send(sending) => send::send(path, &sending),
        Verb::Explain(question) => explain::explain(path, &question),
        Verb::Plugins { action } => plugins::plugins(path, action),
        Verb::State { action } => state::state(path, &action),
        Verb::New(plugin) => new::new(path, &plugin),
        Verb::Componentize(module) => componentize::componentize(&module),
        Verb::Tool(tool) => tool::tool(&tool),
    };
    log::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused::Failed) => ExitCode::FAILURE,
        Err(Refused::Config) => BAD_CONFIG.into(),
    }
}

/// Reads the configuration and shows what is wrong with it.
fn load_config(path: &Path) -> Result<Checked, Refused> {
    let checked = read_config(path);
    if !checked.problems.is_empty() {
        show(&checked.problems);
    }
    if checked.routed.is_none() {
        return Err(Refused::Config);
    }
    Ok(checked)
}

/// Reads the configuration as a server would.
fn read_config(path: &Path) -> Checked {
    generation::check(path, &|name| std::env::var(name).ok(), Secrets::Needed)
}

/// Reads the configuration for a command that it only has to be usable for: shows errors, and leaves warnings, and secrets
/// that only the server's own environment has, to `check` and `serve`.
fn load_config_quietly(path: &Path) -> Result<Checked, Refused> {
    let checked = generation::check(path, &|name| std::env::var(name).ok(), Secrets::NotNeeded);
    if checked.routed.is_none() {
        show(&checked.problems);
        return Err(Refused::Config);
    }
    Ok(checked)
}

fn show(problems: &Problems) {
    log::flush();
    eprintln!("{}\n", problems.render(std::io::stderr().is_terminal()));
}

/// Takes a checked configuration apart.
fn routed(checked: Checked) -> Result<(Config, Vec<Router>, Files), Refused> {
    let (config, routers) = checked.routed.ok_or(Refused::Config)?;
    Ok((config, routers, checked.files))
}

/// An async runtime for a command.
fn tokio_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context as _;
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")
}

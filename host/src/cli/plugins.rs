//! `mynah plugins`: how the plugins are doing.

use std::path::Path;

use clap::Subcommand;

use super::{Refused, load_config_quietly, routed, tokio_runtime};
use crate::{
    admin::{self, Retried},
    config::{self, Config, read_bounded},
    digest::digest_of,
    generation::Trouble,
    limits,
    reload::{State, Status},
    versions::{History, Versions},
};

/// What to do with the plugins.
#[derive(Subcommand)]
pub(super) enum Action {
    /// List the plugins and how they are doing; this is what `mynah plugins` alone does
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Try a version again that was rolled back
    Retry {
        /// The plugin's name in `bots.toml`
        #[arg(value_name = "PLUGIN")]
        plugin: String,
    },
}

pub(super) fn plugins(path: &Path, action: Option<Action>) -> Result<(), Refused> {
    let (config, ..) = routed(load_config_quietly(path)?)?;
    match action.unwrap_or(Action::List { json: false }) {
        Action::List { json } => {
            let statuses = statuses(&config)?;
            if json {
                let text = serde_json::to_string_pretty(&statuses).map_err(anyhow::Error::from)?;
                println!("{text}");
            } else {
                print!("{}", table(&statuses, &config.server.timezone));
            }
            Ok(())
        }
        Action::Retry { plugin } => retry(&config, path, &plugin),
    }
}

/// As the running server has it; else as the files do.
fn statuses(config: &Config) -> Result<Vec<Status>, Refused> {
    match config.server.admin {
        Some(address) => {
            let asked = tokio_runtime()?.block_on(admin::ask::<admin::Plugins>(address, "GET", "/plugins"));
            match asked {
                Ok(running) => return Ok(running.plugins),
                Err(error) => {
                    eprintln!("no server answers on {address} (`server.admin`): {error:#}; this is what the files say");
                }
            }
        }
        None => eprintln!("`server.admin` is not set, so no server can be asked; this is what the files say"),
    }
    let folder = Versions::folder_of(&config.server.state);
    let known = Versions::read(&folder)
        .map_err(|error| anyhow::anyhow!("the record of versions in `{}` cannot be read: {error}", folder.display()))?;
    Ok(config.plugins.iter().map(|(name, plugin)| from_files(name, plugin, known.get(&**name))).collect())
}

/// How a plugin will do, as far as its files tell.
fn from_files(name: &str, plugin: &config::Plugin, known: Option<&History>) -> Status {
    let mut status = Status {
        name: name.to_owned(),
        digest: None,
        generation: None,
        since: None,
        calls: None,
        failures: None,
        state: State::Broken,
        trouble: None,
    };
    let proven = known.and_then(|known| known.proven.as_ref());
    let trouble = match read_bounded(&plugin.wasm, limits::COMPONENT_FILE) {
        Err(error) => Trouble::Bad(format!("cannot read `{}`: {error}", plugin.wasm.display())),
        Ok(bytes) => {
            let digest = digest_of(&bytes);
            let rejected = known.and_then(|known| known.rejected.iter().find(|rejected| rejected.digest == digest));
            match rejected {
                Some(rejected) => Trouble::rolled_back(&plugin.wasm, name, rejected),
                None => {
                    let proven = proven.filter(|proven| proven.digest == digest);
                    status.state = if proven.is_some() { State::Ready } else { State::New };
                    status.since = proven.map(|proven| proven.since);
                    status.digest = Some(digest);
                    return status;
                }
            }
        }
    };
    if let Some(proven) = proven.filter(|_| plugin.sha256.is_none()) {
        status.state = if matches!(trouble, Trouble::Bad(_)) { State::Kept } else { State::RolledBack };
        status.digest = Some(proven.digest.clone());
        status.since = Some(proven.since);
    }
    status.trouble = Some(trouble.why().to_owned());
    status
}

fn retry(config: &Config, path: &Path, plugin: &str) -> Result<(), Refused> {
    if !config.plugins.contains_key(plugin) {
        eprintln!("error: there is no plugin `{plugin}` in `{}`", path.display());
        return Err(Refused::Failed);
    }
    if let Some(address) = config.server.admin {
        let request = format!("/plugins/{plugin}/retry");
        if let Ok(Retried { forgiven }) = tokio_runtime()?.block_on(admin::ask(address, "POST", &request)) {
            println!("{}", if forgiven > 0 { "the server tries it again" } else { "nothing of it was rolled back" });
            return Ok(());
        }
    }
    let versions = Versions::open(&Versions::folder_of(&config.server.state));
    let forgiven = versions.forgive(plugin).map_err(anyhow::Error::from)?;
    println!(
        "{}",
        if forgiven > 0 {
            "it is tried again when the server starts, or gets SIGHUP"
        } else {
            "nothing of it was rolled back"
        }
    );
    Ok(())
}

/// One line a plugin, and one for each trouble.
fn table(statuses: &[Status], timezone: &str) -> String {
    let header = ["NAME", "DIGEST", "GENERATION", "SINCE", "CALLS", "FAILURES", "STATE"].map(str::to_owned);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let mut rows = vec![header];
    rows.extend(statuses.iter().map(|status| {
        [
            status.name.clone(),
            status.digest.as_deref().and_then(|digest| digest.get(..12)).unwrap_or("-").to_owned(),
            number(status.generation),
            status.since.and_then(|since| moment(since, timezone)).unwrap_or_else(|| "-".to_owned()),
            number(status.calls),
            number(status.failures),
            // The word that JSON has for it.
            serde_json::to_value(status.state)
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    for status in statuses {
        if let Some(trouble) = &status.trouble {
            text += &format!("\n{}: {trouble}\n", status.name);
        }
    }
    text
}

fn moment(seconds: u64, timezone: &str) -> Option<String> {
    let moment = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(moment.in_tz(timezone).ok()?.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

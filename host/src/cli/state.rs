//! `mynah state`: what plugins have stored, listed and exported, also while the server runs.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{Refused, load_config_quietly, routed, tokio_runtime};
use crate::store::{Entry, Store, sqlite::SqliteStore};

/// Entries that are read at a time.
const PAGE: usize = 1_000;

/// What to do with the state.
#[derive(Subcommand)]
pub(super) enum Action {
    /// List the keys that plugins have stored
    List {
        #[command(flatten)]
        filter: Filter,
    },
    /// Write out keys and values
    Export {
        #[command(flatten)]
        filter: Filter,
        /// JSON Lines, or CSV with a column for each field of the values
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// Into this file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which keys.
#[derive(Args)]
pub(super) struct Filter {
    /// Only of this plugin
    #[arg(value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Only for this bot
    #[arg(long, value_name = "NAME")]
    bot: Option<String>,
    /// Only keys that begin with this
    #[arg(long, value_name = "KEY", default_value = "")]
    prefix: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    Jsonl,
    Csv,
}

pub(super) fn state(path: &Path, action: &Action) -> Result<(), Refused> {
    let (config, ..) = routed(load_config_quietly(path)?)?;
    let store = SqliteStore::open_read_only(&config.server.state).context("cannot open the state (`server.state`)")?;
    let done = match action {
        Action::List { filter } => list(&store, filter, &mut io::stdout().lock()),
        Action::Export { filter, format, output: None } => export(&store, filter, *format, &mut io::stdout().lock()),
        Action::Export { filter, format, output: Some(path) } => {
            let file = File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?;
            let mut file = BufWriter::new(file);
            let written = export(&store, filter, *format, &mut file);
            written.and_then(|()| file.flush().with_context(|| format!("cannot write `{}`", path.display())))
        }
    };
    match done {
        // Whoever reads our output has seen enough, as `head` does.
        Err(error) if error.root_cause().downcast_ref::<io::Error>().is_some_and(is_broken_pipe) => Ok(()),
        done => Ok(done?),
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn list(store: &SqliteStore, filter: &Filter, out: &mut dyn Write) -> anyhow::Result<()> {
    each(store, filter, |entry| {
        let Entry { scope, key, value } = entry;
        writeln!(out, "{}\t{}\t{}\t{} bytes", scope.bot, scope.plugin, key.escape_debug(), value.len())?;
        Ok(())
    })
}

fn export(store: &SqliteStore, filter: &Filter, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
    match format {
        Format::Jsonl => each(store, filter, |entry| {
            let value = match std::str::from_utf8(&entry.value) {
                Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
                Err(_) => json!({ "hex": hex::encode(&entry.value) }),
            };
            let line =
                json!({ "bot": &*entry.scope.bot, "plugin": &*entry.scope.plugin, "key": entry.key, "value": value });
            writeln!(out, "{line}")?;
            Ok(())
        }),
        Format::Csv => export_csv(store, filter, out),
    }
}

/// Writes a table: bot, plugin and key, then the fields of those values that are JSON objects, then `value` for the others.
fn export_csv(store: &SqliteStore, filter: &Filter, out: &mut dyn Write) -> anyhow::Result<()> {
    // Read twice rather than held in memory: the columns are known only at the end.
    let mut columns: Vec<String> = Vec::new();
    let mut has_others = false;
    each(store, filter, |entry| {
        match object(&entry) {
            Some(object) => {
                for name in object.keys() {
                    if !columns.contains(name) {
                        columns.push(name.clone());
                    }
                }
            }
            None => has_others = true,
        }
        Ok(())
    })?;
    // Spreadsheets take a file without this mark for one in the system's old encoding.
    out.write_all("\u{feff}".as_bytes())?;
    let mut table = csv::Writer::from_writer(out);
    // A field of a value may have the name of a column of ours.
    let heading = |name: &String| {
        if ["bot", "plugin", "key", "value"].contains(&name.as_str()) {
            format!("value.{name}")
        } else {
            harmless(name)
        }
    };
    let mut headings: Vec<String> = ["bot", "plugin", "key"].map(str::to_owned).into();
    headings.extend(columns.iter().map(heading));
    headings.extend(has_others.then(|| "value".to_owned()));
    table.write_record(&headings)?;
    each(store, filter, |entry| {
        let mut row = vec![entry.scope.bot.to_string(), entry.scope.plugin.to_string(), harmless(&entry.key)];
        let object = object(&entry);
        for column in &columns {
            row.push(object.as_ref().and_then(|object| object.get(column)).map_or_else(String::new, cell));
        }
        if has_others {
            let other = object.is_none().then(|| harmless(&String::from_utf8_lossy(&entry.value)));
            row.push(other.unwrap_or_default());
        }
        table.write_record(&row)?;
        Ok(())
    })?;
    table.flush()?;
    Ok(())
}

fn object(entry: &Entry) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&entry.value) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

/// A text that no spreadsheet takes for a formula: followers wrote it.
fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    if formula { format!("'{text}") } else { text.to_owned() }
}

/// Hands out every entry that passes the filter, a page at a time.
fn each(store: &SqliteStore, filter: &Filter, mut take: impl FnMut(Entry) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let tokio = tokio_runtime()?;
    let mut last: Option<(crate::store::Scope, String)> = None;
    loop {
        let after = last.as_ref().map(|(scope, key)| (scope, key.as_str()));
        let page = tokio.block_on(store.scan(after, PAGE)).context("cannot read the state")?;
        let Some(end) = page.last() else { return Ok(()) };
        last = Some((end.scope.clone(), end.key.clone()));
        for entry in page {
            let wanted = filter.bot.as_ref().is_none_or(|bot| **bot == *entry.scope.bot)
                && filter.plugin.as_ref().is_none_or(|plugin| **plugin == *entry.scope.plugin)
                && entry.key.starts_with(&filter.prefix);
            if wanted {
                take(entry)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followers_formula_stays_a_text() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("@SUM(A1)"), "'@SUM(A1)");
        assert_eq!(harmless("-5"), "-5");
        assert_eq!(harmless("5-1"), "5-1");
        assert_eq!(cell(&json!("+x")), "'+x");
    }
}

//! Where the log goes, and what it looks like.

mod line;
mod pen;

use std::{
    io::{IsTerminal as _, stderr},
    sync::OnceLock,
};

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::{line::Line, pen::Pen};
use crate::{inbox::DIALOGUE, rehearsal::Notes};

/// How lines are written.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// Writes the log of a server whose standard error is no terminal.
static PEN: OnceLock<Pen> = OnceLock::new();

/// What RUST_LOG asks for.
fn wanted() -> Option<EnvFilter> {
    // A bare level is meant for mynah: the libraries' own lines would bury what an operator looks for.
    match std::env::var("RUST_LOG") {
        Ok(level) if level.parse::<Level>().is_ok() => {
            Some(EnvFilter::new(format!("warn,mynah={level},plugin={level}")))
        }
        Ok(directives) if !directives.is_empty() => Some(EnvFilter::new(directives)),
        _ => None,
    }
}

/// Keeps what is logged for whoever asks what came of a message; shows it only where RUST_LOG asks for it.
pub(super) fn start_notes(notes: &Notes) {
    let kept = Targets::new().with_target("mynah", Level::DEBUG).with_target("plugin", Level::TRACE);
    let shown = wanted().map(|filter| tracing_subscriber::fmt::layer().with_writer(stderr).with_filter(filter));
    // For all layers, not for the notes alone: after `tracing::enabled!`, a layer with a filter of its own may miss a line.
    tracing_subscriber::registry().with(kept).with(notes.layer()).with(shown).init();
}

/// Begins to log to standard error.
pub(super) fn start(format: LogFormat, dialogue: bool) {
    let usual = if dialogue {
        EnvFilter::new(format!("warn,mynah=info,plugin=info,{DIALOGUE}=info"))
    } else {
        EnvFilter::new("warn,mynah=info,plugin=info")
    };
    let filter = wanted().unwrap_or(usual);
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    if stderr().is_terminal() {
        let log = log.with_writer(stderr);
        return match format {
            LogFormat::Text => log.with_target(false).init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        };
    }
    let Ok(pen) = Pen::start(stderr) else {
        // No thread can be had, and it is the server's to say so.
        return log.with_writer(stderr).with_ansi(false).with_target(false).init();
    };
    let pen = PEN.get_or_init(|| pen);
    match format {
        LogFormat::Text => log.with_ansi(false).event_format(Line).fmt_fields(Line).with_writer(|| pen.clone()).init(),
        LogFormat::Json => log.json().flatten_event(true).with_writer(|| pen.clone()).init(),
    }
}

/// Waits, for a bounded time, until everything that was logged is written.
pub(super) fn flush() {
    if let Some(pen) = PEN.get() {
        pen.flush();
    }
}

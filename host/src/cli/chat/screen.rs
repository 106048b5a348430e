//! Where a chat is typed and shown: a terminal, with line editing and colours, or a pipe, which gets a transcript.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use rustyline::{DefaultEditor, ExternalPrinter as _, error::ReadlineError};

/// A line that is longer is no message: WeChat's texts have at most 2,048 bytes.
const LINE: u64 = 1 << 20;

/// Lines that the arrow keys bring back.
const HISTORY: usize = 1000;

/// The user's side.
pub(super) struct Screen {
    editor: Option<DefaultEditor>,
    /// Whether colours are wanted.
    colour: bool,
    above: Above,
}

/// Prints above the line that is being typed; nothing in a pipe.
#[derive(Clone)]
pub(super) struct Above(Option<Arc<Mutex<Print>>>);

type Print = dyn FnMut(String) + Send;

/// How something is shown on a terminal.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Plain,
    /// Whose message it is.
    Name,
    /// What the host says, not a bot.
    Aside,
    Trouble,
}

impl Screen {
    pub(super) fn open() -> anyhow::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self { editor: None, colour: false, above: Above(None) });
        }
        let settings = rustyline::Config::builder().max_history_size(HISTORY).context("no room for a history")?;
        let mut editor = DefaultEditor::with_config(settings.build()).context("cannot use this terminal")?;
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let above = editor.create_external_printer().ok().map(|mut printer| {
            // Nobody is left to be told when the terminal has gone.
            let print = move |text: String| drop(printer.print(text));
            Arc::new(Mutex::new(print)) as Arc<Mutex<Print>>
        });
        Ok(Self { editor: Some(editor), colour, above: Above(above) })
    }

    /// Whether a person sits there.
    pub(super) fn is_terminal(&self) -> bool {
        self.editor.is_some()
    }

    /// Prints while a line is being typed.
    pub(super) fn above(&self) -> Above {
        self.above.clone()
    }

    /// The next line; none at the end.
    pub(super) fn read(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        let Some(editor) = &mut self.editor else {
            let mut line = Vec::new();
            let read = io::Read::take(io::stdin().lock(), LINE).read_until(b'\n', &mut line).context("cannot read")?;
            return Ok((read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()));
        };
        match editor.readline(prompt) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    editor.add_history_entry(&line).context("cannot keep the line")?;
                }
                Ok(Some(line))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }

    /// Shows some lines.
    pub(super) fn print(&self, style: Style, text: &str) -> anyhow::Result<()> {
        writeln!(io::stdout(), "{}", self.styled(style, text)).context("cannot write")
    }

    pub(super) fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.colour => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Name => "1;32",
            Style::Aside => "2",
            Style::Trouble => "33",
        };
        // Each line by itself, so that no pager or wrapped line takes the colour along.
        let lines: Vec<String> = text.split('\n').map(|line| format!("\u{1b}[{code}m{line}\u{1b}[0m")).collect();
        lines.join("\n")
    }
}

impl Above {
    pub(super) fn print(&self, text: &str) {
        if let Some(print) = &self.0 {
            let mut print = print.lock().unwrap_or_else(PoisonError::into_inner);
            print(format!("{text}\n"));
        }
    }
}

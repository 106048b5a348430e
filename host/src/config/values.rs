//! Values of `bots.toml` that check themselves, and values that come from elsewhere: files and the environment.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read as _,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::de::DeValue;

use super::{
    problems::{Problem, Problems, SourceId},
    table::{Entry, Table, Value, described},
};
use crate::limits;

/// Where values come from that `bots.toml` only points to, and a note of every file that was read, for the watcher.
pub struct Origins<'a> {
    /// Relative paths are relative to this folder: that of `bots.toml`.
    pub base: PathBuf,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What a variable that is not set means.
    pub secrets: Secrets,
    /// The variables that were looked for and are not set, where that is no error.
    pub unset: Vec<String>,
    /// Every file that was read, or should have been.
    pub files: Files,
}

/// Whether the configuration is read to be served, or by a command that never uses a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// A variable that is not set is an error.
    Needed,
    /// It is not: the server's environment is its own.
    NotNeeded,
}

/// Files, each as it was just before it was read; none where it was not there.
pub type Files = BTreeMap<PathBuf, Option<Print>>;

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Print {
    /// A file as it is now; none where it is not there.
    pub fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&data);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: data.modified().ok(), bytes: data.len(), inode })
    }
}

impl Origins<'_> {
    /// Where a path of `bots.toml` really is.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Reads a file as UTF-8 text without its byte order mark. The error says why not, in words.
    pub fn read_text(&mut self, path: &str) -> Result<String, String> {
        let resolved = self.resolve(path);
        self.files.insert(resolved.clone(), Print::of(&resolved));
        let bytes = read_bounded(&resolved, limits::CONFIG_FILE);
        let bytes = bytes.map_err(|error| format!("cannot read `{path}`: {error}"))?;
        let mut text = String::from_utf8(bytes)
            .map_err(|error| format!("`{path}` is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(text)
    }
}

/// Reads a file that may not be larger than `limit` bytes.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    // Opening a pipe that nobody writes to would wait for ever.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

/// Text that was given as it is, or as `{ env = "NAME", default = "…" }`, or as `{ file = "PATH" }`.
pub(super) struct Sourced {
    pub(super) text: String,
    pub(super) origin: Origin,
    pub(super) span: Range<usize>,
}

/// Where a [`Sourced`] text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Literal,
    Variable,
    Default,
    File,
    /// From a variable that is not set, where that does not matter; the text is empty.
    NotNeeded,
}

/// Reads a [`Sourced`] text. `what` names it in messages, which never show it.
pub(super) fn sourced(
    entry: Entry<'_>,
    what: &str,
    source: SourceId,
    origins: &mut Origins<'_>,
    problems: &mut Problems,
) -> Option<Sourced> {
    let span = entry.value.span();
    let (text, origin) = match entry.value.into_inner() {
        DeValue::String(text) => (text.into_owned(), Origin::Literal),
        DeValue::Table(entries) => {
            let mut table = Table::new(entries, span.clone(), source);
            let name = table.get::<String>("env", problems);
            let default = table.get::<String>("default", problems);
            let path = table.get::<String>("file", problems);
            table.finish(what, problems);
            match (name, path) {
                (Some(name), None) => match (origins.env)(name.get_ref()).filter(|value| !value.is_empty()) {
                    Some(value) => (value, Origin::Variable),
                    None => match default {
                        Some(default) => (default.into_inner(), Origin::Default),
                        None if origins.secrets == Secrets::NotNeeded => {
                            origins.unset.push(name.into_inner());
                            (String::new(), Origin::NotNeeded)
                        }
                        None => {
                            problems.push(
                                Problem::error(format!(
                                    "{what}: the environment variable `{}` is not set or empty",
                                    name.get_ref()
                                ))
                                .at(source, name.span())
                                .hint("set it, or give a `default` beside `env`"),
                            );
                            return None;
                        }
                    },
                },
                (None, Some(path)) => match origins.read_text(path.get_ref()) {
                    Ok(text) => (text, Origin::File),
                    Err(why) => {
                        problems.push(Problem::error(format!("{what}: {why}")).at(source, path.span()));
                        return None;
                    }
                },
                _ => {
                    problems.push(
                        Problem::error(format!("{what} needs either `env` or `file`")).at(source, span).hint(
                            "a string, `{ env = \"NAME\" }`, `{ env = \"NAME\", default = \"…\" }` or `{ file = \"PATH\" }`",
                        ),
                    );
                    return None;
                }
            }
        }
        other => {
            problems.push(
                Problem::error(format!("{what} must be a string, not {}", described(&other))).at(source, span).hint(
                    "a string, `{ env = \"NAME\" }`, `{ env = \"NAME\", default = \"…\" }` or `{ file = \"PATH\" }`",
                ),
            );
            return None;
        }
    };
    Some(Sourced { text, origin, span })
}

/// One string, or a list of them; empty ones and empty lists are reported.
pub(super) fn strings(
    entry: Entry<'_>,
    key: &str,
    source: SourceId,
    problems: &mut Problems,
) -> Vec<(String, Range<usize>)> {
    let span = entry.value.span();
    let values: Vec<Value<'_>> = match entry.value.into_inner() {
        DeValue::Array(values) if values.is_empty() => {
            problems.push(
                Problem::error(format!("`{key}` is an empty list, so its rule could never match")).at(source, span),
            );
            return Vec::new();
        }
        DeValue::Array(values) => values.into_iter().collect(),
        single => vec![Value::new(span, single)],
    };
    let mut strings = Vec::with_capacity(values.len());
    for value in values {
        let span = value.span();
        match value.into_inner() {
            DeValue::String(text) if text.trim().is_empty() => {
                problems.push(Problem::error(format!("`{key}` must not be empty")).at(source, span));
            }
            DeValue::String(text) => strings.push((text.into_owned(), span)),
            other => problems.push(
                Problem::error(format!("`{key}` must be a string or a list of strings, not {}", described(&other)))
                    .at(source, span),
            ),
        }
    }
    strings
}

/// A span of time as people write it: `4s`, `500ms`, `2m 30s`.
pub(super) struct HumanDuration(pub(super) Duration);

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("`{text}` is no span of time such as `4s` or `500ms`: {error}")))
    }
}

/// A number of bytes as people write it: `64 MiB`.
pub(super) struct HumanSize(pub(super) u64);

impl<'de> Deserialize<'de> for HumanSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| D::Error::custom(format!("`{text}` is no size such as `64 MiB`")))
    }
}

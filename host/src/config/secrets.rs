//! Which bytes of `bots.toml` must never be shown.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Keys whose values are secrets. A plugin's `config` may hold an API key, so all of it counts.
const SECRET_KEYS: [&str; 6] = ["token", "app_secret", "encoding_aes_key", "previous_aes_key", "headers", "config"];

/// Keys whose values may be shown, with all that is in them. Any other text is not: the key may be a secret's, misspelt.
const HARMLESS_KEYS: [&str; 35] = [
    "listen",
    "admin",
    "state",
    "timezone",
    "connections",
    "path",
    "on_error",
    "keyword",
    "prefix",
    "contains",
    "regex",
    "type",
    "event",
    "key",
    "scene",
    "plugin",
    "reply",
    "replies",
    "treat_as",
    "wasm",
    "build",
    "limits",
    "instances",
    "sha256",
    "app_id",
    "api",
    "require_encryption",
    "escape",
    "late",
    "env",
    "file",
    "time",
    "memory",
    "wechat",
    "private",
];

/// The places of all secrets in a parsed file.
pub(super) fn in_table(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for (key, value) in table {
        collect(key.get_ref(), value.get_ref(), value.span(), &mut spans);
    }
    spans
}

fn collect(key: &str, value: &DeValue<'_>, span: Range<usize>, spans: &mut Vec<Range<usize>>) {
    if HARMLESS_KEYS.contains(&key) {
        return;
    }
    match value {
        // An origin of `allow.http`, unless it holds a password; a table there has headers, which are secrets.
        DeValue::String(text) if ["http", "url"].contains(&key) && !text.contains('@') => {}
        DeValue::Table(table) => {
            for (key, value) in table {
                collect(key.get_ref(), value.get_ref(), value.span(), spans);
            }
        }
        DeValue::Array(values) => {
            for value in values {
                collect(key, value.get_ref(), value.span(), spans);
            }
        }
        DeValue::String(_) => spans.push(span.start + 1..span.end.saturating_sub(1)),
        _ => spans.push(span),
    }
}

/// The places that may be secrets in a file that does not parse, judged line by line and rather too many than too few: a line is
/// shown up to the first word that could name a secret, and whole only when it begins with a key that is known to be harmless.
pub(super) fn in_broken_text(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let indent = line.len() - line.trim_start().len();
        let body = line.trim_start();
        let word_end = body.find(|c: char| !c.is_alphanumeric() && !"_-.\"'".contains(c)).unwrap_or(body.len());
        let word = body[..word_end].trim_matches(['"', '\'']);
        let named = SECRET_KEYS.iter().filter_map(|key| line.find(key).map(|at| at + key.len())).min();
        if let Some(at) = named {
            spans.push(start + at..end);
        } else if !body.starts_with(['[', '#']) && !HARMLESS_KEYS.contains(&word) {
            spans.push(start + indent + word_end..end);
        }
        start = end;
    }
    spans
}

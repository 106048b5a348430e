//! Reads `[[bots.NAME.rules]]`.

use std::{ops::Range, sync::Arc};

use toml::de::DeValue;

use super::{
    pattern::{Glob, Pattern},
    problems::{Problem, Problems, SourceId},
    replies, reply,
    rule::{Action, Events, Rule},
    table::{Table, Value, described, list, nearest},
    values::{Origins, strings},
};

/// The message types that WeChat documents.
const KINDS: [&str; 9] =
    ["text", "image", "voice", "video", "shortvideo", "location", "link", "file", "miniprogrampage"];

/// The events that WeChat documents and that bots are usually about, for hints.
const EVENTS: [&str; 16] = [
    "subscribe",
    "unsubscribe",
    "SCAN",
    "LOCATION",
    "CLICK",
    "VIEW",
    "view_miniprogram",
    "scancode_push",
    "scancode_waitmsg",
    "pic_sysphoto",
    "pic_photo_or_album",
    "pic_weixin",
    "location_select",
    "TEMPLATESENDJOBFINISH",
    "MASSSENDJOBFINISH",
    "PUBLISHJOBFINISH",
];

/// The plugins that rules may name, for messages.
pub(super) struct Known<'a> {
    pub(super) plugins: &'a [&'a str],
    /// The line in which a byte stands, counted from 1.
    pub(super) lines: &'a dyn Fn(usize) -> usize,
}

/// Reads a bot's `rules`.
pub(super) fn rules(
    value: Value<'_>,
    source: SourceId,
    known: &Known<'_>,
    origins: &mut Origins<'_>,
    problems: &mut Problems,
) -> Vec<Rule> {
    let span = value.span();
    let DeValue::Array(values) = value.into_inner() else {
        problems.push(Problem::error("`rules` must be tables that begin with `[[bots.NAME.rules]]`").at(source, span));
        return Vec::new();
    };
    values
        .into_iter()
        .filter_map(|value| {
            let table = Table::from_value(value, "a rule", source, problems)?;
            rule(table, known, origins, problems)
        })
        .collect()
}

fn rule(mut table: Table<'_>, known: &Known<'_>, origins: &mut Origins<'_>, problems: &mut Problems) -> Option<Rule> {
    let (source, span) = (table.source(), table.span.clone());
    let errors_before = problems.len();
    let texts = |table: &mut Table<'_>, key: &'static str, problems: &mut Problems| {
        table.take(key).map_or_else(Vec::new, |entry| strings(entry, key, source, problems))
    };
    let plain = |list: Vec<(String, Range<usize>)>| list.into_iter().map(|(text, _)| text).collect::<Vec<_>>();

    let first_text_key = ["keyword", "prefix", "contains", "regex"].into_iter().find(|key| table.contains(key));
    let (has_type, has_key, has_scene) = (table.contains("type"), table.contains("key"), table.contains("scene"));
    let keyword = plain(texts(&mut table, "keyword", problems));
    let prefix = plain(texts(&mut table, "prefix", problems));
    let contains = plain(texts(&mut table, "contains", problems));
    let regex = texts(&mut table, "regex", problems)
        .into_iter()
        .filter_map(|(text, place)| pattern(&text, place, source, problems))
        .collect();
    let kind = kinds(texts(&mut table, "type", problems), source, problems);
    let event = events(texts(&mut table, "event", problems), source, problems);
    let key = texts(&mut table, "key", problems).into_iter().map(|(text, _)| Glob::parse(&text)).collect();
    let scene = texts(&mut table, "scene", problems)
        .into_iter()
        .map(|(text, _)| Glob::parse(text.strip_prefix("qrscene_").unwrap_or(&text)))
        .collect();

    let mut never = |message: String, hint: &str| {
        problems.push(Problem::error(message).at(source, span.clone()).hint(hint));
    };
    if event == Events::None {
        if has_key {
            never("`key` without `event` never matches: only events have a key".into(), "add `event = \"CLICK\"`");
        }
        if has_scene {
            never(
                "`scene` without `event` never matches: only events have a scene".into(),
                "add `event = [\"subscribe\", \"SCAN\"]`",
            );
        }
    } else {
        if has_type {
            never("`type` and `event` in one rule never match together".into(), "make two rules of it");
        }
        if let Some(text_key) = first_text_key {
            never(
                format!("`{text_key}` and `event` in one rule never match together: an event has no text"),
                "for a menu button's key write `key = \"…\"`",
            );
        }
    }

    let action = action(&mut table, known, origins, problems);
    table.finish("a rule", problems);
    if problems.len() > errors_before && action.is_none() {
        return None;
    }
    Some(Rule {
        line: (known.lines)(span.start),
        span,
        keyword,
        prefix,
        contains,
        regex,
        kind,
        event,
        key,
        scene,
        action: action?,
    })
}

fn action(
    table: &mut Table<'_>,
    known: &Known<'_>,
    origins: &mut Origins<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    const ACTIONS: [&str; 4] = ["plugin", "reply", "replies", "treat_as"];
    let (source, span) = (table.source(), table.span.clone());
    let given: Vec<_> = ACTIONS.into_iter().filter(|key| table.contains(key)).collect();
    let entries: Vec<_> = ACTIONS.into_iter().map(|key| table.take(key)).collect();
    let [only] = given.as_slice() else {
        let message = match given.as_slice() {
            [] => "this rule does nothing".to_owned(),
            several => format!("this rule does several things: {}", list(several.iter().copied())),
        };
        let hint = format!("give it one of {}", list(ACTIONS.into_iter()));
        problems.push(Problem::error(message).at(source, span).hint(hint));
        return None;
    };
    let entry = entries.into_iter().flatten().next()?;
    match *only {
        "reply" => reply::fixed_reply(entry, source, problems).map(Action::Reply),
        "replies" => replies::rows(entry, source, known.lines, origins, problems).map(Action::Replies),
        only => {
            let place = entry.value.span();
            let text = match entry.value.into_inner() {
                DeValue::String(text) if !text.trim().is_empty() => text.into_owned(),
                DeValue::String(_) => {
                    problems.push(Problem::error(format!("`{only}` must not be empty")).at(source, place));
                    return None;
                }
                other => {
                    let message = format!("`{only}` must be a string, not {}", described(&other));
                    problems.push(Problem::error(message).at(source, place));
                    return None;
                }
            };
            if only == "treat_as" {
                return Some(Action::TreatAs(text));
            }
            if !known.plugins.contains(&text.as_str()) {
                let hint = match nearest(&text, known.plugins.iter().copied()) {
                    Some(guess) => format!("did you mean `{guess}`?"),
                    None => format!("add a table `[plugins.{text}]`"),
                };
                problems.push(Problem::error(format!("there is no plugin `{text}`")).at(source, place).hint(hint));
                return None;
            }
            Some(Action::Plugin(Arc::from(text)))
        }
    }
}

fn pattern(text: &str, place: Range<usize>, source: SourceId, problems: &mut Problems) -> Option<Pattern> {
    match Pattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            problems.push(
                Problem::error(format!("`regex`: {error}"))
                    .at(source, place)
                    .hint("in TOML, write a regular expression in single quotes: '^\\d+$'"),
            );
            None
        }
    }
}

fn kinds(values: Vec<(String, Range<usize>)>, source: SourceId, problems: &mut Problems) -> Vec<String> {
    for (value, place) in &values {
        if value.eq_ignore_ascii_case("event") {
            problems.push(
                Problem::error("`type = \"event\"` never matches: events have a condition of their own")
                    .at(source, place.clone())
                    .hint("write `event = \"*\"` for every event"),
            );
        } else if !KINDS.contains(&value.to_lowercase().as_str()) {
            let mut problem = Problem::warning(format!("`{value}` is no message type that WeChat documents"))
                .at(source, place.clone());
            if let Some(guess) = nearest(value, KINDS.into_iter()) {
                problem = problem.hint(format!("did you mean `{guess}`?"));
            } else if let Some(event) = EVENTS.into_iter().find(|event| event.eq_ignore_ascii_case(value)) {
                problem = problem.hint(format!("it is an event: write `event = \"{event}\"`"));
            }
            problems.push(problem);
        }
    }
    values.into_iter().map(|(value, _)| value.trim().to_lowercase()).collect()
}

fn events(values: Vec<(String, Range<usize>)>, source: SourceId, problems: &mut Problems) -> Events {
    if values.is_empty() {
        return Events::None;
    }
    for (value, place) in &values {
        let close = nearest(value, EVENTS.into_iter());
        if let Some(guess) = close
            && !EVENTS.iter().any(|event| event.eq_ignore_ascii_case(value))
            && strsim::levenshtein(&guess.to_lowercase(), &value.to_lowercase()) <= 2
        {
            problems.push(
                Problem::warning(format!("`{value}` is no event that WeChat documents"))
                    .at(source, place.clone())
                    .hint(format!("did you mean `{guess}`?")),
            );
        }
    }
    if values.iter().any(|(value, _)| value == "*") {
        return Events::Any;
    }
    Events::Named(values.into_iter().map(|(value, _)| value.trim().to_lowercase()).collect())
}

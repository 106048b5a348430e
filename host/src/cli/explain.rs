//! `mynah explain`: which rule answers a message, and why.

use std::path::Path;

use clap::Args;

use super::{Refused, load_config_quietly, routed};
use crate::{
    config::rule::{Action, Events, FixedReply, Matching, Rule},
    router::{Match, Router, fill},
    text,
    wechat::{document::Field, message::Message, reply::Reply},
};

/// A message to explain.
#[derive(Args)]
pub(super) struct Question {
    /// What the follower writes
    #[arg(required_unless_present_any = ["kind", "event"], conflicts_with_all = ["kind", "event"])]
    text: Option<String>,
    /// Of which bot; by default the only one, or all of them
    #[arg(long, value_name = "NAME")]
    bot: Option<String>,
    /// A message of another type: image, voice, location, …
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "event")]
    kind: Option<String>,
    /// An event: subscribe, SCAN, CLICK, …
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// The event's key: a menu button's key, or a QR code's scene
    #[arg(long, visible_alias = "scene", value_name = "KEY", requires = "event")]
    key: Option<String>,
}

pub(super) fn explain(path: &Path, question: &Question) -> Result<(), Refused> {
    let (config, routers, _) = routed(load_config_quietly(path)?)?;
    if let Some(name) = &question.bot
        && !config.bots.iter().any(|bot| *bot.name == **name)
    {
        eprintln!("error: there is no bot `{name}`; there are {}", config.bot_names());
        return Err(Refused::Failed);
    }
    let message = question.message();
    let file = path.display().to_string();
    for (bot, router) in config.bots.iter().zip(&routers) {
        if question.bot.as_ref().is_none_or(|name| **name == *bot.name) {
            println!("bot {}", bot.name);
            print!("{}", explanation(router, &message, &file));
        }
    }
    Ok(())
}

impl Question {
    fn message(&self) -> Message {
        let mut fields = Vec::new();
        let mut push = |name: &str, value: &str| fields.push(Field { name: name.into(), value: value.into() });
        let kind = match (&self.event, &self.kind) {
            (Some(event), _) => {
                push("Event", event);
                let key = self.key.as_deref().unwrap_or_default();
                // As WeChat has it, so that a scene can be given without the prefix.
                if event.eq_ignore_ascii_case("subscribe") && !key.is_empty() && !key.starts_with("qrscene_") {
                    push("EventKey", &format!("qrscene_{key}"));
                } else {
                    push("EventKey", key);
                }
                "event".into()
            }
            (None, Some(kind)) => kind.to_lowercase(),
            (None, None) => "text".into(),
        };
        Message {
            account: "gh_account".into(),
            sender: "follower".into(),
            id: "1".into(),
            created: 0,
            kind,
            text: self.text.clone(),
            fields,
        }
    }
}

/// Everything there is to say about a message, as lines.
fn explanation(router: &Router, message: &Message, file: &str) -> String {
    let mut lines = String::new();
    if let Some(text) = &message.text {
        let folded = text::fold(text);
        if *folded != **text {
            lines += &format!("  compared as    {folded}\n");
        }
    }
    let answered = explain_matches(router, message, file, "  ", &mut lines);
    if !answered {
        lines += "  nobody answers: the follower gets silence\n";
    }
    if let Some(text) = &message.text {
        for miss in router.near_misses(text) {
            let Some(rule) = router.rules().get(miss.rule) else { continue };
            lines += &format!("  near miss      {}: {}\n", named(rule, miss.row, file), miss.why);
        }
    }
    lines
}

/// Adds a line for each rule that the message meets, down to the first that surely answers; says whether one does.
fn explain_matches(router: &Router, message: &Message, file: &str, indent: &str, lines: &mut String) -> bool {
    let mut passed = "answered by   ";
    for matched in router.route(message) {
        let Some(rule) = router.rules().get(matched.rule) else { continue };
        *lines += &format!("{indent}{passed} {}\n", named(rule, matched.row, file));
        for capture in &matched.captures {
            *lines += &format!("{indent}  captured     {} = {}\n", capture.name, capture.value);
        }
        match &rule.action {
            Action::Plugin(plugin) => {
                *lines += &format!("{indent}  by plugin    {plugin}\n");
                passed = "or, if it passes, by";
            }
            Action::Reply(reply) => {
                *lines += &format!("{indent}  with         {}\n", reply_in_words(reply, &matched));
                return true;
            }
            Action::Replies(rows) => {
                if let Some(row) = matched.row.and_then(|row| rows.get(row)) {
                    *lines += &format!("{indent}  with         {}\n", fill(&row.reply, &matched.captures));
                    return true;
                }
            }
            // Treated once only: inside, a second one is passed over.
            Action::TreatAs(_) if indent.len() > 2 => {}
            Action::TreatAs(text) => {
                let text = fill(text, &matched.captures).into_owned();
                *lines += &format!("{indent}  treated as   {text}\n");
                let message = Message { kind: "text".into(), text: Some(text), ..message.clone() };
                if explain_matches(router, &message, file, "    ", lines) {
                    return true;
                }
                passed = "or, if nobody answers that, by";
            }
        }
    }
    passed == "or, if it passes, by"
}

/// A rule by its place and its conditions.
pub(super) fn named(rule: &Rule, row: Option<usize>, file: &str) -> String {
    let place = match (&rule.action, row) {
        (Action::Replies(rows), Some(row)) => match rows.get(row) {
            Some(row) => {
                let matching = match &row.matching {
                    Matching::Keyword(text) => format!("keyword {text}"),
                    Matching::Prefix(text) => format!("prefix {text}"),
                    Matching::Contains(text) => format!("contains {text}"),
                    Matching::Regex(pattern) => format!("regex {}", pattern.source()),
                };
                format!("{}:{} ({matching})", row.file.as_deref().unwrap_or(file), row.line)
            }
            None => format!("{file}:{}", rule.line),
        },
        _ => format!("{file}:{}", rule.line),
    };
    let conditions = conditions(rule);
    if conditions.is_empty() {
        match (&rule.action, row) {
            (_, Some(_)) => place,
            (Action::Replies(rows), None) => format!("{place} (a table of {} replies)", rows.len()),
            _ => format!("{place} (every message)"),
        }
    } else {
        format!("{place} ({conditions})")
    }
}

fn conditions(rule: &Rule) -> String {
    let mut conditions = Vec::new();
    let mut add = |name: &str, values: Vec<&str>| {
        if !values.is_empty() {
            let shown = values.iter().take(5).copied().collect::<Vec<_>>().join(" | ");
            let more = if values.len() > 5 { " | …" } else { "" };
            conditions.push(format!("{name} {shown}{more}"));
        }
    };
    add("keyword", rule.keyword.iter().map(String::as_str).collect());
    add("prefix", rule.prefix.iter().map(String::as_str).collect());
    add("contains", rule.contains.iter().map(String::as_str).collect());
    add("regex", rule.regex.iter().map(|pattern| pattern.source()).collect());
    add("type", rule.kind.iter().map(String::as_str).collect());
    match &rule.event {
        Events::None => {}
        Events::Any => add("event", vec!["*"]),
        Events::Named(names) => add("event", names.iter().map(String::as_str).collect()),
    }
    add("key", rule.key.iter().map(|glob| glob.source()).collect());
    add("scene", rule.scene.iter().map(|glob| glob.source()).collect());
    conditions.join(", ")
}

fn reply_in_words(reply: &FixedReply, matched: &Match) -> String {
    let one = |reply: &Reply| match reply {
        Reply::Text(text) => fill(text, &matched.captures).into_owned(),
        other => format!("a reply of kind {}", other.kind()),
    };
    match reply {
        FixedReply::One(reply) => one(reply),
        FixedReply::Random(replies) => {
            format!("one of: {}", replies.iter().map(one).collect::<Vec<_>>().join(" | "))
        }
    }
}

//! A fixed reply in `bots.toml`: a text, or a table with the name of its kind.

use std::ops::Range;

use serde::Deserialize;
use toml::de::DeValue;

use super::{
    problems::{Problem, Problems, SourceId},
    rule::FixedReply,
    table::{Entry, Table, Value, described, list, read},
};
use crate::wechat::{
    document::Field,
    reply::{Article, Music, Raw, Reply, Video, Warning},
};

const KINDS: [&str; 11] =
    ["text", "image", "voice", "video", "music", "news", "transfer", "transfer_to_ai", "raw", "silence", "random"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VideoTable {
    media_id: String,
    title: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MusicTable {
    title: Option<String>,
    description: Option<String>,
    url: Option<String>,
    hq_url: Option<String>,
    thumb_media_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArticleTable {
    title: String,
    description: Option<String>,
    picture: Option<String>,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    kind: String,
    #[serde(default)]
    fields: Vec<FieldTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldTable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected `true` or an agent's account such as `test1@test`")]
enum TransferValue {
    Any(bool),
    Agent(String),
}

/// Reads the value of a rule's `reply`.
pub(super) fn fixed_reply(entry: Entry<'_>, source: SourceId, problems: &mut Problems) -> Option<FixedReply> {
    let span = entry.value.span();
    if let DeValue::Table(table) = entry.value.get_ref()
        && table.contains_key("random")
    {
        let mut table = Table::from_value(entry.value, "`reply`", source, problems)?;
        let random = table.take("random")?;
        table.finish("a reply with `random`", problems);
        return random_reply(random, source, problems);
    }
    single(entry.value, span, source, problems).map(FixedReply::One)
}

fn random_reply(entry: Entry<'_>, source: SourceId, problems: &mut Problems) -> Option<FixedReply> {
    let span = entry.value.span();
    let DeValue::Array(values) = entry.value.into_inner() else {
        problems.push(Problem::error("`random` must be a list of replies").at(source, span));
        return None;
    };
    if values.is_empty() {
        problems.push(Problem::error("`random` is an empty list").at(source, span));
        return None;
    }
    let wanted = values.len();
    let replies: Vec<_> = values
        .into_iter()
        .filter_map(|value| {
            let span = value.span();
            single(value, span, source, problems)
        })
        .collect();
    (replies.len() == wanted).then_some(FixedReply::Random(replies))
}

fn single(value: Value<'_>, span: Range<usize>, source: SourceId, problems: &mut Problems) -> Option<Reply> {
    let reply = match value.into_inner() {
        DeValue::String(text) => Reply::Text(text.into_owned()),
        DeValue::Table(entries) => {
            let table = Table::new(entries, span.clone(), source);
            tagged(table, problems)?
        }
        other => {
            let message =
                format!("a reply must be a text or a table such as `{{ image = \"…\" }}`, not {}", described(&other));
            problems.push(Problem::error(message).at(source, span));
            return None;
        }
    };
    check(&reply, source, &span, problems);
    Some(reply)
}

fn tagged(mut table: Table<'_>, problems: &mut Problems) -> Option<Reply> {
    let (source, span) = (table.source(), table.span.clone());
    let given: Vec<_> = KINDS.into_iter().filter(|kind| table.contains(kind)).collect();
    let [kind] = given.as_slice() else {
        let message = match given.as_slice() {
            [] => "this reply has no kind".to_owned(),
            several => format!("this reply has several kinds: {}", list(several.iter().copied())),
        };
        let hint = format!("a text, or a table with one of {}", list(KINDS.into_iter()));
        problems.push(Problem::error(message).at(source, span).hint(hint));
        return None;
    };
    let value = table.take(kind)?.value;
    table.finish(&format!("a reply with `{kind}`"), problems);
    let place = value.span();
    let string =
        |value, problems: &mut Problems| read::<String>(value, kind, source, problems).map(toml::Spanned::into_inner);
    Some(match *kind {
        "text" => Reply::Text(string(value, problems)?),
        "image" => Reply::Image { media_id: string(value, problems)? },
        "voice" => Reply::Voice { media_id: string(value, problems)? },
        "video" => {
            let video: VideoTable = read(value, kind, source, problems)?.into_inner();
            Reply::Video(Video { media_id: video.media_id, title: video.title, description: video.description })
        }
        "music" => {
            let music: MusicTable = read(value, kind, source, problems)?.into_inner();
            Reply::Music(Music {
                title: music.title,
                description: music.description,
                url: music.url,
                hq_url: music.hq_url,
                thumb_media_id: music.thumb_media_id,
            })
        }
        "news" => {
            let articles: Vec<ArticleTable> = read(value, kind, source, problems)?.into_inner();
            Reply::News(
                articles
                    .into_iter()
                    .map(|article| Article {
                        title: article.title,
                        description: article.description,
                        picture: article.picture,
                        url: article.url,
                    })
                    .collect(),
            )
        }
        "transfer" => match read::<TransferValue>(value, kind, source, problems)?.into_inner() {
            TransferValue::Any(true) => Reply::Transfer(None),
            TransferValue::Agent(account) => Reply::Transfer(Some(account)),
            TransferValue::Any(false) => return must_be_true(kind, place, source, problems),
        },
        "transfer_to_ai" | "silence" => {
            if !read::<bool>(value, kind, source, problems)?.into_inner() {
                return must_be_true(kind, place, source, problems);
            }
            if *kind == "silence" { Reply::Silence } else { Reply::TransferToAi }
        }
        "raw" => {
            let raw: RawTable = read(value, kind, source, problems)?.into_inner();
            let fields = raw.fields.into_iter().map(|field| Field { name: field.name, value: field.value }).collect();
            Reply::Raw(Raw { kind: raw.kind, fields })
        }
        _ => {
            problems.push(Problem::error("`random` must stand at the top of `reply`").at(source, place));
            return None;
        }
    })
}

fn must_be_true(kind: &str, place: Range<usize>, source: SourceId, problems: &mut Problems) -> Option<Reply> {
    problems.push(Problem::error(format!("`{kind}` can only be `true`")).at(source, place).hint("leave the key out"));
    None
}

/// Holds the reply against the protocol's bounds now, rather than when a follower waits for it.
fn check(reply: &Reply, source: SourceId, span: &Range<usize>, problems: &mut Problems) {
    match reply.clone().check("event") {
        Ok((_, warnings)) => {
            // A text that is too long for one message comes in pages.
            for warning in warnings.into_iter().filter(|warning| !matches!(warning, Warning::TextCut(_))) {
                problems.push(Problem::warning(warning.to_string()).at(source, span.clone()));
            }
        }
        Err(error) => problems.push(Problem::error(error.to_string()).at(source, span.clone())),
    }
}

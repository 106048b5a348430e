//! Replies as text.

use super::bracket;
use crate::wechat::reply::{Article, Music, Reply, Video};

/// The words that begin what stands in brackets.
const KINDS: [&str; 9] =
    ["image", "voice", "video", "music", "article", "transfer", "transfer_to_ai", "raw", "silence"];

/// One line of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// As it stands in a transcript: what would mean something else there begins with a backslash.
    pub written: String,
    /// As the follower sees it.
    pub plain: String,
}

/// A reply, line by line: a text's own lines, anything else in brackets, each article of news on a line.
pub fn lines(reply: &Reply) -> Vec<Line> {
    let brackets = match reply {
        Reply::Text(text) => return text.split('\n').map(text_line).collect(),
        Reply::Image { media_id } => vec![bracket::write("image", &[media_id], &[])],
        Reply::Voice { media_id } => vec![bracket::write("voice", &[media_id], &[])],
        Reply::Video(Video { media_id, title, description }) => {
            let named = [("title", title.as_deref()), ("description", description.as_deref())];
            vec![bracket::write("video", &[media_id], &named)]
        }
        Reply::Music(Music { title, description, url, hq_url, thumb_media_id }) => {
            let named = [
                ("title", title.as_deref()),
                ("description", description.as_deref()),
                ("url", url.as_deref()),
                ("hq_url", hq_url.as_deref()),
                ("thumb", Some(thumb_media_id.as_str())),
            ];
            vec![bracket::write("music", &[], &named)]
        }
        Reply::News(articles) => articles.iter().map(article).collect(),
        Reply::Transfer(None) => vec![bracket::write("transfer", &[], &[])],
        Reply::Transfer(Some(account)) => vec![bracket::write("transfer", &[account], &[])],
        Reply::TransferToAi => vec![bracket::write("transfer_to_ai", &[], &[])],
        Reply::Raw(raw) => {
            let named: Vec<_> =
                raw.fields.iter().map(|field| (field.name.as_str(), Some(field.value.as_str()))).collect();
            vec![bracket::write("raw", &[&raw.kind], &named)]
        }
        Reply::Silence => vec![bracket::write("silence", &[], &[])],
    };
    brackets.into_iter().map(|plain| Line { written: mark_ellipses(&plain), plain }).collect()
}

fn article(article: &Article) -> String {
    let named = [
        ("description", article.description.as_deref()),
        ("picture", article.picture.as_deref()),
        ("url", Some(article.url.as_str())),
    ];
    bracket::write("article", &[&article.title], &named)
}

fn text_line(line: &str) -> Line {
    let plain = line.trim_end().to_owned();
    let begins_a_reply = plain.strip_prefix('[').is_some_and(|rest| {
        let word = rest.split([' ', ']']).next().unwrap_or_default();
        KINDS.contains(&word)
    });
    let is_regex = plain.len() > 1 && plain.starts_with('/') && plain.ends_with('/');
    let escape = if begins_a_reply || is_regex || plain.starts_with('\\') { "\\" } else { "" };
    Line { written: format!("{escape}{}", mark_ellipses(&plain)), plain }
}

/// A single `…` stands for anything in a transcript, so one that is meant has a backslash. The Chinese ellipsis, two of them, is
/// meant as it stands.
fn mark_ellipses(text: &str) -> String {
    let mut marked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('…') {
        marked.push_str(&rest[..at]);
        let run = rest[at..].len() - rest[at..].trim_start_matches('…').len();
        if run == '…'.len_utf8() {
            marked.push('\\');
        }
        marked.push_str(&rest[at..at + run]);
        rest = &rest[at + run..];
    }
    marked + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::{document::Field, reply::Raw};

    fn written(reply: &Reply) -> Vec<String> {
        lines(reply).into_iter().map(|line| line.written).collect()
    }

    #[test]
    fn a_text_is_its_lines_and_means_nothing_else() {
        let text = "一\n\n[微笑]\n[image x]\n/a/\n\\b\n等……\n等…吧 ";
        let expected = ["一", "", "[微笑]", "\\[image x]", "\\/a/", "\\\\b", "等……", "等\\…吧"];
        assert_eq!(written(&Reply::Text(text.into())), expected);
        assert_eq!(lines(&Reply::Text("等…".into()))[0].plain, "等…");
    }

    #[test]
    fn every_other_kind_stands_in_brackets() {
        let article = |title: &str| Article { title: title.into(), url: "http://u".into(), ..Article::default() };
        for (reply, expected) in [
            (Reply::Image { media_id: "m".into() }, "[image m]"),
            (Reply::Voice { media_id: "m".into() }, "[voice m]"),
            (
                Reply::Video(Video { media_id: "m".into(), title: Some("a b".into()), description: None }),
                "[video m title=\"a b\"]",
            ),
            (
                Reply::Music(Music { url: Some("http://u".into()), thumb_media_id: "t".into(), ..Music::default() }),
                "[music url=http://u thumb=t]",
            ),
            (
                Reply::News(vec![article("一"), article("b c")]),
                "[article 一 url=http://u]\n[article \"b c\" url=http://u]",
            ),
            (Reply::Transfer(None), "[transfer]"),
            (Reply::Transfer(Some("a@b".into())), "[transfer a@b]"),
            (Reply::TransferToAi, "[transfer_to_ai]"),
            (
                Reply::Raw(Raw { kind: "k".into(), fields: vec![Field { name: "A.B".into(), value: "1".into() }] }),
                "[raw k A.B=1]",
            ),
            (Reply::Silence, "[silence]"),
        ] {
            assert_eq!(written(&reply).join("\n"), expected);
        }
    }
}

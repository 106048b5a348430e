//! A reply as a person reads it.

use crate::{
    transcript::acts,
    wechat::reply::{Article, Reply},
};

/// Something in a reply that can be tapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Opens a page.
    Page(String),
    /// Sends a text; holds how a transcript has it.
    Text(String),
}

/// A reply in words, with its links numbered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Without the end of the last line.
    pub(super) text: String,
    pub(super) links: Vec<Link>,
}

/// Says a reply in words. Control characters, which could play tricks on the terminal, are taken out.
pub(super) fn shown(reply: &Reply) -> Shown {
    let mut shown = Shown::default();
    let text = match reply {
        Reply::Text(text) => shown.with_links(text),
        Reply::Image { media_id } => format!("(a picture, media id {media_id})"),
        Reply::Voice { media_id } => format!("(a voice message, media id {media_id})"),
        Reply::Video(video) => {
            described("a video", &[&video.title, &video.description, &Some(format!("media id {}", video.media_id))])
        }
        Reply::Music(music) => described("music", &[&music.title, &music.description, &music.url, &music.hq_url]),
        Reply::News(articles) => {
            let cards: Vec<String> = articles.iter().map(|article| shown.card(article)).collect();
            cards.join("\n")
        }
        Reply::Transfer(None) => "(handed over to customer service)".into(),
        Reply::Transfer(Some(account)) => format!("(handed over to the customer service agent {account})"),
        Reply::TransferToAi => "(handed over to the account's own AI)".into(),
        Reply::Raw(raw) => {
            let fields: Vec<_> = raw.fields.iter().map(|field| format!("{} = {}", field.name, field.value)).collect();
            format!("({}: {})", raw.kind, fields.join(", "))
        }
        Reply::Silence => "(silence)".into(),
    };
    shown.text = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    shown
}

fn described(what: &str, parts: &[&Option<String>]) -> String {
    let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_deref()).collect();
    format!("({what}: {})", parts.join(" · "))
}

impl Shown {
    fn card(&mut self, article: &Article) -> String {
        let mut card = format!("▤ {}", article.title);
        for part in [&article.description, &article.picture].into_iter().flatten() {
            card += &format!("\n  {part}");
        }
        if !article.url.is_empty() {
            card += &format!("\n  {}", article.url);
            card += &self.number(Link::Page(article.url.clone()));
        }
        card
    }

    /// The number that picks a link.
    fn number(&mut self, link: Link) -> String {
        self.links.push(link);
        format!(" [/{}]", self.links.len())
    }

    /// A text with its anchors as what the follower sees, each with its number.
    fn with_links(&mut self, text: &str) -> String {
        let mut read = String::new();
        let mut rest = text;
        while let Some((before, target, label, after)) = anchor(rest) {
            read.push_str(before);
            read.push_str(label);
            let link = tapped(target);
            if let Link::Page(url) = &link
                && url != label
            {
                read += &format!(" ({url})");
            }
            read += &self.number(link);
            rest = after;
        }
        read + rest
    }
}

/// The first `<a href="…">…</a>`, with what stands around it.
fn anchor(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("<a ")?;
        let tag_end = start + text[start..].find('>')?;
        let end = tag_end + text[tag_end..].find("</a>")?;
        if let Some(target) = href(&text[start..tag_end]) {
            return Some((&text[..start], target, &text[tag_end + 1..end], &text[end + 4..]));
        }
        from = tag_end;
    }
}

/// The target in a tag, in quotes of either kind.
fn href(tag: &str) -> Option<&str> {
    let value = tag.split_once("href=")?.1.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split_once(quote).map(|(target, _)| target)
}

/// What a tap does: WeChat's menu links send their content as if the follower had typed it, with the link's id.
fn tapped(target: &str) -> Link {
    let Some(query) = target.strip_prefix("weixin://bizmsgmenu?") else { return Link::Page(target.to_owned()) };
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(given, _)| given == name).map(|(_, value)| value.into_owned())
    };
    let text = value("msgmenucontent").unwrap_or_default();
    match value("msgmenuid") {
        Some(id) => {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            Link::Text(format!("[text \"{quoted}\" bizmsgmenuid={id}]"))
        }
        None => Link::Text(acts::written(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::{
        callback::Act,
        pages::menu_link,
        reply::{Music, Video},
    };

    #[test]
    fn links_are_numbered_where_they_stand() {
        let text = format!("回复「{}」。\n<a href='http://h/?a=1'>看这里</a>，<a x>不是", menu_link("继续"));
        let shown = shown(&Reply::Text(text));
        assert_eq!(shown.text, "回复「继续 [/1]」。\n看这里 (http://h/?a=1) [/2]，<a x>不是");
        let [Link::Text(sent), Link::Page(url)] = &shown.links[..] else { panic!("{:?}", shown.links) };
        assert_eq!(acts::read(sent).unwrap(), Act::text("继续").with("bizmsgmenuid", "1"));
        assert_eq!(url, "http://h/?a=1");
    }

    #[test]
    fn no_anchor_is_lost_and_none_panics() {
        for text in
            ["<a ", "<a href=", "<a href=\">", "<a href=\"x\">", "</a><a >", "<a href=\"x>y</a>", "<a href=>y</a>"]
        {
            assert_eq!(shown(&Reply::Text(text.into())).text, text);
        }
    }

    #[test]
    fn every_kind_is_said_in_words() {
        let article = Article {
            title: "八哥".into(),
            description: Some("会说话的鸟".into()),
            picture: None,
            url: "http://u".into(),
        };
        let cards = shown(&Reply::News(vec![article.clone(), article]));
        assert_eq!(cards.text, "▤ 八哥\n  会说话的鸟\n  http://u [/1]\n▤ 八哥\n  会说话的鸟\n  http://u [/2]");
        assert_eq!(cards.links.len(), 2);
        let said = |reply: Reply| shown(&reply).text;
        assert_eq!(said(Reply::Silence), "(silence)");
        assert_eq!(said(Reply::Image { media_id: "m\u{1b}[2J".into() }), "(a picture, media id m[2J)");
        let video = Video { media_id: "m".into(), title: Some("t".into()), description: None };
        assert_eq!(said(Reply::Video(video)), "(a video: t · media id m)");
        let music = Music { url: Some("http://m".into()), thumb_media_id: "t".into(), ..Music::default() };
        assert_eq!(said(Reply::Music(music)), "(music: http://m)");
    }
}

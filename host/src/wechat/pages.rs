//! Texts that are longer than WeChat delivers, in pages.

use super::reply::MAX_TEXT;

/// A link that, tapped, sends `word` as if the follower had typed it.
pub fn menu_link(word: &str) -> String {
    // The platform takes the content as it stands; what would end the attribute cannot be in it.
    let content: String = word.chars().filter(|c| !matches!(c, '"' | '&' | '<' | '>')).collect();
    format!("<a href=\"weixin://bizmsgmenu?msgmenucontent={content}&msgmenuid=1\">{content}</a>")
}

/// Makes the first occurrence of `word` a link that sends it, or adds the link in a line of its own.
pub fn with_menu_link(text: &str, word: &str) -> String {
    match text.find(word) {
        Some(at) => format!("{}{}{}", &text[..at], menu_link(word), &text[at + word.len()..]),
        None => format!("{text}\n{}", menu_link(word)),
    }
}

/// Divides a text into pages that WeChat delivers, none of them empty; each but the last ends with `more` in a line of its own. A page
/// ends with a line where one ends late enough in it, and never within a link.
pub fn pages(text: &str, more: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut rest = text;
    // At least a quarter of a page is the text's own, however long the notice.
    let room = MAX_TEXT.saturating_sub(more.len() + 1).max(MAX_TEXT / 4);
    while rest.len() > MAX_TEXT {
        let end = page_end(rest, room);
        let (page, after) = rest.split_at(end);
        if !page.trim().is_empty() {
            pages.push(format!("{}\n{more}", page.trim_end_matches('\n')));
        }
        rest = after.strip_prefix('\n').unwrap_or(after);
    }
    if !rest.trim().is_empty() || pages.is_empty() {
        pages.push(rest.to_owned());
    } else if let Some(last) = pages.last_mut() {
        // Only white space was left, so nothing follows the page before.
        last.truncate(last.len() - more.len() - 1);
    }
    pages
}

/// Where a page of at most `room` bytes ends; never at its beginning.
fn page_end(text: &str, room: usize) -> usize {
    let limit = text.floor_char_boundary(room);
    let page = &text[..limit];
    if let Some(newline) = page.rfind('\n')
        && newline >= limit / 2
    {
        return newline;
    }
    match (page.rfind("<a "), page.rfind("</a>")) {
        (Some(open), close) if open > 0 && close.is_none_or(|close| close < open) => open,
        _ => limit,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_is_one_page() {
        assert_eq!(pages("hi", "more"), ["hi"]);
        assert_eq!(pages(&"a".repeat(MAX_TEXT), "more"), ["a".repeat(MAX_TEXT)]);
    }

    #[test]
    fn a_long_text_ends_its_pages_with_lines_and_says_that_there_is_more() {
        let line = "x".repeat(99) + "\n";
        let found = pages(&line.repeat(30), "more");
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("x\nmore") && found[0].len() <= MAX_TEXT);
        assert_eq!(found[0].trim_end_matches("more").len() + found[1].len(), 3000);
    }

    #[test]
    fn a_link_is_not_divided() {
        let link = format!("<a href=\"http://{}\">there</a>", "y".repeat(300));
        let text = format!("{}{link}{}", "八".repeat(600), "z".repeat(500));
        let found = pages(&text, "more");
        assert!(found[1].contains(&link), "{found:?}");
    }

    #[test]
    fn a_word_becomes_a_link_where_it_stands() {
        assert_eq!(
            with_menu_link("回复「继续」。", "继续"),
            "回复「<a href=\"weixin://bizmsgmenu?msgmenucontent=继续&msgmenuid=1\">继续</a>」。"
        );
        assert!(with_menu_link("稍等", "继续").starts_with("稍等\n<a href"));
        assert!(!menu_link("\"><b>").contains("<b>"));
    }

    proptest! {
        #[test]
        fn pages_are_within_bounds_and_lose_nothing_but_line_ends(text in "(?s).{0,3000}", more in ".{0,40}") {
            let found = pages(&text, &more);
            let count = found.len();
            let mut joined = String::new();
            for (n, page) in found.into_iter().enumerate() {
                prop_assert!(page.len() <= MAX_TEXT.max(text.len().min(MAX_TEXT)));
                joined += if n + 1 < count { page.strip_suffix(&format!("\n{more}")).unwrap() } else { &page };
            }
            let squeeze = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(squeeze(&joined), squeeze(&text));
        }
    }
}

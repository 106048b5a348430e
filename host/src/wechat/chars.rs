//! Characters and excerpts.

use std::borrow::Cow;

/// How much of a peer's input one value in an error may repeat. A message holds two such values at most.
const EXCERPT_CHARS: usize = 32;

/// Whether XML 1.0 allows this character in a document, escaped or not.
///
/// <https://www.w3.org/TR/xml/#charsets>
pub(super) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

/// Removes what XML 1.0 forbids and returns how many characters that were. A clean string is only read.
pub(super) fn remove_forbidden(text: &mut String) -> usize {
    let count = text.chars().filter(|&c| !is_allowed(c)).count();
    if count > 0 {
        text.retain(is_allowed);
    }
    count
}

/// The string without what XML 1.0 forbids.
pub(super) fn without_forbidden(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_allowed) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().filter(|&c| is_allowed(c)).collect())
    }
}

/// White space as XML defines it. An ideographic space, which followers do type, is text.
pub(super) fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// The beginning of a peer's input, fit for one line of a log.
pub(super) fn excerpt(input: &str) -> String {
    let mut escaped = input.chars().flat_map(char::escape_debug);
    let mut head: String = escaped.by_ref().take(EXCERPT_CHARS).collect();
    if escaped.next().is_some() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_exactly_the_characters_of_xml_1_0() {
        for c in ['\t', '\n', '\r', ' ', '\u{7f}', '\u{85}', '\u{d7ff}', '\u{e000}', '\u{fffd}'] {
            assert!(is_allowed(c), "{c:?}");
        }
        assert!(is_allowed('\u{10000}') && is_allowed('\u{10ffff}'));
        for c in ['\0', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{e}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
            assert!(!is_allowed(c), "{c:?}");
        }
    }

    #[test]
    fn removes_exactly_what_is_forbidden() {
        let mut text = "\u{0}a\u{fffe}\t微".to_owned();
        assert_eq!(without_forbidden(&text), "a\t微");
        assert_eq!(remove_forbidden(&mut text), 2);
        assert_eq!(text, "a\t微");
        assert!(matches!(without_forbidden(&text), Cow::Borrowed(_)));
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        assert_eq!(excerpt("a\nb"), "a\\nb");
        assert_eq!(excerpt(&"x".repeat(32)), "x".repeat(32));
        assert_eq!(excerpt(&"\n".repeat(40)), format!("{}…", "\\n".repeat(16)));
    }
}

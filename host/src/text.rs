//! The normal form in which texts are compared: trimmed, full-width forms folded, case ignored.
//!
//! Folding maps each character by itself, so that it can be undone: a place in the folded text is found again in the
//! original by walking its characters, and no map has to be kept. What is captured is therefore always what was sent.

use std::{borrow::Cow, char::ToLowercase, ops::Range};

/// A text that somebody sent, in both of its forms; never empty.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    original: &'a str,
    folded: Cow<'a, str>,
}

impl<'a> Text<'a> {
    /// The text without the white space around it; none if nothing is left.
    pub fn new(text: &'a str) -> Option<Text<'a>> {
        let original = text.trim();
        (!original.is_empty()).then(|| Text { original, folded: fold(original) })
    }

    /// What was sent, trimmed.
    pub fn original(&self) -> &'a str {
        self.original
    }

    /// What is compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// What was sent where the folded text has this range. A range that cuts a character's expansion in two (only `İ`
    /// has one) leaves that character to whatever stands before the cut.
    pub fn sent(&self, folded: Range<usize>) -> &'a str {
        let (start, end) = match self.folded {
            Cow::Borrowed(_) => (folded.start, folded.end),
            Cow::Owned(_) => (original_offset(self.original, folded.start), original_offset(self.original, folded.end)),
        };
        self.original.get(start..end).unwrap_or_default()
    }
}

/// Folds a text; borrowed where nothing changes. White space around it stays.
pub fn fold(text: &str) -> Cow<'_, str> {
    match text.char_indices().find(|&(_, c)| !is_folded(c)) {
        None => Cow::Borrowed(text),
        Some((same, _)) => {
            let mut folded = String::with_capacity(text.len());
            folded.push_str(&text[..same]);
            for c in text[same..].chars() {
                if is_folded(c) {
                    folded.push(c);
                } else {
                    folded.extend(fold_char(c));
                }
            }
            Cow::Owned(folded)
        }
    }
}

/// Folds one character: its width first, then its case by way of the upper case, so that `ſ` and `s`, `ς` and `σ`, the
/// Kelvin sign and `k` are the same here as they are to a regular expression that ignores case.
pub fn fold_char(c: char) -> ToLowercase {
    let narrow = narrow(c);
    let mut upper = narrow.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper.to_lowercase(),
        _ => narrow.to_lowercase(),
    }
}

/// Whether folding leaves the character as it is.
pub fn is_folded(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_uppercase();
    }
    // No case and no width: kana, ideographs, their punctuation, Hangul. Most of what is sent, and the tables of case
    // are slow to ask.
    if matches!(c, '\u{3001}'..='\u{A63F}' | '\u{AC00}'..='\u{FAFF}') {
        return true;
    }
    fold_char(c).eq([c])
}

/// The character in its usual width: full-width ASCII and signs become the plain ones, the ideographic space a space.
pub fn narrow(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - FULL_WIDTH).unwrap_or(c),
        '￠' => '¢',
        '￡' => '£',
        '￢' => '¬',
        '￤' => '¦',
        '￥' => '¥',
        '￦' => '₩',
        _ => c,
    }
}

/// How far the full-width forms lie above the ASCII that they repeat.
const FULL_WIDTH: u32 = 0xFEE0;

/// Whether two texts are the same to a rule: once trimmed and folded.
pub fn same(one: &str, other: &str) -> bool {
    // Most texts differ in their first character, and need not be folded to the end.
    one.trim().chars().flat_map(fold_char).eq(other.trim().chars().flat_map(fold_char))
}

/// How many bytes of the folded text are the folded prefix, if it begins with that.
pub fn prefix_len(folded: &str, prefix: &str) -> Option<usize> {
    let prefix = fold(prefix);
    folded.starts_with(&*prefix).then_some(prefix.len())
}

/// Where in the original the folded text has this offset; an offset inside a character's expansion is that character's
/// end, one past the end is the end.
pub fn original_offset(original: &str, folded: usize) -> usize {
    let mut passed = 0;
    for (at, c) in original.char_indices() {
        if passed >= folded {
            return at;
        }
        passed += if is_folded(c) { c.len_utf8() } else { fold_char(c).map(char::len_utf8).sum() };
    }
    original.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_width_make_no_difference() {
        for (one, other) in [
            ("ＡＢＣ", "abc"),
            ("　你好！ ", "你好!"),
            ("ſ", "S"),
            ("ς", "Σ"),
            ("\u{212A}", "K"),
            ("ẞ", "ß"),
            ("￥５", "¥5"),
            ("a\u{3000}b", "A b"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        assert!(!same("你好", "你"));
        assert!(!same("a b", "ab"));
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for c in '\0'..=char::MAX {
            for folded in fold_char(c) {
                assert!(fold_char(folded).eq([folded]), "{c:?} becomes {folded:?}");
            }
        }
    }

    #[test]
    fn the_shortcuts_agree_with_the_tables() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_folded(c), fold_char(c).eq([c]), "{c:?}");
        }
    }

    #[test]
    fn nothing_is_allocated_where_nothing_changes() {
        assert!(matches!(fold("你好, mynah 2"), Cow::Borrowed(_)));
        assert!(matches!(fold("你好，mynah 2"), Cow::Owned(_)));
    }

    #[test]
    fn a_place_in_the_folded_text_is_found_in_the_original() {
        let text = Text::new("　复读 你好！ABC　").unwrap();
        assert_eq!(text.folded(), "复读 你好!abc");
        let rest = prefix_len(text.folded(), "复读").unwrap();
        assert_eq!(text.sent(rest..text.folded().len()), " 你好！ABC");
        assert_eq!(text.sent(0..usize::MAX), "复读 你好！ABC");
    }

    #[test]
    fn a_cut_through_an_expansion_panics_nowhere() {
        let text = Text::new("İstanbul").unwrap();
        assert_eq!(prefix_len(text.folded(), "i"), Some(1));
        assert_eq!(text.sent(0..1), "İ");
        assert_eq!(text.sent(1..text.folded().len()), "stanbul");
    }

    #[test]
    fn nothing_but_white_space_is_no_text() {
        assert!(Text::new(" \u{3000}\n").is_none());
    }

    proptest! {
        #[test]
        fn every_cut_of_the_original_is_found_again(text in "\\PC{0,20}|[aAＡİſ你 　！]{0,12}") {
            for (at, _) in text.char_indices() {
                prop_assert_eq!(original_offset(&text, fold(&text[..at]).len()), at);
            }
        }

        #[test]
        fn a_prefix_is_what_folds_to_the_beginning(
            text in "[aAＡİſs你 　！]{0,12}",
            prefix in "[aAＡİſs你 　！]{0,3}",
        ) {
            let folded = fold(&text);
            let found = prefix_len(&folded, &prefix);
            prop_assert_eq!(found.is_some(), folded.starts_with(&*fold(&prefix)));
            prop_assert!(found.is_none_or(|length| length == fold(&prefix).len()));
        }
    }
}

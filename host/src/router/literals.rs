//! Strings of which every match of a pattern holds one: the index looks for them, and runs the pattern only then.

use std::cmp::Reverse;

use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
    literal::{Extractor, Literal},
};

use crate::{config::pattern::Pattern, text};

/// Strings one of which stands in every folded text that the pattern matches; none if there is no good choice.
///
/// Ignoring case makes a class of every letter, `[Aa]`, and with that 2ⁿ strings of a word. But the text is folded, so
/// only the folded letter of each class can ever be met, and the word is one string again.
pub(super) fn required(pattern: &Pattern) -> Option<Vec<Box<[u8]>>> {
    let found = best(&folded_only(pattern.hir()?))?;
    Some(found.into_iter().map(Vec::into_boxed_slice).collect())
}

/// The most strings of one pattern. More of them would be met more often than not.
const MAX_STRINGS: usize = 64;

/// The longest string that is looked for; a longer one is met no less often.
const MAX_STRING_BYTES: usize = 48;

/// From how many places in a row of parts the strings are tried; the best are nearly always among the first.
const MAX_STARTS: usize = 24;

/// The largest class whose characters are looked at one by one.
const MAX_CLASS: usize = 64;

type Strings = Vec<Vec<u8>>;

fn best(hir: &Hir) -> Option<Strings> {
    let mut found = beginning(hir);
    let mut consider = |other: Option<Strings>| {
        if quality(&other) > quality(&found) {
            found = other;
        }
    };
    match hir.kind() {
        HirKind::Capture(group) => consider(best(&group.sub)),
        HirKind::Repetition(repetition) if repetition.min > 0 => consider(best(&repetition.sub)),
        HirKind::Concat(parts) => {
            for start in 1..parts.len().min(MAX_STARTS) {
                consider(beginning(&Hir::concat(parts[start..].to_vec())));
            }
            for part in parts.iter().take(MAX_STARTS) {
                consider(best(part));
            }
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            let every = branches.iter().all(|branch| {
                let strings = best(branch).unwrap_or_default();
                let some = !strings.is_empty();
                all.extend(strings);
                some && all.len() <= MAX_STRINGS
            });
            if every {
                consider(Some(all));
            }
        }
        _ => {}
    }
    found
}

/// The strings with which every match begins, if none of them is empty.
fn beginning(hir: &Hir) -> Option<Strings> {
    let strings = Extractor::new().limit_total(MAX_STRINGS).limit_literal_len(MAX_STRING_BYTES).extract(hir);
    let strings = strings.literals()?;
    let usable = !strings.is_empty() && strings.iter().all(|string| !string.is_empty());
    usable.then(|| strings.iter().map(Literal::as_bytes).map(<[u8]>::to_vec).collect())
}

/// Long ones are met more rarely; then few ones.
fn quality(strings: &Option<Strings>) -> (usize, Reverse<usize>, usize) {
    let strings = strings.as_deref().unwrap_or_default();
    let shortest = strings.iter().map(Vec::len).min().unwrap_or(0);
    (shortest.min(12), Reverse(strings.len()), shortest)
}

/// The pattern with only those characters left in its small classes that a folded text can hold.
fn folded_only(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Class(class) => Hir::class(folded_class(class)),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(folded_only(*repetition.sub));
            Hir::repetition(repetition)
        }
        HirKind::Capture(mut group) => {
            group.sub = Box::new(folded_only(*group.sub));
            Hir::capture(group)
        }
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(folded_only).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.into_iter().map(folded_only).collect()),
    }
}

fn folded_class(class: Class) -> Class {
    match class {
        Class::Unicode(class) if class.iter().map(|r| r.len()).sum::<usize>() <= MAX_CLASS => {
            let folded = class
                .iter()
                .flat_map(|range| range.start()..=range.end())
                .filter(|&c| text::is_folded(c))
                .map(|c| ClassUnicodeRange::new(c, c));
            Class::Unicode(ClassUnicode::new(folded))
        }
        Class::Bytes(class) if class.iter().map(|r| r.len()).sum::<usize>() <= MAX_CLASS => {
            let folded = class
                .iter()
                .flat_map(|range| range.start()..=range.end())
                .filter(|byte| !byte.is_ascii_uppercase())
                .map(|byte| ClassBytesRange::new(byte, byte));
            Class::Bytes(ClassBytes::new(folded))
        }
        large => large,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::router::tests::patterns;

    #[track_caller]
    fn strings(source: &str) -> Option<Vec<String>> {
        let found = required(&Pattern::parse(source).unwrap())?;
        Some(found.iter().map(|string| String::from_utf8_lossy(string).into_owned()).collect())
    }

    #[test]
    fn the_rarest_part_of_a_pattern_is_chosen() {
        for (source, expected) in [
            (r"^汇率\s*(?<from>\w+)\s+(?<to>\w+)$", &["汇率"][..]),
            (r"^\s*(?:please\s+)?Weather in (.+)$", &["weather in "]),
            (r"(今天|明天)天气", &["今天天气", "明天天气"]),
            (r"\d+元$", &["元"]),
            (r"(?:\d+(?:块钱)+)|(?:\d元人民币)", &["块钱", "元人民币"]),
            (r"Ｈｅｌｌｏ", &["hello"]),
            (r"[Aa]b", &["ab"]),
        ] {
            assert_eq!(strings(source).unwrap_or_default(), expected, "{source}");
        }
    }

    #[test]
    fn what_may_match_anything_has_no_strings() {
        for source in [r"^\d+$", "", ".*", "a?", r"[\p{Han}]{2}", r"你|\d"] {
            assert_eq!(strings(source), None, "{source}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn no_match_is_without_one(
            pattern in patterns(),
            texts in proptest::collection::vec("[aAbBｂſskK\u{212A}ı你好！ 1]{0,6}", 8),
        ) {
            let strings = required(&pattern);
            for text in texts {
                let text = text::fold(text.trim());
                if pattern.is_match(&text) {
                    let holds = |string: &[u8]| {
                        text.as_bytes().windows(string.len()).any(|window| window == string)
                    };
                    prop_assert!(
                        strings.as_ref().is_none_or(|all| all.iter().any(|string| holds(string))),
                        "{} {}", pattern.source(), text
                    );
                }
            }
        }
    }
}

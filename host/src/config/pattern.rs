//! The patterns that a rule may hold: regular expressions over texts, and globs over keys and scenes.

use std::{fmt, ops::Range, sync::OnceLock};

use regex::{Regex, RegexBuilder};
use regex_syntax::{
    ast,
    hir::{Hir, translate::TranslatorBuilder},
};
use thiserror::Error;

mod width;

/// The longest pattern taken. A list of words belongs into `keyword` or `contains`, which cost nothing however long.
pub const MAX_SOURCE_BYTES: usize = 8 * 1024;

/// The most memory that one pattern may take once compiled. `\w{80}` just fits, and nobody sends a longer word.
const MAX_COMPILED_BYTES: usize = 4 * 1024 * 1024;

/// The most memory that one pattern's states may take on top of that while it runs, in each thread that runs it.
const MAX_STATES_BYTES: usize = 512 * 1024;

/// How deep groups may nest; everything that walks a pattern recurses no deeper.
const MAX_NESTING: u32 = 50;

/// A valid regular expression, to be found anywhere in a folded text. Case is ignored, and full-width characters in the
/// pattern mean what they fold to.
pub struct Pattern {
    source: Box<str>,
    /// The source with its literals folded; none where that changes nothing.
    folded: Option<Box<str>>,
    groups: Box<[Option<Box<str>>]>,
    /// Compiled on first use: most patterns of a large table are never asked for.
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Checks a pattern completely, to the point of compiling it.
    pub fn parse(source: &str) -> Result<Pattern, PatternError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(PatternError::new(format!("the pattern is longer than {MAX_SOURCE_BYTES} bytes")));
        }
        let tree = ast::parse::ParserBuilder::new()
            .nest_limit(MAX_NESTING)
            .build()
            .parse(source)
            .map_err(|error| PatternError::at(error.span(), error.kind()))?;
        let folded = width::fold_literals(source, &tree)?;
        // Before folding, so that what is wrong is found at its place in the source.
        TranslatorBuilder::new()
            .case_insensitive(true)
            .build()
            .translate(source, &tree)
            .map_err(|error| PatternError::at(error.span(), error.kind()))?;
        let regex = compile(folded.as_deref().unwrap_or(source)).map_err(|error| {
            PatternError::new(match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("the pattern takes more than {limit} bytes once compiled")
                }
                _ => "the pattern cannot be compiled".to_owned(),
            })
        })?;
        Ok(Pattern {
            source: source.into(),
            folded,
            groups: regex.capture_names().skip(1).map(|name| name.map(Into::into)).collect(),
            compiled: OnceLock::new(),
        })
    }

    /// The pattern as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of its groups, in order from group 1 on.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.groups.iter().map(Option::as_deref)
    }

    /// The pattern with its literals folded: what is compiled.
    pub fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.source)
    }

    /// The compiled pattern. Always there for a pattern that was parsed; were it not, the pattern would match nothing.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(self.folded()).ok()).as_ref()
    }

    /// Whether a folded text holds what the pattern describes.
    pub fn is_match(&self, folded: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(folded))
    }

    /// The pattern as the compiler sees it.
    pub(crate) fn hir(&self) -> Option<Hir> {
        regex_syntax::ParserBuilder::new()
            .case_insensitive(true)
            .nest_limit(MAX_NESTING)
            .build()
            .parse(self.folded())
            .ok()
    }

    /// The pattern without its `^`, `$`, `\A` and `\z`; none if it has none of them.
    pub(crate) fn without_anchors(&self) -> Option<Regex> {
        let tree = ast::parse::Parser::new().parse(self.folded()).ok()?;
        let bare = width::without_anchors(self.folded(), &tree)?;
        compile(&bare).ok()
    }
}

fn compile(folded: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(folded)
        .case_insensitive(true)
        .nest_limit(MAX_NESTING)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_STATES_BYTES)
        .build()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

/// What is wrong with a pattern, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct PatternError {
    message: String,
    span: Option<Range<usize>>,
}

impl PatternError {
    fn new(message: String) -> PatternError {
        PatternError { message, span: None }
    }

    fn at(span: &ast::Span, message: impl fmt::Display) -> PatternError {
        PatternError { message: message.to_string(), span: Some(span.start.offset..span.end.offset) }
    }

    /// Where in the pattern, in bytes, if it is wrong at one place.
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }
}

/// A string in which `*` stands for anything; all else is exact, case included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    source: Box<str>,
}

impl Glob {
    /// Every string is a glob.
    pub fn parse(source: &str) -> Glob {
        Glob { source: source.into() }
    }

    /// The glob as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The one string that it matches, if it has no `*`.
    pub fn exact(&self) -> Option<&str> {
        (!self.source.contains('*')).then_some(&self.source)
    }

    /// What every string that it matches begins with.
    pub fn literal_prefix(&self) -> &str {
        self.source.split_once('*').map_or(&self.source, |(prefix, _)| prefix)
    }

    /// Whether it matches the whole of a string.
    pub fn matches(&self, text: &str) -> bool {
        let Some((prefix, rest)) = self.source.split_once('*') else {
            return *self.source == *text;
        };
        let Some(mut text) = text.strip_prefix(prefix) else {
            return false;
        };
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The first place is the best for every piece but the last, which has only one.
        for piece in middle.split('*') {
            let Some(at) = text.find(piece) else {
                return false;
            };
            text = &text[at + piece.len()..];
        }
        text.ends_with(suffix)
    }

    /// Whether it matches all that another one matches. A `*` of the other's is a character that only a `*` can take.
    pub fn covers(&self, other: &Glob) -> bool {
        self.matches(&other.source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text;

    #[track_caller]
    fn pattern(source: &str) -> Pattern {
        Pattern::parse(source).unwrap()
    }

    #[track_caller]
    fn found(source: &str, sent: &str) -> bool {
        pattern(source).is_match(&text::fold(sent.trim()))
    }

    #[test]
    fn case_and_width_make_no_difference() {
        assert!(found("^ＡＢＣ！$", "abc!"));
        assert!(found("^abc!$", "ＡＢＣ！"));
        assert!(found("^[Ａ-Ｚ]+$", "Mynah"));
        assert!(found("^[！-～]+$", "a!~"));
        assert!(found("^a　b$", "A B"));
        assert!(found("^[　，]$", "，"));
        assert!(found("^ı$", "I"));
        assert!(found("^İ+$", "İİ"));
        assert!(found("^\\x{FF01}$", "!"));
        assert!(!found("^[^，]+$", "a，b"));
        assert!(!found("^[^，]+$", "a,b"));
    }

    #[test]
    fn every_letter_finds_what_it_folds_to() {
        // The tables of the compiler and of the standard library may be of different Unicode versions.
        for c in ('\0'..=char::MAX).filter(|&c| !text::is_folded(c)) {
            let folded: String = text::fold_char(c).collect();
            assert!(pattern(&format!("^{c}$")).is_match(&folded), "{c:?}");
            let class = pattern(&format!("^[{c}]$"));
            assert_eq!(class.is_match(&folded), c != 'İ', "{c:?}");
        }
    }

    #[test]
    fn a_full_width_sign_is_never_an_operator() {
        assert!(found("^（a＋b）＊$", "(a+b)*"));
        assert!(!found("^（a＋b）＊$", "aab"));
        assert!(found("(?x) ^ ＃ a $", "#a"));
        assert!(found("^[＾a]$", "^"));
        assert!(found("^[a－c]$", "-"));
        assert!(!found("^[a－c]$", "b"));
        assert!(found("^[！-]$", "-"));
    }

    #[test]
    fn groups_are_listed_by_name() {
        let pattern = pattern(r"^汇率\s*(?<from>\w+)\s+(\w+)$");
        assert_eq!(pattern.groups().collect::<Vec<_>>(), [Some("from"), None]);
    }

    #[track_caller]
    fn error(source: &str) -> (String, Option<Range<usize>>) {
        let error = Pattern::parse(source).unwrap_err();
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        (line, error.span())
    }

    #[test]
    fn errors_name_the_place_in_the_source() {
        assert_eq!(error("你（(a"), ("unclosed group".to_owned(), Some(6..7)));
        let (message, span) = error("！\\p{Nonsense}");
        assert_eq!(message, "Unicode property not found");
        assert_eq!(span, Some(3..15));
        let (message, span) = error("a(?=b)");
        assert!(message.starts_with("look-around"), "{message}");
        assert_eq!(span, Some(1..4));
    }

    #[test]
    fn case_cannot_be_asked_for() {
        let (message, span) = error("a(?-i:B)");
        assert!(message.contains("case"), "{message}");
        assert_eq!(span, Some(3..5));
        assert_eq!(error("(?x-i)B").1, Some(2..5));
        assert!(found("(?i)B", "b"));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(error(r"\w{2000}").0.contains("once compiled"));
        assert!(error(&"a".repeat(MAX_SOURCE_BYTES + 1)).0.contains("longer"));
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        assert!(error(&deep).0.contains("nest"));
        assert!(Pattern::parse(r"\w{80}").is_ok());
    }

    #[test]
    fn anchors_can_be_taken_away() {
        let bare = pattern(r"^你好\b$").without_anchors().unwrap();
        assert!(bare.is_match("说你好啊") || bare.is_match("说你好 啊"));
        assert!(pattern("你好").without_anchors().is_none());
    }

    #[test]
    fn a_star_stands_for_anything() {
        let matches = |glob: &str, text: &str| Glob::parse(glob).matches(text);
        assert!(matches("shop-*", "shop-1"));
        assert!(matches("shop-*", "shop-"));
        assert!(!matches("shop-*", "Shop-1"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "a12b3bc"));
        assert!(!matches("a*a", "a"));
        assert!(matches("a**a", "aa"));
        assert!(matches("QUIZ", "QUIZ"));
        assert!(!matches("QUIZ", "QUIZ2"));
        assert_eq!(Glob::parse("a*b").literal_prefix(), "a");
        assert_eq!(Glob::parse("a*b").exact(), None);
        assert_eq!(Glob::parse("ab").exact(), Some("ab"));
    }

    proptest! {
        #[test]
        fn a_pattern_of_plain_letters_is_what_contains_would_be(
            literal in "\\PC{0,3}|[aAＡſsKk\u{212A}İıiΣς（）。！　x]{0,3}",
            sent in "\\PC{0,12}|[aAＡſsKk\u{212A}İıiΣς（）。！　x]{0,12}",
        ) {
            let pattern = pattern(&regex::escape(&literal));
            let folded = text::fold(&sent);
            prop_assert_eq!(
                pattern.is_match(&folded),
                folded.contains(&*text::fold(&literal))
            );
        }

        #[test]
        fn a_class_is_each_of_its_letters(
            letters in "[aAＡſsKk\u{212A}ıiΣς（）。！　x]{1,4}",
            sent in "[aAＡſsKk\u{212A}ıiΣς（）。！　x]",
        ) {
            let class: String = letters.chars().map(|c| regex::escape(&c.to_string())).collect();
            let one = letters.chars().any(|c| text::fold_char(c).eq(text::fold(&sent).chars()));
            prop_assert_eq!(pattern(&format!("^[{class}]$")).is_match(&text::fold(&sent)), one);
            prop_assert_eq!(pattern(&format!("^[^{class}]$")).is_match(&text::fold(&sent)), !one);
        }

        #[test]
        fn no_source_panics(source in "\\PC{0,12}|[a（(\\[\\]）)|*+?{}^$\\\\Ａ！-]{0,12}") {
            if let Err(error) = Pattern::parse(&source) {
                prop_assert!(!error.to_string().contains('\n'));
                prop_assert!(error.span().is_none_or(|span| source.get(span).is_some()));
            }
        }

        #[test]
        fn a_glob_covers_only_what_it_matches(
            one in "[ab*]{0,5}", other in "[ab*]{0,5}", text in "[ab]{0,6}",
        ) {
            let (one, other) = (Glob::parse(&one), Glob::parse(&other));
            if one.covers(&other) && other.matches(&text) {
                prop_assert!(one.matches(&text));
            }
        }

        #[test]
        fn a_glob_is_a_regex_of_dots(glob in "[ab*]{0,6}", text in "[ab]{0,6}") {
            let regex = Regex::new(&format!("^{}$", glob.replace('*', ".*"))).unwrap();
            prop_assert_eq!(Glob::parse(&glob).matches(&text), regex.is_match(&text));
        }
    }
}

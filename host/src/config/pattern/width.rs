//! Rewrites a pattern: its literals folded, or its anchors taken away.
//!
//! It works on the parsed tree and writes over the places of single literals, since folding the raw text would turn a
//! full-width parenthesis into a group.

use std::{convert::Infallible, fmt::Write};

use regex_syntax::ast::{self, AssertionKind, Ast, ClassSetItem, Flag, Flags, Literal, Span};

use super::PatternError;
use crate::text;

/// The pattern with its literals folded; none where that changes nothing. A pattern that asks for case is refused: the
/// text that it meets has none.
pub(super) fn fold_literals(source: &str, tree: &Ast) -> Result<Option<Box<str>>, PatternError> {
    ast::visit(tree, Fold { out: Rewriting::new(source) })
}

/// The pattern without what binds it to the ends of a text or line; none if it has nothing of the kind.
pub(super) fn without_anchors(source: &str, tree: &Ast) -> Option<Box<str>> {
    let bare = ast::visit(tree, Unbind { out: Rewriting::new(source) });
    match bare {
        Ok(bare) => bare,
        Err(never) => match never {},
    }
}

struct Fold<'s> {
    out: Rewriting<'s>,
}

impl ast::Visitor for Fold<'_> {
    type Output = Option<Box<str>>;
    type Err = PatternError;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.out.finish())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), PatternError> {
        match tree {
            Ast::Literal(literal) => self.literal(literal),
            Ast::Flags(set) => return refuse_case(&set.flags),
            Ast::Group(group) => return group.flags().map_or(Ok(()), refuse_case),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), PatternError> {
        match item {
            ClassSetItem::Literal(literal) => self.in_class(&literal.span, literal.c, literal.c),
            ClassSetItem::Range(range) => self.in_class(&range.span, range.start.c, range.end.c),
            _ => {}
        }
        Ok(())
    }
}

impl Fold<'_> {
    /// Plain ASCII needs nothing, since the compiler ignores its case by itself.
    fn literal(&mut self, literal: &Literal) {
        let c = literal.c;
        if c.is_ascii() || text::is_folded(c) {
            return;
        }
        let mut folded: String = text::fold_char(c).map(escaped).collect();
        if text::fold_char(c).len() > 1 {
            // So that an operator behind it takes all of it.
            folded = format!("(?:{folded})");
        }
        self.out.replace(&literal.span, &folded);
    }

    /// Adds to a class what its characters fold to. What they were may stay: no folded text holds them.
    fn in_class(&mut self, span: &Span, first: char, last: char) {
        let mut more = String::new();
        if first == last {
            let mut folded = text::fold_char(first);
            if folded.len() == 1
                && !first.is_ascii()
                && let Some(folded) = folded.next().filter(|&folded| folded != first)
            {
                more = escaped(folded);
            }
        } else {
            let (low, high) = (first.max('\u{FF01}'), last.min('\u{FF5E}'));
            if low <= high {
                let (low, high) = (text::narrow(low), text::narrow(high));
                more = format!("{}-{}", escaped(low), escaped(high));
            }
            for c in ['\u{3000}', '￠', '￡', '￢', '￤', '￥', '￦'] {
                if (first..=last).contains(&c) {
                    more += &escaped(text::narrow(c));
                }
            }
        }
        if !more.is_empty() {
            self.out.insert(span.end.offset, &more);
        }
    }
}

fn refuse_case(flags: &Flags) -> Result<(), PatternError> {
    if flags.flag_state(Flag::CaseInsensitive) == Some(false) {
        return Err(PatternError::at(&flags.span, "texts are compared without case, so `-i` cannot be asked for"));
    }
    Ok(())
}

/// The character in a form that no mode of a pattern reads as anything else.
fn escaped(c: char) -> String {
    let mut escaped = String::new();
    // Writing to a string cannot fail.
    let _ = write!(escaped, "\\x{{{:X}}}", u32::from(c));
    escaped
}

struct Unbind<'s> {
    out: Rewriting<'s>,
}

impl ast::Visitor for Unbind<'_> {
    type Output = Option<Box<str>>;
    type Err = Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.out.finish())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), Infallible> {
        if let Ast::Assertion(assertion) = tree
            && matches!(
                assertion.kind,
                AssertionKind::StartLine | AssertionKind::EndLine | AssertionKind::StartText | AssertionKind::EndText
            )
        {
            self.out.replace(&assertion.span, "(?:)");
        }
        Ok(())
    }
}

/// A text written anew at some places; the places come in order.
struct Rewriting<'s> {
    source: &'s str,
    written: String,
    /// How much of the source has been dealt with.
    done: usize,
}

impl<'s> Rewriting<'s> {
    fn new(source: &'s str) -> Rewriting<'s> {
        Rewriting { source, written: String::new(), done: 0 }
    }

    fn replace(&mut self, span: &Span, by: &str) {
        self.insert(span.start.offset, by);
        self.done = span.end.offset;
    }

    fn insert(&mut self, at: usize, more: &str) {
        self.written += self.source.get(self.done..at).unwrap_or_default();
        self.written += more;
        self.done = at;
    }

    fn finish(mut self) -> Option<Box<str>> {
        if self.done == 0 {
            return None;
        }
        self.written += self.source.get(self.done..).unwrap_or_default();
        Some(self.written.into())
    }
}

//! An expected line of a reply, and how it is held against the lines that came.

use regex::Regex;

use super::replies::Line;

/// What one line of a transcript expects.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As it stands there.
    pub written: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `…` alone: any lines, or none.
    Lines,
    /// `/…/`: found in the line.
    Regex(Regex),
    /// The parts between single `…`; one part is the whole line.
    Parts(Vec<String>),
}

/// How one pattern, one line, or both of them stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The line is as the pattern has it; of several for `…`, each.
    Same {
        /// Which of the patterns.
        pattern: usize,
        /// Which of the lines; none where `…` stands for nothing.
        line: Option<usize>,
    },
    /// Nothing came for the pattern.
    Missing(usize),
    /// Nothing expects the line.
    Extra(usize),
}

impl Pattern {
    /// Reads what stands after `<`.
    pub fn read(written: &str) -> Result<Self, String> {
        let written = written.trim_end();
        let regex = written.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let kind = match (written, regex) {
            ("…", _) => Kind::Lines,
            (_, Some(regex)) => Kind::Regex(Regex::new(regex).map_err(|error| format!("bad regex: {error}"))?),
            _ => Kind::Parts(parts(written)),
        };
        Ok(Self { written: written.to_owned(), kind })
    }

    fn matches(&self, line: &Line) -> bool {
        match &self.kind {
            Kind::Lines => true,
            Kind::Regex(regex) => regex.is_match(&line.plain),
            Kind::Parts(parts) => in_order(parts, &line.written),
        }
    }
}

/// Divides at each `…` that is alone: a pair is the Chinese ellipsis, and one after a backslash is meant.
fn parts(written: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = None;
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '…' && !matches!(before, Some('\\' | '…')) && chars.peek() != Some(&'…') {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        before = Some(c);
    }
    parts
}

/// Whether the text begins with the first part, ends with the last, and has the others in between in order.
fn in_order(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_some_and(|only| only == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for part in middle {
        match rest.find(part.as_str()) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

/// Whether the lines are as the patterns have them.
pub fn fits(steps: &[Step]) -> bool {
    steps.iter().all(|step| matches!(step, Step::Same { .. }))
}

/// What a line costs that has no pattern, a pattern without a line, or the two in place of each other.
const DIFFERENT: u32 = 1000;

/// What a line costs that `…` stands for: so little that no line has to differ for it, and enough that a changed line is shown as such.
const SWALLOWED: u32 = 1;

/// Finds the way through both with the fewest that differ. Costs their product, which a reply's bound keeps small.
pub fn align(patterns: &[Pattern], lines: &[Line]) -> Vec<Step> {
    let width = lines.len() + 1;
    // The cost from the pattern `p` and the line `l` on, at `p * width + l`.
    let mut cost = vec![0; (patterns.len() + 1) * width];
    for p in (0..=patterns.len()).rev() {
        for l in (0..width).rev() {
            cost[p * width + l] = best(patterns, lines, &cost, p, l).map_or(0, |(_, cost)| cost);
        }
    }
    let (mut p, mut l) = (0, 0);
    let mut steps = Vec::new();
    while let Some((way, _)) = best(patterns, lines, &cost, p, l) {
        match way {
            Way::Same | Way::Swallow => steps.push(Step::Same { pattern: p, line: Some(l) }),
            Way::Nothing if matches!(steps.last(), Some(Step::Same { pattern, .. }) if *pattern == p) => {}
            Way::Nothing => steps.push(Step::Same { pattern: p, line: None }),
            Way::Replace => steps.extend([Step::Missing(p), Step::Extra(l)]),
            Way::Missing => steps.push(Step::Missing(p)),
            Way::Extra => steps.push(Step::Extra(l)),
        }
        let (patterns, lines, _) = way.takes();
        p += patterns;
        l += lines;
    }
    steps
}

/// What may come next.
#[derive(Clone, Copy)]
enum Way {
    /// The line is as the pattern has it.
    Same,
    /// `…` stands for the line, and goes on.
    Swallow,
    /// `…` is over.
    Nothing,
    Replace,
    Missing,
    Extra,
}

impl Way {
    /// How many patterns and lines it takes, and what it costs.
    fn takes(self) -> (usize, usize, u32) {
        match self {
            Self::Same => (1, 1, 0),
            Self::Swallow => (0, 1, SWALLOWED),
            Self::Nothing => (1, 0, 0),
            Self::Replace => (1, 1, DIFFERENT),
            Self::Missing => (1, 0, DIFFERENT),
            Self::Extra => (0, 1, DIFFERENT),
        }
    }
}

/// The cheapest way on, and what it costs with all that follows; none at the end.
fn best(patterns: &[Pattern], lines: &[Line], cost: &[u32], p: usize, l: usize) -> Option<(Way, u32)> {
    let (pattern, line) = (patterns.get(p), lines.get(l));
    let any = pattern.is_some_and(|pattern| matches!(pattern.kind, Kind::Lines));
    let ways: &[Way] = match (pattern, line) {
        (None, None) => &[],
        (None, Some(_)) => &[Way::Extra],
        (Some(_), None) if any => &[Way::Nothing],
        (Some(_), None) => &[Way::Missing],
        (Some(_), Some(_)) if any => &[Way::Nothing, Way::Swallow],
        (Some(pattern), Some(line)) if pattern.matches(line) => &[Way::Same, Way::Missing, Way::Extra],
        (Some(_), Some(_)) => &[Way::Replace, Way::Missing, Way::Extra],
    };
    let width = lines.len() + 1;
    let total = |way: &Way| {
        let (patterns, lines, own) = way.takes();
        own + cost[(p + patterns) * width + l + lines]
    };
    ways.iter().map(|way| (*way, total(way))).min_by_key(|(_, cost)| *cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{transcript::replies::lines, wechat::reply::Reply};

    fn aligned(patterns: &[&str], text: &str) -> Vec<Step> {
        let patterns: Vec<Pattern> = patterns.iter().map(|written| Pattern::read(written).unwrap()).collect();
        align(&patterns, &lines(&Reply::Text(text.into())))
    }

    fn fit(patterns: &[&str], text: &str) -> bool {
        fits(&aligned(patterns, text))
    }

    #[test]
    fn a_line_stands_for_itself() {
        assert!(fit(&["a", "", "b"], "a\n\nb"));
        assert!(!fit(&["a"], "a\nb") && !fit(&["a", "b"], "a") && !fit(&["A"], "a"));
        assert!(fit(&["还在想……"], "还在想……") && !fit(&["还在想……"], "还在想了"));
        assert!(fit(&["\\[image x]"], "[image x]") && !fit(&["[image x]"], "[image x]"));
    }

    #[test]
    fn an_ellipsis_stands_for_what_varies() {
        assert!(fit(&["得分：… / 42"], "得分：28 / 42") && !fit(&["得分：… / 42"], "得分：28 / 43"));
        assert!(fit(&["…b…d…"], "abcde") && !fit(&["…d…b…"], "abcde"));
        assert!(fit(&["a\\…"], "a…") && !fit(&["a\\…"], "abc"));
        assert!(!fit(&["aa…a"], "aa"), "the parts do not overlap");
    }

    #[test]
    fn an_ellipsis_alone_stands_for_any_lines() {
        for text in ["a\nz", "a\nb\nz", "a\nb\nc\nz", "a\nz\nz"] {
            assert!(fit(&["a", "…", "z"], text), "{text}");
        }
        assert!(!fit(&["a", "…", "z"], "a\nb") && fit(&["…"], "a\nb") && fit(&["a", "…"], "a"));
    }

    #[test]
    fn a_regex_is_found_in_the_line() {
        assert!(fit(&["/^(⚀|⚁)$/"], "⚁") && !fit(&["/^(⚀|⚁)$/"], "⚂"));
        assert!(fit(&["\\/a/"], "/a/") && fit(&["/b/"], "abc"));
        assert!(Pattern::read("/(/").unwrap_err().starts_with("bad regex"));
    }

    #[test]
    fn what_differs_is_found_where_it_is() {
        use Step::{Extra, Missing, Same};
        let same = |n| Same { pattern: n, line: Some(n) };
        assert_eq!(aligned(&["a", "b", "c"], "a\nx\nc"), [same(0), Missing(1), Extra(1), same(2)]);
        assert_eq!(aligned(&["a", "…"], "b\nc"), [Missing(0), Extra(0), Same { pattern: 1, line: Some(1) }]);
    }
}

//! What can never be reached.

use super::*;

#[track_caller]
fn hidden(rules: impl Into<Arc<[Rule]>>) -> Vec<(usize, usize, bool)> {
    let hidden = Router::new(rules).hidden().into_iter();
    hidden.map(|hidden| (hidden.rule, hidden.by_rule, hidden.by_plugin)).collect()
}

fn keywords(words: &[&str]) -> Rule {
    Rule { keyword: words.iter().map(|&word| word.to_owned()).collect(), ..fixed() }
}

fn kinds(kinds: &[&str], rule: Rule) -> Rule {
    Rule { kind: kinds.iter().map(|&kind| kind.to_owned()).collect(), ..rule }
}

#[test]
fn a_text_rule_is_hidden_by_a_wider_one() {
    for (earlier, later) in [
        (keyword("Quiz"), keyword("ｑｕｉｚ ")),
        (keywords(&["a", "b"]), keywords(&["b", "a"])),
        (prefix("答"), keyword("答题")),
        (prefix("答"), prefix("答题")),
        (contains("题"), keyword("答题")),
        (contains("题"), prefix("答题")),
        (contains("题"), contains("答题")),
        (regex("^答.$"), keywords(&["答题", "答案"])),
        (regex("^\\d+$"), keyword("１２")),
        (regex("ＡＢ"), regex("ＡＢ")),
        (kinds(&["text", "voice"], fixed()), contains("a")),
        (kinds(&["text"], contains("a")), kinds(&["TEXT"], keyword("ab"))),
        (fixed(), keyword("a")),
        (fixed(), kinds(&["image"], fixed())),
        (kinds(&["image", "voice"], fixed()), kinds(&["image"], fixed())),
        (contains("b"), Rule { prefix: vec!["a".to_owned()], ..keyword("ab") }),
        (prefix("a"), Rule { prefix: vec!["ab".to_owned()], ..contains("x") }),
    ] {
        assert_eq!(hidden([earlier, later]), [(1, 0, false)]);
    }
}

#[test]
fn a_text_rule_is_not_hidden_by_a_narrower_one() {
    for (earlier, later) in [
        (keyword("a"), keywords(&["a", "b"])),
        (keyword("a"), contains("a")),
        (prefix("ab"), prefix("a")),
        (contains("ab"), contains("a")),
        (contains("a"), regex("a")),
        (regex("a"), contains("a")),
        (kinds(&["text"], fixed()), contains("a")),
        (kinds(&["text"], contains("a")), keyword("a")),
        (Rule { prefix: vec!["b".to_owned()], ..contains("a") }, contains("a")),
        (kinds(&["image"], fixed()), fixed()),
        (keyword("a"), event("click")),
        (fixed(), event("click")),
        (kinds(&["image"], keyword("a")), keyword("a")),
        (Rule { event: Events::Any, ..keyword("a") }, keyword("a")),
    ] {
        assert_eq!(hidden([earlier, later]), []);
    }
}

#[test]
fn an_event_rule_is_hidden_by_a_wider_one() {
    let any = || Rule { event: Events::Any, ..fixed() };
    let click = |key: &str| Rule { key: vec![Glob::parse(key)], ..event("CLICK") };
    let scan = |scene: &str| Rule { scene: vec![Glob::parse(scene)], ..event("SCAN") };
    for (earlier, later) in [
        (any(), event("click")),
        (event("click"), click("a")),
        (click("a*"), click("ab")),
        (click("a*"), click("ab*c")),
        (scan("shop-*"), scan("shop-1")),
        (click("*"), click("a")),
    ] {
        assert_eq!(hidden([earlier, later]), [(1, 0, false)]);
    }
    for (earlier, later) in [
        (event("click"), any()),
        (click("a"), event("click")),
        (click("ab"), click("a*")),
        (scan("shop-*"), click("shop-1")),
        (click("*"), event("click")),
    ] {
        assert_eq!(hidden([earlier, later]), []);
    }
}

#[test]
fn a_plugin_may_pass_and_a_reply_behind_it_does_not() {
    assert_eq!(hidden([plugin(), keyword("a")]), [(1, 0, true)]);
    let treat = Rule { keyword: vec!["a".to_owned()], ..rule(Action::TreatAs("b".to_owned())) };
    assert_eq!(hidden([treat, keyword("a")]), [(1, 0, true)]);
    assert_eq!(hidden([plugin(), contains("a"), keyword("a")]), [(1, 0, true), (2, 1, false)]);
}

#[test]
fn a_row_is_hidden_by_a_row() {
    let row = |word: &str| Matching::Keyword(word.to_owned());
    let router = Router::new([table([row("a"), row("b"), row("Ａ")])]);
    assert_eq!(router.hidden(), [Hidden { rule: 0, row: Some(2), by_rule: 0, by_row: Some(0), by_plugin: false }]);
}

#[test]
fn many_rules_are_compared_in_no_time() {
    let row = |n: usize| Matching::Keyword(format!("问题{}", n % 9_999));
    let many = table((0..20_000).map(row));
    let words: Vec<String> = (0..20_000).map(|n| format!("问题{n}")).collect();
    let plugins = (0..5_000).map(|_| Rule { keyword: vec!["a".to_owned()], ..plugin() });
    let mut rules: Vec<Rule> = plugins.collect();
    rules.push(Rule { keyword: words, ..fixed() });
    rules.push(many);
    // Were every pair looked at, this would take minutes.
    assert_eq!(hidden(rules).len(), 4_999 + 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn what_is_hidden_never_comes_before_what_hides_it(
        rules in rules(),
        messages in vec(messages(), 12),
    ) {
        let router = Router::new(rules);
        let hidden = router.hidden();
        for message in &messages {
            let found: Vec<_> = router.route(message).map(|found| (found.rule, found.row)).collect();
            for hidden in &hidden {
                let at = |wanted| found.iter().position(|&found| found == wanted);
                if let Some(later) = at((hidden.rule, hidden.row)) {
                    let earlier = at((hidden.by_rule, hidden.by_row));
                    prop_assert!(earlier.is_some_and(|earlier| earlier < later), "{:?}", hidden);
                }
            }
        }
    }

    /// Words alone, so that much is hidden; and all of it is found.
    #[test]
    fn of_rules_with_one_word_none_that_is_hidden_is_missed(
        rows in vec((0..3, "[ab]{1,3}"), 0..12),
    ) {
        let wider = |(kind, word): &(i32, String), (later_kind, later): &(i32, String)| match (kind, later_kind) {
            (0, 0) => word == later,
            (1, 0 | 1) => later.starts_with(word),
            (2, _) => later.contains(word),
            _ => false,
        };
        let expected = (0..rows.len()).filter(|&at| rows[..at].iter().any(|row| wider(row, &rows[at]))).count();
        let matching = |(kind, word): (i32, String)| match kind {
            0 => Matching::Keyword(word),
            1 => Matching::Prefix(word),
            _ => Matching::Contains(word),
        };
        let router = Router::new([table(rows.into_iter().map(matching))]);
        prop_assert_eq!(router.hidden().len(), expected);
    }
}

//! What is matched, in which order, and with which captures.

use super::*;

#[track_caller]
fn matched(router: &Router, message: &Message) -> Vec<usize> {
    router.route(message).map(|found| found.rule).collect()
}

fn captured(router: &Router, message: &Message) -> Vec<(String, String)> {
    let found = router.route(message).next();
    let captures = found.map(|found| found.captures).unwrap_or_default();
    captures.into_iter().map(|field| (field.name, field.value)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn all_that_match_come_from_top_to_bottom() {
    let router = Router::new([
        plugin(),
        contains("答"),
        keyword("答题"),
        prefix("答"),
        regex("题$"),
        keyword("别的"),
        event("CLICK"),
        keyword("ＱＵＩＺ"),
    ]);
    assert_eq!(matched(&router, &text_message("　答题 ")), [0, 1, 2, 3, 4]);
    assert_eq!(matched(&router, &text_message("答题吧")), [0, 1, 3]);
    assert_eq!(matched(&router, &text_message("quiz")), [0, 7]);
    assert_eq!(matched(&router, &text_message(" ")), [0]);
    assert_eq!(matched(&router, &event_message("click", None)), [6]);
}

#[test]
fn a_row_is_a_rule_of_its_own() {
    let row = |word: &str| Matching::Keyword(word.to_owned());
    let router = Router::new([table([row("地址"), row("电话"), Matching::Prefix("电".to_owned())]), keyword("电话")]);
    let found: Vec<_> = router.route(&text_message("电话")).map(|found| (found.rule, found.row)).collect();
    assert_eq!(found, [(0, Some(1)), (0, Some(2)), (1, None)]);
}

#[test]
fn a_row_stands_under_its_tables_conditions() {
    let mut faq = table([Matching::Keyword("地址".to_owned())]);
    faq.kind = vec!["voice".to_owned()];
    let router = Router::new([faq]);
    let mut message = text_message("地址");
    assert!(matched(&router, &message).is_empty());
    message.kind = "voice".to_owned();
    assert_eq!(matched(&router, &message), [0]);
}

#[test]
fn a_text_is_what_was_written_or_recognised() {
    let router = Router::new([contains("a")]);
    for (kind, found) in [("text", true), ("voice", true), ("image", false), ("event", false)] {
        let message = Message { kind: kind.to_owned(), ..text_message("a") };
        assert_eq!(router.route(&message).next().is_some(), found, "{kind}");
    }
}

#[test]
fn events_are_matched_by_name_key_and_scene() {
    let mut shop = event("subscribe");
    shop.event = Events::Named(vec!["subscribe".to_owned(), "scan".to_owned()]);
    shop.scene = vec![Glob::parse("shop-*")];
    let mut menu = event("click");
    menu.key = vec![Glob::parse("QUIZ"), Glob::parse("*_END")];
    let mut all = fixed();
    all.event = Events::Any;
    let router = Router::new([shop, event("SUBSCRIBE"), menu, all]);
    for (name, key, found) in [
        ("subscribe", Some("qrscene_shop-1"), &[0, 1, 3][..]),
        ("SCAN", Some("shop-1"), &[0, 3]),
        ("SCAN", Some("home"), &[3]),
        ("subscribe", None, &[1, 3]),
        ("CLICK", Some("QUIZ"), &[2, 3]),
        ("CLICK", Some("THE_END"), &[2, 3]),
        ("CLICK", Some("quiz"), &[3]),
        ("CLICK", None, &[3]),
    ] {
        assert_eq!(matched(&router, &event_message(name, key)), found, "{name} {key:?}");
    }
}

#[test]
fn the_rest_is_what_was_sent_behind_the_longest_prefix() {
    let mut rule = prefix("复读");
    rule.prefix.push("复读机 ".to_owned());
    let router = Router::new([rule]);
    for (sent, rest) in [("复读 你好！ABC", "你好！ABC"), ("复读机　ＡＢＣ ", "ＡＢＣ"), ("复读", ""), ("复读机", "机")]
    {
        assert_eq!(captured(&router, &text_message(sent)), pairs(&[("rest", rest)]));
    }
}

#[test]
fn a_prefix_stands_at_the_start_only() {
    // The end of the first is the whole of the second.
    let router = Router::new([prefix("问天气"), prefix("天气")]);
    assert_eq!(matched(&router, &text_message("问天气")), [0]);
    assert_eq!(matched(&router, &text_message("天气")), [1]);
}

#[test]
fn a_rows_prefix_may_be_longer_than_its_tables() {
    let mut rule = table([Matching::Prefix("天气预报".to_owned())]);
    rule.prefix = vec!["天气".to_owned()];
    let router = Router::new([rule]);
    assert_eq!(captured(&router, &text_message("天气预报 北京")), pairs(&[("rest", "北京")]));
}

#[test]
fn groups_are_captured_by_name_and_number() {
    let router = Router::new([regex(r"^汇率\s*(?<from>\w+)\s+(\w+)(\?)?$")]);
    assert_eq!(
        captured(&router, &text_message("汇率　ＵＳＤ Cny")),
        pairs(&[("from", "ＵＳＤ"), ("1", "ＵＳＤ"), ("2", "Cny"), ("3", "")])
    );
}

#[test]
fn groups_of_a_pattern_that_did_not_match_are_empty() {
    let mut rule = regex("a(?<x>.)");
    rule.regex.push(Pattern::parse("b(?<y>.)(.)").unwrap());
    let names = capture_names(&rule);
    let router = Router::new([rule]);
    let captures = captured(&router, &text_message("b12"));
    assert_eq!(captures, pairs(&[("y", "1"), ("1", "1"), ("2", "2"), ("x", "")]));
    assert!(captures.iter().all(|(name, _)| names.contains(name)));
}

#[test]
fn a_scene_is_captured_without_being_asked_for() {
    let router = Router::new([event("subscribe")]);
    let message = event_message("subscribe", Some("qrscene_shop-1"));
    assert_eq!(captured(&router, &message), pairs(&[("scene", "shop-1")]));
    let message = event_message("subscribe", Some("last_trade_no_1"));
    assert_eq!(captured(&router, &message), []);
}

#[test]
fn the_names_of_captures_are_those_of_rows_too() {
    let mut rule = table([
        Matching::Prefix("a".to_owned()),
        Matching::Regex(Box::new(Pattern::parse("(?<x>.)(.)").unwrap())),
        Matching::Keyword("b".to_owned()),
    ]);
    assert_eq!(capture_names(&rule), ["rest", "x", "1", "2"]);
    rule.event = Events::Any;
    assert_eq!(capture_names(&rule), ["rest", "x", "1", "2", "scene"]);
    assert!(capture_names(&keyword("a")).is_empty());
}

#[test]
fn a_text_that_repeats_a_word_a_thousand_times_is_found_once() {
    let router = Router::new((1..40).map(|n| contains(&"a".repeat(n))).collect::<Vec<_>>());
    let message = text_message(&"a".repeat(20_000));
    assert_eq!(router.route(&message).count(), 39);
}

#[test]
fn a_router_is_shared_by_threads_and_kept_while_a_plugin_runs() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Router>();
    is_send_and_sync::<Candidates<'_>>();
}

/// One rule and row after the other, each condition as it is described.
fn plainly(rules: &[Rule], message: &Message) -> Vec<Match> {
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        match &rule.action {
            Action::Replies(rows) => {
                for (row_at, row) in rows.iter().enumerate() {
                    let captures = plain_captures(rule, Some(&row.matching), message);
                    found.extend(captures.map(|captures| Match { rule: at, row: Some(row_at), captures }));
                }
            }
            _ => {
                let captures = plain_captures(rule, None, message);
                found.extend(captures.map(|captures| Match { rule: at, row: None, captures }));
            }
        }
    }
    found
}

fn plain_fold(text: &str) -> String {
    text.chars().flat_map(text::fold_char).collect()
}

fn plain_captures(rule: &Rule, row: Option<&Matching>, message: &Message) -> Option<Vec<Field>> {
    let any =
        |values: &[String], holds: &dyn Fn(&str) -> bool| values.is_empty() || values.iter().any(|value| holds(value));
    let is_event = message.kind == "event";
    let event = message.event().unwrap_or_default().to_lowercase();
    let heard = match &rule.event {
        Events::None => !is_event,
        Events::Any => is_event,
        Events::Named(names) => is_event && !event.is_empty() && names.iter().any(|name| name.to_lowercase() == event),
    };
    let globs = |globs: &[Glob], value: Option<&str>| {
        globs.is_empty() || value.is_some_and(|value| !value.is_empty() && globs.iter().any(|glob| glob.matches(value)))
    };
    let kind = any(&rule.kind, &|kind| kind.to_lowercase() == message.kind);
    if !heard || !kind || !globs(&rule.key, message.event_key()) || !globs(&rule.scene, message.scene()) {
        return None;
    }

    let with_text = ["text", "voice"].contains(&&*message.kind);
    let text = message.text.as_deref().filter(|_| with_text).unwrap_or_default().trim();
    let folded = plain_fold(text);
    let begins = |prefix: &str| folded.starts_with(&plain_fold(prefix.trim_start()));
    let mut prefixes: Vec<&str> = rule.prefix.iter().map(String::as_str).collect();
    let mut patterns: Vec<&[Pattern]> = Vec::new();
    let row_holds = match row {
        None => true,
        Some(Matching::Keyword(word)) => folded == plain_fold(word.trim()),
        Some(Matching::Prefix(word)) => {
            prefixes.push(word);
            begins(word)
        }
        Some(Matching::Contains(word)) => folded.contains(&plain_fold(word)),
        Some(Matching::Regex(pattern)) => {
            patterns.push(std::slice::from_ref(pattern));
            pattern.is_match(&folded)
        }
    };
    patterns.push(&rule.regex);
    let text_holds = row_holds
        && any(&rule.keyword, &|word| folded == plain_fold(word.trim()))
        && any(&rule.prefix, &begins)
        && any(&rule.contains, &|word| folded.contains(&plain_fold(word)))
        && (rule.regex.is_empty() || rule.regex.iter().any(|pattern| pattern.is_match(&folded)));
    let asks = row.is_some()
        || !(rule.keyword.is_empty() && rule.prefix.is_empty())
        || !(rule.contains.is_empty() && rule.regex.is_empty());
    if asks && (!text_holds || text.is_empty()) {
        return None;
    }

    let mut captures: Vec<Field> = Vec::new();
    let mut add = |name: &str, value: &str| {
        if captures.iter().all(|field| field.name != name) {
            captures.push(Field { name: name.to_owned(), value: value.to_owned() });
        }
    };
    // Which characters of the original make up the bytes of the folded text.
    let owners: Vec<usize> =
        text.char_indices().flat_map(|(at, c)| vec![at; plain_fold(&c.to_string()).len()]).collect();
    let start_of = |folded_at: usize| {
        let owner = |at: usize| owners.get(at).copied().unwrap_or(text.len());
        let inside = folded_at > 0 && folded_at < owners.len() && owner(folded_at) == owner(folded_at - 1);
        let next = || owners[folded_at..].iter().copied().find(|&at| at != owner(folded_at));
        if inside { next().unwrap_or(text.len()) } else { owner(folded_at) }
    };
    for list in patterns {
        let matched = list.iter().find(|pattern| pattern.is_match(&folded));
        for pattern in matched.into_iter().chain(list) {
            let found = matched
                .filter(|matched| std::ptr::eq(*matched, pattern))
                .and_then(|pattern| pattern.regex().unwrap().captures(&folded));
            for (number, name) in (1..).zip(pattern.groups()) {
                let group = found.as_ref().and_then(|found| found.get(number));
                let value = group.map_or("", |group| &text[start_of(group.start())..start_of(group.end())]);
                if let Some(name) = name {
                    add(name, value);
                }
                add(&number.to_string(), value);
            }
        }
    }
    let longest =
        prefixes.iter().filter(|prefix| begins(prefix)).map(|prefix| plain_fold(prefix.trim_start()).len()).max();
    if let Some(longest) = longest {
        add("rest", text[start_of(longest)..].trim());
    }
    if let Some(scene) = message.scene() {
        add("scene", scene);
    }
    Some(captures)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn routing_is_reading_the_rules_one_by_one(
        rules in rules(),
        messages in vec(messages(), 6),
    ) {
        let router = Router::new(rules);
        for message in &messages {
            let found: Vec<Match> = router.route(message).collect();
            prop_assert_eq!(&found, &plainly(router.rules(), message), "{:?}", message);
            for found in &found {
                let names = capture_names(&router.rules()[found.rule]);
                prop_assert!(found.captures.iter().all(|field| names.contains(&field.name)));
            }
        }
    }

    #[test]
    fn the_first_can_be_taken_without_the_others(rules in rules(), message in messages()) {
        let router = Router::new(rules);
        let mut lazily = router.route(&message);
        for all in plainly(router.rules(), &message) {
            prop_assert_eq!(lazily.next(), Some(all));
        }
        prop_assert_eq!(lazily.next(), None);
    }

    #[test]
    fn nothing_that_is_sent_panics(rules in rules(), sent in "\\PC{0,30}|(?s).{0,30}") {
        let router = Router::new(rules);
        let _ = router.route(&text_message(&sent)).count();
        let _ = router.near_misses(&sent);
    }
}

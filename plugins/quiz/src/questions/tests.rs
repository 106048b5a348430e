use super::*;

const SAMPLE: &str = include_str!("../../questions.toml");

/// A file with one good question, and what `more` adds.
fn with(more: &str) -> String {
    format!("title = 'T'\n[[questions]]\ntext = 'Q'\nscale = {{ min = 1, max = 5 }}\n{more}")
}

/// A file whose only question is this one.
fn only(question: &str) -> String {
    format!("title = 'T'\n[[questions]]\n{question}")
}

/// All that is wrong with a file.
#[track_caller]
fn problems(file: &str) -> Vec<String> {
    match Questions::parse(file) {
        Ok(questions) => panic!("nothing wrong with {questions:?}"),
        Err(problems) => problems,
    }
}

#[test]
fn the_sample_is_good() {
    let questions = Questions::parse(SAMPLE).expect("no problems");
    assert_eq!(questions.list.len(), 10);
    assert_eq!(questions.max(), 42);
    assert_eq!(questions.totals().0, 5);
    assert!(questions.is_scored());
}

#[test]
fn little_is_needed() {
    let questions = Questions::parse("title = 'T'\n[[questions]]\ntext = 'Q'\nfree = true").expect("no problems");
    assert_eq!(questions.list[0].id, "q01");
    assert!(!questions.once && !questions.is_scored());
    assert_eq!(questions.result(0), "谢谢参与！");
    assert_eq!(questions.prompt(0), "【1/1】Q\n（用文字回答，最多 300 字）");
}

#[test]
fn fills_in_score_max_and_title_and_nothing_else() {
    let file = "title = '{score}'\nclosing = '{title} { } {不认识} {'\n[[questions]]\ntext = 'Q'\n\
                choices = ['甲', { text = '乙', score = 10 }]\n\
                [[results]]\nfrom = 0\nto = 0\ntext = '零'\n[[results]]\nfrom = 10\nto = 10\ntext = '{score}/{max}'\n";
    let questions = Questions::parse(file).expect("no problems");
    assert_eq!(questions.result(0), "零\n\n{score} { } {不认识} {");
    assert_eq!(questions.result(10), "10/10\n\n{score} { } {不认识} {");
}

#[test]
fn the_version_is_that_of_ids_order_and_scores() {
    let version = |file: &str| Questions::parse(file).expect("no problems").version();
    let file = |id: &str, text: &str, score: i32| {
        only(&format!("id = '{id}'\ntext = '{text}'\nchoices = ['甲', {{ text = '乙', score = {score} }}]"))
    };
    let original = version(&file("a", "Q", 1));
    assert_eq!(original, version(&file("a", "Q?", 1)));
    assert_ne!(original, version(&file("b", "Q", 1)));
    assert_ne!(original, version(&file("a", "Q", 2)));
    assert_eq!(original.len(), 16);
}

#[test]
fn says_where_a_file_is_no_toml() {
    assert_eq!(
        problems("title = 'T'\n[[questions]\ntext = 'Q'"),
        ["line 2: not valid TOML: unclosed array table, expected `]`"]
    );
    assert_eq!(problems("title = t"), ["line 1: not valid TOML: invalid boolean, expected `true`"]);
}

#[test]
fn an_empty_file_lacks_a_title_and_questions() {
    assert_eq!(problems(""), ["line 1: there is no `title`", "line 1: there are no questions; add a `[[questions]]`"]);
}

#[test]
fn every_unknown_key_and_wrong_type_is_named() {
    let file = "titel = 'T'\n\
                once = 'yes'\n\
                [[questions]]\n\
                txt = 'Q'\n\
                choices = [{ text = '甲', points = 1 }, 2]\n\
                weigth = 2\n\
                [[questions]]\n\
                text = 'Q'\n\
                scale = { min = 1, max = 5, middle = 3 }\n\
                reverse = 'no'\n\
                [[results]]\n\
                from = 1.5\n\
                upto = 5\n";
    assert_eq!(
        problems(file),
        [
            "line 1: unknown field `titel`, expected one of `title`, `intro`, `once`, `closing`, `questions`, `results`",
            "line 2: invalid type: string \"yes\", expected a boolean",
            "line 4: question 1: unknown field `txt`, expected one of `text`, `id`, `choices`, `scale`, `reverse`, \
         `weight`, `free`, `max_length`",
            "line 5: question 1: unknown field `points`, expected `text` or `score`",
            "line 6: question 1: unknown field `weigth`, expected one of `text`, `id`, `choices`, `scale`, `reverse`, \
         `weight`, `free`, `max_length`",
            "line 9: question 2: unknown field `middle`, expected one of `min`, `max`, `low`, `high`",
            "line 10: question 2: invalid type: string \"no\", expected a boolean",
            "line 12: result 1: invalid type: floating point `1.5`, expected i32",
            "line 13: result 1: unknown field `upto`, expected one of `from`, `to`, `text`",
        ]
    );
}

#[test]
fn questions_and_results_are_tables() {
    assert_eq!(
        problems("title = 'T'\nquestions = 5\nresults = ['a']"),
        ["line 2: `questions` must be tables: `[[questions]]`", "line 3: `results` must be tables: `[[results]]`",]
    );
}

#[test]
fn a_question_needs_a_text_and_one_kind() {
    assert_eq!(
        problems(&only("id = 'a'")),
        ["line 2: question 1: there is no `text`", "line 2: question 1: it needs one of `choices`, `scale` and `free`",]
    );
    assert_eq!(
        problems(&only("text = ' '\nfree = true\nscale = { min = 1, max = 5 }")),
        [
            "line 2: question 1: there is no `text`",
            "line 2: question 1: it can have only one of `choices`, `scale` and `free`",
        ]
    );
}

#[test]
fn each_kind_has_its_own_settings() {
    let question = "text = 'Q'\nchoices = ['甲', '乙']\nreverse = true\nweight = 2\nmax_length = 5";
    assert_eq!(
        problems(&only(question)),
        [
            "line 2: question 1: `reverse` is only for a `scale`",
            "line 2: question 1: `weight` is only for a `scale`",
            "line 2: question 1: `max_length` is only for `free = true`",
        ]
    );
    assert_eq!(
        problems(&only("text = 'Q'\nfree = false\nmax_length = 601")),
        [
            "line 2: question 1: `free` can only be `true`; leave it out otherwise",
            "line 2: question 1: `max_length` is 601, and must be from 1 to 600",
        ]
    );
}

#[test]
fn choices_must_be_told_apart() {
    let question = "text = 'Q'\nchoices = ['是', '「是」', ' ', '上一题', 'a', '6。']";
    assert_eq!(
        problems(&only(question)),
        [
            "line 2: question 1: choices 1 and 2 are the same to a reader of answers: `「是」`",
            "line 2: question 1: choice 3 has no text",
            "line 2: question 1: choice 4 is `上一题`, which is a command of the quiz",
            "line 2: question 1: choice 5 is `a`, which is the letter of choice 1",
        ]
    );
    assert_eq!(
        problems(&only("text = 'Q'\nchoices = ['是']")),
        ["line 2: question 1: there are 1 `choices`, and must be 2 to 26"]
    );
    let many: Vec<_> = (1..=27).map(|number| format!("'项目 {number}'")).collect();
    assert_eq!(
        problems(&only(&format!("text = 'Q'\nchoices = [{}]", many.join(", ")))),
        ["line 2: question 1: there are 27 `choices`, and must be 2 to 26"]
    );
}

#[test]
fn a_scale_goes_up_and_not_too_far() {
    let scale = |scale: &str| problems(&only(&format!("text = 'Q'\nscale = {scale}")));
    assert_eq!(
        scale("{ min = 5, max = 5 }"),
        ["line 2: question 1: the scale's `min` is 5, and must be less than its `max`, 5"]
    );
    assert_eq!(
        scale("{ min = 0, max = 2000000000 }"),
        ["line 2: question 1: the scale goes from 0 to 2000000000, and must stay within -1000 to 1000"]
    );
    assert_eq!(
        scale("{ min = 0, max = 101 }"),
        ["line 2: question 1: the scale goes from 0 to 101; 100 steps are the most"]
    );
    assert_eq!(
        scale("{ min = 1, max = 5, low = '', high = ' ' }\nweight = -1"),
        [
            "line 2: question 1: `weight` is -1, and must be from 0 to 100",
            "line 2: question 1: the scale's `low` is empty; leave it out",
            "line 2: question 1: the scale's `high` is empty; leave it out",
        ]
    );
    assert_eq!(
        scale("{ min = 1, max = 5, low = 'No', high = 'ＮＯ！' }"),
        ["line 2: question 1: the scale's `low` and `high` are the same: `No`"]
    );
    assert_eq!(scale("{ min = 1 }"), ["line 4: question 1: missing field `max`"]);
}

#[test]
fn ids_are_unique_and_fit_for_keys() {
    let file =
        with("id = 'q02'\n[[questions]]\ntext = 'R'\nfree = true\n[[questions]]\nid = 'a/b'\ntext = 'S'\nfree = true");
    assert_eq!(
        problems(&file),
        [
            "line 6: question 2 has the id of question 1: `q02`",
            "line 9: question 3: `id` must be 1 to 32 letters, digits, `-` or `_`",
        ]
    );
}

#[test]
fn there_are_not_too_many_questions() {
    let file = format!("title = 'T'{}", "\n[[questions]]\ntext = 'Q'\nfree = true".repeat(100));
    assert_eq!(problems(&file), ["line 299: there are 100 questions; 99 are the most"]);
}

#[test]
fn a_result_has_its_range_and_text() {
    assert_eq!(
        problems(&with("[[results]]\nfrom = 1\n[[results]]\nfrom = 5\nto = 2\ntext = 'R'")),
        [
            "line 5: result 1: there is no `to`",
            "line 5: result 1: there is no `text`",
            "line 7: result 2: `from` is 5 and `to` only 2",
        ]
    );
}

#[test]
fn results_must_not_overlap() {
    let results = "[[results]]\nfrom = 4\nto = 9\ntext = 'A'\n[[results]]\nfrom = 1\nto = 5\ntext = 'B'\n\
                   [[results]]\nfrom = 5\nto = 5\ntext = 'C'";
    assert_eq!(
        problems(&with(results)),
        [
            "line 9: results 1 and 2 are both for a total of 4 to 5",
            "line 13: results 1 and 3 are both for a total of 5",
            "line 13: results 2 and 3 are both for a total of 5",
        ]
    );
}

#[test]
fn every_total_has_a_result_and_every_result_a_total() {
    let results = "[[results]]\nfrom = 2\nto = 2\ntext = 'A'\n[[results]]\nfrom = 5\nto = 8\ntext = 'B'\n\
                   [[results]]\nfrom = 9\nto = 12\ntext = 'C'\n[[results]]\nfrom = -3\nto = 0\ntext = 'D'";
    assert_eq!(
        problems(&with(results)),
        [
            "line 5: there is no result for a total of 1",
            "line 5: there is no result for a total of 3 to 4",
            "line 13: result 3: a total of 9 to 12 can never be reached; the totals are 1 to 5",
            "line 17: result 4: a total of -3 to 0 can never be reached; the totals are 1 to 5",
        ]
    );
}

#[test]
fn totals_that_cannot_be_need_no_result_and_make_none_possible() {
    let yes = "[[questions]]\ntext = 'Q'\nchoices = ['否', { text = '是', score = 10 }]\n";
    let file = |results: &str| format!("title = 'T'\n{yes}{yes}{results}");
    let tens = "[[results]]\nfrom = 0\nto = 0\ntext = 'A'\n[[results]]\nfrom = 10\nto = 20\ntext = 'B'\n";
    assert!(Questions::parse(&file(tens)).is_ok());
    assert_eq!(
        problems(&file(&format!("{tens}[[results]]\nfrom = 1\nto = 9\ntext = 'C'"))),
        ["line 16: result 3: a total of 1 to 9 can never be reached; the totals are 0 to 20"]
    );
}

#[test]
fn totals_do_not_lie_too_far_apart() {
    let file = only(
        "text = 'Q'\nscale = { min = 0, max = 100 }\nweight = 100\n[[questions]]\ntext = 'R'\n\
                     choices = ['甲', { text = '乙', score = 1 }]\n[[results]]\nfrom = 0\nto = 10001\ntext = 'A'",
    );
    assert_eq!(problems(&file), ["line 1: the totals are 0 to 10001, and may not be more than 10000 apart"]);
}

#[test]
fn placeholders_are_known() {
    let results = "[[results]]\nfrom = 1\nto = 5\ntext = '{score} {scroe} {} {甲}'";
    assert_eq!(
        problems(&format!("closing = '{{name}}'\n{}", with(results))),
        [
            "line 1: `closing`: `{name}` is not known; there are `{score}`, `{max}` and `{title}`",
            "line 6: result 1: `{scroe}` is not known; there are `{score}`, `{max}` and `{title}`",
        ]
    );
}

#[test]
fn what_is_said_fits_into_a_text() {
    let long = "长".repeat(600);
    let file = format!(
        "title = '{}'\nclosing = '{}'\n[[questions]]\ntext = '{long}'\nfree = true\nid = 'a'\n",
        "题".repeat(41),
        "谢".repeat(540)
    );
    assert_eq!(problems(&file), ["line 1: `title` has 41 characters; 40 are the most"]);
    let file = file.replacen("题", "", 1);
    assert_eq!(
        problems(&file),
        [
            "line 1: `closing` takes 1620 bytes; 1600 are the most",
            "line 3: question 1 takes 1848 bytes; 1600 are the most",
        ]
    );
    let file = format!("intro = '{long}'\n{}", with("[[results]]\nfrom = 1\nto = 5\ntext = 'R'"));
    let file = file.replacen("'R'", &format!("'{long}'"), 1);
    assert_eq!(
        problems(&file),
        [
            "line 1: the opening with `title`, `intro` and question 1 takes 1986 bytes; 1600 are the most",
            "line 6: result 1 with `closing` takes 1800 bytes; 1600 are the most",
        ]
    );
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let file = "closing = '{a}'\n[[results]]\nfrom = 2\nto = 1\ntext = 'R'\n[[questions]]\ntext = 'Q'\n";
    assert_eq!(
        problems(file),
        [
            "line 1: there is no `title`",
            "line 1: `closing`: `{a}` is not known; there are `{score}`, `{max}` and `{title}`",
            "line 2: result 1: `from` is 2 and `to` only 1",
            "line 6: question 1: it needs one of `choices`, `scale` and `free`",
        ]
    );
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(at in 0..SAMPLE.len(), length in 0..200usize, patch in "(\\PC|[\\[\\]{}=\"\n0-9])*") {
        let (at, end) = (SAMPLE.floor_char_boundary(at), SAMPLE.floor_char_boundary(at + length));
        let file = format!("{}{patch}{}", &SAMPLE[..at], &SAMPLE[end..]);
        match Questions::parse(&file) {
            Ok(questions) => assert!(!questions.list.is_empty()),
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
}

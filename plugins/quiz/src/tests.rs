use std::collections::HashMap;

use mynah_plugin::{Reply, store, testing};
use proptest::prelude::*;

use super::*;

const SAMPLE: &str = include_str!("../questions.toml");

/// Two questions that give 0 to 4 points.
const SHORT: &str = "
title = '短'
[[questions]]
id = 'a'
text = '甲乙？'
choices = ['甲', { text = '乙', score = 1 }]
[[questions]]
id = 'b'
text = '几分？'
scale = { min = 0, max = 3 }
[[results]]
from = 0
to = 4
text = '得了 {score}'
";

const SHORT_OPENING: &str =
    "《短》\n共 2 题。想改前一题的答案，回复「上一题」；想离开去做别的，回复「不答了」，下次可以接着答。\n\n";
const SHORT_1: &str = "【1/2】甲乙？\nA. 甲\nB. 乙";
const SHORT_2: &str = "【2/2】几分？\n（回复 0 到 3 的整数）";

/// What the quiz says to a message.
#[track_caller]
fn said(message: Message) -> String {
    match testing::deliver(handle, message) {
        Ok(Reply::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn say(text: &str) -> String {
    said(testing::text(text))
}

/// What is stored under a key, as JSON.
#[track_caller]
fn stored(key: &str) -> serde_json::Value {
    let value = store::get(key).expect("a store").unwrap_or_else(|| panic!("nothing under {key}"));
    serde_json::from_slice(&value).expect("JSON")
}

/// How many attempts were begun and finished.
fn attempts() -> (u64, usize) {
    let latest = store::list("attempts/", None, 100).expect("a store");
    let begun = latest.iter().map(|key| stored(key)["number"].as_u64().expect("a number")).sum();
    (begun, store::list("results/", None, 100).expect("a store").len())
}

/// Lets the conversation's time run out.
fn time_passes() {
    conversation::end().expect("a conversation");
}

#[test]
fn the_sample_is_played_to_its_end() {
    testing::set_config("questions", SAMPLE);
    let start = "《健康习惯小调查》\n\
        花两三分钟，看看最近的生活习惯给身体加了多少分。照实际情况回答就好，没有标准答案。\n\n\
        共 10 题。想改前一题的答案，回复「上一题」；想离开去做别的，回复「不答了」，下次可以接着答。\n\n\
        【1/10】最近一个月，你每晚大概睡多久？\nA. 不到 5 小时\nB. 5–6 小时\nC. 6–7 小时\nD. 7 小时以上";
    let end = "✓ 记下了\n\n《健康习惯小调查》答完了！\n得分：28 / 42\n\n\
        底子不错，还有几处可以补补。看看哪几题得分低，从其中一题开始，坚持两个星期再来测一次。\n\n\
        这份小调查只是个参考，身体不舒服的话，还是要去看医生。";
    let play = [
        ("答题", start),
        ("C", "✓ 6–7 小时\n\n【2/10】关灯躺下以后，你还会看手机吗？\n（回复 1 到 5 的整数：1 = 从不，5 = 总是）"),
        ("4", "✓ 4\n\n【3/10】早饭你是怎么吃的？\nA. 基本不吃\nB. 想起来才吃\nC. 路上随便对付\nD. 坐下来好好吃"),
        (
            "３",
            "✓ 路上随便对付\n\n【4/10】你的饭桌上常有新鲜的蔬菜和水果吗？\n\
             （回复 1 到 5 的整数：1 = 很少，5 = 每顿都有）",
        ),
        ("每顿都有", "✓ 5\n\n【5/10】口渴的时候，你最先想到的是什么？\nA. 奶茶或汽水\nB. 咖啡\nC. 淡茶\nD. 白开水"),
        ("白开水。", "✓ 白开水\n\n【6/10】一个星期里，你有几次动到出汗？\nA. 0 次\nB. 1–2 次\nC. 3–4 次\nD. 5 次以上"),
        (
            "b",
            "✓ 1–2 次\n\n【7/10】坐久了，你会起来走一走吗？\n（回复 1 到 5 的整数：1 = 想不起来，5 = 一小时准动一次）",
        ),
        (
            "三",
            "✓ 3\n\n【8/10】遇到烦心事，你通常多久能缓过来？\n\
             A. 总也过不去\nB. 一个多星期\nC. 两三天\nD. 睡一觉就好",
        ),
        (
            "我选Ｄ",
            "✓ 睡一觉就好\n\n【9/10】总的来说，你觉得自己白天的精神怎么样？\n\
             （回复 1 到 5 的整数：1 = 一直犯困，5 = 精力充沛）",
        ),
        ("3分", "✓ 3\n\n【10/10】最后一题：接下来这个月，你最想改掉或养成哪个习惯？\n（用文字回答，最多 100 字）"),
        ("睡前不看手机 📵", end),
    ];
    for (index, (text, expected)) in play.into_iter().enumerate() {
        let message = Message { created: 1_700_000_000 + 10 * index as u32, ..testing::text(text) };
        assert_eq!(said(message), expected);
    }

    assert_eq!(testing::remembered(), None);
    let result = stored("results/follower/0001");
    assert_eq!(result["score"], 2 + (6 - 4) + 2 + 5 + 3 + 2 + 3 + 3 + 2 * 3);
    assert_eq!(
        (&result["openid"], &result["attempt"], &result["max"], &result["started"], &result["finished"]),
        (&"follower".into(), &1.into(), &42.into(), &1_700_000_000.into(), &1_700_000_100.into())
    );
    assert!(end.ends_with(result["result"].as_str().expect("a text")));
    assert_eq!(attempts(), (1, 1));
    assert_eq!(store::list("answers/follower/0001/", None, 100).expect("a store").len(), 10);
    assert_eq!(
        stored("answers/follower/0001/phone"),
        serde_json::json!({
            "openid": "follower", "attempt": 1, "question": "phone", "text": "关灯躺下以后，你还会看手机吗？",
            "answer": "4", "choice": "4", "score": 2, "at": 1_700_000_020,
        })
    );
    let wish = stored("answers/follower/0001/wish");
    assert_eq!((&wish["answer"], &wish["choice"]), (&"睡前不看手机 📵".into(), &serde_json::Value::Null));
}

#[test]
fn every_answer_is_stored_as_it_is_given() {
    testing::set_config("questions", SHORT);
    assert_eq!(say("答题"), format!("{SHORT_OPENING}{SHORT_1}"));
    assert!(store::list("answers/", None, 10).expect("a store").is_empty());
    say(" Ｂ。");
    assert_eq!(
        stored("answers/follower/0001/a"),
        serde_json::json!({
            "openid": "follower", "attempt": 1, "question": "a", "text": "甲乙？",
            "answer": "Ｂ。", "choice": "乙", "score": 1, "at": 1_700_000_000,
        })
    );
    assert_eq!(store::list("results/", None, 10).expect("a store"), [""; 0]);
}

#[test]
fn says_what_is_expected_after_each_kind_of_bad_answer() {
    testing::set_config(
        "questions",
        format!("{SHORT}[[questions]]\nid = 'c'\ntext = '说？'\nfree = true\nmax_length = 3"),
    );
    let first = "【1/3】甲乙？\nA. 甲\nB. 乙";
    say("答题");
    for text in ["c", "3", "你好", "？", "答题", "甲乙"] {
        assert_eq!(
            say(text),
            format!("没看懂这个回答。请回复字母 A–B，数字 1–2，或者选项的文字。\n\n{first}"),
            "{text}"
        );
    }
    for message in [
        testing::image("https://mmbiz.qpic.cn/a", "media-1"),
        testing::voice("media-1", None),
        testing::location(23.1, 113.3, "广州"),
        testing::message("hologram"),
        testing::text(" \n"),
    ] {
        let expected = "答题时我只看得懂文字。请回复字母 A–B，数字 1–2，或者选项的文字。";
        assert_eq!(said(message), format!("{expected}\n\n{first}"));
    }
    assert!(said(testing::voice("media-1", Some("选乙。"))).starts_with("✓ 乙\n\n【2/3】"));
    for text in ["4", "-1", "1.5", "b", "很多"] {
        let expected = "没看懂这个回答。请回复 0 到 3 的整数。\n\n【2/3】几分？\n（回复 0 到 3 的整数）";
        assert_eq!(say(text), expected, "{text}");
    }
    say("3");
    assert_eq!(
        say("说来话长"),
        "写了 4 个字，有点长了。请用文字回答，最多 3 字。\n\n【3/3】说？\n（用文字回答，最多 3 字）"
    );
    assert_eq!(attempts().1, 0);
    assert!(say("没了").ends_with("得分：4 / 4\n\n得了 4"));
}

#[test]
fn a_bad_answer_starts_the_time_anew() {
    testing::set_config("questions", SHORT);
    testing::set_config("timeout", "60");
    say("答题");
    assert_eq!(testing::remembered().map(|(_, seconds)| seconds), Some(60));
    say("不懂");
    assert_eq!(testing::remembered().map(|(_, seconds)| seconds), Some(60));
}

#[test]
fn goes_back_and_on_from_where_it_was() {
    testing::set_config("questions", format!("{SHORT}[[questions]]\nid = 'c'\ntext = '说？'\nfree = true"));
    say("答题");
    assert_eq!(say("上一题"), "已经是第一题了。\n\n【1/3】甲乙？\nA. 甲\nB. 乙");
    say("乙");
    say("3");
    assert_eq!(say("上一题"), "上次答的是「3」，现在可以改。\n\n【2/3】几分？\n（回复 0 到 3 的整数）");
    assert_eq!(say("上一题。"), "上次答的是「乙」，现在可以改。\n\n【1/3】甲乙？\nA. 甲\nB. 乙");
    // Question 2 has its answer, so it is not asked again.
    assert_eq!(say("甲"), "✓ 甲\n\n【3/3】说？\n（用文字回答，最多 300 字）");
    assert_eq!(say("好"), "✓ 记下了\n\n《短》答完了！\n得分：3 / 4\n\n得了 3");
    assert_eq!(stored("answers/follower/0001/a")["score"], 0);
}

#[test]
fn leaves_and_resumes() {
    testing::set_config("questions", SHORT);
    say("答题");
    say("乙");
    assert_eq!(say("不答了"), "好的，先到这里。答过的题都记下了，下次可以接着答。");
    assert_eq!(testing::remembered(), None);
    assert_eq!(say("答题"), format!("继续上次的答题《短》。想从头来，就回复「重来」。\n\n{SHORT_2}"));
    let late = Message { created: 1_700_005_000, ..testing::text("2") };
    assert!(said(late).ends_with("得了 3"));
    let result = stored("results/follower/0001");
    assert_eq!((&result["started"], &result["finished"]), (&1_700_000_000.into(), &1_700_005_000.into()));
    assert_eq!(attempts().0, 1);
}

#[test]
fn resumes_after_the_time_is_over() {
    testing::set_config("questions", SHORT);
    say("答题");
    time_passes();
    // Nothing was answered yet, so there is nothing to go on with.
    assert_eq!(say("答题"), format!("{SHORT_OPENING}{SHORT_1}"));
    say("a");
    time_passes();
    assert!(say("答题").starts_with("继续上次的答题《短》。"));
    say("上一题");
    time_passes();
    assert!(say("答题").ends_with(SHORT_2));
}

#[test]
fn restarts_when_told_so() {
    testing::set_config("questions", SHORT);
    say("答题");
    say("乙");
    assert_eq!(say("重来"), format!("好的，从头开始。\n\n{SHORT_OPENING}{SHORT_1}"));
    say("甲");
    assert!(say("1").ends_with("得了 1"));
    assert_eq!(stored("results/follower/0002")["score"], 1);
    assert_eq!(attempts(), (2, 1));
}

#[test]
fn may_be_played_again_unless_once_is_enough() {
    testing::set_config("questions", SHORT);
    let play = || ["答题", "乙", "3"].map(say).concat();
    assert!(play().ends_with("得了 4"));
    assert!(play().ends_with("得了 4"));
    assert_eq!(
        store::list("results/follower/", None, 10).expect("a store"),
        ["results/follower/0001", "results/follower/0002"]
    );

    let once = format!("once = true\n{SHORT}");
    testing::set_config("questions", once.clone());
    assert_eq!(say("答题"), "《短》每人只答一次，你已经答过啦，谢谢！\n得分：4 / 4\n\n得了 4");
    assert_eq!(testing::remembered(), None);
    assert_eq!(attempts().0, 2);

    // Other questions are another matter.
    testing::set_config("questions", once.replace("'b'", "'c'"));
    assert_eq!(say("答题"), format!("{SHORT_OPENING}{SHORT_1}"));
}

#[test]
fn once_does_not_stop_an_unfinished_attempt() {
    testing::set_config("questions", format!("once = true\n{SHORT}"));
    say("答题");
    say("甲");
    time_passes();
    assert!(say("答题").starts_with("继续上次的答题"));
    assert!(say("0").ends_with("得了 0"));
    assert!(say("答题").starts_with("《短》每人只答一次"));
}

#[test]
fn begins_anew_when_the_questions_change() {
    testing::set_config("questions", SHORT);
    say("答题");
    say("乙");
    testing::set_config("questions", SHORT.replace("max = 3", "max = 2").replace("to = 4", "to = 3"));
    let expected = SHORT_OPENING.to_owned() + SHORT_1;
    assert_eq!(say("2"), format!("题目刚刚有改动，前面的回答对不上了，麻烦从头再来一次。\n\n{expected}"));
    say("甲");
    assert!(say("2").ends_with("得分：2 / 3\n\n得了 2"));
    assert_eq!(stored("results/follower/0002")["score"], 2);

    say("答题");
    say("甲");
    time_passes();
    testing::set_config("questions", SHORT);
    assert_eq!(say("答题"), expected);
}

#[test]
fn goes_on_when_only_words_change() {
    testing::set_config("questions", SHORT);
    say("答题");
    testing::set_config("questions", SHORT.replace("甲乙？", "甲还是乙？"));
    assert_eq!(say("甲"), format!("✓ 甲\n\n{SHORT_2}"));
}

#[test]
fn may_be_left_even_when_the_questions_change() {
    testing::set_config("questions", SHORT);
    say("答题");
    testing::set_config("questions", SAMPLE);
    assert!(say("不答了").starts_with("好的"));
    assert_eq!(testing::remembered(), None);
}

#[test]
fn a_state_that_does_not_read_begins_or_resumes() {
    testing::set_config("questions", SHORT);
    for state in ["", "null", "{\"questions\":1}", "\u{0}"] {
        conversation::remember(state, 60).expect("a conversation");
        assert_eq!(say("甲"), format!("{SHORT_OPENING}{SHORT_1}"));
    }
    let version = Questions::parse(SHORT).expect("no problems").version();
    let beyond = serde_json::json!({ "questions": version, "attempt": 1, "question": 99 }).to_string();
    conversation::remember(beyond, 60).expect("a conversation");
    assert_eq!(say("上一题"), format!("{SHORT_OPENING}{SHORT_1}"));
}

#[test]
fn a_tap_on_a_menu_starts_it_and_shows_the_question_again() {
    testing::set_config("questions", SHORT);
    let tap = || testing::event("CLICK").with_field("EventKey", "QUIZ");
    assert_eq!(said(tap()), format!("{SHORT_OPENING}{SHORT_1}"));
    assert_eq!(said(tap()), SHORT_1);
    say("甲");
    assert_eq!(said(tap()), SHORT_2);
    for event in ["unsubscribe", "VIEW", "LOCATION"] {
        assert_eq!(testing::deliver(handle, testing::event(event)), Ok(Reply::Pass));
    }
}

#[test]
fn followers_do_not_mix() {
    /// The double knows one conversation; the host, one of each follower.
    struct Chat(HashMap<&'static str, (Vec<u8>, u32)>);

    impl Chat {
        fn say(&mut self, follower: &'static str, text: &str) -> String {
            match self.0.remove(follower) {
                Some((state, seconds)) => conversation::remember(state, seconds).expect("a conversation"),
                None => conversation::end().expect("a conversation"),
            }
            let reply = said(Message { sender: follower.to_owned(), ..testing::text(text) });
            self.0.extend(testing::remembered().map(|state| (follower, state)));
            reply
        }
    }

    testing::set_config("questions", SHORT);
    let mut chat = Chat(HashMap::new());
    // One name begins with the other.
    for follower in ["o_a", "o_ab", "o_b"] {
        chat.say(follower, "答题");
    }
    chat.say("o_ab", "乙");
    chat.say("o_b", "甲");
    assert_eq!(chat.say("o_a", "上一题"), format!("已经是第一题了。\n\n{SHORT_1}"));
    assert!(chat.say("o_ab", "3").ends_with("得了 4"));
    assert!(chat.say("o_b", "1").ends_with("得了 1"));
    chat.say("o_a", "乙");
    assert!(chat.say("o_a", "0").ends_with("得了 1"));
    assert_eq!(chat.say("o_ab", "答题"), format!("{SHORT_OPENING}{SHORT_1}"));
    assert_eq!(
        store::list("results/", None, 10).expect("a store"),
        ["results/o_a/0001", "results/o_ab/0001", "results/o_b/0001"]
    );
    assert_eq!(attempts(), (4, 3));
}

#[test]
fn a_survey_without_points_has_no_score() {
    testing::set_config("questions", "title = '问'\nclosing = '{title}：谢谢'\n[[questions]]\ntext = 'Q'\nfree = true");
    say("答题");
    assert_eq!(say("好"), "✓ 记下了\n\n《问》答完了！\n\n问：谢谢");
}

#[test]
fn what_is_wrong_with_the_settings_goes_to_the_log() {
    let failure = || testing::deliver(handle, testing::text("答题")).expect_err("bad settings");
    assert_eq!(failure(), "bad-config: there is no `questions`; set `config = { questions = { file = \"…\" } }`");
    testing::set_config("questions", SHORT);
    testing::set_config("timeout", "0");
    assert_eq!(failure(), "bad-config: `timeout` is 0 seconds, and must be from 10 to 86400");
    testing::set_config("questions", "title = ''");
    testing::set_config("timeout", "30 min");
    assert_eq!(
        failure(),
        "bad-config: 3 problems: (1) line 1: there is no `title`; (2) line 1: there are no questions; add a \
         `[[questions]]`; (3) `timeout`: invalid digit found in string"
    );
    assert_eq!(store::list("", None, 10).expect("a store"), [""; 0]);
}

#[test]
fn a_mistake_in_the_file_does_not_lose_the_place() {
    testing::set_config("questions", SHORT);
    say("答题");
    testing::set_config("questions", SHORT.replace("text", "txt"));
    testing::deliver(handle, testing::text("乙")).expect_err("a bad file");
    testing::set_config("questions", SHORT);
    assert_eq!(say("乙"), format!("✓ 乙\n\n{SHORT_2}"));
}

#[test]
fn a_record_that_does_not_read_is_named() {
    testing::set_config("questions", SHORT);
    store::set("attempts/follower", "?").expect("a store");
    let failure = testing::deliver(handle, testing::text("答题")).expect_err("a bad record");
    assert_eq!(failure, "bad-record: `attempts/follower`: expected value at line 1 column 1");
}

#[test]
fn the_longest_of_everything_fits_into_a_text() {
    let title = "🐦".repeat(40);
    let choice = "🦜".repeat(41);
    // Each of these is cut until the file is good, and so as long as it can be.
    let mut texts = [540, 540, 540].map(|chars| "长".repeat(chars));
    let file = loop {
        let [first, second, result] = &texts;
        let file = format!(
            "title = '{title}'\n[[questions]]\ntext = '{first}'\nchoices = ['{choice}', '0']\n\
             [[questions]]\ntext = '{second}'\nchoices = ['{choice}', '0']\n\
             [[questions]]\ntext = 'Q'\nfree = true\n\
             [[results]]\nfrom = 0\nto = 0\ntext = '{result}'\n"
        );
        let Err(problems) = Questions::parse(&file) else { break file };
        for (problem, text) in ["question 1", "question 2", "result 1"].iter().zip(&mut texts) {
            if problems.iter().any(|found| found.contains(problem)) {
                text.pop();
            }
        }
    };
    let check = |said: String| assert!(said.len() <= 2048, "{} bytes: {said}", said.len());

    testing::set_config("questions", file.clone());
    for text in ["答题", "", "?", "上一题", "重来", "A", "", "?", "上一题", "上一题", "A"] {
        check(say(text));
    }
    time_passes();
    for text in ["答题", "A", "上一题"] {
        check(say(text));
    }
    // Another id, so other questions.
    let file = file.replace("'Q'", "'Q'\nid = 'q'");
    testing::set_config("questions", file.clone());
    check(say("A"));
    for text in ["A", "A", "写了些字"] {
        check(say(text));
    }
    testing::set_config("questions", format!("once = true\n{file}"));
    check(say("答题"));
}

/// Messages that somebody in a quiz might send, and any others.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    const WORDS: &[&str] =
        &["答题", "A", "b", "3", "５", "上一题", "重来", "不答了", "白开水", "", "-", "第", "选", "负"];
    let text = prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => "\\PC{0,40}",
        1 => any::<String>(),
        1 => "长{90,700}",
    ]
    .prop_map(testing::text);
    let other = prop::sample::select(vec!["image", "event", "voice"]).prop_map(testing::message);
    prop::collection::vec(prop_oneof![20 => text, 1 => other], 1..60)
}

proptest! {
    #[test]
    fn no_message_makes_it_fail_or_say_too_much(messages in messages()) {
        testing::reset();
        testing::set_config("questions", SAMPLE);
        for message in messages {
            match testing::deliver(handle, message) {
                Ok(Reply::Text(text)) => prop_assert!(!text.is_empty() && text.len() <= 2048),
                other => prop_assert_eq!(other, Ok(Reply::Pass)),
            }
        }
    }
}

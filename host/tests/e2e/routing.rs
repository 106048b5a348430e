//! Rules of `bots.toml`, through the whole server.

use super::harness::*;

#[test]
fn rules_answer_from_top_to_bottom_and_pass_falls_through() {
    let server = Server::with_rules(
        r#"
[[bots.test.rules]]
keyword = ["答题", "quiz"]
reply = "whole"
[[bots.test.rules]]
prefix = "天气"
reply = "weather of {rest}"
[[bots.test.rules]]
regex = '^汇率\s*(?<from>\w+)\s+(?<to>\w+)$'
reply = "{from} to {2}, {unknown}"
[[bots.test.rules]]
contains = "时间"
reply = "part"
[[bots.test.rules]]
replies = { "地址" = "人民路 1 号" }
[[bots.test.rules]]
type = ["voice"]
keyword = "语音"
reply = "voice only"
[[bots.test.rules]]
plugin = "probe"
[[bots.test.rules]]
keyword = "pass"
reply = "passed on"
"#,
    );
    assert_eq!(server.answer("答题"), "whole");
    assert_eq!(server.answer("  ＱＵＩＺ "), "whole");
    assert_eq!(server.answer("天气 北京！"), "weather of 北京！");
    assert_eq!(server.answer("汇率 usd CNY"), "usd to CNY, {unknown}");
    assert_eq!(server.answer("现在时间是？"), "part");
    assert_eq!(server.answer("地址"), "人民路 1 号");
    assert_eq!(server.answer("say hi"), "hi");
    assert_eq!(server.answer("pass"), "passed on");
    assert_eq!(server.text("nobody knows"), "success");
    assert_eq!(server.text("语音"), "success");
    let voice = "<MsgType>voice</MsgType><MediaId>m</MediaId><Format>amr</Format><Recognition>语音</Recognition>";
    assert_eq!(content(&server.message(voice)), "voice only");
}

#[test]
fn events_are_for_rules_with_event_only() {
    let server = Server::with_rules(
        r#"
[[bots.test.rules]]
event = ["subscribe", "SCAN"]
scene = "shop-*"
reply = "welcome from {scene}"
[[bots.test.rules]]
event = "subscribe"
reply = "welcome"
[[bots.test.rules]]
event = "CLICK"
key = "QUIZ"
treat_as = "答题"
[[bots.test.rules]]
event = "CLICK"
reply = "another button"
[[bots.test.rules]]
keyword = "答题"
reply = "quiz!"
[[bots.test.rules]]
type = "text"
reply = "a text"
[[bots.test.rules]]
reply = "a message"
"#,
    );
    let event = |event: &str, key: &str| server.event(&format!("<Event>{event}</Event><EventKey>{key}</EventKey>"));
    assert_eq!(content(&event("subscribe", "qrscene_shop-7")), "welcome from shop-7");
    assert_eq!(content(&event("scan", "shop-8")), "welcome from shop-8");
    assert_eq!(content(&event("subscribe", "")), "welcome");
    assert_eq!(content(&event("CLICK", "QUIZ")), "quiz!");
    assert_eq!(content(&event("CLICK", "OTHER")), "another button");
    assert_eq!(event("unsubscribe", ""), "success");
    assert_eq!(event("scan", "other"), "success");
    assert_eq!(server.answer("hi"), "a text");
    assert_eq!(content(&server.message("<MsgType>image</MsgType><PicUrl>u</PicUrl><MediaId>m</MediaId>")), "a message");
    assert_eq!(content(&server.message("<MsgType>never-seen</MsgType>")), "a message");
}

#[test]
fn a_message_that_is_treated_as_a_text_is_one_for_plugins_and_keeps_its_fields() {
    let server = Server::with_rules(
        "[[bots.test.rules]]\nevent = \"CLICK\"\ntreat_as = \"echo-all {x}\"\n[[bots.test.rules]]\nplugin = \"probe\"\n",
    );
    let seen = content(&server.event("<Event>CLICK</Event><EventKey>K</EventKey>"));
    assert!(seen.contains("kind: \"text\"") && seen.contains("\"EventKey\", value: \"K\""), "{seen}");
}

#[test]
fn every_kind_of_fixed_reply_reaches_the_wire() {
    let server = Server::with_rules(
        r#"
[[bots.test.rules]]
keyword = "text"
reply = { text = "t" }
[[bots.test.rules]]
keyword = "image"
reply = { image = "m" }
[[bots.test.rules]]
keyword = "voice"
reply = { voice = "m" }
[[bots.test.rules]]
keyword = "video"
reply = { video = { media_id = "m", title = "t" } }
[[bots.test.rules]]
keyword = "music"
reply = { music = { title = "t", url = "u", thumb_media_id = "m" } }
[[bots.test.rules]]
prefix = "news"
reply = { news = [{ title = "about {rest}", description = "d", picture = "p", url = "u" }] }
[[bots.test.rules]]
keyword = "transfer"
reply = { transfer = true }
[[bots.test.rules]]
keyword = "agent"
reply = { transfer = "a@b" }
[[bots.test.rules]]
keyword = "ai"
reply = { transfer_to_ai = true }
[[bots.test.rules]]
keyword = "raw"
reply = { raw = { kind = "k", fields = [{ name = "A.B", value = "v" }] } }
[[bots.test.rules]]
keyword = "silence"
reply = { silence = true }
[[bots.test.rules]]
keyword = "random"
reply = { random = ["one", { text = "two" }] }
"#,
    );
    for (text, expected) in [
        ("image", "<Image><MediaId><![CDATA[m]]></MediaId></Image>"),
        ("voice", "<Voice><MediaId><![CDATA[m]]></MediaId></Voice>"),
        ("video", "<Video><MediaId><![CDATA[m]]></MediaId><Title><![CDATA[t]]></Title></Video>"),
        ("music", "<MusicUrl><![CDATA[u]]></MusicUrl>"),
        (
            "news Rust",
            "<Title><![CDATA[about Rust]]></Title><Description><![CDATA[d]]></Description><PicUrl><![CDATA[p]]></PicUrl>",
        ),
        ("transfer", "<MsgType><![CDATA[transfer_customer_service]]></MsgType></xml>"),
        ("agent", "<TransInfo><KfAccount><![CDATA[a@b]]></KfAccount></TransInfo>"),
        ("ai", "<MsgType><![CDATA[transfer_biz_ai_ivr]]></MsgType></xml>"),
        ("raw", "<A><B><![CDATA[v]]></B></A>"),
    ] {
        let body = server.text(text);
        assert!(body.contains(expected), "{text}: {body}");
    }
    assert_eq!(server.answer("text"), "t");
    assert_eq!(server.text("silence"), "success");
    let mut seen = std::collections::BTreeSet::new();
    wait_until("both replies come at random", || {
        seen.insert(server.answer("random"));
        seen.len() == 2
    });
}

#[test]
fn several_bots_live_in_one_process() {
    build_plugins();
    let server = Server::with_config(&format!(
        "{LOOPBACK}[bots.one]\npath = \"/one\"\ntoken = \"mynah\"\n[[bots.one.rules]]\nreply = \"I am one\"\n\
         [bots.two]\npath = \"/two\"\ntoken = \"othertoken\"\n[[bots.two.rules]]\nreply = \"I am two\"\n"
    ));
    let text = envelope("<MsgType>text</MsgType><Content>who</Content>");
    assert_eq!(content(&post(&server.url_of("/one"), &text).1), "I am one");
    assert_eq!(post(&server.url_of("/two"), &text).0, 403);
    let url = format!("http://{}/two?{}", server.address(), signed_query("othertoken"));
    assert_eq!(content(&post(&url, &text).1), "I am two");
}

#[test]
fn a_table_of_a_hundred_thousand_replies_answers_like_one_of_ten() {
    let folder = Folder::new(&format!("{LOOPBACK}{BOT}[[bots.test.rules]]\nreplies = {{ file = \"faq.csv\" }}\n"));
    let rows: String = (0..100_000).map(|n| format!("keyword,question {n},answer {n}\n")).collect();
    folder.write("faq.csv", &format!("match,text,reply\n{rows}contains,运费,\"包邮,\n全国\"\n"));
    let server = Server::start(&folder.config(), &["serve"], &[]);
    assert_eq!(server.answer("question 99999"), "answer 99999");
    assert_eq!(server.answer("请问运费多少"), "包邮,\n全国");
    assert_eq!(server.text("question 100000"), "success");
}

#[test]
fn nested_and_repeated_elements_reach_the_plugin() {
    let server = Server::with_rules(
        "[[bots.test.rules]]\nevent = \"pic_weixin\"\ntreat_as = \"echo-all\"\n[[bots.test.rules]]\nplugin = \"probe\"\n",
    );
    let seen = content(&server.event(
        "<Event>pic_weixin</Event><EventKey>6</EventKey><SendPicsInfo><Count>2</Count><PicList><item><PicMd5Sum>a</PicMd5Sum></item>\
         <item><PicMd5Sum>b</PicMd5Sum></item></PicList></SendPicsInfo>",
    ));
    assert!(seen.contains("\"SendPicsInfo.PicList.item.1.PicMd5Sum\", value: \"b\""), "{seen}");
}

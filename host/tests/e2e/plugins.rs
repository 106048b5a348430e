//! What plugins can do, and what they cannot do to anybody else.

use super::harness::*;

const PROBE: &str = "[[bots.test.rules]]\nevent = '*'\nplugin = \"probe\"\n\
                     [[bots.test.rules]]\nplugin = \"probe\"\n\
                     [[bots.test.rules]]\nkeyword = \"pass\"\nreply = \"next\"\n";

fn server() -> Server {
    build_plugins();
    let plugin = format!(
        "[plugins.probe]\nwasm = '{}'\nlimits = {{ time = \"2s\", memory = \"16 MiB\" }}\nconfig = {{ a = \"text\", b = 7, c = {{ file = \"bots.toml\" }} }}\n",
        component("probe")
    );
    Server::with_rules(&format!("{PROBE}{plugin}"))
}

fn squeezed(body: &str) -> String {
    let from = body.find("<MsgType>").expect("a kind");
    body[from..].replace("<![CDATA[", "").replace("]]>", "")
}

#[test]
fn every_kind_of_reply_reaches_the_wire() {
    let server = server();
    let reply = |text: &str| squeezed(&server.text(text));
    assert_eq!(reply("say hi"), "<MsgType>text</MsgType><Content>hi</Content></xml>");
    assert_eq!(reply("image"), "<MsgType>image</MsgType><Image><MediaId>media-1</MediaId></Image></xml>");
    assert_eq!(reply("voice"), "<MsgType>voice</MsgType><Voice><MediaId>media-2</MediaId></Voice></xml>");
    assert_eq!(
        reply("video"),
        "<MsgType>video</MsgType><Video><MediaId>media-3</MediaId><Title>t</Title><Description>d</Description></Video></xml>"
    );
    assert_eq!(
        reply("music"),
        "<MsgType>music</MsgType><Music><Title>t</Title><MusicUrl>http://m</MusicUrl><HQMusicUrl>http://hq</HQMusicUrl>\
         <ThumbMediaId>thumb</ThumbMediaId></Music></xml>"
    );
    assert_eq!(
        reply("transfer"),
        "<MsgType>transfer_customer_service</MsgType><TransInfo><KfAccount>agent@x</KfAccount></TransInfo></xml>"
    );
    assert_eq!(reply("transfer-to-ai"), "<MsgType>transfer_biz_ai_ivr</MsgType></xml>");
    assert_eq!(reply("raw"), "<MsgType>future</MsgType><A><item><B>1</B></item><item><B>2</B></item></A></xml>");
    assert_eq!(server.text("silence"), "success");
}

#[test]
fn replies_are_held_to_the_protocols_bounds() {
    let server = server();
    let news = server.text("news");
    assert!(news.contains("<ArticleCount>1</ArticleCount>") && news.matches("<item>").count() == 1, "{news}");
    server.wait_for_log("the news has 9 articles and was cut to 1");
    let page = server.answer(&format!("say {}", "八".repeat(1000)));
    assert!(page.starts_with(&"八".repeat(600)) && page.len() <= 2048, "{page}");
    assert_eq!(server.text("empty"), "success");
    assert_eq!(server.answer("raw-bad"), "sorry");
    server.wait_for_log("the reply cannot be sent");
}

#[test]
fn a_reply_cannot_end_its_cdata() {
    let server = server();
    let attack = "x]]]]><![CDATA[></Content><MsgType>image</MsgType><Content>";
    assert_eq!(server.answer(&format!("say {attack}")), "x]]></Content><MsgType>image</MsgType><Content>");
}

#[test]
fn a_failing_plugin_costs_its_follower_an_apology_and_nobody_else_anything() {
    let server = server();
    for (text, logged) in [
        ("error it is broken", "it returned an error: it is broken"),
        ("trap", "it trapped"),
        ("loop", "it took longer than 2s"),
        ("sleep 60000", "it took longer than 2s"),
        ("allocate", "it trapped"),
        ("recurse", "it trapped"),
    ] {
        assert_eq!(server.answer(text), "sorry", "{text}");
        server.wait_for_log(logged);
        assert_eq!(server.answer("say still here"), "still here");
    }
    // Its stack has the names of its functions.
    for words in ["told to panic", "plugin=\"probe\"", "probe::handle", "it had reached its memory limit of 16 MiB"] {
        server.wait_for_log(words);
    }
}

#[test]
fn events_that_nobody_sent_on_purpose_get_no_apology() {
    let server = server();
    assert_eq!(server.event("<Event>LOCATION</Event><Latitude>1</Latitude>"), "success");
    let broken = Server::with_rules(
        "[[bots.test.rules]]\nevent = '*'\nplugin = \"gone\"\n[[bots.test.rules]]\nplugin = \"gone\"\n[plugins.gone]\nwasm = 'gone.wasm'\n",
    );
    assert_eq!(broken.event("<Event>LOCATION</Event><Latitude>1</Latitude>"), "success");
    assert_eq!(broken.event("<Event>unsubscribe</Event>"), "success");
    for event in ["subscribe", "SCAN", "CLICK"] {
        assert_eq!(content(&broken.event(&format!("<Event>{event}</Event><EventKey>k</EventKey>"))), "sorry");
    }
    assert_eq!(broken.answer("hi"), "sorry");
}

#[test]
fn others_are_answered_while_a_plugin_loops() {
    let server = server();
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..4).map(|_| scope.spawn(|| server.answer("loop"))).collect();
        for n in 0..20 {
            assert_eq!(server.answer(&format!("say {n}")), n.to_string());
        }
        for looped in loops {
            assert_eq!(looped.join().expect("answered"), "sorry");
        }
    });
}

#[test]
fn output_goes_to_the_log_within_bounds() {
    let server = server();
    assert_eq!(server.answer("print 3"), "printed");
    server.wait_for_log("an error line");
    server.wait_for_log("printed line 2");
    server.wait_for_log("stream=\"stderr\"");
    let log = server.settled_log();
    assert!(!log.contains("line\u{1b}[31m"), "a plugin must not colour the operator's terminal");
    assert_eq!(server.answer("print 100000"), "printed");
    server.wait_for_log("more bytes were cut");
    assert_eq!(server.answer("log something to say"), "logged");
    server.wait_for_log("something to say");
    let log = server.wait_for_log("a warning from the plugin");
    let line = log.lines().find(|line| line.contains("a warning from the plugin")).expect("a line");
    assert!(line.contains("WARN") && line.contains("plugin=\"probe\"") && line.contains("bot=\"test\""), "{line}");
}

#[test]
fn log_lines_are_json_on_request_and_a_failure_says_whose_it_is() {
    build_plugins();
    let config = format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nplugin = \"probe\"\n[plugins.probe]\nwasm = '{}'\n",
        component("probe")
    );
    let folder = Folder::new(&config);
    let server = Server::start(&folder.config(), &["serve", "--log-format", "json"], &[]);
    assert_eq!(server.answer("trap"), "sorry");
    let log = server.wait_for_log("the plugin failed");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let failure =
        lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains("the plugin failed")));
    let failure = failure.expect("a line");
    assert_eq!((&failure["plugin"], &failure["rule"]), (&"probe".into(), &"line 7".into()), "{failure}");
    assert_eq!((&failure["span"]["bot"], &failure["span"]["id"]), (&"test".into(), &"1".into()), "{failure}");
    assert!(
        failure["ms"].is_number() && failure["message"].as_str().is_some_and(|text| text.contains("probe::handle"))
    );
    let output = lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains("told to panic")));
    assert_eq!(output.expect("its last words")["stream"], "stderr");
}

#[test]
fn a_plugin_sees_its_configuration_and_nothing_of_the_host() {
    let server = server();
    assert_eq!(server.answer("config a"), "text");
    assert_eq!(server.answer("config b"), "7");
    assert!(server.answer("config c").contains("[plugins.probe]"));
    assert_eq!(server.answer("config d"), "none");
    assert_eq!(server.answer("env"), "TZ=Asia/Shanghai;");
    assert!(server.answer("files").starts_with("Err("));
    assert!(server.answer(&format!("connect {}", server.address())).starts_with("Err("));
    assert_eq!(server.answer("imports"), "fine fine not-granted not-granted");
    assert_ne!(server.answer("random"), server.answer("random"));
}

#[test]
fn a_file_that_is_no_plugin_is_explained_and_the_others_go_on() {
    build_plugins();
    let folder = Folder::new("");
    std::fs::write(folder.path("core.wasm"), b"\0asm\x01\0\0\0").expect("written");
    std::fs::write(folder.path("empty.wasm"), b"").expect("written");
    std::fs::write(folder.path("text.wasm"), b"hello").expect("written");
    // An empty component: valid, and exports nothing.
    std::fs::write(folder.path("nothing.wasm"), b"\0asm\x0d\0\x01\0").expect("written");
    let mut config = format!("{LOOPBACK}{BOT}");
    for name in ["core", "empty", "text", "nothing", "absent"] {
        config += &format!(
            "[[bots.test.rules]]\nkeyword = \"{name}\"\nplugin = \"{name}\"\n[plugins.{name}]\nwasm = '{}'\n",
            folder.path(&format!("{name}.wasm")).display()
        );
    }
    config += &format!("[[bots.test.rules]]\nplugin = \"echo\"\n[plugins.echo]\nwasm = '{}'\n", component("echo"));
    let server = Server::with_config(&config);
    let log = server.log();
    for words in [
        "it is a core WebAssembly module, not a component",
        "the file is empty",
        "it is not WebAssembly",
        "it exports no handler, `mynah:bot/handler@0.1.0`: it exports nothing",
        "cannot read",
    ] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    for name in ["core", "empty", "text", "nothing", "absent"] {
        assert_eq!(server.answer(name), "sorry");
    }
    assert_eq!(server.answer("hello"), "hello");
}

#[test]
fn a_pinned_digest_keeps_other_code_out() {
    build_plugins();
    let rules = format!(
        "[[bots.test.rules]]\nplugin = \"echo\"\n[plugins.echo]\nwasm = '{}'\nsha256 = \"{}\"\n",
        component("echo"),
        "0".repeat(64)
    );
    let server = Server::with_rules(&rules);
    assert!(server.log().contains("not the pinned"), "{}", server.log());
    assert_eq!(server.answer("hi"), "sorry");
    let digest = mynah::digest::digest_of(&std::fs::read(component("echo")).expect("built"));
    let server = Server::with_rules(&rules.replace(&"0".repeat(64), &digest));
    assert_eq!(server.answer("hi"), "hi");
}

#[test]
fn a_plugin_with_more_memory_than_a_slot_runs_beside_the_others() {
    build_plugins();
    let server = Server::with_rules(&format!(
        "[[bots.test.rules]]\nprefix = \"say\"\nplugin = \"large\"\n[[bots.test.rules]]\nplugin = \"probe\"\n\
         [plugins.large]\nwasm = '{0}'\nlimits = {{ memory = \"256 MiB\" }}\n[plugins.probe]\nwasm = '{0}'\n",
        component("probe")
    ));
    assert_eq!(server.answer("say large"), "large");
    assert_eq!(server.answer("config a"), "none");
}

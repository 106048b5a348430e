//! Everything that a plugin can do, in each language whose SDK has code of its own for it: the same answers everywhere.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
};

use super::*;

/// The languages, where the plugin's source goes, and the source here. The first is what the others are compared with.
const LANGUAGES: [(&str, &str, &str); 6] = [
    ("rust", "src/lib.rs", "plugin.rs"),
    ("python", "plugin.py", "plugin.py"),
    ("javascript", "src/plugin.js", "plugin.js"),
    ("go", "plugin.go", "plugin.go"),
    ("c", "src/plugin.c", "plugin.c"),
    ("assemblyscript", "src/plugin.ts", "plugin.as.ts"),
];

/// What the plugins are asked, and a part of what Rust's answers.
const WORDS: [(&str, &str); 24] = [
    ("image", "<MediaId><![CDATA[m]]></MediaId>"),
    ("voice", "<Voice>"),
    ("video", "<Title><![CDATA[标题]]></Title>"),
    ("video-", "<Video>"),
    ("music", "<HQMusicUrl><![CDATA[http://b/]]></HQMusicUrl>"),
    ("music-", "<ThumbMediaId>"),
    ("news", "<PicUrl><![CDATA[http://p/]]></PicUrl>"),
    ("transfer", "<![CDATA[transfer_customer_service]]>"),
    ("agent", "<![CDATA[a@b]]>"),
    ("ai", "<![CDATA[transfer_biz_ai_ivr]]>"),
    ("raw", "<![CDATA[c@d]]>"),
    ("silence", "success"),
    ("pass", "passed"),
    ("fail", "sorry"),
    ("store", "k/a, k/b, 甲, -, "),
    ("config", "早 -"),
    ("log", "logged"),
    ("http", "201 1 ping 乒"),
    ("whatever else 你好", "test|gh_1|o_1|1|text|everything whatever else 你好|whatever else 你好|true"),
    ("refused", "bad-key"),
    ("elsewhere", "not-granted"),
    ("wechat", "not-granted"),
    ("upload", "not-granted"),
    ("download", "not-granted"),
];

/// From this word on AssemblyScript, which has no exceptions, fails and leaves the code in the log.
const REFUSALS: usize = 19;

#[test]
fn every_language_says_the_same_to_everything() {
    let _turn = turn();
    if !has("python3") || !has("npm") {
        return;
    }
    let url = echo();
    let project = Project::new();
    let config = project.path("bots.toml");
    fs::write(&config, format!("{LOOPBACK}{BOT}[[bots.test.rules]]\nreply = \"passed\"\n")).expect("written");
    for (lang, path, source) in LANGUAGES {
        project.shell(&format!("mynah new --lang {lang} everything-{lang} --add"));
        let from = root().join("host/tests/languages/everything").join(source);
        fs::copy(from, project.path(&format!("plugins/everything-{lang}/{path}"))).expect("copied");
    }
    let table = "build = ";
    let given = format!("config = {{ greeting = \"早\", url = \"{url}\" }}\nallow = {{ http = [\"{url}\"] }}\n{table}");
    let text = fs::read_to_string(&config).expect("bots.toml");
    fs::write(&config, text.replace(table, &given)).expect("written");
    project.shell("mynah build");

    let server = project.serve();
    let mut wrong = Vec::new();
    for (n, (word, part)) in WORDS.into_iter().enumerate() {
        let ask = |lang: &str| {
            let reply = server.text(&format!("everything-{lang} {word}"));
            let time = reply.find("<CreateTime>").map(|from| from..reply.find("</CreateTime>").expect("its end"));
            let mut reply = reply;
            time.into_iter().for_each(|time| reply.replace_range(time, ""));
            reply.replace(&format!("everything-{lang}"), "everything")
        };
        let expected = ask("rust");
        assert!(expected.contains(part), "{word}: {expected}");
        for (lang, ..) in LANGUAGES.into_iter().skip(1) {
            let reply = ask(lang);
            let fails = lang == "assemblyscript" && n >= REFUSALS;
            if fails != (reply != expected) || (fails && !reply.contains("sorry")) {
                wrong.push(format!("{lang}, {word}:\n    {reply}\n    {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let log = server.settled_log();
    for (lang, ..) in LANGUAGES {
        for line in ["noted 记下了", "on purpose"] {
            let of = format!("everything-{lang}");
            let found = log.lines().any(|logged| logged.contains(line) && logged.contains(&of));
            assert!(found, "{lang}: `{line}` is not in the log");
        }
    }
    assert!(log.contains("bad-key: a key must not be empty"));
    let json = content(&server.text("everything-c json"));
    assert_eq!(json, r#"1|-|null|"你😀\u000a\""|-"#);
}

#[test]
fn starlingmonkey_fetches_and_keeps_what_was_thrown() {
    let _turn = turn();
    if !has("npm") {
        return;
    }
    let url = echo();
    let project = Project::new();
    let config = project.path("bots.toml");
    fs::write(&config, format!("{LOOPBACK}{BOT}")).expect("written");
    project.shell("mynah new --lang ts monkey --engine starlingmonkey --add");
    let from = root().join("host/tests/languages/everything/fetch.ts");
    fs::copy(from, project.path("plugins/monkey/src/plugin.ts")).expect("copied");
    let text = fs::read_to_string(&config).expect("bots.toml");
    fs::write(&config, format!("{text}config = {{ url = \"{url}\" }}\nallow = {{ http = [\"{url}\"] }}\n"))
        .expect("written");
    project.shell("mynah build");
    let server = project.serve();
    assert_eq!(server.answer("monkey"), "201 1 ping 乒");
    server.wait_for_log("fetched from 127.0.0.1");
    assert_eq!(server.answer("monkey fail"), "sorry");
    server.wait_for_log("Error: on purpose");
}

/// A server that answers with what it was sent, on a port of its own; it ends with the tests' process.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut length, mut ping, mut line) = (0, "-".to_owned(), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some((name, value)) = line.trim().split_once(": ") {
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap_or(0),
                        "x-ping" => ping = value.to_owned(),
                        _ => {}
                    }
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let head = format!(
                "HTTP/1.1 201 Created\r\nX-Pong: {ping}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = reader.get_mut().write_all(&[head.as_bytes(), &body].concat());
        }
    });
    format!("http://{address}/")
}

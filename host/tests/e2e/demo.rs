//! The demo bots as they are in the repository's `bots.toml`, started as the README says.

use super::harness::*;

/// `bots.toml` with what a test cannot have in it replaced: the fixed port.
fn demo() -> (Folder, Server) {
    build_plugins();
    let text = std::fs::read_to_string(root().join("bots.toml")).expect("bots.toml");
    let mut config = text.replace("0.0.0.0:8080", "127.0.0.1:0");
    assert_ne!(config, text);
    for name in ["echo", "greet", "image_url", "quiz"] {
        let path = format!("\"target/wasm32-wasip2/release/{name}.wasm\"");
        assert!(config.contains(&path));
        config = config.replace(&path, &format!("'{}'", component(name)));
    }
    let manifest = root().join("Cargo.toml").display().to_string();
    config = config.replace("cargo build --release", &format!("cargo build --release --manifest-path {manifest}"));
    let questions = root().join("plugins/quiz/questions.toml").display().to_string();
    config = config.replace("\"plugins/quiz/questions.toml\"", &format!("'{questions}'"));
    let folder = Folder::new(&config);
    let server = Server::start(&folder.config(), &["dev"], &[]);
    (folder, server)
}

#[test]
fn the_demo_answers_through_each_of_its_plugins() {
    let (_folder, server) = demo();
    // echo
    assert_eq!(server.answer("复读机"), "复读机");
    // image-url
    let image = "<MsgType>image</MsgType><PicUrl><![CDATA[http://mmbiz.qpic.cn/a/0]]></PicUrl><MediaId>m1</MediaId>";
    assert_eq!(content(&server.message(image)), "http://mmbiz.qpic.cn/a/0");
    let voice = "<MsgType>voice</MsgType><MediaId>m2</MediaId><Format>amr</Format>";
    assert!(content(&server.message(voice)).contains("m2"));
    // greet
    let mut seen = std::collections::BTreeSet::new();
    wait_until("greetings in six languages", || {
        seen.insert(server.answer("hi"));
        seen.len() == 6
    });
    let subscribe = "<Event>subscribe</Event><EventKey>qrscene_fair</EventKey><Ticket>t</Ticket>";
    assert!(content(&server.event(subscribe)).contains("fair"));
    assert_ne!(server.event("<Event>subscribe</Event><EventKey></EventKey>"), "success");
}

#[test]
fn the_demos_fixed_rules_answer() {
    let (_folder, server) = demo();
    assert_eq!(server.answer("现在几点？什么时间了"), "现在去看看表。");
    assert_eq!(server.answer("营业时间"), "9:00–18:00");
    assert_eq!(server.answer("天气 北京"), "「北京」的天气，我还不会看。");
    assert!(server.answer("换算 3.5 公里").contains("3.5公里"));
    assert!("⚀⚁⚂⚃⚄⚅".contains(&server.answer("骰子")));
    assert!(server.text("图文").contains("<ArticleCount>1</ArticleCount>"));
    let scene = "<Event>SCAN</Event><EventKey>shop-3</EventKey>";
    assert_eq!(content(&server.event(scene)), "欢迎来自 shop-3 的朋友！");
    let click = "<Event>CLICK</Event><EventKey>HELP</EventKey>";
    assert!(content(&server.event(click)).contains("复读"));
    assert_eq!(server.event("<Event>unsubscribe</Event>"), "success");
}

#[cfg(unix)]
#[test]
fn the_quiz_is_played_across_a_kill_and_its_results_exported() {
    let (folder, mut server) = demo();
    let answers = ["C", "4", "3", "每顿都有", "白开水。", "b", "三", "我选Ｄ", "3分", "睡前不看手机"];
    assert!(server.answer("答题").contains("【1/10】"));
    assert!(server.answer("没有这个选项").contains("【1/10】"));
    for (n, answer) in answers.iter().take(5).enumerate() {
        assert!(server.answer(answer).contains(&format!("【{}/10】", n + 2)), "{answer}");
    }
    server.process().kill().expect("killed");
    server.process().wait().expect("ended");
    let server = Server::start(&folder.config(), &["serve"], &[]);
    // Nobody else is in the middle of it.
    let other = "<xml><ToUserName>gh_1</ToUserName><FromUserName>o_2</FromUserName><CreateTime>1</CreateTime>\
                 <MsgType>text</MsgType><Content>b</Content><MsgId>1</MsgId></xml>";
    assert_eq!(content(&post(&server.url(), other).1), "b");
    for (n, answer) in answers.iter().enumerate().skip(5).take(4) {
        assert!(server.answer(answer).contains(&format!("【{}/10】", n + 2)), "{answer}");
    }
    let result = server.answer(answers[9]);
    assert!(result.contains("得分：28 / 42"), "{result}");
    assert_eq!(server.answer("b"), "b");

    let export = |arguments: &[&str]| {
        let config = folder.config();
        let all: Vec<&str> =
            ["state", "export", "quiz", "--config", &config].iter().chain(arguments).copied().collect();
        String::from_utf8(mynah(&all).stdout).expect("text")
    };
    let results = export(&["--prefix", "results/"]);
    assert!(results.contains("\"openid\":\"o_1\"") && results.contains("\"score\":28"), "{results}");
    let table = export(&["--prefix", "answers/", "--format", "csv"]);
    assert_eq!(table.lines().count(), 11, "{table}");
    assert!(table.lines().nth(10).expect("the last answer").contains("睡前不看手机"), "{table}");
}

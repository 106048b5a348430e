//! The demo bots as they are in the repository's `bots.toml`, started as the README says.

use super::harness::*;

/// `bots.toml` with what a test cannot have in it replaced: the fixed port.
fn demo() -> (Folder, Server) {
    build_plugins();
    let text = std::fs::read_to_string(root().join("bots.toml")).expect("bots.toml");
    let mut config = text.replace("0.0.0.0:8080", "127.0.0.1:0");
    assert_ne!(config, text);
    for name in ["echo", "greet", "image_url"] {
        let path = format!("\"target/wasm32-wasip2/release/{name}.wasm\"");
        assert!(config.contains(&path));
        config = config.replace(&path, &format!("'{}'", component(name)));
    }
    let manifest = root().join("Cargo.toml").display().to_string();
    config = config.replace("cargo build --release", &format!("cargo build --release --manifest-path {manifest}"));
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
    assert_eq!(server.answer("天气 北京"), "北京的天气，我还不会看。");
    assert!(server.answer("换算 3.5 公里").contains("3.5公里"));
    assert!("⚀⚁⚂⚃⚄⚅".contains(&server.answer("骰子")));
    assert!(server.text("图文").contains("<ArticleCount>1</ArticleCount>"));
    let scene = "<Event>SCAN</Event><EventKey>shop-3</EventKey>";
    assert_eq!(content(&server.event(scene)), "欢迎来自 shop-3 的朋友！");
    let click = "<Event>CLICK</Event><EventKey>HELP</EventKey>";
    assert!(content(&server.event(click)).contains("复读"));
    assert_eq!(server.event("<Event>unsubscribe</Event>"), "success");
}

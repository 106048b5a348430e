//! Plugins that call the WeChat API, through the host and a double of it.

use std::{thread, time::Duration};

use wechat_api_double::{Then, WechatApi};

use super::harness::*;

const STABLE_TOKEN: &str = "/cgi-bin/stable_token";

/// A secret that nothing else looks like.
const SECRET: &str = "0sEcReT0oFtHe0aCcOuNt0";

fn double() -> WechatApi {
    let api = WechatApi::start();
    api.account("wxtest", SECRET);
    api
}

fn config(api: &WechatApi, allowed: &str) -> String {
    build_plugins();
    format!(
        "{LOOPBACK}{BOT}app_id = \"wxtest\"\napp_secret = \"{SECRET}\"\napi = \"{}\"\n\
         [[bots.test.rules]]\nplugin = \"probe\"\n\
         [plugins.probe]\nwasm = '{}'\nallow = {{ wechat = [{allowed}] }}\n",
        api.url(),
        component("probe")
    )
}

#[test]
fn a_plugin_calls_what_it_may_and_gets_wechats_own_answers() {
    let api = double();
    let allowed = "\"/cgi-bin/menu/*\", \"/cv/ocr/comm\", \"/cgi-bin/message/custom/send\"";
    let server = Server::with_config(&config(&api, allowed));
    assert_eq!(server.answer("wechat /cgi-bin/menu/get"), "46003");
    let menu = r#"{"button":[{"type":"click","name":"答题","key":"QUIZ"}]}"#;
    let created = server.answer(&format!("wechat-post /cgi-bin/menu/create {menu}"));
    assert_eq!(created, r#"{"errcode":0,"errmsg":"ok"}"#);
    assert_eq!(server.answer("wechat /cgi-bin/menu/get"), format!(r#"{{"menu":{menu}}}"#));
    api.set_text("http://mmbiz.qpic.cn/x/0?a=b&c=d", &["营业执照"]);
    let read = server.answer("wechat-post /cv/ocr/comm?img_url=http%3A%2F%2Fmmbiz.qpic.cn%2Fx%2F0%3Fa%3Db%26c%3Dd {}");
    assert!(read.contains("营业执照"), "{read}");
    let message = r#"{"touser":"o_1","msgtype":"text","text":{"content":"hi"}}"#;
    server.answer(&format!("wechat-post /cgi-bin/message/custom/send {message}"));
    assert_eq!(api.sent()[0]["text"]["content"], "hi");
    assert_eq!(api.calls(STABLE_TOKEN).len(), 1);
}

#[test]
fn media_make_the_round_trip() {
    let api = double();
    let server = Server::with_config(&config(&api, "\"/cgi-bin/media/upload\", \"/cgi-bin/media/get\""));
    let id = server.answer("upload image a.png the bytes");
    assert_eq!(server.answer(&format!("download {id}")), "the bytes");
    assert_eq!(server.answer("download MEDIA-7"), "40007");
    assert_eq!(server.answer("upload film a.mov x"), "40004");
    let without = Server::with_config(&config(&api, "\"/cgi-bin/media/get\""));
    assert_eq!(without.answer("upload image a.png x"), "not-granted");
}

#[test]
fn no_path_leads_a_plugin_to_a_token() {
    let api = double();
    // As generous as a configuration can be.
    let server = Server::with_config(&config(&api, "\"/*\""));
    let echoed = server.answer("wechat /double/echo?a=b");
    assert!(echoed.contains("[\"access_token\",\"…\"]"), "{echoed}");
    for path in [
        "/cgi-bin/token?grant_type=client_credential&appid=wxtest",
        "/cgi-bin/stable_token",
        "/CGI-BIN/STABLE_TOKEN",
        "/cgi-bin//stable_token",
        "/cgi-bin/menu/../stable_token",
        "/cgi-bin/./stable_token",
        "/cgi-bin/stable%5Ftoken",
        "/cgi-bin/stable_token/",
        "/sns/oauth2/access_token?code=c",
        "/sns/userinfo?openid=o",
        "/cgi-bin/menu/get?access_token=mine",
        "/cgi-bin/menu/get?Access_Token=mine",
        "/cgi-bin/menu/get?%61ccess_token=mine",
        "//evil.example/x",
        "@evil.example/x",
    ] {
        assert_eq!(server.answer(&format!("wechat {path}")), "not-granted", "{path}");
        assert_eq!(server.answer(&format!("wechat-post {path} {{}}")), "not-granted", "{path}");
    }
    // The host's own is the only one.
    assert_eq!(api.calls(STABLE_TOKEN).len(), 1);
    assert_eq!(api.calls("").len(), 2);
    let log = server.settled_log();
    assert!(!log.contains("TOKEN_wxtest") && !log.contains(SECRET), "{log}");
}

#[test]
fn an_address_that_is_not_on_the_list_is_told_what_to_do() {
    let api = double();
    api.set_listed(false);
    let server = Server::with_config(&config(&api, "\"/*\""));
    assert_eq!(server.answer("wechat /cgi-bin/menu/get"), "40164");
    let log = server.wait_for_log("40164, invalid ip 203.0.113.7");
    assert!(log.contains("add this server's address to the account's IP list"), "{log}");
    let told = server.answer("wechat-error /cgi-bin/menu/get");
    assert!(told.starts_with("40164: invalid ip 203.0.113.7") && told.contains("IP白名单"), "{told}");
    assert!(!server.settled_log().contains(SECRET));
}

#[test]
fn a_bot_without_a_secret_calls_nothing() {
    let api = double();
    let config = config(&api, "\"/*\"").replace(&format!("app_secret = \"{SECRET}\"\n"), "");
    let server = Server::with_config(&config);
    assert_eq!(server.answer("wechat /cgi-bin/menu/get"), "unavailable");
    server.wait_for_log("the bot has no `app_secret`");
    assert!(api.calls("").is_empty());
}

#[test]
fn a_token_survives_a_changed_configuration_but_not_a_changed_secret() {
    let api = double();
    let first = config(&api, "\"/*\"");
    let server = Server::with_config(&first);
    assert_eq!(server.answer("wechat /cgi-bin/menu/get"), "46003");
    let rule = "[[bots.test.rules]]\nkeyword = \"new\"\nreply = \"rule\"\n[[bots.test.rules]]\nplugin";
    let second = first.replace("[[bots.test.rules]]\nplugin", rule);
    server.folder().write("bots.toml", &second);
    wait_until("the new rule", || server.text("new").contains("rule"));
    assert_eq!(server.answer("wechat /cgi-bin/menu/get"), "46003");
    assert_eq!(api.calls(STABLE_TOKEN).len(), 1);
    server.folder().write("bots.toml", &second.replace(SECRET, "another"));
    wait_until("the new secret", || server.answer("wechat /cgi-bin/menu/get") == "40125");
}

#[test]
fn a_message_that_called_the_outside_is_not_run_again() {
    let api = double();
    let server = Server::with_config(&config(&api, "\"/*\""));
    let path = "/cgi-bin/getcallbackip";
    api.next(path, Then::Delay(Duration::from_millis(1500)));
    thread::scope(|scope| {
        let slow = scope.spawn(|| server.answer_to("a", &format!("count-and-call {path}")));
        // It has read the key, and waits for the API.
        api.wait_for_calls(STABLE_TOKEN, 1);
        assert_eq!(server.answer_to("b", "set c other"), "set");
        assert_eq!(slow.join().expect("answered"), "sorry");
    });
    server.wait_for_log("after it had called the outside, so it is not run again");
    assert_eq!(api.calls(path).len(), 1);
    assert_eq!(server.answer_to("b", "get c"), "=other");
}

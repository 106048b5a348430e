//! Late answers that are sent as customer-service messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wechat_api_double::{Then, WechatApi};

use super::harness::*;

const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const SEND: &str = "/cgi-bin/message/custom/send";

/// Longer than a delivery is waited for, so that an answer is late.
const SLOWLY: &str = "sleep-and 5200";

fn double() -> WechatApi {
    let api = WechatApi::start();
    api.account("wxtest", "secret");
    api
}

fn config(api: &WechatApi) -> String {
    build_plugins();
    format!(
        "{LOOPBACK}state = \"state.db\"\n{BOT}app_id = \"wxtest\"\napp_secret = \"secret\"\napi = \"{}\"\n\
         late = {{ mode = \"push\" }}\n\
         [[bots.test.rules]]\nkeyword = \"继续\"\nreply = \"nothing kept\"\n[[bots.test.rules]]\nplugin = \"probe\"\n\
         [plugins.probe]\nwasm = '{}'\nlimits = {{ time = \"30s\" }}\n",
        api.url(),
        component("probe")
    )
}

/// Sends a text as if WeChat's first deliveries had gone to a host before this one, and returns the interim answer.
fn ask(server: &Server, follower: &str, text: &str) -> String {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() - 13;
    let id = text.len();
    let body = format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>{follower}</FromUserName><CreateTime>{created}</CreateTime>\
         <MsgType>text</MsgType><Content>{text}</Content><MsgId>{id}</MsgId></xml>"
    );
    content(&post(&server.url(), &body).1)
}

/// The same for several followers at one time.
fn ask_all(server: &Server, asked: &[(&str, &str)]) -> Vec<String> {
    std::thread::scope(|scope| {
        let asking = asked.iter().map(|(follower, text)| scope.spawn(move || ask(server, follower, text)));
        asking.collect::<Vec<_>>().into_iter().map(|asking| asking.join().expect("answered")).collect()
    })
}

fn kill(server: &mut Server) {
    server.process().kill().expect("killed");
    server.process().wait().expect("ended");
}

#[test]
fn late_answers_of_every_kind_that_has_a_form_are_sent_and_others_kept() {
    let api = double();
    let server = Server::with_config(&config(&api));
    let kinds = [
        ("t", "say 八哥"),
        ("i", "image"),
        ("v", "voice"),
        ("f", "video"),
        ("m", "music"),
        ("n", "news"),
        ("x", "transfer"),
    ];
    let texts = kinds.map(|(follower, command)| (follower, format!("{SLOWLY} {command}")));
    let asked: Vec<(&str, &str)> = texts.iter().map(|(follower, text)| (*follower, text.as_str())).collect();
    for interim in ask_all(&server, &asked) {
        assert!(interim.starts_with("还在想……想好了就发给你。"), "{interim}");
    }
    let sent = api.wait_for_sent(6);
    let to = |follower: &str| {
        let mut found = sent.iter().find(|message| message["touser"] == follower).expect("sent").clone();
        let kind = found["msgtype"].as_str().expect("a kind").to_owned();
        found[&kind].take().to_string()
    };
    assert_eq!(to("t"), r#"{"content":"八哥"}"#);
    assert_eq!(to("i"), r#"{"media_id":"media-1"}"#);
    assert_eq!(to("v"), r#"{"media_id":"media-2"}"#);
    assert_eq!(to("f"), r#"{"media_id":"media-3","title":"t","description":"d"}"#);
    assert_eq!(to("m"), r#"{"title":"t","musicurl":"http://m","hqmusicurl":"http://hq","thumb_media_id":"thumb"}"#);
    assert_eq!(to("n"), r#"{"articles":[{"title":"title 1","url":"http://1"}]}"#);
    server.wait_for_log("the answer came late and is kept");
    // What was sent is not kept as well.
    server.wait_for_log_times("a late answer was sent", 6);
    wait_until("nothing waits", || server.answer_to("t", "继续") == "nothing kept");
    assert_eq!(api.sent().len(), 6);
}

#[cfg(unix)]
#[test]
fn killed_before_it_was_sent_an_answer_is_sent_after_the_restart() {
    let api = double();
    // The token does not come, and so nothing is sent.
    api.next(STABLE_TOKEN, Then::Hang);
    let folder = Folder::new(&config(&api));
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    ask(&server, "a", &format!("{SLOWLY} count c"));
    server.wait_for_log("the answer came late and is going to be sent");
    api.wait_for_calls(STABLE_TOKEN, 1);
    kill(&mut server);
    assert!(api.calls(SEND).is_empty());
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    // Counted once, sent once.
    assert_eq!(api.wait_for_sent(1)[0]["text"]["content"], "1");
    server.wait_for_log("a late answer was sent");
    kill(&mut server);
    let server = Server::start(&folder.config(), &["serve"], &[]);
    wait_until("nothing waits", || server.answer_to("a", "继续") == "nothing kept");
    assert!(!server.settled_log().contains("it may have arrived"));
    assert_eq!(api.sent().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_server_that_stops_finishes_what_it_is_sending_and_leaves_the_rest() {
    let api = double();
    api.next(SEND, Then::Delay(Duration::from_millis(1500)));
    let folder = Folder::new(&config(&api));
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    ask(&server, "a", &format!("{SLOWLY} say hi"));
    // From here on it may not yet have begun, or be in the middle of it.
    server.wait_for_log("the answer came late and is going to be sent");
    let pid = server.process().id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    assert_eq!(server.process().wait().expect("ended").code(), Some(0));
    let server = Server::start(&folder.config(), &["serve"], &[]);
    api.wait_for_sent(1);
    wait_until("nothing waits", || server.answer_to("a", "继续") == "nothing kept");
    assert!(!server.settled_log().contains("it may have arrived"));
    assert_eq!(api.sent().len(), 1);
}

#[cfg(unix)]
#[test]
fn killed_while_it_was_sent_an_answer_is_not_sent_again_and_the_log_says_so() {
    let api = double();
    api.next(SEND, Then::Hang);
    let folder = Folder::new(&config(&api));
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    ask(&server, "a", &format!("{SLOWLY} say hi"));
    api.wait_for_sent(1);
    kill(&mut server);
    let server = Server::start(&folder.config(), &["serve"], &[]);
    server.wait_for_log("it may have arrived, and is not sent again");
    wait_until("nothing waits", || server.answer_to("a", "继续") == "nothing kept");
    assert_eq!(api.sent().len(), 1);
}

#[test]
fn an_answer_whose_fate_is_unknown_is_not_sent_again() {
    let api = double();
    api.next(SEND, Then::DropAfter);
    let server = Server::with_config(&config(&api));
    ask(&server, "a", &format!("{SLOWLY} say hi"));
    server.wait_for_log("a late answer may have arrived or not, and is not sent again");
    wait_until("nothing waits", || server.answer_to("a", "继续") == "nothing kept");
    assert_eq!(api.sent().len(), 1);
}

#[test]
fn an_answer_waits_while_the_api_cannot_be_reached() {
    let api = double();
    api.next(STABLE_TOKEN, Then::DropBefore);
    let server = Server::with_config(&config(&api));
    ask(&server, "a", &format!("{SLOWLY} say hi"));
    server.wait_for_log("a late answer waits to be sent: the WeChat API cannot be reached");
    assert_eq!(api.wait_for_sent(1)[0]["text"]["content"], "hi");
    server.wait_for_log("a late answer was sent");
}

#[test]
fn what_wechat_refuses_is_kept_and_an_account_that_may_not_push_is_remembered() {
    let api = double();
    api.close_window("a");
    api.set_quota("b", 0);
    let folder = Folder::new(&config(&api));
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    let text = format!("{SLOWLY} say hi");
    ask_all(&server, &[("a", &text), ("b", &text)]);
    server.wait_for_log_times("a late answer is kept: WeChat refused it: 450", 2);
    for follower in ["a", "b"] {
        wait_until("it is kept", || server.answer_to(follower, "继续") == "hi");
    }

    api.set_permitted(SEND, false);
    assert!(ask(&server, "c", &text).contains("想好了就发给你"));
    let log = server.wait_for_log("this account may not push");
    assert!(log.contains("the account lacks the permission"), "{log}");
    wait_until("it is kept", || server.answer_to("c", "继续") == "hi");
    assert_eq!(api.calls(SEND).len(), 3);
    // From now on answers are kept, and the follower is told so at once, also after a restart.
    kill(&mut server);
    let server = Server::start(&folder.config(), &["serve"], &[]);
    let interim = ask(&server, "d", &text);
    assert!(interim.starts_with("还在想……稍后回复「<a href="), "{interim}");
    server.wait_for_log("the answer came late and is kept");
    assert_eq!(server.answer_to("d", "继续"), "hi");
    assert_eq!(api.calls(SEND).len(), 3);
}

#[test]
fn answers_to_one_follower_are_sent_in_order_and_long_ones_by_their_first_page() {
    let api = double();
    api.next(SEND, Then::Delay(Duration::from_millis(1500)));
    let server = Server::with_config(&config(&api));
    let (first, second) = (format!("{SLOWLY} long 60"), format!("{SLOWLY} say two"));
    ask(&server, "a", &first);
    ask(&server, "a", &second);
    let sent = api.wait_for_sent(2);
    let text = |n: usize| sent[n]["text"]["content"].as_str().expect("a text").to_owned();
    assert!(text(0).starts_with("line 0000") && text(0).contains("看下一页") && text(0).len() <= 2048, "{}", text(0));
    assert_eq!(text(1), "two");
    server.wait_for_log_times("a late answer was sent", 2);
    let mut pages = Vec::new();
    wait_until("all pages", || {
        let page = server.answer_to("a", "继续");
        let last = page == "nothing kept";
        if page.starts_with("line") {
            pages.push(page);
        }
        last
    });
    assert_eq!(pages.len(), 3);
}

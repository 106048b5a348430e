use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    secret::Secret,
    wechat::{
        cipher::{AesKey, Cipher, WhichKey},
        envelope::render_envelope,
    },
};

const ECHOSTR: &str = "5837397320231461463";
const MESSAGE: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>o_1</FromUserName><CreateTime>1</CreateTime>\
                       <MsgType>text</MsgType><Content>hi</Content></xml>";

fn account() -> Account {
    let key = AesKey::parse("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap();
    Account { token: Secret::new("mynah"), cipher: Some(Cipher::new(key, None, "wxb11529c136998cb6")) }
}

fn sent() -> Outgoing {
    Outgoing::new(MESSAGE.into()).unwrap()
}

fn request(method: &str) -> Request {
    let url = url::Url::parse("http://bot.example.com/weixin/?signature=1").unwrap();
    Request { url, body: (method == "POST").then(String::new), content_type: "text/xml" }
}

fn exchange(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Exchange {
    Exchange {
        status,
        headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        body: body.to_vec(),
        time: Duration::ZERO,
        address: "127.0.0.1:80".parse().unwrap(),
        certificate: None,
    }
}

fn verified(body: &str) -> String {
    verdict_of(&exchange(200, &[], body.as_bytes()))
}

fn verdict_of(exchange: &Exchange) -> String {
    match verification(&request("GET"), exchange, ECHOSTR, Some("5837397320231461400")) {
        Ok(()) => "ok".into(),
        Err(fault) => fault.what.into_owned(),
    }
}

fn judged(mode: Mode, body: &str) -> Verdict {
    reply(&request("POST"), &exchange(200, &[], body.as_bytes()), &sent(), mode, &account())
}

fn why(mode: Mode, body: &str) -> String {
    judged(mode, body).fault.map_or_else(|| "ok".into(), |fault| fault.what.into_owned())
}

fn text_reply(content: &str) -> String {
    format!(
        "<xml><ToUserName>o_1</ToUserName><FromUserName>gh_1</FromUserName><CreateTime>2</CreateTime>\
         <MsgType>text</MsgType><Content><![CDATA[{content}]]></Content></xml>"
    )
}

fn sealed(plain: &str, token: &str) -> String {
    let encrypt = account().cipher.unwrap().encrypt(WhichKey::Current, [7; 16], plain.as_bytes());
    let signed = signature::sign(&[token, "5", "n", &encrypt]);
    render_envelope(Format::Xml, &encrypt, &signed, 5, "n")
}

#[test]
fn only_the_echostr_itself_verifies() {
    assert_eq!(verified(ECHOSTR), "ok");
    assert_eq!(verified(""), "the answer to the verification is empty");
    assert_eq!(verified(&format!("\u{feff}{ECHOSTR}")), "a byte order mark (BOM) stands before the `echostr`");
    assert_eq!(verified(&format!("{ECHOSTR}\n")), "white space or a newline stands around the `echostr`");
    assert_eq!(verified(&format!("\"{ECHOSTR}\"")), "the `echostr` comes back in quotes, as JSON would have it");
    assert_eq!(
        verified("5837397320231461400"),
        "the `echostr` of an earlier request comes back: something caches the answers"
    );
    assert_eq!(verified("5837397320231462000"), "the `echostr` comes back rounded: something reads it as a number");
    let page = format!("<!DOCTYPE html><html><body>{ECHOSTR}</body></html>");
    assert_eq!(verified(&page), "the `echostr` comes back within an HTML page");
    let page = "<html><head><title>Welcome to nginx!</title></head></html>";
    assert_eq!(verified(page), "an HTML page is the answer (`Welcome to nginx!`)");
    assert_eq!(verified(&format!("ok {ECHOSTR}")), format!("something stands around the `echostr`: `ok {ECHOSTR}`"));
    assert_eq!(verified("success"), "not the `echostr` comes back but `success`");
}

#[test]
fn a_status_is_named_with_who_gave_it() {
    let of = |status, body: &str| verdict_of(&exchange(status, &[("server", "nginx/1.22.1")], body.as_bytes()));
    assert_eq!(of(502, ""), "the proxy does not reach mynah: it answers 502 by `nginx/1.22.1`");
    let not_found =
        "the answer is 404 by `nginx/1.22.1`, and not from mynah: the path is wrong, or the proxy does not pass it on";
    assert_eq!(of(404, "<html>"), not_found);
    assert_eq!(of(404, "no bot has this path\n"), "the path is no bot's");
    assert_eq!(of(403, "wrong signature\n"), "the token differs");
    assert_eq!(of(403, "<html>"), "the answer is 403 by `nginx/1.22.1`, and not from mynah");
    assert_eq!(of(400, "the query is missing\n"), "the query is missing");
    assert_eq!(of(413, ""), "the answer is 413 by `nginx/1.22.1`: the message is too large for the proxy");
    assert_eq!(of(500, ""), "the answer is 500 by `nginx/1.22.1`: the server failed");
    assert_eq!(of(204, ""), "the answer is 204 by `nginx/1.22.1`, not 200");
}

#[test]
fn a_redirect_is_named_with_its_target() {
    let of = |location: &str| verdict_of(&exchange(301, &[("location", location)], b""));
    assert_eq!(
        of("https://bot.example.com/weixin/?signature=1"),
        "the answer is a redirect from http to https: WeChat does not follow redirects"
    );
    assert_eq!(
        of("/weixin?x"),
        "the answer is a redirect to `http://bot.example.com/weixin`: WeChat does not follow redirects"
    );
    assert!(of("").starts_with("the answer is a redirect to"), "{}", of(""));
}

#[test]
fn a_compressed_answer_is_refused() {
    let zipped = exchange(200, &[("content-encoding", "gzip")], ECHOSTR.as_bytes());
    assert_eq!(verdict_of(&zipped), "the answer is compressed (`gzip`), though nothing asked for it");
}

#[test]
fn silence_and_well_formed_replies_are_taken() {
    for mode in [Mode::Plain, Mode::Compatible, Mode::Safe] {
        for silent in ["", "success"] {
            assert_eq!(judged(mode, silent).reply, Some(Reply::Silence));
            assert_eq!(why(mode, silent), "ok");
        }
    }
    let verdict = judged(Mode::Plain, &text_reply("你好"));
    assert_eq!((verdict.reply, verdict.fault), (Some(Reply::Text("你好".into())), None));
    assert_eq!(why(Mode::Compatible, &text_reply("x")), "ok");
    let verdict = judged(Mode::Safe, &sealed(&text_reply("你好"), "mynah"));
    assert_eq!((verdict.reply, verdict.fault), (Some(Reply::Text("你好".into())), None));
    assert_eq!(verdict.opened, Some(text_reply("你好")));
    assert_eq!(why(Mode::Compatible, &sealed(&text_reply("x"), "mynah")), "ok");
}

#[test]
fn what_wechat_would_not_take_is_named() {
    let plain = |body: &str| why(Mode::Plain, body);
    let good = text_reply("x");
    assert_eq!(plain("success\n"), "white space stands around `success`, or alone");
    assert_eq!(plain("\n"), "white space stands around `success`, or alone");
    assert_eq!(plain(&format!("\u{feff}{good}")), "a byte order mark (BOM) stands before the reply");
    assert_eq!(plain(&format!("\n{good}")), "white space stands before the reply");
    assert_eq!(plain("<html><title>Error</title></html>"), "an HTML page is the answer (`Error`)");
    assert!(plain("fail").starts_with("the reply is neither `success` nor a document: `fail`"));
    assert_eq!(plain(&good.replace(">o_1<", ">o_2<")), "the reply's `ToUserName` is `o_2`, not `o_1`");
    assert_eq!(plain(&good.replace(">gh_1<", ">gh_2<")), "the reply's `FromUserName` is `gh_2`, not `gh_1`");
    let same_way = good.replace(">o_1<", ">?<").replace(">gh_1<", ">o_1<").replace(">?<", ">gh_1<");
    assert_eq!(
        plain(&same_way),
        "`ToUserName` and `FromUserName` of the reply are those of the message, not the other way round"
    );
    assert_eq!(plain(&good.replace(">2<", ">now<")), "the reply's `CreateTime` is `now`, not seconds since 1970");
    assert_eq!(
        plain(&good.replace(">text<", ">hologram<")),
        "`hologram` is no kind of reply that WeChat is known to take"
    );
    assert_eq!(plain(&text_reply(" ")), "the reply is an empty text");
    assert_eq!(
        plain(&text_reply(&"x".repeat(2049))),
        "the reply's text has 2049 bytes, more than the 2048 that WeChat delivers"
    );
    assert_eq!(plain(&good.replace(">text<", ">image<")), "the image has no media id");
    assert_eq!(plain(r#"{"a":"b"}"#), "the message was XML, but the reply is JSON");
    let binary = exchange(200, &[], &[0xff, 0xfe]);
    let verdict = reply(&request("POST"), &binary, &sent(), Mode::Plain, &account());
    assert_eq!(verdict.fault.unwrap().what, "the reply is not UTF-8");
}

#[test]
fn articles_over_the_bound_are_a_warning() {
    let item = "<item><Title>t</Title><Url>http://x</Url></item>";
    let news = text_reply("x").replace(">text<", ">news<").replace(
        "<Content><![CDATA[x]]></Content>",
        &format!("<ArticleCount>2</ArticleCount><Articles>{item}{item}</Articles>"),
    );
    let verdict = judged(Mode::Plain, &news);
    assert_eq!(verdict.fault, None);
    assert_eq!(verdict.warnings, ["the news has 2 articles and was cut to 1"]);
}

#[test]
fn an_encrypted_reply_is_checked_whole() {
    let good = text_reply("x");
    assert_eq!(
        why(Mode::Safe, &good),
        "the reply is not encrypted, though the message was sent in safe mode (安全模式)"
    );
    assert_eq!(why(Mode::Plain, &sealed(&good, "mynah")), "the reply is encrypted, though the message was not");
    assert_eq!(why(Mode::Safe, &sealed(&good, "other")), "the encrypted reply's `MsgSignature` is wrong");
    let without = sealed(&good, "mynah").replace("Nonce>", "Once>");
    assert_eq!(why(Mode::Safe, &without), "the encrypted reply has no `Nonce`");
    let other_key = AesKey::parse(&"A".repeat(43)).unwrap();
    let other = Account { cipher: Some(Cipher::new(other_key, None, "wx1")), ..account() };
    let answer = exchange(200, &[], sealed(&good, "mynah").as_bytes());
    let verdict = reply(&request("POST"), &answer, &sent(), Mode::Safe, &other);
    assert_eq!(verdict.fault.unwrap().what, "the EncodingAESKey differs");
    // What is inside is judged too.
    assert_eq!(
        why(Mode::Safe, &sealed(&good.replace(">o_1<", ">o_2<"), "mynah")),
        "the reply's `ToUserName` is `o_2`, not `o_1`"
    );
}

proptest! {
    #[test]
    fn no_answer_panics(
        status in prop_oneof![Just(200_u16), Just(302), 100..600_u16],
        header in prop_oneof![Just("content-type"), Just("location"), Just("server"), Just("content-encoding")],
        value in ".{0,40}",
        start in prop_oneof![Just(""), Just("<xml>"), Just("<html><TITLE>"), Just("\u{feff}"), Just("58373973202314"), Just("{")],
        rest in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let body = [start.as_bytes(), &rest].concat();
        let answer = exchange(status, &[(header, &value)], &body);
        let _ = verdict_of(&answer);
        for mode in [Mode::Plain, Mode::Compatible, Mode::Safe] {
            let verdict = reply(&request("POST"), &answer, &sent(), mode, &account());
            prop_assert!(verdict.fault.is_some() || verdict.reply.is_some());
        }
    }
}

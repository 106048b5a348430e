//! `mynah send`: what is sent, what is shown, and what the exit code says.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use super::{
    harness::*,
    proxy::{After, Answered, Asked, Before, Proxy, self_signed},
};

const KEYS: &str =
    "app_id = \"wxb11529c136998cb6\"\nencoding_aes_key = \"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG\"\n";

fn config(keys: &str) -> String {
    format!(
        "{LOOPBACK}{BOT}{keys}\
         [[bots.test.rules]]\nevent = \"CLICK\"\nkey = \"HELP\"\nreply = \"按了帮助\"\n\
         [[bots.test.rules]]\nevent = \"subscribe\"\nscene = \"*\"\nreply = \"从 {{scene}} 来\"\n\
         [[bots.test.rules]]\nevent = \"*\"\nreply = {{ silence = true }}\n\
         [[bots.test.rules]]\ntype = [\"image\", \"location\", \"link\", \"file\"]\nreply = \"收到图文\"\n\
         [[bots.test.rules]]\nregex = '(?<all>.+)'\nreply = \"你说「{{all}}」\"\n"
    )
}

/// Runs `mynah send` with the server's own configuration; gives the exit code and what was said.
fn send(server: &Server, arguments: &[&str]) -> (i32, String) {
    let url = format!("http://{}/weixin/", server.address());
    let config = server.folder().config();
    let all = [&["send", "--config", config.as_str(), url.as_str()], arguments].concat();
    said(&mynah(&all))
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// The same to a stranger.
fn send_to(url: &str, arguments: &[&str]) -> (i32, String) {
    said(&mynah(&[&["send", url, "--token", TOKEN], arguments].concat()))
}

#[test]
fn the_reply_is_shown_as_xml_and_in_words_in_every_mode() {
    let server = Server::with_config(&config(KEYS));
    for (flags, mode) in [
        (&["--mode", "plain"][..], "in plaintext mode (明文模式)"),
        (&["--mode", "compatible"], "in compatible mode (兼容模式)"),
        (&["--mode", "safe"], "in safe mode (安全模式)"),
        // A bot with a key is sent to in safe mode.
        (&[], "in safe mode (安全模式)"),
        (&["--json"], "in safe mode (安全模式)"),
    ] {
        let (code, text) = send(&server, &[&["你好"], flags].concat());
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with(&format!("> 你好\n\n{mode}\nPOST http://")), "{text}");
        assert!(text.contains("\n< 你说「你好」\naccepted: the follower gets this reply\n"), "{text}");
        let sealed = mode != "in plaintext mode (明文模式)";
        assert_eq!(text.contains("encrypt_type=aes") && text.contains("with a good signature:"), sealed, "{text}");
        let content =
            if flags == ["--json"] { "\"Content\":\"你好\"" } else { "<Content><![CDATA[你好]]></Content>" };
        assert!(text.contains(content), "{text}");
    }
}

#[test]
fn every_kind_can_be_sent() {
    let server = Server::with_config(&config(""));
    for (arguments, words) in [
        (&["[image http://x/1.jpg]"][..], "< 收到图文"),
        (&["--image", "http://x/1.jpg"], "< 收到图文"),
        (&["--voice", "北京"], "< 你说「北京」"),
        (&["--location", "23.13", "-113.36", "广州塔"], "< 收到图文"),
        (&["--link", "http://x/"], "< 收到图文"),
        (&["--type", "file", "--field", "Title=a.pdf"], "< 收到图文"),
        (&["--event", "CLICK", "--key", "HELP"], "< 按了帮助"),
        (&["[event CLICK key=HELP]"], "< 按了帮助"),
        (&["--event", "subscribe", "--scene", "fair"], "< 从 fair 来"),
        (&["--event", "LOCATION", "--field", "Latitude=1.5"], "accepted: the follower gets no reply"),
        (&["--verify"], "accepted: WeChat would take this URL"),
    ] {
        let (code, text) = send(&server, arguments);
        assert!(code == 0 && text.contains(words), "{arguments:?}: {text}");
    }
    server.wait_for_log("WeChat verified this URL");
}

#[test]
fn a_message_comes_from_a_file_or_a_pipe() {
    let server = Server::with_config(&config(""));
    let body = envelope("<MsgType>text</MsgType><Content>文件</Content><MsgId>5</MsgId>");
    server.folder().write("message.xml", &format!("\u{feff}{body}\n"));
    let file = server.folder().path("message.xml").display().to_string();
    let (code, text) = send(&server, &["--xml", &file]);
    assert!(code == 0 && text.contains(&body) && text.contains("< 你说「文件」"), "{text}");

    let mut child = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["send", &format!("http://{}/weixin/", server.address()), "--token", TOKEN, "--xml", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mynah starts");
    child.stdin.take().expect("piped").write_all(body.as_bytes()).expect("written");
    let (code, text) = said(&child.wait_with_output().expect("ended"));
    assert!(code == 0 && text.contains("< 你说「文件」"), "{text}");

    server.folder().write("message.xml", "hello");
    let (code, text) = send(&server, &["--xml", &file]);
    assert!(code == 64 && text.contains("this is no message of WeChat's"), "{text}");
}

#[test]
fn retries_repeat_the_message_with_a_fresh_signature() {
    let times = AtomicUsize::new(0);
    let peer = Proxy::alone(move |_| {
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            // Longer than WeChat waits.
            thread::sleep(Duration::from_secs(8));
        }
        Answered::new(200, "text/plain", "success")
    });
    let (code, text) = send_to(&peer.url(), &["hi", "--retries"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("delivery 1 of 3") && text.contains("no answer: there was no answer within 5 seconds"),
        "{text}"
    );
    assert!(text.contains("delivery 2 of 3") && !text.contains("delivery 3 of 3"), "{text}");
    let asked = peer.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].text(), asked[1].text());
    assert!(asked[0].text().contains("<MsgId>"));
    assert_ne!(asked[0].parameter("nonce"), asked[1].parameter("nonce"));
    assert_ne!(asked[0].parameter("signature"), asked[1].parameter("signature"));
}

#[test]
fn the_exit_code_says_whether_wechat_would_have_taken_it() {
    let server = Server::with_config(&config(""));
    let url = format!("http://{}/weixin/", server.address());
    let (code, text) = said(&mynah(&["send", &url, "hi", "--token", "wrong"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("refused: the token differs: "), "{text}");
    assert!(text.contains("the follower sees: 该公众号提供的服务出现故障"), "{text}");

    for (answer, why) in [
        (Answered::new(200, "text/html", "<html><title>Oops</title></html>"), "an HTML page is the answer (`Oops`)"),
        (Answered::new(500, "text/plain", "x"), "the answer is 500: the server failed"),
        (Answered::new(302, "text/plain", "").with("location", "/other"), "WeChat does not follow redirects"),
        (Answered::new(200, "text/plain", "ok\u{1b}[31m"), "the reply is neither `success` nor a document: `ok\\u{1b}"),
    ] {
        let peer = Proxy::alone(move |_| answer.clone());
        let (code, text) = send_to(&peer.url(), &["hi"]);
        assert!(code == 1 && text.contains("refused: ") && text.contains(why), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let before = Proxy::before(
        server.address(),
        After(|_: &Asked, answered: &mut Answered| answered.body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop)),
    );
    let (code, text) = send_to(&before.url(), &["hi"]);
    assert!(code == 1 && text.contains("a byte order mark (BOM) stands before the reply"), "{text}");
    // Nobody is there.
    let peer = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    let (code, text) = send_to(&format!("http://{peer}/weixin/"), &["hi"]);
    assert!(code == 1 && text.contains("nobody takes connections at"), "{text}");
}

#[test]
fn what_cannot_be_sent_is_a_usage_error() {
    let server = Server::with_config(&config(""));
    for (arguments, why) in [
        (&["hi", "--mode", "safe"][..], "needs the account's `encoding_aes_key` and `app_id`"),
        (&["hi", "--bot", "other"], "there is no bot `other`; there are `test`"),
        (&["[imgae x]"], "there is no message of kind `imgae`"),
        (&["hi", "--image", "http://x"], "cannot be used with"),
        (&[], "required"),
    ] {
        let (code, text) = send(&server, arguments);
        assert!(code == 64 && text.contains(why), "{arguments:?}: {text}");
    }
    let (code, text) = send_to("127.0.0.1:8080/weixin/", &["hi"]);
    assert!(code == 64 && text.contains("did you mean `http://127.0.0.1:8080/weixin/`?"), "{text}");
}

#[test]
fn https_is_spoken_and_its_certificate_checked() {
    let server = Server::with_config(&config(""));
    let (tls, pem, _) = self_signed(&["bot.example.com"]);
    let proxy = Proxy::start(Some(server.address()), Some(tls), Before(|_: &mut Asked| {}));
    server.folder().write("ca.pem", &pem);
    let ca = server.folder().path("ca.pem").display().to_string();
    let address = proxy.address.to_string();
    let to = |url: &str, more: &[&str]| send_to(url, &[&["hi", "--connect", address.as_str()], more].concat());
    let (code, text) = to("https://bot.example.com/weixin/", &["--cacert", &ca]);
    assert!(code == 0 && text.contains("< 你说「hi」"), "{text}");
    let (code, text) = to("https://bot.example.com/weixin/", &[]);
    assert!(code == 1 && text.contains("the TLS certificate is self-signed"), "{text}");
    let (code, text) = to("https://other.example.com/weixin/", &["--cacert", &ca]);
    assert!(code == 1 && text.contains("is for another name than `other.example.com`"), "{text}");
    let plain = server.address().to_string();
    let (code, text) = send_to("https://bot.example.com/weixin/", &["hi", "--connect", &plain]);
    assert!(code == 1 && text.contains("speaks is not TLS: enter the URL with `http://`"), "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let server = Server::with_config(&config(""));
    let (url, config) = (format!("http://{}/weixin/", server.address()), server.folder().config());
    for verb in ["send", "doctor"] {
        let text = if verb == "send" { "hi" } else { "" };
        // `true` reads nothing at all.
        let script = format!("'{}' {verb} -c '{config}' {url} {text} | true", env!("CARGO_BIN_EXE_mynah"));
        let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
        assert!(output.stderr.is_empty(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

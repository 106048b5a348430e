//! `mynah doctor`: each usual mistake is named in one line.

use std::{thread, time::Duration};

use wechat_api_double::{Then, WechatApi};

use super::{
    harness::*,
    nginx::{Nginx, readme_block},
    proxy::{After, Answered, Asked, Before, Proxy, issued, self_signed},
};

const APP_ID: &str = "wxb11529c136998cb6";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const OTHER_KEY: &str = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba";

/// The URL as it would be entered; where the calls really go is a flag's.
const URL: &str = "http://bot.example.com/weixin/";

fn config(token: &str, more: &str) -> String {
    let state = "state = \"mynah.db\"\n";
    format!(
        "{LOOPBACK}{state}[bots.test]\npath = \"/weixin/\"\ntoken = \"{token}\"\n{more}[[bots.test.rules]]\nreply = \"好\"\n"
    )
}

fn keys() -> String {
    format!("app_id = \"{APP_ID}\"\nencoding_aes_key = \"{KEY}\"\n")
}

fn server(more: &str) -> Server {
    Server::with_config(&config(TOKEN, more))
}

/// Runs the doctor with the server's own configuration; gives the exit code and what was said.
fn doctor(folder: &Folder, arguments: &[&str]) -> (i32, String) {
    let config = folder.config();
    let output = mynah(&[&["doctor", "--config", config.as_str()], arguments].concat());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).expect("text"))
}

fn behind(server: &Server, proxy: &Proxy, more: &[&str]) -> (i32, String) {
    let address = proxy.address.to_string();
    doctor(server.folder(), &[&[URL, "--connect", address.as_str()], more].concat())
}

/// The lines of a level, without it.
fn lines<'t>(text: &'t str, level: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| Some(line.trim_start().strip_prefix(level)?.trim_start())).collect()
}

/// Checks that one line names the mistake, and says what to do.
#[track_caller]
fn assert_named((code, text): (i32, String), what: &str, advice: &str) {
    let problems = lines(&text, "problem ");
    assert!(
        code == 1 && problems.len() == 1 && problems[0].contains(what) && problems[0].contains(advice),
        "{what}\n{advice}\nexit {code}\n{text}"
    );
}

#[test]
fn a_sound_account_has_nothing_wrong_in_any_mode() {
    for more in [String::new(), keys(), keys() + "require_encryption = true\n"] {
        let server = server(&more);
        let address = server.address().to_string();
        let (code, text) = doctor(server.folder(), &[URL, "--connect", &address]);
        assert_eq!(code, 0, "{text}");
        assert!(text.ends_with("\nnothing is wrong\n"), "{text}");
        let taken = |mode: &str| text.contains(&format!("a message in {mode} ("));
        assert_eq!(taken("plaintext mode"), !more.contains("require"), "{text}");
        assert_eq!(taken("compatible mode") && taken("safe mode"), !more.is_empty(), "{text}");
        for line in [
            "the `echostr` comes back as it is",
            "a wrong signature is refused",
            "a message with a wrong signature is refused",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains(KEY) && !text.contains(&format!("`{TOKEN}`")), "{text}");
        // What the doctor tries is no mistake in the server's log.
        let log = server.wait_for_log("`mynah doctor` tried a wrong signature");
        assert!(!log.contains("WARN"), "{log}");
    }
}

#[test]
fn the_token_differs() {
    let server = server("");
    let proxy = Proxy::before(server.address(), Before(|_: &mut Asked| {}));
    let address = proxy.address.to_string();
    let folder = Folder::new(&config("another", ""));
    let named = "the token differs";
    let advice = "is not the Token of the account's server configuration";
    assert_named(doctor(&folder, &[URL, "--connect", &address]), named, advice);
    // The same words are in the server's log.
    let log = server.wait_for_log(named);
    assert!(log.contains(advice), "{log}");
    // What the console shows, given by flag, is compared with the bot's.
    assert_named(behind(&server, &proxy, &["--token", "another"]), named, advice);
    // The server has a variable that this shell has not.
    let folder =
        Folder::new(&config("x", "").replace("\"x\"", "{ env = \"MYNAH_TEST_UNSET\", default = \"another\" }"));
    let found = doctor(&folder, &[URL, "--connect", &address]);
    assert_named(found, named, "this shell has not set the environment variable of the token");
    let folder = Folder::new(&config("x", "").replace("\"x\"", "{ env = \"MYNAH_TEST_UNSET\" }"));
    let (code, text) = doctor(&folder, &[URL, "--connect", &address]);
    assert!(code == 1 && text.contains("`MYNAH_TEST_UNSET` is not set"), "{text}");
    assert!(text.contains("it is not called, because the secrets of bot `test` are not known here"), "{text}");
}

#[test]
fn the_token_is_another_bots() {
    let other = "[bots.club]\npath = \"/club/\"\ntoken = \"clubToken\"\n";
    let server = Server::with_config(&(config(TOKEN, "") + other));
    get(&format!("http://{}/weixin/?{}&echostr=1", server.address(), signed_query("clubToken")));
    server.wait_for_log("the signature was made with the token of the bot `club`");
}

#[test]
fn the_path_is_wrong() {
    let server = server("");
    let address = server.address().to_string();
    let found = doctor(server.folder(), &["http://bot.example.com/wx", "--connect", &address]);
    assert_named(found, "the path is no bot's: `/wx` arrives, bots.toml has `/weixin/`", "enter the `path` of the bot");
    server.wait_for_log("the path is no bot's: `/wx` arrives, bots.toml has `/weixin/`: enter the `path` of the bot");
    let (more, other) = (config(TOKEN, ""), "[bots.club]\npath = \"/club/\"\ntoken = \"clubToken\"\n");
    let folder = Folder::new(&(more + other));
    let found = doctor(&folder, &["http://bot.example.com/wx", "--connect", &address]);
    let paths = "no bot has the path `/wx`; there are `/weixin/` (bot `test`), `/club/` (bot `club`)";
    assert_named(found, paths, "name the bot with `--bot`");
}

#[test]
fn a_proxy_changes_the_query() {
    let server = server(&keys());
    let cut = |keep: fn(&str) -> String| {
        Before(move |asked: &mut Asked| {
            let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
            asked.target = match keep(query) {
                query if query.is_empty() => path.to_owned(),
                query => format!("{path}?{query}"),
            };
        })
    };
    let without = |name: &'static str| {
        Before(move |asked: &mut Asked| {
            let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
            let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(name)).collect();
            asked.target = format!("{path}?{}", kept.join("&"));
        })
    };
    let all = Proxy::before(server.address(), cut(|_| String::new()));
    assert_named(behind(&server, &all, &[]), "the query is missing", "`$is_args$args`");
    server.wait_for_log("the query is missing: not WeChat, or a proxy drops it");
    let escaped = Proxy::before(server.address(), cut(|query| query.replace('&', "&amp;")));
    assert_named(behind(&server, &escaped, &[]), "`&amp;` where WeChat sent `&`", "pass the query on as it is");
    let echo = Proxy::before(server.address(), without("echostr="));
    assert_named(behind(&server, &echo, &[]), "the parameter `echostr` is missing", "drops a part of the query");
    let sealed = Proxy::before(server.address(), without("encrypt_type="));
    assert_named(behind(&server, &sealed, &[]), "the URL lacks `encrypt_type=aes`", "drops a part of the query");
    let signed = Proxy::before(server.address(), without("msg_signature="));
    assert_named(
        behind(&server, &signed, &[]),
        "the parameter `msg_signature` is missing",
        "drops a part of the query",
    );
    // A reordered query is none the worse.
    let turned = cut(|query| query.split('&').rev().collect::<Vec<_>>().join("&"));
    let turned = Proxy::before(server.address(), turned);
    assert_eq!(behind(&server, &turned, &[]).0, 0);
}

#[test]
fn a_proxy_changes_the_body() {
    let server = server("");
    let before = |change: fn(&mut Asked)| Proxy::before(server.address(), Before(change));
    let empty = before(|asked| asked.body.clear());
    assert_named(behind(&server, &empty, &[]), "the body is empty", "it must pass the body on as it is");
    server.wait_for_log("the body is empty: not WeChat, or a proxy drops it");
    let cut = before(|asked| asked.body.truncate(1000));
    assert_named(behind(&server, &cut, &[]), "the message does not arrive as it was sent", "a proxy changes the body");
    let turned = before(|asked| {
        asked.method = "GET".into();
        asked.body.clear();
    });
    assert_named(behind(&server, &turned, &[]), "a POST arrives as a GET", "pass the request on as it is");
}

#[test]
fn a_proxy_answers_by_itself() {
    let server = server("");
    let page =
        |status, body: &'static str| move |_: &Asked| Answered::new(status, "text/html", body).with("server", "x/1");
    let found = |answer: fn(&Asked) -> Answered| behind(&server, &Proxy::alone(answer), &[]);
    let bad_gateway = Proxy::alone(page(502, "<html>"));
    assert_named(
        behind(&server, &bad_gateway, &[]),
        "the proxy does not reach mynah: it answers 502 by `x/1`",
        "start mynah",
    );
    let welcome = Proxy::alone(page(200, "<!DOCTYPE html><html><head><title>Welcome</title></head></html>"));
    assert_named(behind(&server, &welcome, &[]), "an HTML page is the answer (`Welcome`)", "another web server");
    let missing = Proxy::alone(page(404, "<html>"));
    assert_named(behind(&server, &missing, &[]), "404 by `x/1`, and not from mynah", "the `path` of the bot");
    let failed = Proxy::alone(page(500, "<html>"));
    assert_named(behind(&server, &failed, &[]), "500 by `x/1`: the server failed", "see its log");
    assert_named(found(|_| Answered::new(401, "text/plain", "")), "a password is asked for", "without one");
    let to_https = |asked: &Asked| {
        Answered::new(301, "text/html", "").with("location", &format!("https://bot.example.com{}", asked.target))
    };
    assert_named(found(to_https), "a redirect from http to https", "enter `https://bot.example.com/weixin/`");
    let elsewhere = |_: &Asked| Answered::new(302, "text/html", "").with("location", "/login?next=%2F");
    assert_named(found(elsewhere), "a redirect to `http://bot.example.com/login`", "enter that URL");
}

#[test]
fn something_changes_the_echo() {
    let server = server("");
    let after = |change: fn(&mut Answered)| {
        let proxy = Proxy::before(server.address(), After(move |_: &Asked, answered: &mut Answered| change(answered)));
        behind(&server, &proxy, &[])
    };
    let advice = "look at what stands between";
    let bom = after(|answered| answered.body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop));
    assert_named(bom, "a byte order mark (BOM) stands before the `echostr`", advice);
    let newline = after(|answered| answered.body.push(b'\n'));
    assert_named(newline, "a newline stands around the `echostr`", advice);
    let quotes = after(|answered| answered.body = format!("\"{}\"", String::from_utf8_lossy(&answered.body)).into());
    assert_named(quotes, "the `echostr` comes back in quotes", advice);
    let rounded = after(|answered| {
        let number: f64 = String::from_utf8_lossy(&answered.body).parse().expect("a number");
        answered.body = format!("{number}").into();
    });
    // One number in some hundred is not changed by it, and two are tried.
    assert!(rounded.0 == 0 || rounded.1.contains("comes back rounded"), "{}", rounded.1);
    let html =
        after(|answered| answered.body = format!("<html>{}</html>", String::from_utf8_lossy(&answered.body)).into());
    assert_named(html, "the `echostr` comes back within an HTML page", advice);
    let zipped = after(|answered| *answered = answered.clone().with("content-encoding", "gzip"));
    assert_named(zipped, "the answer is compressed (`gzip`)", "`gzip off;`");

    let first = std::sync::Mutex::new(None);
    let cache = After(move |_: &Asked, answered: &mut Answered| {
        *answered = first.lock().expect("not poisoned").get_or_insert_with(|| answered.clone()).clone();
    });
    let cache = Proxy::before(server.address(), cache);
    assert_named(behind(&server, &cache, &[]), "something caches the answers", "turn the cache");

    let typed = Proxy::before(
        server.address(),
        After(|_: &Asked, answered: &mut Answered| *answered = answered.clone().with("content-type", "text/html")),
    );
    let (code, text) = behind(&server, &typed, &[]);
    assert_eq!(code, 0, "{text}");
    let warnings = lines(&text, "warning ");
    assert!(warnings.len() == 1 && warnings[0].starts_with("the `echostr` comes as `text/html`"), "{text}");
}

#[test]
fn a_stranger_that_takes_everything_is_warned_of() {
    let server = server("");
    let stranger = Proxy::alone(|asked| match asked.parameter("echostr") {
        Some(echostr) => Answered::new(200, "text/plain", echostr),
        None => Answered::new(200, "text/plain", "success"),
    });
    let (code, text) = behind(&server, &stranger, &[]);
    let warnings = lines(&text, "warning ");
    assert_eq!((code, warnings.len()), (0, 2), "{text}");
    assert!(warnings[0].contains("a wrong signature is verified, too"), "{text}");
    assert!(warnings[1].contains("a message with a wrong signature is taken, too"), "{text}");
}

#[test]
fn the_keys_are_wrong() {
    let server = server(&keys());
    let address = server.address().to_string();
    let to = |folder: &Folder, more: &[&str]| doctor(folder, &[&[URL, "--connect", address.as_str()], more].concat());
    // One character too few: bots.toml cannot be used.
    let short = Folder::new(&config(TOKEN, &keys()).replace(KEY, &KEY[1..]));
    let (code, text) = to(&short, &[]);
    let problems = lines(&text, "problem ");
    assert!(code == 64 && problems.len() == 1, "{text}");
    assert!(
        problems[0].contains("`encoding_aes_key`: the key has 42 characters, not 43: copy the EncodingAESKey"),
        "{text}"
    );
    assert!(!text.contains(&KEY[1..]), "{text}");
    // A good form, but not the server's.
    let other = Folder::new(&config(TOKEN, &keys()).replace(KEY, OTHER_KEY));
    assert_named(to(&other, &[]), "the EncodingAESKey or the AppID differs", "its log says which");
    server.wait_for_log("an encrypted message was refused: the EncodingAESKey differs");
    let other = Folder::new(&config(TOKEN, &keys()).replace(APP_ID, "wx0000000000000000"));
    assert_named(to(&other, &[]), "the EncodingAESKey or the AppID differs", "its log says which");
    server.wait_for_log("an encrypted message was refused: the message is for the AppID `wx0000000000000000`");
    // What the console shows, given by flags, is compared with the bot's.
    let console = |key: &str, app_id: &str| to(server.folder(), &["--aes-key", key, "--app-id", app_id]);
    assert_eq!(console(KEY, APP_ID).0, 0);
    assert_named(console(OTHER_KEY, APP_ID), "the EncodingAESKey differs", "`previous_aes_key` for a day");
    assert_named(console(KEY, "wx0000000000000000"), "the message is for the AppID `wx0000000000000000`", "`app_id`");
    let without = Folder::new(&config(TOKEN, ""));
    assert_named(to(&without, &["--aes-key", KEY, "--app-id", APP_ID]), "the bot has no `encoding_aes_key`", "add it");
    // An AppID of another form.
    let (code, text) = doctor(&Folder::new(&config(TOKEN, &keys()).replace(APP_ID, "gh12345")), &[]);
    let warnings = lines(&text, "warning ");
    assert!(code == 0 && warnings.len() == 1 && warnings[0].contains("`gh12345` is hardly an AppID"), "{text}");
}

#[test]
fn the_port_is_none_that_wechat_calls() {
    let server = server("");
    let (code, text) = doctor(server.folder(), &[&format!("http://{}/weixin/", server.address())]);
    assert_eq!(code, 1);
    let problems = lines(&text, "problem ");
    assert!(problems.len() == 1 && problems[0].contains("WeChat calls 80 (http) and 443 (https) only"), "{text}");
    let notes = lines(&text, "note ");
    assert!(
        notes.iter().any(|note| note.contains("127.0.0.1 is this machine itself: WeChat cannot call it")),
        "{text}"
    );
}

#[test]
fn the_server_listens_on_loopback_only() {
    let server = server("");
    let port = server.address().port().to_string();
    let fixed = Folder::new(&config(TOKEN, "").replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let (code, text) = doctor(&fixed, &[&format!("http://127.0.0.2:{port}/weixin/")]);
    let problems = lines(&text, "problem ");
    assert_eq!((code, problems.len()), (1, 2), "{text}");
    let named = format!("nobody takes connections at 127.0.0.2:{port}: mynah listens on `127.0.0.1:{port}` only");
    assert!(problems[1].contains(&named), "{text}");
}

#[test]
fn clocks_differ() {
    let server = server("");
    let proxy = Proxy::before(
        server.address(),
        After(|_: &Asked, answered: &mut Answered| {
            *answered = answered.clone().with("date", "Tue, 14 Nov 2023 22:13:20 GMT");
        }),
    );
    assert_named(behind(&server, &proxy, &[]), "s behind this machine's", "set both by NTP");
}

#[test]
fn the_server_is_too_slow() {
    let server = server("");
    let slow = Proxy::before(server.address(), Before(|_: &mut Asked| thread::sleep(Duration::from_secs(8))));
    assert_named(behind(&server, &slow, &[]), "there was no answer within 5 seconds", "WeChat waits no longer than 5");
}

#[test]
fn the_host_cannot_be_reached() {
    let server = server("");
    let named = "the host `no-such-host.invalid` has no address";
    assert_named(doctor(server.folder(), &["http://no-such-host.invalid/weixin/"]), named, "add an A record");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address").to_string();
    let found = doctor(server.folder(), &[URL, "--connect", &free]);
    assert_named(found, &format!("nobody takes connections at {free}"), "start the proxy before it");
}

#[test]
fn a_certificate_that_wechat_refuses_is_named_and_the_rest_looked_at() {
    let server = server("");
    let (tls, pem, _) = self_signed(&["bot.example.com"]);
    let proxy = Proxy::start(Some(server.address()), Some(tls), Before(|_: &mut Asked| {}));
    let address = proxy.address.to_string();
    let url = "https://bot.example.com/weixin/";
    let found = doctor(server.folder(), &[url, "--connect", &address]);
    assert!(found.1.contains("a message in plaintext mode (明文模式) is taken"), "{}", found.1);
    assert_named(found, "the TLS certificate is self-signed", "get one from an authority");
    server.folder().write("ca.pem", &pem);
    let ca = server.folder().path("ca.pem").display().to_string();
    let (code, text) = doctor(server.folder(), &[url, "--connect", &address, "--cacert", &ca]);
    assert!(code == 0 && text.contains("the TLS certificate is valid"), "{text}");
    let other = "https://other.example.com/weixin/";
    let found = doctor(server.folder(), &[other, "--connect", &address, "--cacert", &ca]);
    assert_named(found, "is for another name than `other.example.com`", "get one for this name");
    for (expired, what) in [
        (true, "the TLS certificate has expired"),
        (false, "the TLS certificate comes without the intermediate one of its authority"),
    ] {
        let (tls, authority) = issued("bot.example.com", expired);
        let proxy = Proxy::start(Some(server.address()), Some(tls), Before(|_: &mut Asked| {}));
        let address = proxy.address.to_string();
        server.folder().write("authority.pem", if expired { &authority } else { "" });
        let authority = server.folder().path("authority.pem").display().to_string();
        let found = doctor(server.folder(), &[url, "--connect", &address, "--cacert", &authority]);
        assert_named(found, what, "let the proxy");
    }
    let plain = server.address().to_string();
    let found = doctor(server.folder(), &[url, "--connect", &plain]);
    assert_named(found, "speaks is not TLS", "enter the URL with `http://`");
}

#[test]
fn without_a_url_the_files_and_the_running_server_are_looked_at() {
    let server = server("");
    let port = format!("127.0.0.1:{}", server.address().port());
    let fixed = config(TOKEN, "").replace("127.0.0.1:0", &port);
    let (code, text) = doctor(&Folder::new(&fixed), &[]);
    assert_eq!(code, 0, "{text}");
    for line in
        ["it can be used: 1 bot, 1 rule, 0 plugins", "bot `test` answers at `/weixin/`, after", "can be written"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert_named(doctor(&Folder::new(&fixed.replace(TOKEN, "another")), &[]), "the token differs", "Token");
    let gone = fixed.clone()
        + "[[bots.test.rules]]\nkeyword = \"x\"\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\nbuild = \"make\"\n";
    // The rule is hidden by the one above, which is no problem.
    assert_named(doctor(&Folder::new(&gone), &[]), "plugin `p`: there is no", "`mynah build p` makes it");
    let folder = Folder::new(&fixed.replace("mynah.db", "bots.toml/x.db"));
    assert_named(doctor(&folder, &[]), "bots.toml` is no folder", "choose another one in `server.state`");
    // Nobody writes there, not even root.
    let folder = Folder::new(&fixed.replace("mynah.db", "/proc/mynah/x.db"));
    if cfg!(target_os = "linux") {
        assert_named(doctor(&folder, &[]), "the state: `/proc` cannot be written", "let the user that mynah runs as");
    }
    let (code, text) = doctor(&Folder::new("[bots.a]\npath = \"/\"\ntoken = \"a b\"\n"), &[]);
    assert!(code == 64 && text.contains("the token of bot `a` is not 3 to 32 letters and digits"), "{text}");
    let (code, text) = doctor(&Folder::new(&fixed.replace(&port, "127.0.0.1:1")), &[]);
    assert!(code == 0 && text.contains("mynah does not run here"), "{text}");
}

#[test]
fn what_the_wechat_api_refuses_is_named() {
    const SECRET: &str = "0sEcReT0oFtHe0aCcOuNt0";
    let api = WechatApi::start();
    api.account(APP_ID, SECRET);
    let of = |app_id: &str, secret: &str, base: &str| {
        let more = format!("app_id = \"{app_id}\"\napp_secret = \"{secret}\"\napi = \"{base}\"\n");
        let found = doctor(&Folder::new(&config(TOKEN, &more)), &[]);
        assert!(!found.1.contains(secret), "{}", found.1);
        found
    };
    let (code, text) = of(APP_ID, SECRET, &api.url());
    assert_eq!(code, 0, "{text}");
    for line in ["it takes the AppID, the AppSecret and this machine's address", "the URL in the console at 127.0.0.1"]
    {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(api.calls("/cgi-bin/callback/check").len(), 1);
    // The token that the server may be using is left alone.
    assert!(api.calls("/cgi-bin/stable_token").iter().all(|call| call.json()["force_refresh"] != true));
    for token in api.tokens() {
        assert!(!text.contains(&token), "{text}");
    }
    let other = of("wx0000000000000000", SECRET, &api.url());
    assert_named(other, "WeChat's API does not know the AppID (40013)", "copy it from");
    assert_named(of(APP_ID, "another", &api.url()), "the AppSecret is not the account's (40125)", "copy it from");
    api.set_listed(false);
    let unlisted = of(APP_ID, SECRET, &api.url());
    assert_named(unlisted, "this machine's address, 203.0.113.7, is not on the account's IP list (40164)", "IP白名单");
    api.set_listed(true);
    api.next("/cgi-bin/callback/check", Then::Error(48001, "api unauthorized"));
    let (code, text) = of(APP_ID, SECRET, &api.url());
    assert!(code == 0 && text.contains("WeChat's own check of the URL in the console gave nothing"), "{text}");
    let nowhere = r#"{"dns":[],"ping":[]}"#.as_bytes().to_vec();
    api.next("/cgi-bin/callback/check", Then::Response(200, "application/json", nowhere));
    let found = of(APP_ID, SECRET, &api.url());
    assert_named(found, "WeChat finds no address for the host of the URL", "the domain's A record");
    assert_named(
        of(APP_ID, SECRET, "http://127.0.0.1:1"),
        "the WeChat API cannot be reached",
        "let this machine call it",
    );
}

#[test]
fn it_works_where_there_is_no_configuration() {
    let server = server("");
    let address = server.address().to_string();
    let run = |token: &str| {
        let output = mynah(&["doctor", "-c", "/no/bots.toml", URL, "--connect", &address, "--token", token]);
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = run(TOKEN);
    assert!(code == 0 && text.starts_with(URL), "{text}");
    assert_named(run("another"), "the token differs", "Token");
}

#[test]
fn nginx_as_the_readme_has_it_is_in_order() {
    let server = server(&keys());
    let Some(nginx) = Nginx::start(&readme_block(), server.address(), None) else { return };
    let address = nginx.address.to_string();
    let (code, text) = doctor(server.folder(), &[URL, "--connect", &address]);
    assert_eq!((code, text.lines().last()), (0, Some("nothing is wrong")), "{text}");
    // Over https, with a certificate that only this test trusts.
    let (_, pem, key) = self_signed(&["bot.example.com"]);
    let Some(nginx) = Nginx::start(&readme_block(), server.address(), Some((&pem, &key))) else { return };
    let address = nginx.address.to_string();
    let url = "https://bot.example.com/weixin/";
    assert_named(
        doctor(server.folder(), &[url, "--connect", &address]),
        "the TLS certificate is self-signed",
        "authority",
    );
    server.folder().write("ca.pem", &pem);
    let ca = server.folder().path("ca.pem").display().to_string();
    let (code, text) = doctor(server.folder(), &[url, "--connect", &address, "--cacert", &ca]);
    assert_eq!((code, text.lines().last()), (0, Some("nothing is wrong")), "{text}");
    let found = doctor(server.folder(), &[URL, "--connect", &address]);
    assert_named(found, "the port speaks TLS, but the URL begins with `http://`", "`https://`");
}

#[test]
fn the_usual_mistakes_in_nginx_are_named() {
    let server = server("");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    let pass = "proxy_pass http://127.0.0.1:8080;";
    for (instead, what, advice) in [
        ("rewrite ^ /weixin/? break; proxy_pass http://127.0.0.1:8080;", "the query is missing", "$is_args$args"),
        (
            "set $to 127.0.0.1:8080; proxy_pass http://$to/weixin/;",
            "the query is missing",
            "without a path or variables",
        ),
        ("proxy_pass http://127.0.0.1:8080/;", "the path is no bot's", "the `path` of the bot"),
        (&*format!("proxy_pass http://{free};"), "the proxy does not reach mynah: it answers 502", "proxy_pass"),
        ("return 301 https://$host$request_uri;", "from http to https", "enter `https://bot.example.com/weixin/`"),
        (
            "default_type text/html; return 200 '<html><title>Hi</title></html>';",
            "an HTML page is the answer (`Hi`)",
            "",
        ),
        ("client_max_body_size 1k; proxy_pass http://127.0.0.1:8080;", "413", "client_max_body_size 1m;"),
        ("limit_except GET { deny all; } proxy_pass http://127.0.0.1:8080;", "403", "let this path through"),
        ("deny all;", "403", "let this path through"),
        (
            "proxy_pass_request_body off; proxy_set_header Content-Length ''; proxy_pass http://127.0.0.1:8080;",
            "the body is empty",
            "as it is",
        ),
    ] {
        let block = readme_block().replace(pass, instead);
        assert_ne!(block, readme_block());
        // The answer of 8080 is the server's, in each of them.
        let block = block.replace("127.0.0.1:8080", &server.address().to_string());
        let Some(nginx) = Nginx::start(&block, server.address(), None) else { return };
        let address = nginx.address.to_string();
        assert_named(doctor(server.folder(), &[URL, "--connect", &address]), what, advice);
    }
    let elsewhere = readme_block().replace("location /weixin/", "location /wechat/");
    let Some(nginx) = Nginx::start(&elsewhere, server.address(), None) else { return };
    let address = nginx.address.to_string();
    let found = doctor(server.folder(), &[URL, "--connect", &address]);
    assert_named(found, "404 by `nginx/", "pass it on in the proxy (nginx: `location /weixin/`)");
}

#[test]
fn the_lines_in_the_documentation_are_those_that_are_said() {
    let source = |name: &str| std::fs::read_to_string(root().join("host/src").join(name)).expect(name);
    let files = ["fault.rs", "caller/judge.rs", "caller/connection.rs", "wechat/cipher.rs"];
    let own = ["answers.rs", "api.rs", "calls.rs", "place.rs"].map(|name| format!("cli/doctor/{name}"));
    let said: String = files.into_iter().map(source).chain(own.iter().map(|name| source(name))).collect();
    // A text that is broken over lines.
    let said: String = said.split("\\\n").map(str::trim_start).collect();
    let documented = std::fs::read_to_string(root().join("host/DOCTOR.md")).expect("the documentation");
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `"));
    let mut count = 0;
    for (mistake, line) in rows {
        assert!(said.contains(line), "{mistake}: `{line}` is said nowhere");
        count += 1;
    }
    assert!(count >= 25, "{count}");
}

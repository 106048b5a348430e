//! Plugins and the outside: `http` and `wasi:http` against peers on loopback.

use std::{
    io::{Read, Write},
    net::IpAddr,
    thread,
};

use super::{
    harness::*,
    peer::{Peer, ok, redirect},
    proxy::self_signed,
};

/// The ways out, as the probe calls them.
const WAYS: [&str; 2] = ["http", "wasi-http"];

/// A server whose probe may reach what these entries of `allow.http` name.
fn server(entries: &[&str]) -> Server {
    server_with(entries, "")
}

fn server_with(entries: &[&str], settings: &str) -> Server {
    let entries = entries.join(", ");
    Server::with_rules(&format!(
        "[[bots.test.rules]]\nplugin = \"probe\"\n[plugins.probe]\nwasm = '{}'\nallow = {{ http = [{entries}] }}\n{settings}",
        component("probe")
    ))
}

fn quoted(url: &str) -> String {
    format!("\"{url}\"")
}

#[test]
fn an_allowed_peer_answers_and_another_does_not() {
    let (peer, other) = (Peer::new(|request| ok(request.line.clone())), Peer::new(|_| ok("never")));
    let server = server(&[&quoted(&peer.url())]);
    for way in WAYS {
        let answer = server.answer(&format!("{way} GET {}/a?b=c", peer.url()));
        assert!(answer.starts_with("200 ") && answer.ends_with("GET /a?b=c"), "{answer}");
        let answer = server.answer(&format!("{way} POST {}/ x=y @100000", peer.url()));
        assert!(answer.ends_with("POST /"), "{answer}");
        let posted = peer.requests().pop().expect("a request");
        assert_eq!((posted.body.len(), posted.header("x")), (100_000, vec!["y"]), "{way}");
        for url in [
            other.url(),
            format!("http://localhost:{}/", peer.address().port()),
            format!("https://{}/", peer.address()),
            format!("http://[::ffff:127.0.0.1]:{}/", peer.address().port()),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ] {
            let answer = server.answer(&format!("{way} GET {url}"));
            assert!(answer.contains("not-granted: ") || answer.contains("HttpRequestDenied"), "{way} {url}: {answer}");
        }
    }
    assert!(other.requests().is_empty());
    server.wait_for_log(&format!("add `allow = {{ http = [\\\"{}\\\"] }}`", other.url()).replace('\\', ""));
}

#[test]
fn a_granted_header_is_added_on_the_way_and_nobody_else_sees_it() {
    const KEY: &str = "Bearer a-key-that-nobody-sees";
    let elsewhere = Peer::new(|request| ok(format!("{:?}", request.header("authorization"))));
    let target = elsewhere.url();
    let peer = Peer::new(move |request| match request.line.as_str() {
        "GET /away" => redirect(&target),
        _ => ok("fine"),
    });
    let folder = Folder::new("");
    folder.write("key", &format!("{KEY}\n"));
    let config = format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nplugin = \"probe\"\n[plugins.probe]\nwasm = '{}'\nallow = {{ http = [\"{}\", \
         {{ url = \"{}\", headers = {{ Authorization = {{ file = \"key\" }}, x-plain = \"p\" }} }}] }}\n",
        component("probe"),
        elsewhere.url(),
        peer.url(),
    );
    folder.write("bots.toml", &config);
    build_plugins();
    let server = Server::start(&folder.config(), &["serve"], &[("RUST_LOG", "debug")]);
    for way in WAYS {
        let answer =
            server.answer(&format!("{way} GET {}/ authorization=mine Authorization=mine-too X-Plain=mine", peer.url()));
        assert!(answer.starts_with("200 ") && answer.ends_with("fine"), "{answer}");
        let heard = peer.requests().pop().expect("a request");
        assert_eq!((heard.header("authorization"), heard.header("x-plain")), (vec![KEY], vec!["p"]), "{way}");
    }
    let answer = server.answer(&format!("http GET {}/away", peer.url()));
    assert!(answer.ends_with("[]"), "{answer}");
    let answer = server.answer(&format!("wasi-http GET {}/away", peer.url()));
    assert!(answer.starts_with("302 "), "a guest follows redirects itself: {answer}");
    // Where something goes wrong, it is not told either.
    drop(peer);
    for way in WAYS {
        let answer = server.answer(&format!("{way} GET {}/broken", elsewhere.url()));
        assert!(!answer.contains("nobody-sees"), "{answer}");
    }
    let log = server.settled_log();
    assert!(!log.contains("nobody-sees"), "{log}");
}

#[test]
fn a_redirect_to_this_machine_is_refused() {
    let secret = Peer::new(|_| ok("secret"));
    let location = secret.url();
    let peer = Peer::new(move |_| redirect(&location));
    let server = server(&[&quoted(&peer.url())]);
    let answer = server.answer(&format!("http GET {}/", peer.url()));
    assert!(answer.starts_with("not-granted: "), "{answer}");
    assert!(secret.requests().is_empty());
    let answer = server.answer(&format!("wasi-http GET {}/", peer.url()));
    assert!(answer.starts_with("302 ") && answer.contains(&secret.url()), "{answer}");
    let answer = server.answer(&format!("wasi-http GET {}/", secret.url()));
    assert!(answer.contains("HttpRequestDenied"), "{answer}");
    assert!(secret.requests().is_empty());
}

#[test]
fn a_name_for_this_machine_is_refused_unless_it_may_be_one() {
    let peer = Peer::new(|_| ok("fine"));
    // The one name that resolves everywhere without a network, written as another name: with a dot at its end it is the same.
    let name = std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_lowercase()).unwrap_or_default();
    let private = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    };
    let resolves = |name: &str| {
        std::net::ToSocketAddrs::to_socket_addrs(&(name, 80))
            .is_ok_and(|mut found| found.all(|address| private(address.ip())) && !name.is_empty())
    };
    let port = peer.address().port();
    let local = format!("http://localhost:{port}");
    let granted = server(&[&quoted(&local)]);
    for way in WAYS {
        let answer = granted.answer(&format!("{way} GET http://localhost.:{port}/"));
        assert!(answer.ends_with("fine"), "{answer}");
    }
    if !resolves(&name) {
        eprintln!(
            "this machine's own name stands for no private address; what remains is tested with a resolver of its own"
        );
        return;
    }
    let own = format!("http://{name}:{port}");
    let refusing = server(&[&quoted(&own)]);
    for (way, refusal) in [("http", "not-granted: "), ("wasi-http", "DestinationIpProhibited")] {
        let answer = refusing.answer(&format!("{way} GET {own}/"));
        assert!(answer.contains(refusal), "{way}: {answer}");
    }
    refusing.wait_for_log("private = true");
}

#[test]
fn responses_without_an_end_are_ended() {
    let peer = Peer::acting(|request, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        if request.line.ends_with("declared") {
            let _ = stream.write_all(b"Content-Length: 1000000000000\r\n");
        }
        let _ = stream.write_all(b"\r\n");
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
        false
    });
    let server = server_with(&[&quoted(&peer.url())], "limits = { time = \"60s\" }\n");
    for path in ["declared", "endless"] {
        let answer = server.answer(&format!("http GET {}/{path}", peer.url()));
        assert!(answer.starts_with("too-large: "), "{path}: {answer}");
        let answer = server.answer(&format!("wasi-http GET {}/{path}", peer.url()));
        assert!(
            answer.contains("HttpResponseBodySize") || answer.contains("body size exceeds limit"),
            "{path}: {answer}"
        );
    }
    // And this is a body that fits.
    let fits = Peer::new(|_| ok(vec![b'x'; 10 << 20]));
    let server = self::server(&[&quoted(&fits.url())]);
    for way in WAYS {
        assert!(server.answer(&format!("{way} GET {}/", fits.url())).starts_with("200 "), "{way}");
    }
}

#[test]
fn a_plugin_is_told_of_a_slow_peer_in_time_to_say_so() {
    let peer = Peer::acting(|_, _| {
        thread::park();
        true
    });
    let server = server_with(&[&quoted(&peer.url())], "limits = { time = \"10s\" }\n");
    thread::scope(|scope| {
        for (way, told) in [("http", "timeout: "), ("wasi-http", "ConnectionTimeout")] {
            let (server, url) = (&server, peer.url());
            scope.spawn(move || {
                let answer = server.answer_to(way, &format!("{way} GET {url}/"));
                assert!(answer.contains(told), "{way}: {answer}");
            });
        }
    });
}

#[test]
fn headers_cannot_break_out_of_their_line() {
    let peer = Peer::new(|_| ok("fine"));
    let server = server(&[&quoted(&peer.url())]);
    for header in ["x=a%0D%0Ax-injected:b", "x%0D%0Ay=b", "x-a:b=c"] {
        let answer = server.answer(&format!("http GET {}/ {header}", peer.url()));
        assert!(answer.starts_with("bad-request: "), "{header}: {answer}");
        let answer = server.answer(&format!("wasi-http GET {}/ {header}", peer.url()));
        assert!(answer.contains("InvalidSyntax"), "{header}: {answer}");
    }
    for framing in ["host=evil.example", "transfer-encoding=chunked", "connection=upgrade", "content-length=5"] {
        let answer = server.answer(&format!("http GET {}/ {framing}", peer.url()));
        assert!(answer.ends_with("fine"), "{framing}: {answer}");
    }
    for heard in peer.requests() {
        assert_eq!(heard.header("host"), [peer.address().to_string()]);
        let mut names: Vec<_> = heard.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "user-agent"]);
    }
}

#[test]
fn a_message_that_called_the_outside_is_not_run_again() {
    const MESSAGES: usize = 6;
    let arrived = std::sync::Barrier::new(MESSAGES);
    // Nobody is answered before all have asked, so that all have read the counter before any writes it.
    let peer = Peer::new(move |_| {
        arrived.wait();
        ok("fine")
    });
    let server = server_with(&[&quoted(&peer.url())], "limits = { time = \"60s\" }\n");
    let answers: Vec<String> = thread::scope(|scope| {
        let tasks: Vec<_> = (0..MESSAGES)
            .map(|n| {
                let (server, url) = (&server, peer.url());
                scope.spawn(move || server.answer_to(&format!("f{n}"), &format!("count-outside c {url}/")))
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("answered")).collect()
    });
    assert_eq!(answers.iter().filter(|answer| *answer == "1").count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| *answer == "sorry").count(), MESSAGES - 1, "{answers:?}");
    assert_eq!(peer.requests().len(), MESSAGES, "each asked once");
    assert_eq!(server.answer("get c"), "=1");
    server.wait_for_log("after it had called the outside");
}

#[test]
fn one_message_calls_the_outside_so_many_times() {
    let peer = Peer::new(|_| ok("fine"));
    let server = server(&[&quoted(&peer.url())]);
    assert_eq!(server.answer(&format!("http-often 150 {}/", peer.url())), "50 refused");
    assert_eq!(peer.requests().len(), 100);
    // What is refused counts as well, so that it does not fill the log.
    assert_eq!(server.answer("http-often 1000 http://169.254.169.254/"), "900 refused");
    assert_eq!(server.settled_log().matches("is not granted").count(), 100);
}

#[test]
fn a_length_that_a_guest_declares_is_kept_and_odd_authorities_are_refused() {
    let peer = Peer::new(|_| ok("fine"));
    let server = server(&[&quoted(&peer.url())]);
    assert!(server.answer(&format!("wasi-http POST {}/ content-length=9 @9", peer.url())).ends_with("fine"));
    assert!(server.answer(&format!("wasi-http POST {}/ @9", peer.url())).ends_with("fine"));
    let [declared, streamed] = &peer.requests()[..] else { panic!("two requests") };
    assert_eq!((declared.header("content-length"), declared.header("transfer-encoding")), (vec!["9"], vec![]));
    assert_eq!((streamed.header("content-length"), streamed.header("transfer-encoding")), (vec![], vec!["chunked"]));
    assert_eq!((declared.body.len(), streamed.body.len()), (9, 9));
    for authority in [format!("user:secret@{}", peer.address()), format!("evil.example@{}", peer.address())] {
        for way in WAYS {
            let answer = server.answer(&format!("{way} GET http://{authority}/"));
            assert!(!answer.starts_with("200 "), "{way} {authority}: {answer}");
        }
    }
    assert_eq!(peer.requests().len(), 2);
}

#[test]
fn a_certificate_must_be_trusted_and_be_of_that_name() {
    let (tls, pem, _) = self_signed(&["localhost"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(connection) = rustls::ServerConnection::new(tls.clone()) else { continue };
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // A client that does not trust us ends the handshake.
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(&ok("private words"));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    build_plugins();
    let (right, wrong) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    let folder = Folder::new(&format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nplugin = \"probe\"\n[plugins.probe]\nwasm = '{}'\nallow = {{ http = [\"{right}\", \
         \"{wrong}\"] }}\n",
        component("probe")
    ));
    folder.write("trusted.pem", &pem);
    let trusted = folder.path("trusted.pem").display().to_string();
    let trusting = Server::start(&folder.config(), &["serve"], &[("SSL_CERT_FILE", &trusted)]);
    for way in WAYS {
        let answer = trusting.answer(&format!("{way} GET {right}/"));
        assert!(answer.ends_with("private words"), "{answer}");
        let answer = trusting.answer(&format!("{way} GET {wrong}/"));
        assert!(!answer.contains("private words"), "{answer}");
    }
    drop(trusting);
    let doubting = Server::start(&folder.config(), &["serve"], &[]);
    let answer = doubting.answer(&format!("http GET {right}/"));
    assert!(answer.starts_with("unavailable: ") && answer.contains("certificate"), "{answer}");
}

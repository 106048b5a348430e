//! What the server says to what is not a message, and how it holds its bounds.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use super::harness::*;

const ECHO: &str = "[[bots.test.rules]]\nplugin = \"echo\"\n";

fn server() -> Server {
    Server::with_rules(ECHO)
}

#[test]
fn verification_answers_the_echostr_verbatim() {
    let server = server();
    assert_eq!(get(&format!("{}&echostr=%3Cb%3E12+3", server.url())), (200, "<b>12 3".into()));
    server.wait_for_log("WeChat verified this URL");
}

#[test]
fn refusals_say_in_one_line_what_was_wrong() {
    let server = server();
    let base = format!("http://{}", server.address());
    let path = format!("{base}/weixin/");
    let wrong = format!("{path}?signature=0000&timestamp=1700000000&nonce=nonce");
    let text = envelope("<MsgType>text</MsgType><Content>hi</Content>");
    let signed = server.url();
    let (_, query) = signed.split_once("?").expect("a query");

    assert_eq!(get(&path), (400, "the query is missing\n".into()));
    assert_eq!(get(&format!("{path}?signature=1&nonce=1")), (400, "the parameter `timestamp` is missing\n".into()));
    assert_eq!(get(&format!("{path}?signature=1&timestamp=1")), (400, "the parameter `nonce` is missing\n".into()));
    assert_eq!(get(&signed), (400, "the parameter `echostr` is missing\n".into()));
    assert_eq!(get(&format!("{wrong}&echostr=1")), (403, "wrong signature\n".into()));
    assert_eq!(post(&wrong, &text), (403, "wrong signature\n".into()));
    assert_eq!(get(&format!("{base}/elsewhere?{query}")), (404, "no bot has this path\n".into()));
    assert_eq!(post(&signed, "<xml><ToUserName>"), (400, "unreadable message: `ToUserName` is not closed\n".into()));
    assert_eq!(
        post(&signed, "<!DOCTYPE xml><xml/>"),
        (400, "unreadable message: a document type is not allowed\n".into())
    );

    let mut put = agent().put(&signed).send("x").expect("an answer");
    assert_eq!(put.status(), 405);
    assert_eq!(put.headers()["allow"], "GET, POST");
    assert_eq!(put.body_mut().read_to_string().expect("text"), "only GET and POST are spoken here\n");
}

#[test]
fn a_wrong_signature_logs_what_the_operator_needs_and_never_the_token() {
    let server = server();
    get(&format!("http://{}/weixin/?signature=00&timestamp=1700000000&nonce=n&echostr=1", server.address()));
    let log = server.wait_for_log("wrong signature");
    let line = log.lines().find(|line| line.contains("wrong signature")).expect("a line");
    assert!(line.contains("bot=\"test\"") && line.contains(" s old)") && line.contains("Token"), "{line}");
    get(&format!("http://{}/weixin/?signature=00&timestamp=99999999999&nonce=n&echostr=1", server.address()));
    server.wait_for_log("s ahead of this machine's clock");
    get(&format!("http://{}/weixin/?timestamp=1&nonce=n&echostr=1", server.address()));
    let log = server.wait_for_log("the parameter `signature` is missing");
    assert!(!log.contains(&format!("\"{TOKEN}\"")) && !log.contains(&format!("={TOKEN}")), "{log}");
}

#[test]
fn a_path_is_found_with_and_without_its_closing_slash() {
    let server = server();
    assert_eq!(get(&format!("{}&echostr=1", server.url_of("/weixin"))).0, 200);
    assert_eq!(get(&format!("{}&echostr=1", server.url_of("/weixin/"))).0, 200);
    assert_eq!(get(&format!("{}&echostr=1", server.url_of("/weixin/x"))).0, 404);
}

fn request(server: &Server, elements: &str) -> String {
    let url = server.url();
    let target = url.split_once(&server.address().to_string()).expect("the address").1;
    let body = envelope(elements);
    format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const HELLO: &str = "<MsgType>text</MsgType><Content>hello</Content>";

/// Reads until the text has come this many times.
fn read_times(stream: &mut TcpStream, text: &str, times: usize) -> String {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while seen.matches(text).count() < times {
        let read = stream.read(&mut buffer).expect("readable");
        assert!(read > 0, "closed after {seen}");
        seen += &String::from_utf8_lossy(&buffer[..read]);
    }
    seen
}

#[test]
fn a_connection_is_kept_for_many_messages() {
    let server = server();
    let mut stream = connect(server.address());
    for _ in 0..3 {
        stream.write_all(request(&server, HELLO).as_bytes()).expect("sent");
        assert!(read_times(&mut stream, "</xml>", 1).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn what_is_not_http_is_refused_and_harms_nobody() {
    let server = server();
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    for garbage in ["\0\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", &large] {
        let mut stream = connect(server.address());
        // The server may have closed already, having seen enough.
        let _ = stream.write_all(garbage.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // A body that ends early, and a request nobody waits for.
    let mut stream = connect(server.address());
    stream.write_all(b"POST /weixin/ HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc").expect("sent");
    stream.shutdown(Shutdown::Both).expect("closed");
    assert_eq!(server.answer("hello"), "hello");
}

#[test]
fn a_body_that_declares_too_much_is_refused_before_it_is_sent() {
    let server = server();
    let url = server.url();
    let target = url.split_once(&server.address().to_string()).expect("the address").1;
    let mut stream = connect(server.address());
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = read_times(&mut stream, "bytes\n", 1);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.ends_with("\r\n\r\na message has at most 1048576 bytes\n"), "{answer}");
}

#[test]
fn a_body_that_does_not_declare_its_size_is_cut_off_at_the_bound() {
    let server = server();
    let url = server.url();
    let target = url.split_once(&server.address().to_string()).expect("the address").1;
    let mut stream = connect(server.address());
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    // One chunk more than fits, and not the end: the server must not wait for it.
    for _ in 0..17 {
        stream.write_all(chunk.as_bytes()).expect("sent");
    }
    assert!(read_times(&mut stream, "bytes\n", 1).starts_with("HTTP/1.1 413"));
}

#[test]
fn a_body_that_never_comes_ends_with_408() {
    let server = server();
    let url = server.url();
    let target = url.split_once(&server.address().to_string()).expect("the address").1;
    let mut stream = connect(server.address());
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc");
    stream.write_all(head.as_bytes()).expect("sent");
    assert!(read_times(&mut stream, "\r\n\r\n", 1).starts_with("HTTP/1.1 408"));
}

#[test]
fn connections_beyond_the_bound_wait_for_their_turn() {
    build_plugins();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nconnections = 2\n{BOT}{ECHO}[plugins.echo]\nwasm = '{}'\n",
        component("echo")
    );
    let server = Server::with_config(&config);
    let mut open: Vec<_> = (0..2).map(|_| connect(server.address())).collect();
    for stream in &mut open {
        stream.write_all(request(&server, HELLO).as_bytes()).expect("sent");
        read_times(stream, "</xml>", 1);
    }
    let mut third = connect(server.address());
    third.write_all(request(&server, HELLO).as_bytes()).expect("sent");
    third.set_nonblocking(true).expect("set");
    assert!(third.read(&mut [0; 1]).is_err(), "answered beyond the bound");
    third.set_nonblocking(false).expect("set");
    drop(open);
    read_times(&mut third, "</xml>", 1);
}

#[cfg(unix)]
#[test]
fn a_stopping_server_finishes_the_messages_under_way_and_takes_no_more() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::with_rules("[[bots.test.rules]]\nplugin = \"probe\"\n");
        let mut stream = connect(server.address());
        let sleep = "<MsgType>text</MsgType><Content>sleep 1000</Content>";
        stream.write_all(request(&server, &format!("{sleep}<MsgId>9</MsgId>")).as_bytes()).expect("sent");
        let idle = connect(server.address());
        // The plugin says so itself: it is running now.
        server.wait_for_log("going to sleep");
        let pid = server.process().id().to_string();
        assert!(
            std::process::Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill").success()
        );
        server.wait_for_log("finishing the messages under way");
        assert!(read_times(&mut stream, "</xml>", 1).contains("slept"));
        let status = server.process().wait().expect("ended");
        assert_eq!(status.code(), Some(0));
        server.wait_for_log("stopped");
        assert!(TcpStream::connect(server.address()).is_err());
        drop(idle);
    }
}

//! The client against peers on loopback.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    config::{Allow, HttpGrant},
    secret::Secret,
};

/// A peer that answers every request with the same bytes, and tells what it was asked.
struct Peer {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Peer {
    async fn answering(response: impl Into<String>) -> Self {
        let response: Arc<str> = response.into().into();
        Self::acting(move |mut stream, heard| {
            let response = response.clone();
            async move {
                while let Some(request) = read(&mut stream).await {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    if stream.write_all(response.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// A peer that does this with each connection.
    async fn acting<F>(act: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (told, counted) = (heard.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                tokio::spawn(act(stream, told.clone()));
            }
        });
        Self { address, heard, connections }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that came, in lower case.
    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|request| request.to_lowercase()).collect()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// One request with its body, whose length is declared.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// Names that stand for these addresses, and no others.
struct Names(HashMap<&'static str, Vec<IpAddr>>);

impl Resolve for Names {
    fn resolve(&self, host: &str) -> Resolved {
        let found = self.0.get(host).cloned().ok_or_else(|| std::io::Error::other("no such name"));
        Box::pin(std::future::ready(found))
    }
}

fn names(names: &[(&'static str, &[&str])]) -> Client {
    let names = names.iter().map(|(name, all)| (*name, all.iter().map(|one| one.parse().unwrap()).collect()));
    Client::with_resolver(Arc::new(Names(names.collect())))
}

fn grant(url: &str) -> HttpGrant {
    HttpGrant { origin: Origin::of(&Url::parse(url).unwrap()).unwrap(), headers: Vec::new(), private: false }
}

fn private(url: &str) -> HttpGrant {
    HttpGrant { private: true, ..grant(url) }
}

fn with_header(url: &str, name: &'static str, value: &str) -> HttpGrant {
    HttpGrant { headers: vec![(http::HeaderName::from_static(name), Secret::new(value))], ..grant(url) }
}

fn allowing(grants: Vec<HttpGrant>) -> Policy {
    let mut allow = Allow::default();
    allow.http = grants;
    Policy::of_plugin(&allow)
}

fn get(url: &str) -> Request {
    Request { method: Method::GET, url: Url::parse(url).unwrap(), headers: HeaderMap::new(), body: Bytes::new() }
}

fn bounds() -> Bounds {
    Bounds { deadline: Instant::now() + Duration::from_secs(60), response: 1 << 20, redirects: 5 }
}

async fn send(outlet: &Outlet, request: Request) -> Result<Response, Error> {
    outlet.send(request, bounds(), &Called::default()).await
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[tokio::test]
async fn a_named_address_is_reached_and_its_connection_used_again() {
    let peer = Peer::answering(OK).await;
    let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
    for _ in 0..3 {
        let called = Called::default();
        let response = outlet.send(get(&peer.url()), bounds(), &called).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (StatusCode::OK, &b"hi"[..]));
        assert!(called.is_noted());
    }
    assert_eq!((peer.heard().len(), peer.connections()), (3, 1));
}

#[tokio::test]
async fn what_is_not_allowed_is_never_sent() {
    let peer = Peer::answering(OK).await;
    let outlet = Client::new().outlet(allowing(vec![grant("https://api.example.com")]));
    let called = Called::default();
    let error = outlet.send(get(&peer.url()), bounds(), &called).await.unwrap_err();
    assert!(matches!(error.kind, Kind::NotGranted(_)));
    assert_eq!((error.sent, called.is_noted(), peer.connections()), (Sent::Never, false, 0));
}

#[tokio::test]
async fn a_peer_that_is_not_there_was_never_sent_to() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    let outlet = Client::new().outlet(Policy::of_host(grant(&url).origin));
    let called = Called::default();
    let error = outlet.send(get(&url), bounds(), &called).await.unwrap_err();
    assert_eq!((&error.kind, error.sent, called.is_noted()), (&Kind::Unavailable, Sent::Never, false));
}

#[tokio::test]
async fn what_comes_of_a_request_without_an_answer_is_unknown() {
    let silent = Peer::acting(async |mut stream, _| drop(read(&mut stream).await)).await;
    let slow = Peer::acting(async |mut stream, _| {
        let _request = read(&mut stream).await;
        std::future::pending().await
    })
    .await;
    for (peer, kind, seconds) in [(silent, Kind::Unavailable, 60), (slow, Kind::Timeout, 5)] {
        let outlet = Client::new().outlet(Policy::of_host(grant(&peer.url()).origin));
        let called = Called::default();
        let bounds = Bounds { deadline: Instant::now() + Duration::from_secs(seconds), ..bounds() };
        let error = outlet.send(get(&peer.url()), bounds, &called).await.unwrap_err();
        assert_eq!((&error.kind, error.sent, called.is_noted()), (&kind, Sent::Perhaps, true), "{error}");
    }
}

#[tokio::test]
async fn a_name_that_stands_for_a_private_address_is_refused_unless_that_is_allowed() {
    let peer = Peer::answering(OK).await;
    let port = peer.address.port();
    let client = names(&[
        ("here.example", &["127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("home.example", &["192.168.1.1", "10.0.0.1"]),
        ("cloud.example", &["169.254.169.254"]),
        ("localhost", &["127.0.0.1"]),
    ]);
    for name in ["here", "mapped", "home", "cloud"] {
        let url = format!("http://{name}.example:{port}");
        let error = send(&client.outlet(allowing(vec![grant(&url)])), get(&url)).await.unwrap_err();
        assert_eq!((&error.kind, error.sent), (&Kind::AddressRefused, Sent::Never), "{name}: {error}");
    }
    assert_eq!(peer.connections(), 0);
    let url = format!("http://here.example:{port}");
    assert_eq!(send(&client.outlet(allowing(vec![private(&url)])), get(&url)).await.unwrap().status, 200);
    let url = format!("http://localhost:{port}");
    assert_eq!(send(&client.outlet(allowing(vec![grant(&url)])), get(&url)).await.unwrap().status, 200);
    // Not even then: a name for a cloud's metadata is no private service.
    let url = format!("http://cloud.example:{port}");
    let error = send(&client.outlet(allowing(vec![private(&url)])), get(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::AddressRefused);
}

#[tokio::test]
async fn an_address_in_other_clothes_is_not_the_one_that_is_named() {
    let peer = Peer::answering(OK).await;
    let port = peer.address.port();
    let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
    for host in ["localhost", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[::1]", "127.0.0.2", "0.0.0.0", "0"] {
        let error = send(&outlet, get(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(error.kind, Kind::NotGranted(_)), "{host}: {error}");
    }
    // These are other ways to write that very address.
    for host in ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "１２７.0.0.1"] {
        assert!(send(&outlet, get(&format!("http://{host}:{port}/"))).await.is_ok(), "{host}");
    }
    assert_eq!(peer.heard().iter().filter(|request| request.contains("host: 127.0.0.1:")).count(), 5);
}

#[tokio::test]
async fn of_several_addresses_only_those_are_used_that_may_be() {
    let peer = Peer::answering(OK).await;
    let client = names(&[("both.localhost", &["169.254.169.254", "10.0.0.1", "127.0.0.1"])]);
    let url = format!("http://both.localhost:{}", peer.address.port());
    assert!(send(&client.outlet(allowing(vec![grant(&url)])), get(&url)).await.is_ok());
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_with_each_connection() {
    /// What may be at the first look, and a neighbour at every later one.
    struct Rebinding(Mutex<bool>);
    impl Resolve for Rebinding {
        fn resolve(&self, _: &str) -> Resolved {
            let first = !std::mem::replace(&mut *self.0.lock().unwrap(), true);
            let address: IpAddr = if first { "127.0.0.1" } else { "192.168.0.1" }.parse().unwrap();
            Box::pin(std::future::ready(Ok(vec![address])))
        }
    }
    let peer = Peer::acting(async |mut stream, _| {
        let _request = read(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let url = format!("http://rebinding.localhost:{}", peer.address.port());
    let outlet = Client::with_resolver(Arc::new(Rebinding(Mutex::new(false)))).outlet(allowing(vec![grant(&url)]));
    assert!(send(&outlet, get(&url)).await.is_ok());
    let error = send(&outlet, get(&url)).await.unwrap_err();
    assert_eq!((error.kind, error.sent, peer.connections()), (Kind::AddressRefused, Sent::Never, 1));
}

#[tokio::test]
async fn a_connection_is_never_used_under_another_policy() {
    let peer = Peer::answering(OK).await;
    let client = names(&[("here.example", &["127.0.0.1"])]);
    let url = format!("http://here.example:{}", peer.address.port());
    let trusted = client.outlet(allowing(vec![private(&url)]));
    assert!(send(&trusted, get(&url)).await.is_ok());
    let error = send(&client.outlet(allowing(vec![grant(&url)])), get(&url)).await.unwrap_err();
    assert_eq!(error.kind, Kind::AddressRefused);
    assert!(send(&trusted, get(&url)).await.is_ok());
    assert_eq!((peer.heard().len(), peer.connections()), (2, 1));
}

#[tokio::test]
async fn granted_headers_go_to_their_origin_and_nowhere_else() {
    let other = Peer::answering(OK).await;
    let redirect = format!("HTTP/1.1 307 Elsewhere\r\nLocation: {}/b\r\nContent-Length: 0\r\n\r\n", other.url());
    let peer = Peer::answering(redirect).await;
    let keyed = with_header(&peer.url(), "x-key", "secret-1");
    let outlet = Client::new().outlet(allowing(vec![keyed, grant(&other.url())]));
    let mut request = get(&format!("{}/a", peer.url()));
    request.headers.append("x-key", "mine".parse().unwrap());
    request.headers.append("x-key", "mine-too".parse().unwrap());
    request.headers.append("authorization", "Basic mine".parse().unwrap());
    request.headers.append("cookie", "mine".parse().unwrap());
    request.headers.append("x-plain", "plain".parse().unwrap());
    assert_eq!(send(&outlet, request).await.unwrap().status, 200);
    let first = &peer.heard()[0];
    assert!(
        first.contains("x-key: secret-1\r\n") && !first.contains("mine-too") && first.contains("basic mine"),
        "{first}"
    );
    let second = &other.heard()[0];
    assert!(second.starts_with("get /b") && second.contains("x-plain: plain"), "{second}");
    for secret in ["secret-1", "basic mine", "cookie"] {
        assert!(!second.contains(secret), "{second}");
    }
    assert!(!format!("{outlet:?}").contains("secret-1"), "{outlet:?}");
}

#[tokio::test]
async fn a_redirect_is_checked_like_any_request() {
    let secret = Peer::answering(OK).await;
    for location in [
        secret.url(),
        format!("//{}", secret.address),
        format!("http://localhost:{}/", secret.address.port()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
    ] {
        let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let peer = Peer::answering(redirect).await;
        let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
        let error = send(&outlet, get(&peer.url())).await.unwrap_err();
        assert!(matches!(error.kind, Kind::NotGranted(_) | Kind::BadRequest), "{location}: {error}");
        assert_eq!(error.sent, Sent::Perhaps, "the request before the redirect was");
    }
    assert_eq!(secret.connections(), 0);
}

#[tokio::test]
async fn redirects_are_followed_so_far_and_no_further() {
    let peer = Peer::answering("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n").await;
    let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
    let mut request = get(&peer.url());
    request.method = Method::POST;
    request.body = Bytes::from_static(b"once");
    request.headers.append("content-type", "text/plain".parse().unwrap());
    let error = send(&outlet, request).await.unwrap_err();
    assert_eq!((error.kind, peer.heard().len()), (Kind::Unavailable, 6));
    assert!(peer.heard()[0].starts_with("post / ") && peer.heard()[0].ends_with("once"));
    assert!(peer.heard()[1].starts_with("get /again ") && !peer.heard()[1].contains("text/plain"));
    let unfollowed = Bounds { redirects: 0, ..bounds() };
    let response = outlet.send(get(&peer.url()), unfollowed, &Called::default()).await.unwrap();
    assert_eq!(response.status, StatusCode::FOUND);
}

#[tokio::test]
async fn what_frames_a_request_is_the_hosts_to_say() {
    let peer = Peer::answering(OK).await;
    let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
    let mut request = get(&peer.url());
    request.method = Method::POST;
    request.body = Bytes::from_static(b"body");
    for name in crate::config::FRAMING_HEADERS {
        request.headers.append(name, "1".parse().unwrap());
    }
    assert!(send(&outlet, request).await.is_ok());
    let heard = &peer.heard()[0];
    let head = heard.split("\r\n\r\n").next().unwrap();
    let mut names: Vec<&str> = head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "host", "user-agent"]);
    assert!(heard.contains("content-length: 4") && heard.contains(&format!("host: {}", peer.address)), "{heard}");
}

#[tokio::test]
async fn odd_requests_are_refused_before_anything_is_sent() {
    let peer = Peer::answering(OK).await;
    let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
    for url in [format!("http://user@{}/", peer.address), format!("http://:secret-1@{}/", peer.address)] {
        let error = send(&outlet, get(&url)).await.unwrap_err();
        assert_eq!(error.kind, Kind::BadRequest);
        assert!(!error.to_string().contains("secret-1"), "{error}");
    }
    for method in [Method::CONNECT, Method::TRACE] {
        assert_eq!(send(&outlet, Request { method, ..get(&peer.url()) }).await.unwrap_err().kind, Kind::BadRequest);
    }
    let mut many = get(&peer.url());
    for n in 0..=limits::HTTP_HEADERS {
        many.headers.append("x-many", n.to_string().parse().unwrap());
    }
    assert_eq!(send(&outlet, many).await.unwrap_err().kind, Kind::TooLarge);
    let mut large = get(&peer.url());
    large.headers.append("x-large", "x".repeat(limits::HTTP_HEAD).parse().unwrap());
    assert_eq!(send(&outlet, large).await.unwrap_err().kind, Kind::TooLarge);
    let long = get(&format!("{}/{}", peer.url(), "x".repeat(limits::HTTP_HEAD)));
    assert_eq!(send(&outlet, long).await.unwrap_err().kind, Kind::TooLarge);
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_response_is_bounded_whether_it_says_its_length_or_never_ends() {
    let declared = Peer::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40)).await;
    let endless = Peer::acting(async |mut stream, _| {
        let _request = read(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 4096]).await;
        }
    })
    .await;
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2 * limits::HTTP_HEAD));
    let head = Peer::answering(head).await;
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(limits::HTTP_HEADERS + 1));
    let headers = Peer::answering(headers).await;
    for (peer, kind) in
        [(declared, Kind::TooLarge), (endless, Kind::TooLarge), (head, Kind::Unavailable), (headers, Kind::Unavailable)]
    {
        let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
        let error = send(&outlet, get(&peer.url())).await.unwrap_err();
        assert_eq!((&error.kind, error.sent), (&kind, Sent::Perhaps), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_dribbles_is_left_at_the_deadline() {
    let peer = Peer::acting(async |mut stream, _| {
        let _request = read(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            sent = stream.write_all(b"x").await;
        }
    })
    .await;
    let outlet = Client::new().outlet(allowing(vec![grant(&peer.url())]));
    let soon = Bounds { deadline: Instant::now() + Duration::from_millis(500), ..bounds() };
    let error = outlet.send(get(&peer.url()), soon, &Called::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
}

#[tokio::test]
async fn one_outlet_has_so_many_requests_at_a_time() {
    let peer = Peer::acting(async |mut stream, heard: Arc<Mutex<Vec<String>>>| {
        while let Some(request) = read(&mut stream).await {
            heard.lock().unwrap().push(request);
            std::future::pending::<()>().await;
        }
    })
    .await;
    let client = Client::new();
    let outlet = Arc::new(client.outlet(allowing(vec![grant(&peer.url())])));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..limits::HTTP_EXCHANGES_EACH {
        let (outlet, request) = (outlet.clone(), get(&peer.url()));
        waiting.spawn(async move { send(&outlet, request).await.map(drop) });
    }
    while peer.heard().len() < limits::HTTP_EXCHANGES_EACH {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let soon = Bounds { deadline: Instant::now() + Duration::from_millis(100), ..bounds() };
    let called = Called::default();
    let error = outlet.send(get(&peer.url()), soon, &called).await.unwrap_err();
    assert_eq!((error.kind, error.sent, called.is_noted()), (Kind::Timeout, Sent::Never, false));
    // Another's is not held up.
    let other = Peer::answering(OK).await;
    assert!(send(&client.outlet(allowing(vec![grant(&other.url())])), get(&other.url())).await.is_ok());
}

#[tokio::test]
async fn a_script_answers_in_place_of_the_network_under_the_same_policy() {
    struct Script;
    impl Answers for Script {
        fn answer(&self, request: &http::Request<Bytes>) -> Result<http::Response<Bytes>, String> {
            match request.uri().path() {
                "/away" => Err("away".into()),
                path => Ok(http::Response::new(format!("{} {path}", request.method()).into())),
            }
        }
    }
    let outlet = Client::answered_by(Arc::new(Script)).outlet(allowing(vec![grant("https://api.example.com")]));
    let response = send(&outlet, get("https://api.example.com/x?y")).await.unwrap();
    assert_eq!(&response.body[..], b"GET /x");
    assert_eq!(send(&outlet, get("https://api.example.com/away")).await.unwrap_err().kind, Kind::Unavailable);
    assert!(matches!(send(&outlet, get("https://example.com/")).await.unwrap_err().kind, Kind::NotGranted(_)));
}

/// Answers everything, and remembers where it would have gone.
struct Anything(Mutex<Vec<String>>);

impl Answers for Anything {
    fn answer(&self, request: &http::Request<Bytes>) -> Result<http::Response<Bytes>, String> {
        let uri = request.uri();
        assert!(!uri.to_string().contains(|c: char| c.is_ascii_control() || c == ' ' || c == '#'), "{uri}");
        let to = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or(""),
            uri.authority().map_or("", |authority| authority.as_str())
        );
        self.0.lock().unwrap().push(to);
        Ok(http::Response::new(Bytes::new()))
    }
}

proptest::proptest! {
    #[test]
    fn no_way_of_writing_a_url_leads_elsewhere(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "http", "https", "://", ":", "/", "//", "\\", "@", "#", "?", "%", "%2f", "%40", "%00", "\r\n", " ", "\t", ".", "..", "。",
                "api.example.com", "evil.example", "127.0.0.1", "[::1]", "2130706433", "0x7f", "localhost", "user", "443", "80", "а", "\u{ad}",
            ]),
            0..9,
        ),
        prefixed in proptest::bool::ANY,
    ) {
        let text = format!("{}{}", if prefixed { "https://api.example.com" } else { "" }, parts.concat());
        if let Ok(url) = Url::parse(&text) {
            let answers = Arc::new(Anything(Mutex::new(Vec::new())));
            let outlet = Client::answered_by(answers.clone()).outlet(allowing(vec![grant("https://api.example.com")]));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _ = runtime.block_on(send(&outlet, Request { url, ..get("https://api.example.com") }));
            for to in answers.0.lock().unwrap().iter() {
                proptest::prop_assert_eq!(to, "https://api.example.com", "{}", text);
            }
        }
    }
}

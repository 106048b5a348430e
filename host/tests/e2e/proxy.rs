//! A small HTTP proxy that does what it is told: the ways in which real ones break things.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};

/// A request, as it is passed on.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// The path and the query.
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// A response, as it is passed back.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    }
}

impl Answered {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: BTreeMap::from([("content-type".into(), kind.into())]), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }
}

/// What is done to each request and response on the way.
pub(crate) trait Manners: Send + Sync + 'static {
    /// Changes a request, or answers it on the proxy's own behalf.
    fn ask(&self, _asked: &mut Asked) -> Option<Answered> {
        None
    }

    /// Changes a response.
    fn answer(&self, _asked: &Asked, _answered: &mut Answered) {}
}

/// Answers all by itself.
pub(crate) struct Alone<F>(pub(crate) F);

impl<F: Fn(&Asked) -> Answered + Send + Sync + 'static> Manners for Alone<F> {
    fn ask(&self, asked: &mut Asked) -> Option<Answered> {
        Some(self.0(asked))
    }
}

/// Changes requests.
pub(crate) struct Before<F>(pub(crate) F);

impl<F: Fn(&mut Asked) + Send + Sync + 'static> Manners for Before<F> {
    fn ask(&self, asked: &mut Asked) -> Option<Answered> {
        self.0(asked);
        None
    }
}

/// Changes responses.
pub(crate) struct After<F>(pub(crate) F);

impl<F: Fn(&Asked, &mut Answered) + Send + Sync + 'static> Manners for After<F> {
    fn answer(&self, asked: &Asked, answered: &mut Answered) {
        self.0(asked, answered);
    }
}

/// A running proxy. Its threads end with the process: none holds more than one connection.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    /// Before the server at `upstream`.
    pub(crate) fn before(upstream: SocketAddr, manners: impl Manners) -> Self {
        Self::start(Some(upstream), None, manners)
    }

    /// With nothing behind it.
    pub(crate) fn alone(answer: impl Fn(&Asked) -> Answered + Send + Sync + 'static) -> Self {
        Self::start(None, None, Alone(answer))
    }

    pub(crate) fn start(upstream: Option<SocketAddr>, tls: Option<Arc<ServerConfig>>, manners: impl Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, manners) = (asked.clone(), Arc::new(manners));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, manners, tls) = (seen.clone(), manners.clone(), tls.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
                    match tls {
                        None => pass(stream, upstream, &*manners, &seen),
                        Some(config) => {
                            let connection = ServerConnection::new(config).expect("TLS");
                            pass(StreamOwned::new(connection, stream), upstream, &*manners, &seen);
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/weixin/", self.address)
    }

    /// All requests so far, as they arrived.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn pass(stream: impl Read + Write, upstream: Option<SocketAddr>, manners: &dyn Manners, seen: &Mutex<Vec<Asked>>) {
    let mut stream = BufReader::new(stream);
    let Some((first, headers, body)) = read(&mut stream) else { return };
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let mut asked = Asked { method: word(), target: word(), headers, body };
    seen.lock().expect("not poisoned").push(asked.clone());
    let answered = manners.ask(&mut asked).unwrap_or_else(|| match upstream.and_then(|at| forward(at, &asked)) {
        Some(mut answered) => {
            manners.answer(&asked, &mut answered);
            answered
        }
        None => Answered::new(502, "text/html", "<html><title>502 Bad Gateway</title></html>"),
    });
    let mut text =
        format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n", answered.status, answered.body.len());
    for (name, value) in &answered.headers {
        if !["connection", "content-length"].contains(&name.as_str()) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend(answered.body);
    // The other side may have gone.
    let _ = stream.get_mut().write_all(&bytes).and_then(|()| stream.get_mut().flush());
}

fn forward(upstream: SocketAddr, asked: &Asked) -> Option<Answered> {
    let mut stream = TcpStream::connect(upstream).ok()?;
    let mut text = format!("{} {} HTTP/1.1\r\n", asked.method, asked.target);
    for (name, value) in &asked.headers {
        if !["connection", "content-length"].contains(&name.as_str()) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text += &format!("connection: close\r\ncontent-length: {}\r\n\r\n", asked.body.len());
    stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(&asked.body)).ok()?;
    let (first, headers, body) = read(&mut BufReader::new(stream))?;
    Some(Answered { status: first.split(' ').nth(1)?.parse().ok()?, headers, body })
}

/// The first line, the headers with their names in lower case, and the body.
fn read(stream: &mut impl BufRead) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().map(|_| line.trim_end().to_owned())
    };
    let first = line().filter(|first| !first.is_empty())?;
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line()?.split_once(": ") {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap_or(0))];
    stream.read_exact(&mut body).ok()?;
    Some((first, headers, body))
}

/// A self-signed certificate for these names, and what a client trusts it by.
pub(crate) fn self_signed(names: &[&str]) -> (Arc<ServerConfig>, String, String) {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let tls = tls(&made.cert, &made.signing_key);
    (tls, made.cert.pem(), made.signing_key.serialize_pem())
}

/// A certificate of an authority that nobody knows, sent without the authority's own, which is given too.
pub(crate) fn issued(name: &str, expired: bool) -> (Arc<ServerConfig>, String) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let pem = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    if expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    (tls(&params.signed_by(&key, &issuer).expect("a certificate"), &key), pem)
}

fn tls(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> Arc<ServerConfig> {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    Arc::new(config)
}

//! One request over a connection of its own: resolve, connect, TLS, HTTP.
//!
//! Each step is made by itself, so that it is known which one failed; a pooling client hides that.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    client::conn::http1,
    header::{ACCEPT, CONTENT_TYPE, HOST, PRAGMA, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::CryptoProvider,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};
use url::{Host, Url};

use super::Request;
use crate::{clock::World, fault::Fault};

/// Bytes of a response's body that are read: the largest reply of an account has 64 KiB, in base64 a third more.
const RESPONSE_BODY: usize = 1 << 20;

/// How a URL is reached.
#[derive(Clone)]
pub struct Way {
    /// Instead of the host's own addresses.
    pub connect: Option<SocketAddr>,
    /// Goes on with a certificate that cannot be trusted, and reports it.
    pub trust_any_certificate: bool,
    roots: Arc<RootCertStore>,
}

/// A response, and what was learnt on the way to it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// From the first packet to the last.
    pub time: Duration,
    /// Who answered.
    pub address: SocketAddr,
    /// Why the certificate cannot be trusted, where that was not to end it.
    pub certificate: Option<Fault>,
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The host's name has no address.
    Resolve,
    /// Nobody takes the connection.
    Connect,
    /// No safe connection comes about.
    Tls,
    /// What is spoken is not HTTP.
    Http,
    /// The time was up.
    Time,
}

/// No response.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The step that failed.
    pub stage: Stage,
    /// Why.
    pub fault: Fault,
}

impl Way {
    /// To the host's own addresses, trusting the authorities that browsers trust, and those in `pem`.
    pub fn new(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        Ok(Self { connect: None, trust_any_certificate: false, roots: Arc::new(roots) })
    }

    /// The addresses behind a URL.
    pub async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, Failed> {
        if let Some(address) = self.connect {
            return Ok(vec![address]);
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let name = match url.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![SocketAddr::new(IpAddr::V4(address), port)]),
            Some(Host::Ipv6(address)) => return Ok(vec![SocketAddr::new(IpAddr::V6(address), port)]),
            Some(Host::Domain(name)) => name,
            None => "",
        };
        let unknown = |why: String| Failed {
            stage: Stage::Resolve,
            fault: Fault::new(
                format!("the host `{name}` has no address{why}"),
                "check its spelling, and add an A record for it where the domain is managed",
            ),
        };
        let found = tokio::net::lookup_host((name, port)).await.map_err(|error| unknown(format!(" ({error})")))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        // WeChat calls over IPv4.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses.dedup();
        if addresses.is_empty() { Err(unknown(String::new())) } else { Ok(addresses) }
    }

    /// Sends a request and waits for the whole response, for `patience` in all.
    pub async fn call(&self, request: &Request, patience: Duration, world: &World) -> Result<Exchange, Failed> {
        let start = world.clock.monotonic();
        let called = tokio::time::timeout(patience, self.call_unbounded(request)).await;
        let mut exchange = called.unwrap_or_else(|_| {
            Err(Failed {
                stage: Stage::Time,
                fault: Fault::new(
                    format!("there was no answer within {} seconds", patience.as_secs()),
                    "WeChat waits no longer than 5; see the server's log for what takes the time, and check that the proxy and the \
                     firewall pass connections on",
                ),
            })
        })?;
        exchange.time = world.clock.monotonic().saturating_sub(start);
        Ok(exchange)
    }

    async fn call_unbounded(&self, request: &Request) -> Result<Exchange, Failed> {
        let addresses = self.resolve(&request.url).await?;
        let (stream, address) = connect(&addresses).await?;
        if request.url.scheme() != "https" {
            return speak(stream, address, request, None).await;
        }
        let host = request.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(Fault::new(error.to_string(), "")))?;
        let (config, verifier) = self.tls()?;
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(stream) => speak(stream, address, request, verifier.fault()).await,
            Err(error) => Err(tls(verifier.fault().unwrap_or_else(|| tls_fault(&error, address)))),
        }
    }

    fn tls(&self) -> Result<(ClientConfig, Arc<Verifier>), Failed> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let broken = |error: &dyn std::fmt::Display| tls(Fault::new(format!("TLS cannot be set up: {error}"), "a bug"));
        let inner = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider.clone())
            .build()
            .map_err(|error| broken(&error))?;
        let verifier = Arc::new(Verifier { inner, lenient: self.trust_any_certificate, fault: Mutex::default() });
        let config = config(provider, verifier.clone()).map_err(|error| broken(&error))?;
        Ok((config, verifier))
    }
}

fn config(provider: Arc<CryptoProvider>, verifier: Arc<Verifier>) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failed> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => last = Some((error, *address)),
        }
    }
    let fault = match last {
        Some((error, address)) if error.kind() == io::ErrorKind::ConnectionRefused => Fault::new(
            format!("nobody takes connections at {address}"),
            "start mynah or the proxy before it, and open the port in the firewall and in the cloud's security group (安全组)",
        ),
        Some((error, address)) => Fault::new(
            format!("{address} cannot be reached ({error})"),
            "check the host's address, the firewall and the cloud's security group (安全组)",
        ),
        None => Fault::new("there is no address to connect to", "check the URL"),
    };
    Err(Failed { stage: Stage::Connect, fault })
}

async fn speak<S>(
    stream: S,
    address: SocketAddr,
    request: &Request,
    certificate: Option<Fault>,
) -> Result<Exchange, Failed>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |why: String| Failed {
        stage: Stage::Http,
        fault: Fault::new(
            format!("what {address} speaks is not HTTP ({why})"),
            "check that the port is the web server's, and that the URL begins with `https://` where it speaks TLS",
        ),
    };
    let url = &request.url;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut head = hyper::Request::builder()
        .method(request.method())
        .uri(target)
        .header(HOST, authority)
        .header(USER_AGENT, "Mozilla/4.0")
        .header(ACCEPT, "*/*")
        .header(PRAGMA, "no-cache");
    if request.body.is_some() {
        head = head.header(CONTENT_TYPE, request.content_type);
    }
    let body = Full::new(Bytes::from(request.body.clone().unwrap_or_default()));
    let message = head.body(body).map_err(|error| broken(error.to_string()))?;

    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.to_string()))?;
    // Ends with the response, since the sender is dropped then.
    tokio::spawn(connection);
    let response = sender.send_request(message).await.map_err(|error| broken(causes(&error)))?;
    let (head, body) = response.into_parts();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = headers.collect();
    let body = match Limited::new(body, RESPONSE_BODY).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) if error.is::<LengthLimitError>() => {
            let fault = Fault::new("the answer has more than 1 MiB", "this is no answer to WeChat; check the URL");
            return Err(Failed { stage: Stage::Http, fault });
        }
        Err(error) => return Err(broken(format!("the answer ends in the middle: {error}"))),
    };
    Ok(Exchange { status: head.status.as_u16(), headers, body, time: Duration::ZERO, address, certificate })
}

impl Exchange {
    /// A header's first value; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, however bad.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Checks certificates as browsers do, remembers why one fails, and can let it pass nevertheless.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    lenient: bool,
    fault: Mutex<Option<Fault>>,
}

impl Verifier {
    fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.or_else(|error| {
            let fault = certificate_fault(&error, end_entity, intermediates.is_empty(), &server_name.to_str());
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            if self.lenient { Ok(ServerCertVerified::assertion()) } else { Err(error) }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn certificate_fault(error: &rustls::Error, certificate: &CertificateDer<'_>, alone: bool, name: &str) -> Fault {
    use CertificateError as E;
    let renew = "renew it, with certbot or where it was bought, and let the proxy load it";
    let rustls::Error::InvalidCertificate(error) = error else {
        return Fault::new(format!("the TLS certificate cannot be checked ({error})"), renew);
    };
    match error {
        E::Expired | E::ExpiredContext { .. } => Fault::new("the TLS certificate has expired", renew),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            Fault::new("the TLS certificate is not valid yet", "set this machine's clock, or wait")
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => Fault::new(
            format!("the TLS certificate is for another name than `{name}`"),
            "get one for this name, or enter the URL with the name that it is for",
        ),
        _ if is_self_signed(certificate) => Fault::new(
            "the TLS certificate is self-signed",
            "WeChat refuses it; get one from an authority, as Let's Encrypt, or use http on port 80",
        ),
        E::UnknownIssuer if alone => Fault::new(
            "the TLS certificate comes without the intermediate one of its authority, or the authority is not public",
            "let the proxy send the whole chain: nginx's `ssl_certificate` is `fullchain.pem`",
        ),
        E::UnknownIssuer => Fault::new(
            "the TLS certificate is from an authority that nobody knows",
            "get one from a public authority, as Let's Encrypt, or use http on port 80",
        ),
        error => Fault::new(format!("the TLS certificate cannot be used ({error})"), renew),
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

fn tls_fault(error: &io::Error, address: SocketAddr) -> Fault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => Fault::new(
            format!("what {address} speaks is not TLS"),
            "enter the URL with `http://`, or let the proxy speak TLS there (nginx: `listen 443 ssl`)",
        ),
        _ => Fault::new(
            format!("{address} ends the TLS handshake ({error})"),
            "check the proxy's certificate and key; TLS 1.2 or 1.3 must be on",
        ),
    }
}

fn tls(fault: Fault) -> Failed {
    Failed { stage: Stage::Tls, fault }
}

/// An error with those behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

//! Connections: names resolved, addresses checked in the very step that connects to them, TLS.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{OutgoingBody, address::Reach, policy::Policy};
use crate::{config::Origin, limits};

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// A pool of connections, all of them made under one policy.
pub(super) type Pool = Client<HttpsConnector<Connector>, OutgoingBody>;

/// What a name resolves to.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Resolves names.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a host.
    fn resolve(&self, host: &str) -> Resolved;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Resolved {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// An address that the policy does not let a request go to.
#[derive(Debug, thiserror::Error)]
#[error("{0} is an address of this machine, a private network or a cloud's own services")]
pub(super) struct Refused(pub(super) IpAddr);

/// What a TLS connection is checked by: the certificates that the machine trusts and those that browsers do, so that a company's own
/// are known, and an empty container knows the public ones.
pub(super) fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let of_machine = rustls_native_certs::load_native_certs();
    for error in of_machine.errors {
        tracing::warn!("the machine's certificates cannot all be read: {error}");
    }
    roots.add_parsable_certificates(of_machine.certs);
    // Named, because rustls would otherwise ask for a default that nobody has set.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

pub(super) fn pool(tls: ClientConfig, resolver: Arc<dyn Resolve>, policy: Arc<Policy>) -> Pool {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Connector { resolver, policy });
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(limits::HTTP_IDLE_TIME)
        .pool_max_idle_per_host(limits::HTTP_EXCHANGES_EACH)
        .http1_max_buf_size(limits::HTTP_HEAD)
        .http1_max_headers(limits::HTTP_HEADERS)
        .build(connector)
}

/// Connects to where the policy lets it.
#[derive(Clone)]
pub(super) struct Connector {
    resolver: Arc<dyn Resolve>,
    policy: Arc<Policy>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { resolver, policy } = self.clone();
        Box::pin(async move {
            let url = url::Url::parse(&uri.to_string())?;
            let origin = Origin::of(&url).ok_or("no URL of HTTP")?;
            let reach = policy.reach(&origin).ok_or("not granted")?;
            // An address in a name's place is never resolved, so it is checked here.
            if let Some(address) = origin.address() {
                check(reach, address)?;
            }
            let mut http = HttpConnector::new_with_resolver(CheckedResolver { resolver, reach });
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(limits::HTTP_CONNECT_TIME));
            let stream = http.call(uri).await?;
            // Whatever was meant, this is where it went.
            check(reach, stream.inner().peer_addr()?.ip())?;
            Ok(stream)
        })
    }
}

fn check(reach: Reach, address: IpAddr) -> Result<(), Refused> {
    if reach.includes(address) { Ok(()) } else { Err(Refused(address)) }
}

/// Gives only addresses that may be connected to, so that there is no second look-up in between that could say otherwise.
#[derive(Clone)]
struct CheckedResolver {
    resolver: Arc<dyn Resolve>,
    reach: Reach,
}

impl Service<Name> for CheckedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { resolver, reach } = self.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await?;
            let refused = found.iter().find(|address| !reach.includes(**address)).copied();
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| reach.includes(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            match refused {
                Some(address) if allowed.is_empty() => Err(Refused(address).into()),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

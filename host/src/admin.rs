//! What operators ask a running server, on an address of its own: health, and how the plugins are doing.
//!
//! | request | answer |
//! |---|---|
//! | `GET /health` | `ok` |
//! | `GET /plugins` | how each plugin is doing, as JSON: [`Plugins`] |
//! | `POST /plugins/NAME/retry` | tries versions again that were rolled back, and says how many there were, as JSON: [`Retried`] |
//!
//! Nobody is asked who they are: the address belongs on loopback, or behind something that asks.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use crate::{
    limits,
    reload::{Reloader, Status},
    server::Service,
};

/// Connections at one time: a probe, a scraper, a person.
pub const CONNECTIONS: usize = 64;

/// Answers operators.
pub struct Admin {
    reloader: Arc<Reloader>,
}

/// How each plugin is doing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plugins {
    /// The current generation, counted from 1 at the start of the process.
    pub generation: u64,
    /// The plugins by name.
    pub plugins: Vec<Status>,
}

/// What came of trying a plugin's file again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Retried {
    /// How many versions of it had been rejected.
    pub forgiven: usize,
}

impl Admin {
    /// Tells of this reloader's generation.
    pub fn new(reloader: Arc<Reloader>) -> Self {
        Self { reloader }
    }

    async fn retry(&self, plugin: &str) -> Response<Full<Bytes>> {
        if !self.reloader.current().plugins.contains_key(plugin) {
            return plain(StatusCode::NOT_FOUND, "there is no such plugin");
        }
        match self.reloader.forgive(plugin).await {
            Ok(forgiven) => json(&Retried { forgiven }),
            Err(error) => {
                tracing::warn!("the record of plugins' versions cannot be written: {error}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the record of plugins' versions cannot be written")
            }
        }
    }
}

impl Service for Admin {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // A page of another site must not use a browser on this machine to change anything.
        if request.method() != Method::GET && request.headers().contains_key(ORIGIN) {
            return plain(StatusCode::FORBIDDEN, "not from a browser");
        }
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["health"]) => plain(StatusCode::OK, "ok"),
            (&Method::GET, ["plugins"]) => {
                let generation = self.reloader.current().number;
                json(&Plugins { generation, plugins: self.reloader.statuses() })
            }
            // Names need no escaping in a path.
            (&Method::POST, ["plugins", name, "retry"]) => self.retry(name).await,
            (_, ["health" | "plugins"] | ["plugins", _, "retry"]) => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "this path has another method")
            }
            _ => plain(StatusCode::NOT_FOUND, "there are GET /health, GET /plugins and POST /plugins/NAME/retry"),
        }
    }
}

/// Asks a running server.
pub async fn ask<T: DeserializeOwned>(address: SocketAddr, method: &str, path: &str) -> anyhow::Result<T> {
    let asked = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the answer.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .body(Full::<Bytes>::default())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::ADMIN_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body).trim());
        serde_json::from_slice(&body).context("the answer is not mynah's")
    };
    tokio::time::timeout(limits::ADMIN_TIME, asked).await.context("no answer in time")?
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => response(StatusCode::OK, "application/json", body.into()),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", format!("{text}\n").into())
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

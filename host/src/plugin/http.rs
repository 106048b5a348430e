//! `mynah:bot/http`: one buffered exchange with a host that `allow.http` names. Redirects are followed.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use super::{
    bindings::mynah::bot::{
        http::{Host, Request, Response},
        types::{self, Error, Field},
    },
    run::{Outside, Run, bounded},
};
use crate::{
    config::Origin,
    http_client::{self, Bounds, Kind},
    limits,
};

impl Host for Run {
    async fn send(&mut self, request: Request) -> Result<Response, Error> {
        let outside = self.outside();
        let outlet = outside.way()?;
        let request = read(request)?;
        let bounds =
            Bounds { deadline: outside.deadline, response: limits::HTTP_BODY, redirects: limits::HTTP_REDIRECTS };
        match outlet.send(request, bounds, &outside.called).await {
            Ok(response) => Ok(write(response)),
            Err(error) => {
                outside.tell(&error);
                Err(types::Error { code: code(&error.kind).into(), message: bounded(&error.to_string()) })
            }
        }
    }
}

/// A plugin's request as the client takes it.
fn read(request: Request) -> Result<http_client::Request, Error> {
    let Request { method, url, headers: given, body } = request;
    let bad = |message: String| types::Error { code: code(&Kind::BadRequest).into(), message };
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| bad(format!("`{}` is no method", bounded(&method))))?;
    let url = Url::parse(&url).map_err(|error| bad(format!("`{}` is no URL: {error}", bounded(&url))))?;
    let too_large = |message: String| types::Error { code: code(&Kind::TooLarge).into(), message };
    if given.len() > limits::HTTP_HEADERS {
        return Err(too_large(format!("a request has at most {} headers", limits::HTTP_HEADERS)));
    }
    if body.len() > limits::HTTP_BODY {
        return Err(too_large(format!("a request's body has at most {} MiB", limits::HTTP_BODY >> 20)));
    }
    let mut headers = HeaderMap::new();
    for Field { name, value } in given {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| bad(format!("`{}` is no name of a header", bounded(&name))))?;
        // Its value may be a key that the plugin has from its configuration, and is not shown.
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| bad(format!("the value of the header `{parsed}` is nothing that a header can carry")))?;
        headers.append(parsed, value);
    }
    Ok(http_client::Request { method, url, headers, body: body.into() })
}

/// A response as the contract has it.
fn write(response: http_client::Response) -> Response {
    let headers = response.headers.iter().map(|(name, value)| Field {
        name: name.as_str().to_owned(),
        value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
    });
    Response { status: response.status.as_u16(), headers: headers.collect(), body: response.body.into() }
}

/// What a plugin branches on.
fn code(kind: &Kind) -> &'static str {
    match kind {
        Kind::NotGranted(_) | Kind::AddressRefused => "not-granted",
        Kind::BadRequest => "bad-request",
        Kind::TooLarge => "too-large",
        Kind::Timeout => "timeout",
        Kind::Unavailable => "unavailable",
    }
}

impl Outside {
    /// Tells the operator why a request was not answered, and what to change if it should have been.
    pub(super) fn tell(&self, error: &http_client::Error) {
        let plugin = self.plugin();
        match &error.kind {
            Kind::NotGranted(origin) => refuse(plugin, origin),
            Kind::AddressRefused => tracing::warn!(
                plugin,
                "{}; to allow it, name that address in `allow.http`, or write `{{ url = \"…\", private = true }}` there",
                bounded(&error.to_string())
            ),
            _ => tracing::warn!(plugin, "{}", bounded(&error.to_string())),
        }
    }
}

fn refuse(plugin: &str, origin: &Origin) {
    let entry = bounded(&origin.to_string());
    tracing::warn!(
        plugin,
        "HTTP with {entry} is not granted; to allow it, add `allow = {{ http = [\"{entry}\"] }}` to `[plugins.{plugin}]`"
    );
}

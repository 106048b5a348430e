//! HTTP with the hosts that bots.toml allows this plugin: `allow = { http = ["https://…"] }`.
//!
//! One exchange, read to its end before [`send`] returns. Redirects are followed, up to 5, where they
//! lead to a host that is allowed as well. A body has at most 11 MiB, and is not decompressed.
//! Headers with credentials can stay out of the plugin: bots.toml may have the host add them on the
//! way out, in place of any that the plugin gives. `Host`, `Content-Length` and other headers that
//! frame a request are the host's, and left out where a plugin gives them.
//!
//! ```
//! use mynah_plugin::http::{self, Request, Response};
//! use mynah_plugin::{Error, Message, Reply, testing};
//!
//! fn handle(message: Message) -> Result<String, Error> {
//!     let url = format!("https://api.example.com/weather?city={}", message.text());
//!     let response = http::send(&Request::get(url).header("Accept", "text/plain"))?;
//!     match response.status {
//!         200 => Ok(response.text().into_owned()),
//!         status => Err(Error::new("weather", format!("answered {status}"))),
//!     }
//! }
//!
//! testing::on_http(|request| {
//!     assert_eq!(request.url, "https://api.example.com/weather?city=gz");
//!     Ok(Response::new(200, "晴，26 °C"))
//! });
//! let reply = testing::deliver(handle, testing::text("gz"));
//! assert_eq!(reply, Ok(Reply::text("晴，26 °C")));
//! ```

use std::borrow::Cow;

#[doc(inline)]
pub use crate::bindings::mynah::bot::http::{Request, Response};
use crate::{Error, Field};

/// Sends `request` and waits for the response, whatever its status.
///
/// # Errors
///
/// Code `"not-granted"` for a host that bots.toml does not allow, or one at an address that it does not
/// allow; `"bad-request"` for what is no request; `"too-large"`; `"unavailable"` where the other side
/// cannot be reached; and `"timeout"` shortly before the plugin's own time ends, so that it can still
/// say so. A status such as 404 is not an error.
///
/// A call cannot be taken back. Where the message is run again after a crash, so is the call.
pub fn send(request: &Request) -> Result<Response, Error> {
    crate::host::http::send(request)
}

impl Request {
    /// A GET of `url`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST of `body` to `url`. Say what it is: `.header("Content-Type", …)`.
    ///
    /// ```
    /// use mynah_plugin::http::Request;
    ///
    /// let request = Request::post("https://api.example.com/ocr", r#"{"lang":"zh"}"#)
    ///     .header("Content-Type", "application/json");
    /// assert_eq!(request.method, "POST");
    /// ```
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }
    }

    /// A request without headers or body, for the other methods.
    ///
    /// ```
    /// use mynah_plugin::http::Request;
    ///
    /// let request = Request::new("DELETE", "https://api.example.com/notes/1");
    /// assert!(request.body.is_empty());
    /// ```
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Field::new(name, value));
        self
    }
}

impl Response {
    /// A response without headers, for [`testing::on_http`](crate::testing::on_http) to answer.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The first header of this name, in any case.
    ///
    /// ```
    /// use mynah_plugin::{Field, http::Response};
    ///
    /// let mut response = Response::new(200, "{}");
    /// response.headers.push(Field::new("content-type", "application/json"));
    /// assert_eq!(response.header("Content-Type"), Some("application/json"));
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// The body as text. What is not UTF-8 in it becomes `�`.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

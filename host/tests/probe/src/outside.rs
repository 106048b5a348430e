//! Requests as a test says them: `METHOD URL NAME=VALUE… [@BYTES]`, where the last is the length of a body. The answer is the
//! status, the headers and how the body begins, or what went wrong.

use mynah_plugin::http;
use wasip2::{
    http::{
        outgoing_handler,
        types::{ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
    io::streams::StreamError,
};

/// Bytes of a response's body that are shown.
const SHOWN: usize = 300;

struct Command<'a> {
    method: &'a str,
    url: &'a str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn command(text: &str) -> Command<'_> {
    let mut words = text.split(' ');
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut headers, mut body) = (Vec::new(), Vec::new());
    for word in words {
        if let Some(length) = word.strip_prefix('@') {
            body = vec![b'b'; length.parse().unwrap_or(0)];
        } else if let Some((name, value)) = word.split_once('=') {
            // What no word can hold, and no header either.
            let decoded = |text: &str| text.replace("%0D%0A", "\r\n");
            headers.push((decoded(name), decoded(value)));
        }
    }
    Command { method, url, headers, body }
}

fn shown(status: u16, headers: &[String], body: &[u8]) -> String {
    let begins = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).into_owned();
    format!("{status} {headers:?} {} bytes: {begins}", body.len())
}

/// Through the contract's own interface.
pub(crate) fn http(text: &str) -> String {
    let Command { method, url, headers, body } = command(text);
    let mut request = http::Request::new(method, url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body = body;
    match http::send(&request) {
        Ok(response) => {
            let headers: Vec<_> =
                response.headers.iter().map(|header| format!("{}={}", header.name, header.value)).collect();
            shown(response.status, &headers, &response.body)
        }
        Err(error) => error.to_string(),
    }
}

/// Through `wasi:http`.
pub(crate) fn wasi_http(text: &str) -> String {
    exchange(&command(text)).unwrap_or_else(|error| error)
}

fn exchange(command: &Command<'_>) -> Result<String, String> {
    let named = |error: ErrorCode| format!("{error:?}");
    let headers = Fields::new();
    for (name, value) in &command.headers {
        headers.append(name, value.as_bytes()).map_err(|error| format!("{error:?}"))?;
    }
    let request = OutgoingRequest::new(headers);
    let method = match command.method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.into()),
    };
    request.set_method(&method).map_err(|()| "no method")?;
    let (scheme, rest) = command.url.split_once("://").ok_or("no scheme")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    request.set_scheme(Some(&scheme)).map_err(|()| "no scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "no authority")?;
    request.set_path_with_query(Some(path)).map_err(|()| "no path")?;
    let body = request.body().map_err(|()| "no body")?;
    let answer = outgoing_handler::handle(request, None).map_err(named)?;
    // What is sent after the request is under way: streamed, not buffered.
    if !command.body.is_empty() {
        let stream = body.write().map_err(|()| "no stream")?;
        for chunk in command.body.chunks(4096) {
            stream.blocking_write_and_flush(chunk).map_err(|error| format!("write: {error:?}"))?;
        }
    }
    OutgoingBody::finish(body, None).map_err(named)?;
    answer.subscribe().block();
    let response = answer.get().ok_or("no response")?.map_err(|()| "taken")?.map_err(named)?;
    let headers: Vec<_> = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value)))
        .collect();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let (mut begins, mut length) = (Vec::new(), 0);
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(bytes) => {
                length += bytes.len();
                if begins.len() < SHOWN {
                    begins.extend(bytes);
                }
            }
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("after {} MiB: {}", length >> 20, error.to_debug_string()));
            }
        }
    }
    Ok(shown(response.status(), &headers, &begins))
}

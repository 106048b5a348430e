//! Redirects: where they lead, and what of the request goes there.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use url::Url;

use super::Response;

/// Where a redirect leads.
pub(super) struct Next {
    url: Url,
    /// Whether it is to be a GET without a body.
    get: bool,
}

/// Where a response redirects to, if it does: else it is a response as any.
pub(super) fn next(method: &Method, url: &Url, response: &Response) -> Option<Next> {
    let get = match response.status {
        // As browsers do, and so as services expect.
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => *method == Method::POST,
        StatusCode::SEE_OTHER => ![Method::GET, Method::HEAD].contains(method),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
        _ => return None,
    };
    let location = response.headers.get(header::LOCATION)?.to_str().ok()?;
    Some(Next { url: url.join(location).ok()?, get })
}

/// Makes a request the one that follows a redirect.
pub(super) fn follow(next: Next, method: &mut Method, url: &mut Url, headers: &mut HeaderMap, body: &mut Bytes) {
    if next.get {
        *method = Method::GET;
        *body = Bytes::new();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION]
        {
            headers.remove(name);
        }
    }
    // What the sender says to one origin in confidence is none of another's business.
    if next.url.origin() != url.origin() {
        for name in [header::AUTHORIZATION, header::COOKIE] {
            headers.remove(name);
        }
    }
    *url = next.url;
}

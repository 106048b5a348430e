//! `[plugins.NAME.allow]`: what of the outside a plugin may reach.

use std::{net::IpAddr, ops::Range};

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;
use url::{Host, Url};

use super::{
    problems::{Problem, Problems, SourceId},
    table::{Entry, Table, Value, described},
    values::{Origins, sourced, strings},
};
use crate::{limits, secret::Secret};

/// What of the outside a plugin may reach; nothing unless it is named.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    /// Entries of `http`, each of another origin.
    pub http: Vec<HttpGrant>,
    /// Paths of the WeChat API; a `*` at the end stands for anything.
    wechat: Vec<String>,
}

/// An entry of `allow.http`: a text, or `{ url, headers, private }`.
#[derive(Debug, Clone)]
pub struct HttpGrant {
    /// Where requests may go.
    pub origin: Origin,
    /// Headers that are added on the way there.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Whether its name may stand for an address of a private network.
    pub private: bool,
}

/// A scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// As it stands in a URL: in lower case, an IPv6 address in brackets, without a dot at its end.
    pub host: String,
    /// The port, given or usual.
    pub port: u16,
}

/// Headers that frame a request, or belong to one connection: the host writes those that are needed, and nobody else may.
pub const FRAMING_HEADERS: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl Allow {
    /// The entry that allows requests to this origin.
    pub fn http(&self, origin: &Origin) -> Option<&HttpGrant> {
        self.http.iter().find(|grant| grant.origin == *origin)
    }

    /// Whether a call of this path of the WeChat API, without its query, is allowed. One that could be read in several ways never is:
    /// with `.` or `..` in it, an empty part, or anything that is percent-encoded, it would not be the path that it seems.
    pub fn wechat(&self, path: &str) -> bool {
        let plain = path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
            && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
        plain
            && self.wechat.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == allowed,
            })
    }

    /// Whether any call of the WeChat API is allowed.
    pub fn any_wechat(&self) -> bool {
        !self.wechat.is_empty()
    }
}

impl Origin {
    /// Where a request to this URL goes; none where it is no URL of HTTP.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = url.scheme();
        if !["http", "https"].contains(&scheme) {
            return None;
        }
        // A name with a dot at its end is the same name.
        let host = url.host_str()?.trim_end_matches('.').to_owned();
        if host.is_empty() {
            return None;
        }
        Some(Self { scheme: scheme.to_owned(), host, port: url.port_or_known_default()? })
    }

    /// The host and, where it is not the scheme's usual one, the port.
    pub fn authority(&self) -> String {
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Whether its name is one for this machine.
    pub fn is_localhost(&self) -> bool {
        self.host == "localhost" || self.host.ends_with(".localhost")
    }

    /// The address that stands in place of a name.
    pub fn address(&self) -> Option<IpAddr> {
        match Host::parse(&self.host).ok()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// Reads the table.
pub(super) fn allow(mut table: Table<'_>, origins: &mut Origins<'_>, problems: &mut Problems) -> Allow {
    let source = table.source();
    let mut allow = Allow::default();
    for value in table.take("http").map_or_else(Vec::new, values) {
        let span = value.span();
        let Some(grant) = http_grant(value, source, origins, problems) else { continue };
        if allow.http(&grant.origin).is_some() {
            let problem = Problem::error(format!("`http` names `{}` twice", grant.origin)).at(source, span);
            problems.push(problem.hint("give all of its headers in one entry"));
        } else {
            allow.http.push(grant);
        }
    }
    for (path, span) in table.take("wechat").map_or_else(Vec::new, |entry| strings(entry, "wechat", source, problems)) {
        if path.starts_with('/') {
            allow.wechat.push(path);
        } else {
            let problem = Problem::error(format!("`{path}` is no path of the WeChat API")).at(source, span);
            problems
                .push(problem.hint("such as `/cv/ocr/comm`, without the host; a `*` at the end stands for anything"));
        }
    }
    table.finish("`allow`", problems);
    allow
}

/// One value, or those of a list.
fn values(entry: Entry<'_>) -> Vec<Value<'_>> {
    let span = entry.value.span();
    match entry.value.into_inner() {
        DeValue::Array(values) => values.into_iter().collect(),
        single => vec![Value::new(span, single)],
    }
}

fn http_grant(
    value: Value<'_>,
    source: SourceId,
    origins: &mut Origins<'_>,
    problems: &mut Problems,
) -> Option<HttpGrant> {
    let span = value.span();
    let mut table = match value.into_inner() {
        DeValue::String(text) => {
            let origin = origin(&text, span, source, problems)?;
            return Some(HttpGrant { origin, headers: Vec::new(), private: false });
        }
        DeValue::Table(entries) => Table::new(entries, span.clone(), source),
        other => {
            let what = described(&other);
            let problem = Problem::error(format!("`http` must be a URL or a list of URLs, not {what}"));
            problems.push(problem.at(source, span).hint(GRANT));
            return None;
        }
    };
    let url_given = table.contains("url");
    let url = table.get::<String>("url", problems);
    let private = table.get::<bool>("private", problems).is_some_and(|private| *private.get_ref());
    let headers = table.take("headers").map_or_else(Vec::new, |entry| headers(entry, source, origins, problems));
    table.finish("an entry of `allow.http`", problems);
    if !url_given {
        problems.push(Problem::error("this entry has no `url`").at(source, span).hint(GRANT));
    }
    let url = url?;
    let origin = origin(url.get_ref(), url.span(), source, problems)?;
    let near = private || origin.address().is_some() || origin.is_localhost();
    if origin.scheme == "http" && !headers.is_empty() && !near {
        let problem =
            Problem::warning(format!("headers go to `{origin}` in the clear, for everybody on the way to read"));
        problems.push(problem.at(source, url.span()).hint(format!("use `https://{}`, if it is there", origin.host)));
    }
    Some(HttpGrant { origin, headers, private })
}

const GRANT: &str = "`\"https://api.example.com\"`, or `{ url = \"https://api.example.com\", headers = { Authorization = { env = \"NAME\" } } }`";

fn origin(text: &str, span: Range<usize>, source: SourceId, problems: &mut Problems) -> Option<Origin> {
    let bare = |url: &&Url| {
        url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let origin = Url::parse(text).ok().as_ref().filter(bare).and_then(Origin::of);
    if origin.is_none() && text.contains('@') {
        let problem = Problem::error("a URL here must not hold a user's name or password").at(source, span);
        problems.push(problem.hint("give it as a header: `headers = { Authorization = { env = \"NAME\" } }`"));
    } else if origin.is_none() {
        problems.push(
            Problem::error(format!("`{text}` is no origin of HTTP"))
                .at(source, span)
                .hint("scheme and host, with a port where it is not the usual one: `https://api.example.com`"),
        );
    }
    origin
}

fn headers(
    entry: Entry<'_>,
    source: SourceId,
    origins: &mut Origins<'_>,
    problems: &mut Problems,
) -> Vec<(HeaderName, Secret)> {
    let Some(table) = Table::from_value(entry.value, "`headers`", source, problems) else { return Vec::new() };
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (key, value) in table.into_entries() {
        let (place, given) = (key.span(), key.get_ref());
        let entry = Entry { key_span: place.clone(), value };
        let sourced = sourced(entry, &format!("the header `{given}`"), source, origins, problems);
        let name = match HeaderName::from_bytes(given.as_bytes()) {
            Ok(name) if FRAMING_HEADERS.contains(&name.as_str()) => {
                let problem = Problem::error(format!("the header `{given}` cannot be given")).at(source, place);
                problems.push(problem.hint("it belongs to the connection, and the host writes it where it is needed"));
                continue;
            }
            Ok(name) => name,
            Err(_) => {
                problems.push(Problem::error(format!("`{given}` is no name of a header")).at(source, place));
                continue;
            }
        };
        if headers.iter().any(|(other, _)| *other == name) {
            problems.push(Problem::error(format!("the header `{given}` is given twice")).at(source, place));
            continue;
        }
        let Some(sourced) = sourced else { continue };
        // A file ends in a newline that nobody means.
        let text = sourced.text.trim();
        if text.len() > limits::HTTP_GRANTED_HEADER || HeaderValue::from_str(text).is_err() {
            let message = format!("the value of the header `{given}` is nothing that a header can carry");
            let hint = "at most 8 KiB of ASCII characters, on one line";
            problems.push(Problem::error(message).at(source, place).hint(hint));
            continue;
        }
        headers.push((name, Secret::new(text)));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Option<Origin> {
        Url::parse(url).ok().as_ref().and_then(Origin::of)
    }

    #[test]
    fn a_url_has_one_origin_however_it_is_written() {
        for (url, expected) in [
            ("https://API.example.com:443/a?b#c", Some("https://api.example.com")),
            ("https://api.example.com./", Some("https://api.example.com")),
            ("https://api.example.com:8443/", Some("https://api.example.com:8443")),
            ("https://api.example.com@evil.com/", Some("https://evil.com")),
            ("https://evil.com\\@api.example.com/", Some("https://evil.com")),
            ("https://ａｐｉ.example.com/", Some("https://api.example.com")),
            ("https://bücher.example/", Some("https://xn--bcher-kva.example")),
            ("http://127.1/", Some("http://127.0.0.1")),
            ("http://2130706433/", Some("http://127.0.0.1")),
            ("http://0x7f.0.0.01:80/", Some("http://127.0.0.1")),
            ("http://[0:0:0:0:0:FFFF:7f00:1]:9003/", Some("http://[::ffff:7f00:1]:9003")),
            ("http://[fe80::1%25eth0]/", None),
            ("http://./", None),
            ("ftp://api.example.com/", None),
            ("file:///etc/passwd", None),
            ("api.example.com", None),
            ("", None),
        ] {
            assert_eq!(origin(url).map(|origin| origin.to_string()).as_deref(), expected, "{url}");
        }
        assert_eq!(origin("http://[::1]/").unwrap().address(), Some("::1".parse().unwrap()));
        assert_eq!(origin("http://127.1/").unwrap().address(), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(origin("http://localhost/").unwrap().address(), None);
    }

    #[test]
    fn only_the_very_path_is_allowed() {
        let wechat = ["/cv/ocr/comm", "/cgi-bin/menu/*"].map(str::to_owned).into();
        let allow = Allow { http: Vec::new(), wechat };
        assert!(allow.wechat("/cv/ocr/comm") && allow.wechat("/cgi-bin/menu/get"));
        for path in [
            "/cv/ocr",
            "/cv/ocr/comm/x",
            "/cv/ocr/comm?access_token=x",
            "/cgi-bin/menu/../token",
            "/cgi-bin/menu//get",
            "cv/ocr/comm",
            "",
        ] {
            assert!(!allow.wechat(path), "{path}");
        }
    }
}

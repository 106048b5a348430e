//! `[plugins.NAME.allow]`: what of the outside a plugin may reach.

use url::Url;

use super::{
    problems::{Problem, Problems},
    table::Table,
    values::strings,
};

/// What of the outside a plugin may reach; nothing unless it is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// Origins: scheme, host and port.
    http: Vec<Origin>,
    /// Paths of the WeChat API; a `*` at the end stands for anything.
    wechat: Vec<String>,
}

/// A scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Allow {
    /// Whether a request to this URL is allowed. What is no URL is not.
    pub fn http(&self, url: &str) -> bool {
        Url::parse(url).ok().as_ref().and_then(Origin::of).is_some_and(|origin| self.http.contains(&origin))
    }

    /// Whether a call of this path of the WeChat API is allowed. One with `.` or `..` in it, or a query, never is: it would not be the
    /// path that it seems.
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

    /// The entry of `allow.http` that would allow this URL; none where it is no URL of HTTP.
    pub fn entry_for(url: &str) -> Option<String> {
        let url = Url::parse(url).ok()?;
        Origin::of(&url)?;
        Some(url.origin().ascii_serialization())
    }
}

impl Origin {
    fn of(url: &Url) -> Option<Self> {
        let scheme = url.scheme();
        if !["http", "https"].contains(&scheme) {
            return None;
        }
        // A name with a dot at its end is the same name.
        let host = url.host_str()?.trim_end_matches('.').to_owned();
        Some(Self { scheme: scheme.to_owned(), host, port: url.port_or_known_default()? })
    }
}

/// Reads the table.
pub(super) fn allow(mut table: Table<'_>, problems: &mut Problems) -> Allow {
    let source = table.source();
    let mut allow = Allow::default();
    for (text, span) in table.take("http").map_or_else(Vec::new, |entry| strings(entry, "http", source, problems)) {
        let url = Url::parse(&text).ok();
        let bare = |url: &&Url| {
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        };
        match url.as_ref().filter(bare).and_then(Origin::of) {
            Some(origin) => allow.http.push(origin),
            None => problems.push(
                Problem::error(format!("`{text}` is no origin of HTTP"))
                    .at(source, span)
                    .hint("scheme and host, with a port where it is not the usual one: `https://api.example.com`"),
            ),
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
    let span = table.span.clone();
    table.finish("`allow`", problems);
    if allow != Allow::default() {
        problems.push(
            Problem::warning(
                "this version of mynah sends nothing yet: what `allow` names is answered with `unavailable`",
            )
            .at(source, span),
        );
    }
    allow
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(http: &[&str], wechat: &[&str]) -> Allow {
        Allow {
            http: http.iter().map(|url| Origin::of(&Url::parse(url).unwrap()).unwrap()).collect(),
            wechat: wechat.iter().map(|&path| path.to_owned()).collect(),
        }
    }

    #[test]
    fn only_the_very_origin_is_allowed() {
        let allow = allowing(&["https://api.example.com", "http://127.0.0.1:9003"], &[]);
        for url in [
            "https://api.example.com/a?b",
            "https://API.example.com:443/",
            "https://api.example.com./",
            "http://127.0.0.1:9003/ocr",
        ] {
            assert!(allow.http(url), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com@evil.com/",
            "https://api.example.com.evil.com/",
            "https://evil.com/https://api.example.com",
            "http://127.0.0.1/",
            "ftp://api.example.com/",
            "file:///etc/passwd",
            "api.example.com",
            "",
        ] {
            assert!(!allow.http(url), "{url}");
        }
        assert_eq!(Allow::entry_for("https://a.example:8443/x?y").as_deref(), Some("https://a.example:8443"));
        assert_eq!(Allow::entry_for("nonsense"), None);
    }

    #[test]
    fn only_the_very_path_is_allowed() {
        let allow = allowing(&[], &["/cv/ocr/comm", "/cgi-bin/menu/*"]);
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

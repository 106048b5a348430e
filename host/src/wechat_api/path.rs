//! Which path of the API a plugin asks for, in the one form in which it is compared and sent.

/// Names whose parameters only the host adds, and paths that give out tokens or take the secret.
const TOKEN: &str = "token";

/// Bytes of a path with its query: far more than the platform's own, whose longest parameter is a picture's URL.
const LENGTH: usize = 4096;

/// A path of the WeChat API with its query, that can be read in one way only, and gives out no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    path: String,
    /// Encoded, without `?`.
    query: String,
}

impl Path {
    /// Reads a plugin's text, such as `/cv/ocr/comm?img_url=…`. The error says what is wrong with it.
    ///
    /// Nothing is normalised: what would have to be is refused. So what `allow.wechat` is compared with is what is sent, byte for byte.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > LENGTH {
            return Err("the path is too long");
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        if !path.starts_with('/') || !path.bytes().all(plain) {
            return Err("a path begins with `/` and has letters, digits, `-`, `_` and `.` only");
        }
        if path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return Err("a path has no empty parts, `.` or `..`");
        }
        let lower = path.to_ascii_lowercase();
        // `/cgi-bin/token`, `/cgi-bin/stable_token`, `/cgi-bin/component/api_component_token`, …; all of `/sns/` is about users' tokens.
        if lower.contains(TOKEN) || lower.starts_with("/sns/") || lower.starts_with("/cgi-bin/component/") {
            return Err("what gives out or takes tokens is the host's alone");
        }
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let lower = name.to_ascii_lowercase();
            if lower.contains(TOKEN) || lower.contains("secret") {
                return Err("the host adds the access token by itself");
            }
            encoded.append_pair(&name, &value);
        }
        Ok(Self { path: path.to_owned(), query: encoded.finish() })
    }

    /// The path without its query.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    pub(super) fn query(&self) -> &str {
        &self.query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_as_it_is_and_its_query_is_encoded_anew() {
        let path = Path::parse("/cv/ocr/comm?img_url=http%3A%2F%2Fa/b?c=d&type=1&名=值#x").unwrap();
        assert_eq!(path.as_str(), "/cv/ocr/comm");
        assert_eq!(path.query(), "img_url=http%3A%2F%2Fa%2Fb%3Fc%3Dd&type=1&%E5%90%8D=%E5%80%BC%23x");
        assert_eq!(Path::parse("/cgi-bin/menu/get").unwrap().query(), "");
    }

    #[test]
    fn no_trick_leads_to_a_token() {
        for trick in [
            "/cgi-bin/token",
            "/cgi-bin/stable_token",
            "/CGI-BIN/Stable_Token",
            "/cgi-bin/stable_token/",
            "/cgi-bin//stable_token",
            "/cgi-bin/./stable_token",
            "/cgi-bin/menu/../stable_token",
            "/cgi-bin/stable%5ftoken",
            "/cgi-bin/stable_%74oken",
            "/cgi-bin/menu%2f..%2fstable_token",
            "/cgi-bin\\stable_token",
            "/cgi-bin/stable_token;x",
            "/cgi-bin/stable_token#",
            "//evil.example/cgi-bin/menu/get",
            "@evil.example/cgi-bin/menu/get",
            ".evil.example/",
            "http://evil.example/",
            "/cgi-bin/menu/get\r\nX: y",
            "/cgi-bin/menu/get ",
            "/cgi-bin/ｔoken",
            "/sns/oauth2/access_token",
            "/SNS/jscode2session",
            "/cgi-bin/component/api_query_auth",
            "/cgi-bin/menu/get?access_token=mine",
            "/cgi-bin/menu/get?a=b&ACCESS_TOKEN=mine",
            "/cgi-bin/menu/get?%61ccess_token=mine",
            "/cgi-bin/menu/get?access%5Ftoken",
            "/cgi-bin/menu/get?component_access_token=mine",
            "/cgi-bin/menu/get?appid=a&secret=b",
            "",
            "cgi-bin/menu/get",
        ] {
            assert!(Path::parse(trick).is_err(), "{trick}");
        }
        assert!(Path::parse(&format!("/cgi-bin/menu/get?a={}", "x".repeat(LENGTH))).is_err());
    }
}

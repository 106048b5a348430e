//! What the outside says to a plugin in a transcript.

use std::time::Duration;

/// `http GET https://host/*: 200 body` or `wechat /cv/ocr/comm: body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The method; any for `*`, and for calls of the WeChat API.
    pub method: String,
    /// The URL, or the path of a call of the WeChat API; `*` stands for anything.
    pub url: String,
    /// What comes back.
    pub outcome: Outcome,
    /// How long that takes.
    pub takes: Duration,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A response.
    Response {
        /// 200, 404, …
        status: u16,
        /// Its body.
        body: Body,
    },
    /// Nothing: the peer cannot be reached.
    Unreachable,
}

/// What a response holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// This text.
    Text(String),
    /// The content of a file: `@picture.png`, beside the transcript.
    File(String),
}

impl Body {
    fn read(written: &str) -> Self {
        match written.strip_prefix('@') {
            Some(file) => Self::File(file.to_owned()),
            None => Self::Text(written.to_owned()),
        }
    }
}

/// Where the WeChat API is.
const WECHAT: &str = "https://api.weixin.qq.com";

impl Answer {
    /// Reads what follows the word `http` or `wechat`.
    pub(super) fn read(word: &str, rest: &str) -> Result<Self, String> {
        let usage = match word {
            "http" => "`http GET https://host/path*: 200 BODY`",
            _ => "`wechat /cgi-bin/path: BODY`",
        };
        // A URL has a colon as well; the one that ends it has white space behind it.
        let (request, response) = rest
            .split_once(": ")
            .or_else(|| Some((rest.strip_suffix(':')?, "")))
            .ok_or_else(|| format!("it is not said what comes back: {usage}"))?;
        let (method, url) = match (word, request.split_once(char::is_whitespace)) {
            ("http", Some((method, url))) if method.chars().all(|c| c.is_ascii_uppercase() || c == '*') => {
                (method, url.trim().to_owned())
            }
            ("http", _) => return Err(format!("a method and a URL stand before the colon: {usage}")),
            (_, None) if request.starts_with('/') => ("*", format!("{WECHAT}{request}*")),
            _ => return Err(format!("a path stands before the colon: {usage}")),
        };
        let mut takes = Duration::ZERO;
        let mut response = response.trim();
        if let Some(after) = response.strip_prefix("after ") {
            let (time, rest) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            takes = humantime::parse_duration(time).map_err(|_| format!("`{time}` is no length of time"))?;
            response = rest.trim();
        }
        let outcome = match (word, response) {
            (_, "unreachable") => Outcome::Unreachable,
            ("http", response) => {
                let (status, body) = response.split_once(char::is_whitespace).unwrap_or((response, ""));
                let status = status.parse().ok().filter(|status| (100..600).contains(status));
                let status = status.ok_or_else(|| format!("a status or `unreachable` follows the colon: {usage}"))?;
                Outcome::Response { status, body: Body::read(body.trim()) }
            }
            (_, body) => Outcome::Response { status: 200, body: Body::read(body) },
        };
        Ok(Self { method: method.to_owned(), url, outcome, takes })
    }

    /// Adds a line to the body.
    pub(super) fn go_on(&mut self, line: &str) {
        if let Outcome::Response { body: Body::Text(body), .. } = &mut self.outcome {
            if !body.is_empty() {
                body.push('\n');
            }
            body.push_str(line);
        }
    }

    /// Whether it answers this request.
    pub fn answers(&self, method: &str, url: &str) -> bool {
        (self.method == "*" || self.method == method) && matches(&self.url, url)
    }
}

/// Whether a text is what a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Answer, String> {
        let (word, rest) = line.split_once(' ').unwrap();
        Answer::read(word, rest)
    }

    fn response(answer: &Answer) -> (u16, &str) {
        match &answer.outcome {
            Outcome::Response { status, body: Body::Text(body) } => (*status, body),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let mut answer = read("http GET https://h:8/a?b=*: 200 {\"a\": 1}").unwrap();
        assert_eq!(response(&answer), (200, "{\"a\": 1}"));
        assert!(answer.answers("GET", "https://h:8/a?b=c") && !answer.answers("POST", "https://h:8/a?b=c"));
        assert!(!answer.answers("GET", "https://h:8/a"));
        answer.go_on("more");
        assert_eq!(response(&answer).1, "{\"a\": 1}\nmore");
        let late = read("http * https://h/*: after 20s 503").unwrap();
        assert_eq!((response(&late), late.takes), ((503, ""), Duration::from_secs(20)));
        assert_eq!(read("http POST https://h/: unreachable").unwrap().outcome, Outcome::Unreachable);
        let wechat = read("wechat /cv/ocr/comm: {}").unwrap();
        assert!(wechat.answers("POST", "https://api.weixin.qq.com/cv/ocr/comm?access_token=x"));
        assert_eq!(response(&read("wechat /a:").unwrap()), (200, ""));
        let file = read("http GET https://h/: 200 @a picture.png").unwrap().outcome;
        assert_eq!(file, Outcome::Response { status: 200, body: Body::File("a picture.png".into()) });
    }

    #[test]
    fn says_how_an_answer_is_written() {
        for line in ["http https://h/: 200", "http GET https://h/", "http GET https://h/: fine", "wechat cv: {}"] {
            let error = read(line).unwrap_err();
            assert!(
                error.contains("`http GET https://host/path*: 200 BODY`") || error.contains("`wechat /"),
                "{error}"
            );
        }
        assert_eq!(read("http GET https://h/: after soon 200").unwrap_err(), "`soon` is no length of time");
    }
}

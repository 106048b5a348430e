//! The outside of a transcript: it says what the transcript says, and nothing else leaves the machine.

use std::{
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    clock::Clock,
    config,
    http_client::Answers,
    limits,
    transcript::answers::{Answer, Body, Outcome},
};

/// Answers plugins' requests, and the host's own calls of the WeChat API.
pub struct Outside {
    /// With what they say, where that is a response; the last one first.
    answers: Mutex<Vec<(Answer, Bytes)>>,
    clock: Arc<dyn Clock>,
}

/// What a token is asked for at, and what is given unless a transcript says otherwise: no transcript is about tokens.
const TOKEN: (&str, &str) = ("/cgi-bin/stable_token", r#"{"access_token":"token","expires_in":7200}"#);

impl Outside {
    /// An outside that says nothing yet, and whose time is this clock's.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { answers: Mutex::default(), clock }
    }

    /// Says nothing any more.
    pub fn clear(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From now on says this, whatever it said to the same request before. Files that it names are in `folder`.
    pub fn add(&self, answer: &Answer, folder: &Path) -> Result<(), String> {
        let body = match &answer.outcome {
            Outcome::Response { body: Body::Text(text), .. } => Bytes::from(text.clone()),
            Outcome::Response { body: Body::File(file), .. } => {
                let read = config::read_bounded(&folder.join(file), limits::HTTP_BODY as u64);
                Bytes::from(read.map_err(|error| format!("cannot read `{file}`: {error}"))?)
            }
            Outcome::Unreachable => Bytes::new(),
        };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(0, (answer.clone(), body));
        Ok(())
    }

    fn find(&self, request: &http::Request<Bytes>) -> Option<(Answer, Bytes)> {
        let (method, url) = (request.method().as_str(), request.uri().to_string());
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.iter().find(|(answer, _)| answer.answers(method, &url)).cloned()
    }
}

impl Answers for Outside {
    fn wait<'a>(&'a self, request: &'a http::Request<Bytes>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        match self.find(request).map(|(answer, _)| answer.takes).filter(|takes| !takes.is_zero()) {
            Some(takes) => Box::pin(self.clock.take(takes)),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn answer(&self, request: &http::Request<Bytes>) -> Result<http::Response<Bytes>, String> {
        let found = self.find(request).map(|(answer, body)| (answer.outcome, body));
        let (method, path) = (request.method(), request.uri().path());
        let (status, body) = match found {
            Some((Outcome::Response { status, .. }, body)) => (status, body),
            Some((Outcome::Unreachable, _)) => return Err("the transcript says that it cannot be reached".into()),
            None if path == TOKEN.0 => (200, Bytes::from_static(TOKEN.1.as_bytes())),
            None => {
                // Without the query, which may hold a secret.
                let url = request.uri().to_string();
                let url = url.split('?').next().unwrap_or_default();
                tracing::warn!(
                    "the transcript does not say what {method} {url} answers: `http {method} {url}*: 200 …`"
                );
                return Err("the transcript has no answer for it".into());
            }
        };
        let kind = match body.trim_ascii_start().first() {
            Some(b'{' | b'[') => "application/json",
            _ if std::str::from_utf8(&body).is_ok() => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        };
        let response = http::Response::builder().status(status).header(http::header::CONTENT_TYPE, kind);
        response.body(body).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        transcript::script::{Script, What},
    };

    fn outside(lines: &str) -> Outside {
        let outside = Outside::new(Arc::new(SystemClock::default()));
        for step in Script::read(lines).unwrap().steps {
            let What::Answer(answer) = step.what else { panic!() };
            outside.add(&answer, Path::new("src")).unwrap();
        }
        outside
    }

    fn answer(line: &str) -> Answer {
        match Script::read(line).unwrap().steps.remove(0).what {
            What::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn asked(outside: &Outside, url: &str) -> Result<(u16, String), String> {
        let request = http::Request::get(url).body(Bytes::new()).unwrap();
        let response = outside.answer(&request)?;
        Ok((response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned()))
    }

    #[test]
    fn says_what_the_transcript_says_and_the_last_of_it() {
        let outside = outside(
            "http GET https://h/a*: 200 one\nhttp GET https://h/a?x: 404\n| {}\nhttp GET https://h/b: unreachable\n",
        );
        assert_eq!(asked(&outside, "https://h/ab"), Ok((200, "one".into())));
        assert_eq!(asked(&outside, "https://h/a?x"), Ok((404, "{}".into())));
        assert!(asked(&outside, "https://h/b").unwrap_err().contains("cannot be reached"));
        assert!(asked(&outside, "https://h/c").unwrap_err().contains("no answer"));
        assert!(asked(&outside, "https://api.weixin.qq.com/cgi-bin/stable_token").unwrap().1.contains("access_token"));
        outside.clear();
        assert!(asked(&outside, "https://h/ab").is_err());
        let file = Answer::clone(&answer("http GET https://h/f: 200 @lib.rs"));
        outside.add(&file, Path::new("src")).unwrap();
        assert!(asked(&outside, "https://h/f").unwrap().1.contains("pub mod rehearsal"));
        assert!(outside.add(&file, Path::new("no")).unwrap_err().starts_with("cannot read `lib.rs`"));
    }
}

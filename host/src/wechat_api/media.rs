//! Temporary media: pictures, voice messages and videos that stay with WeChat for three days.

use std::sync::Arc;

use serde_json::Value;
use url::Url;

use super::{Account, Answer, ApiError, Body, MEDIA, MEDIA_TIME, Terms, exchange};
use crate::{config::Origin, http_client::Policy};

const UPLOAD: &str = "/cgi-bin/media/upload";
pub(super) const DOWNLOAD: &str = "/cgi-bin/media/get";

/// What can be uploaded.
const KINDS: [&str; 4] = ["image", "voice", "video", "thumb"];

/// Characters of a file's name.
const FILE_NAME: usize = 100;

impl Account {
    /// Uploads temporary media and returns its media id.
    pub async fn upload(
        self: &Arc<Self>,
        kind: &str,
        file_name: &str,
        data: Vec<u8>,
        terms: &Terms,
    ) -> Result<String, ApiError> {
        if !KINDS.contains(&kind) {
            let text = format!("there is no such media; there are {}", KINDS.join(", "));
            return Err(ApiError::Refused { code: 40004, text });
        }
        let body = form(file_name, &data, self.boundary());
        let answer =
            self.ask(UPLOAD, &format!("type={kind}"), Some(body), &terms.within(MEDIA_TIME), super::ANSWER).await?;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = answer.get("media_id").or_else(|| answer.get("thumb_media_id")).and_then(Value::as_str);
        let id = id.map(str::to_owned).ok_or_else(|| ApiError::Unknown("its answer has no media id".into()));
        self.noted(UPLOAD, id)
    }

    /// Downloads temporary media.
    pub async fn download(self: &Arc<Self>, media_id: &str, terms: &Terms) -> Result<Vec<u8>, ApiError> {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("media_id", media_id).finish();
        let answer = self.ask(DOWNLOAD, &query, None, &terms.within(MEDIA_TIME), MEDIA).await?;
        // A video's answer says where it is.
        let elsewhere = match (&answer.location, json(&answer)) {
            (Some(location), _) => Some(location.clone()),
            (None, None) => return Ok(answer.body),
            (None, Some(text)) => {
                let said: Value = serde_json::from_str(text).unwrap_or_default();
                said.get("video_url").and_then(Value::as_str).map(str::to_owned)
            }
        };
        let media = match elsewhere {
            Some(url) => self.fetch(&url, &terms.within(MEDIA_TIME)).await.map(|answer| answer.body),
            None => Err(ApiError::Unknown("its answer is no media".into())),
        };
        self.noted(DOWNLOAD, media)
    }

    /// Fetches a file from where WeChat says that it is, without a token. Unless that is the API itself, it has to be where anybody
    /// could go.
    async fn fetch(&self, url: &str, terms: &Terms) -> Result<Answer, ApiError> {
        let origin = Url::parse(url).ok().as_ref().and_then(Origin::of);
        let Some(origin) = origin else { return Err(ApiError::Unknown("it names no place to fetch it from".into())) };
        let fetched = if Url::parse(&self.base).ok().as_ref().and_then(Origin::of).as_ref() == Some(&origin) {
            self.exchange(url.to_owned(), None, terms, MEDIA).await?
        } else {
            exchange(&self.http.outlet(Policy::of_public(origin)), url, None, terms, MEDIA).await?
        };
        if fetched.location.is_some() { Err(ApiError::Unknown("it is elsewhere again".into())) } else { Ok(fetched) }
    }

    fn boundary(&self) -> String {
        let mut random = [0; 16];
        self.tokens.world().randomness.fill(&mut random);
        hex::encode(random)
    }
}

/// An answer's text if it is JSON, which no picture, sound or video begins like.
fn json(answer: &Answer) -> Option<&str> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let said = answer
        .content_type
        .as_deref()
        .is_some_and(|kind| ["application/json", "text/plain", "text/json"].iter().any(|json| kind.starts_with(json)));
    (said && text.trim_start().starts_with('{')).then_some(text)
}

/// A form with one file. The boundary is random, so that nobody can put it into the data.
fn form(file_name: &str, data: &[u8], boundary: String) -> Body {
    let name: String = file_name.chars().filter(|c| !c.is_control() && !"\"\\/".contains(*c)).take(FILE_NAME).collect();
    let name = if name.is_empty() { "media".to_owned() } else { name };
    let content_type = match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "amr" => "audio/amr",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    };
    let mut bytes = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"media\"; filename=\"{name}\"\r\n\
         Content-Type: {content_type}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Body { content_type: format!("multipart/form-data; boundary={boundary}"), bytes: bytes.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_end_its_header() {
        let body = form("a\".png\r\nX: y", b"data", "b".into());
        let text = String::from_utf8(body.bytes.to_vec()).unwrap();
        assert!(
            text.contains("filename=\"a.pngX: y\"\r\nContent-Type: application/octet-stream\r\n\r\ndata\r\n--b--"),
            "{text}"
        );
        let body = form("", b"", "b".into());
        assert!(String::from_utf8(body.bytes.to_vec()).unwrap().contains("filename=\"media\""));
    }

    #[test]
    fn an_error_is_told_from_media() {
        let answer = |content_type: &str, body: &str| Answer {
            location: None,
            content_type: Some(content_type.into()),
            body: body.as_bytes().to_vec(),
        };
        assert!(json(&answer("application/json; encoding=utf-8", "{}")).is_some());
        assert!(json(&answer("image/jpeg", "{}")).is_none());
        assert!(json(&answer("text/plain", "a file of text")).is_none());
    }
}

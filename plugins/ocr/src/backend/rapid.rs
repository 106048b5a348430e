//! A RapidOCR service (`pip install rapidocr_api`): takes a picture as a form, answers with the lines in it.

use std::collections::BTreeMap;

use mynah_plugin::{
    http::{self, Request},
    log,
};
use serde::Deserialize;

use super::{Backend, Trouble};

/// Bytes of a picture: WeChat's own bound, and within what one request can hold.
const PICTURE: usize = 10 << 20;

/// How the kinds of pictures begin that the service reads.
const MAGIC: [&[u8]; 7] = [b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*"];

pub(crate) struct Rapid {
    /// Where pictures are posted to.
    pub(crate) url: String,
}

/// One line of text.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    rec_txt: String,
}

impl Backend for Rapid {
    fn read(&self, url: &str) -> Result<String, Trouble> {
        let picture = download(url)?;
        if !MAGIC.iter().any(|magic| picture.starts_with(magic)) {
            return Err(Trouble::Unreadable);
        }
        let boundary = boundary(&picture);
        let body = form(&boundary, &picture);
        let request =
            Request::post(&self.url, body).header("Content-Type", format!("multipart/form-data; boundary={boundary}"));
        let response = http::send(&request).map_err(|error| {
            log::error!("the OCR service at {} cannot be used: {error}", self.url);
            match error.code.as_str() {
                "timeout" => Trouble::Late,
                "too-large" => Trouble::TooLarge,
                _ => Trouble::Away,
            }
        })?;
        match response.status {
            200 => {}
            413 => return Err(Trouble::TooLarge),
            status => {
                log::error!("the OCR service at {} answered {status}", self.url);
                return Err(Trouble::Away);
            }
        }
        // An object whose keys are the lines' numbers, and nothing for a picture without text.
        let lines: BTreeMap<String, Line> = serde_json::from_slice(&response.body).map_err(|error| {
            log::error!("the OCR service at {} answered what cannot be read: {error}", self.url);
            Trouble::Away
        })?;
        let mut lines: Vec<(u32, String)> =
            lines.into_iter().map(|(n, line)| (n.parse().unwrap_or(u32::MAX), line.rec_txt)).collect();
        lines.sort_by_key(|(n, _)| *n);
        Ok(lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n"))
    }
}

fn download(url: &str) -> Result<Vec<u8>, Trouble> {
    let response = http::send(&Request::get(url)).map_err(|error| {
        log::error!("a picture cannot be downloaded: {error}");
        match error.code.as_str() {
            "too-large" => Trouble::TooLarge,
            "timeout" => Trouble::Late,
            // Not granted: an operator's mistake, and none that the follower could mend by sending it again.
            "not-granted" | "unavailable" => Trouble::Away,
            _ => Trouble::Gone,
        }
    })?;
    if response.status != 200 {
        log::warn!("a picture was answered with {}", response.status);
        return Err(if response.status >= 500 { Trouble::Away } else { Trouble::Gone });
    }
    if response.body.len() > PICTURE {
        return Err(Trouble::TooLarge);
    }
    Ok(response.body)
}

fn form(boundary: &str, picture: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"image_file\"; filename=\"picture\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    [head.as_bytes(), picture, tail.as_bytes()].concat()
}

/// A line that the picture does not contain.
fn boundary(picture: &[u8]) -> String {
    let mut boundary = "mynah-picture".to_owned();
    while contains(picture, boundary.as_bytes()) {
        boundary.push('x');
    }
    boundary
}

/// Looks only where the first byte fits, and there are few such places.
fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|byte| *byte == needle[0]) {
        if haystack[from + at..].starts_with(needle) {
            return true;
        }
        from += at + 1;
    }
    false
}

//! WeChat's own OCR (通用印刷体识别), which fetches the picture itself.

use mynah_plugin::{log, wechat};
use serde::Deserialize;

use super::{Backend, Trouble};

pub(crate) struct Wechat;

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    items: Vec<Item>,
}

/// One line of text.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    text: String,
}

impl Backend for Wechat {
    fn read(&self, url: &str) -> Result<String, Trouble> {
        let url: String = form_urlencoded::byte_serialize(url.as_bytes()).collect();
        // A body, though an empty one: without one it would be a GET.
        let answer = wechat::call(&format!("/cv/ocr/comm?img_url={url}"), Some("")).map_err(|error| {
            log::error!("WeChat did not read a picture: {error}");
            match error.code.as_str() {
                // invalid image url; invalid media data; media data missing.
                "101000" | "41005" => Trouble::Gone,
                // image too large, by bytes or by pixels.
                "40009" | "45001" | "101003" => Trouble::TooLarge,
                "timeout" => Trouble::Late,
                _ => Trouble::Away,
            }
        })?;
        let read: Read = serde_json::from_str(&answer).map_err(|error| {
            log::error!("WeChat answered what cannot be read: {error}");
            Trouble::Away
        })?;
        Ok(read.items.into_iter().map(|item| item.text).collect::<Vec<_>>().join("\n"))
    }
}

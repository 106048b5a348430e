//! What bots.toml says: `[plugins.ocr.config]`.

use mynah_plugin::config;

use crate::backend::{Rapid, Reader};

/// Where a RapidOCR service listens when it is started as its own documentation says, on the same machine.
const RAPID: &str = "http://127.0.0.1:9003/ocr";

/// What asks for the text of the collected pictures.
const WORD: &str = "识别";

/// As many pictures as WeChat lets a person choose at once.
const PAGES: usize = 9;

/// The most that `pages` may say: their addresses must fit into the conversation's state, of 64 KiB.
const PAGES_MAX: usize = 50;

/// Seconds for which collected pictures wait for the word.
const WAIT: u32 = 10 * 60;

pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) backend: Reader,
    /// Never empty.
    pub(crate) words: Vec<String>,
    pub(crate) pages: usize,
    pub(crate) wait: u32,
    pub(crate) per_day: Option<u32>,
}

/// When pictures are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Together, when the word comes.
    Batch,
    /// Each as it comes.
    Each,
}

impl Settings {
    /// Reads them; the error is for whoever wrote them.
    pub(crate) fn load() -> Result<Self, String> {
        let mode = match config::get("mode").as_deref() {
            None | Some("batch") => Mode::Batch,
            Some("each") => Mode::Each,
            Some(other) => return Err(format!("config: `mode` is \"batch\" or \"each\", not {other:?}")),
        };
        let backend = match config::get("backend").as_deref() {
            None | Some("rapidocr") => {
                Reader::Rapid(Rapid { url: config::get("url").unwrap_or_else(|| RAPID.to_owned()) })
            }
            Some("wechat") => Reader::Wechat,
            Some(other) => return Err(format!("config: `backend` is \"rapidocr\" or \"wechat\", not {other:?}")),
        };
        let words = config::get("words").unwrap_or_else(|| WORD.to_owned());
        let words: Vec<String> =
            words.split([',', '，']).map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err("config: `words` names no word".to_owned());
        }
        let pages = number("pages", PAGES as u64)?;
        if !(1..=PAGES_MAX as u64).contains(&pages) {
            return Err(format!("config: `pages` is between 1 and {PAGES_MAX}"));
        }
        let wait = number("wait", u64::from(WAIT))?;
        let wait = u32::try_from(wait).ok().filter(|wait| *wait > 0).ok_or("config: `wait` is a number of seconds")?;
        let per_day = match config::get("per_day") {
            None => None,
            Some(_) => Some(u32::try_from(number("per_day", 0)?).unwrap_or(u32::MAX)),
        };
        Ok(Self { mode, backend, words, pages: pages as usize, wait, per_day })
    }

    pub(crate) fn is_word(&self, text: &str) -> bool {
        self.words.iter().any(|word| word == text.trim())
    }

    /// The word as a link: one tap says it.
    pub(crate) fn link(&self) -> String {
        let word = &self.words[0];
        format!("<a href=\"weixin://bizmsgmenu?msgmenucontent={word}&msgmenuid=1\">{word}</a>")
    }

    /// What is said when a day's pictures are used up.
    pub(crate) fn used_up(&self) -> String {
        format!("今天的 {} 张已经用完了，明天再来吧。", self.per_day.unwrap_or(0))
    }
}

fn number(key: &str, default: u64) -> Result<u64, String> {
    match config::get(key) {
        None => Ok(default),
        Some(text) => text.trim().parse().map_err(|_| format!("config: `{key}` is a number, not {text:?}")),
    }
}

//! The double behind the public functions: modules that look like the generated bindings, and the
//! thread's state that they work on.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::Error;
use crate::http::{Request, Response};
use crate::log::Level;

/// What a message can change and what a failed one leaves as it was.
#[derive(Clone, Default)]
pub(super) struct State {
    /// `String`s order by their bytes, which is the order that the contract asks for.
    store: BTreeMap<String, Vec<u8>>,
    /// The state, and the seconds it was given.
    pub(super) conversation: Option<(Vec<u8>, u32)>,
}

pub(super) type OnHttp = Box<dyn FnMut(&Request) -> Result<Response, Error>>;
pub(super) type OnWechatCall = Box<dyn FnMut(&str, Option<&str>) -> Result<String, Error>>;
pub(super) type OnUpload = Box<dyn FnMut(&str, &str, &[u8]) -> Result<String, Error>>;
pub(super) type OnDownload = Box<dyn FnMut(&str) -> Result<Vec<u8>, Error>>;

#[derive(Default)]
struct Host {
    config: HashMap<String, String>,
    log: Vec<(Level, String)>,
    state: State,
    on_http: Option<OnHttp>,
    on_wechat_call: Option<OnWechatCall>,
    on_upload: Option<OnUpload>,
    on_download: Option<OnDownload>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(work)
}

pub(super) fn reset() {
    HOST.take();
}

pub(super) fn state() -> State {
    with(|host| host.state.clone())
}

pub(super) fn restore(state: State) {
    with(|host| host.state = state);
}

pub(super) fn set_config(key: String, value: String) {
    with(|host| host.config.insert(key, value));
}

pub(super) fn log_lines() -> Vec<(Level, String)> {
    with(|host| host.log.clone())
}

pub(super) fn on_http(answer: OnHttp) {
    with(|host| host.on_http = Some(answer));
}

pub(super) fn on_wechat_call(answer: OnWechatCall) {
    with(|host| host.on_wechat_call = Some(answer));
}

pub(super) fn on_upload(answer: OnUpload) {
    with(|host| host.on_upload = Some(answer));
}

pub(super) fn on_download(answer: OnDownload) {
    with(|host| host.on_download = Some(answer));
}

/// Runs a scripted answer while the host is not borrowed, so that it may log, or script the next.
fn scripted<S, T>(
    slot: fn(&mut Host) -> &mut Option<S>,
    what: &str,
    run: impl FnOnce(&mut S) -> Result<T, Error>,
) -> Result<T, Error> {
    let Some(mut script) = with(|host| slot(host).take()) else {
        return Err(Error::new("not-granted", format!("the test scripts no answer to {what}")));
    };
    let answer = run(&mut script);
    with(|host| {
        slot(host).get_or_insert(script);
    });
    answer
}

pub(crate) mod log {
    use super::{Level, with};

    pub(crate) fn log(level: Level, text: &str) {
        with(|host| host.log.push((level, text.to_owned())));
    }
}

pub(crate) mod config {
    use super::with;

    pub(crate) fn get(key: &str) -> Option<String> {
        with(|host| host.config.get(key).cloned())
    }
}

pub(crate) mod conversation {
    use super::{Error, state, with};

    pub(crate) fn recall() -> Result<Option<Vec<u8>>, Error> {
        Ok(state().conversation.map(|(state, _)| state))
    }

    pub(crate) fn remember(state: &[u8], seconds: u32) -> Result<(), Error> {
        // No time at all is over at once.
        let conversation = (seconds > 0).then(|| (state.to_vec(), seconds));
        with(|host| host.state.conversation = conversation);
        Ok(())
    }

    pub(crate) fn end() -> Result<(), Error> {
        with(|host| host.state.conversation = None);
        Ok(())
    }
}

pub(crate) mod store {
    use std::ops::Bound;

    use super::{Error, with};

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(with(|host| host.state.store.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        with(|host| host.state.store.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        with(|host| host.state.store.remove(key));
        Ok(())
    }

    pub(crate) fn list(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(with(|host| {
            host.state
                .store
                .range::<str, _>((from, Bound::Unbounded))
                .map(|(key, _)| key)
                .take_while(|key| key.starts_with(prefix))
                .take(limit)
                .cloned()
                .collect()
        }))
    }

    pub(crate) fn add(key: &str, delta: i64) -> Result<i64, Error> {
        let count: i64 = match get(key)? {
            None => 0,
            Some(value) => std::str::from_utf8(&value)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| Error::new("not-a-number", format!("`{key}` is no counter")))?,
        };
        let sum = count
            .checked_add(delta)
            .ok_or_else(|| Error::new("not-a-number", format!("`{key}` would leave 64 bits")))?;
        set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }
}

pub(crate) mod http {
    use super::{Error, Request, Response, scripted};

    pub(crate) fn send(request: &Request) -> Result<Response, Error> {
        scripted(|host| &mut host.on_http, &request.url, |script| script(request))
    }
}

pub(crate) mod wechat {
    use super::{Error, scripted};

    pub(crate) fn call(path: &str, body: Option<&str>) -> Result<String, Error> {
        scripted(|host| &mut host.on_wechat_call, path, |script| script(path, body))
    }

    pub(crate) fn upload(kind: &str, file_name: &str, data: &[u8]) -> Result<String, Error> {
        scripted(|host| &mut host.on_upload, "uploads", |script| script(kind, file_name, data))
    }

    pub(crate) fn download(media_id: &str) -> Result<Vec<u8>, Error> {
        scripted(|host| &mut host.on_download, "downloads", |script| script(media_id))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, Message, Reply, conversation, http, log, store, testing};

    #[test]
    fn lists_keys_by_bytes_from_after_a_key_that_need_not_exist() {
        for key in ["a/é", "a/b", "a", "b", "a/a"] {
            store::set(key, "").unwrap();
        }
        assert_eq!(store::list("a/", None, 10).unwrap(), ["a/a", "a/b", "a/é"]);
        assert_eq!(store::list("a/", Some("a/aa"), 1).unwrap(), ["a/b"]);
        assert_eq!(store::list("a/", Some(""), 1).unwrap(), ["a/a"]);
        assert!(store::list("a/", Some("b"), 10).unwrap().is_empty());
        assert!(store::list("a/", None, 0).unwrap().is_empty());
    }

    #[test]
    fn adds_only_to_numbers_that_stay_numbers() {
        store::set("name", "八哥").unwrap();
        assert_eq!(store::add("name", 1).unwrap_err().code, "not-a-number");
        store::set("many", i64::MAX.to_string()).unwrap();
        assert_eq!(store::add("many", 1).unwrap_err().code, "not-a-number");
        assert_eq!(store::add("many", -1), Ok(i64::MAX - 1));
    }

    #[test]
    fn a_failed_message_leaves_no_trace_but_its_log() {
        fn handle(_: Message) -> Result<(), Error> {
            store::add("visits", 1)?;
            conversation::remember("step 2", 60)?;
            log::info!("about to fail");
            http::send(&http::Request::get("https://example.com")).map(drop)
        }
        conversation::remember("step 1", 60).unwrap();
        let answer = testing::deliver(handle, testing::text("hi"));
        assert!(answer.unwrap_err().starts_with("not-granted: "));
        assert_eq!(store::get("visits"), Ok(None));
        assert_eq!(conversation::recall(), Ok(Some(b"step 1".to_vec())));
        assert_eq!(testing::log_lines().len(), 1);
    }

    #[test]
    fn silence_is_an_answer_and_keeps_what_was_written() {
        let visit = |_| store::add("visits", 1).map(drop);
        assert_eq!(testing::deliver(visit, testing::event("VIEW")), Ok(Reply::Silence));
        assert_eq!(store::get("visits"), Ok(Some(b"1".to_vec())));
    }

    #[test]
    fn a_script_may_log_and_answers_every_call() {
        let mut calls = 0;
        testing::on_http(move |request| {
            calls += 1;
            log::debug!("{} {}", calls, request.url);
            Ok(http::Response::new(200, calls.to_string()))
        });
        let request = http::Request::get("https://example.com");
        http::send(&request).unwrap();
        assert_eq!(http::send(&request).unwrap().text(), "2");
        assert_eq!(testing::log_lines().len(), 2);
    }

    #[test]
    fn forgets_everything_on_reset() {
        testing::set_config("name", "八哥");
        store::set("key", "value").unwrap();
        testing::reset();
        assert_eq!(crate::config::get("name"), None);
        assert_eq!(store::get("key"), Ok(None));
    }
}

//! A double of the WeChat API: a server on a real socket that answers as `api.weixin.qq.com` does, as far as a host's tests need it.
//!
//! It issues access tokens with their real terms, checks them on every call, keeps media and the menu, records every call, and can be
//! told to fail: with an error of WeChat's, slowly, or by dropping the connection before or after the call took effect.
//!
//! ```
//! use wechat_api_double::{Then, WechatApi};
//!
//! let api = WechatApi::start();
//! api.account("wx1", "secret");
//! api.next("/cgi-bin/message/custom/send", Then::Error(45015, "response out of time limit"));
//! assert!(api.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(api.calls("/cgi-bin/stable_token").len(), 0);
//! ```

mod account;
mod endpoints;
mod media;
mod server;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

use self::account::Account;
pub use self::media::Media;

/// How long [`WechatApi::wait_for_calls`] waits: long enough for a machine that is busy building.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running double; it stops with the value.
pub struct WechatApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One call as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// GET or POST.
    pub method: String,
    /// The path as it was sent, without its query.
    pub path: String,
    /// The parameters of the URL, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The value of `Content-Type`, if there was one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The `errcode` of the answer; none where it had none, or there was no answer.
    pub errcode: Option<i64>,
}

/// What the next call of a path meets.
#[derive(Debug, Clone)]
pub enum Then {
    /// This error of WeChat's, `errcode` and `errmsg`; the call has no effect.
    Error(i64, &'static str),
    /// A response that is not WeChat's usual one: status, content type and body; the call has no effect.
    Response(u16, &'static str, Vec<u8>),
    /// The caller is sent elsewhere, with the status 302; the call has no effect.
    Redirect(String),
    /// The usual, but after some time.
    Delay(Duration),
    /// The connection is dropped before the body is read, and the call has no effect.
    DropBefore,
    /// The call takes effect, and the connection is dropped in place of an answer.
    DropAfter,
    /// The call takes effect, and is never answered.
    Hang,
    /// The usual.
    Usual,
}

/// What the server's tasks and the test share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    address: SocketAddr,
}

struct State {
    started: Instant,
    /// How far the double's clock was moved.
    advanced: Duration,
    accounts: Vec<Account>,
    listed: bool,
    scripts: HashMap<String, VecDeque<Then>>,
    revoked: HashSet<String>,
    calls: Vec<Call>,
    sent: Vec<Value>,
    closed: HashSet<String>,
    quotas: HashMap<String, u32>,
    media: Vec<Media>,
    menu: Option<Value>,
    texts: HashMap<String, Vec<String>>,
    codes: HashMap<String, account::Code>,
    callback_ips: Vec<String>,
}

impl WechatApi {
    /// Starts on a free port of the loopback address.
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap_or_else(|error| panic!("no free port: {error}"))
    }

    /// Starts at an address.
    pub fn start_at(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = State {
            started: Instant::now(),
            advanced: Duration::ZERO,
            accounts: Vec::new(),
            listed: true,
            scripts: HashMap::new(),
            revoked: HashSet::new(),
            calls: Vec::new(),
            sent: Vec::new(),
            closed: HashSet::new(),
            quotas: HashMap::new(),
            media: Vec::new(),
            menu: None,
            texts: HashMap::new(),
            codes: HashMap::new(),
            callback_ips: vec!["127.0.0.1".to_owned()],
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), address });
        let (stop, stopped) = watch::channel(());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("wechat-api-double".to_owned())
            .spawn(move || server::run(listener, theirs, stopped))?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Its base address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an account.
    pub fn account(&self, app_id: &str, secret: &str) {
        self.state().accounts.push(Account::new(app_id, secret));
    }

    /// What the next call of `path` meets that no earlier `next` has bespoken.
    pub fn next(&self, path: &str, then: Then) {
        self.state().scripts.entry(path.to_owned()).or_default().push_back(then);
    }

    /// Whether the caller's address is on the account's list; it is at first. Otherwise tokens are refused with 40164.
    pub fn set_listed(&self, listed: bool) {
        self.state().listed = listed;
    }

    /// Takes the permission for a path from all accounts, 48001, or gives it back.
    pub fn set_permitted(&self, path: &str, permitted: bool) {
        let mut state = self.state();
        if permitted {
            state.revoked.remove(path);
        } else {
            state.revoked.insert(path.to_owned());
        }
    }

    /// Ends a follower's 48 hours: customer-service messages get 45015.
    pub fn close_window(&self, openid: &str) {
        self.state().closed.insert(openid.to_owned());
    }

    /// Lets a follower get so many customer-service messages more; beyond, they get 45047.
    pub fn set_quota(&self, openid: &str, messages: u32) {
        self.state().quotas.insert(openid.to_owned(), messages);
    }

    /// What `/cv/ocr/comm` reads in the picture at this URL.
    pub fn set_text(&self, img_url: &str, lines: &[&str]) {
        self.state().texts.insert(img_url.to_owned(), lines.iter().map(|&line| line.to_owned()).collect());
    }

    /// Gives out a code of web authorization, good for one use within five minutes.
    pub fn grant_code(&self, code: &str, openid: &str, scope: &str) {
        let mut state = self.state();
        let code_until = state.now() + account::CODE_FOR;
        let granted = account::Code::new(openid, scope, code_until);
        state.codes.insert(code.to_owned(), granted);
    }

    /// Moves the double's clock on.
    pub fn advance(&self, time: Duration) {
        self.state().advanced += time;
    }

    /// Lets all tokens expire now, before their time: calls with them get 42001.
    pub fn expire_tokens(&self) {
        let mut state = self.state();
        let now = state.now();
        state.accounts.iter_mut().for_each(|account| account.expire(now));
    }

    /// Refuses the current tokens with 40001 while still giving them out, as when another program has forced a refresh of its own.
    pub fn poison_tokens(&self) {
        self.state().accounts.iter_mut().for_each(Account::poison);
    }

    /// The calls of a path so far; of all paths for an empty one.
    pub fn calls(&self, path: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| path.is_empty() || call.path == path).cloned().collect()
    }

    /// Waits until a path was called so often, and returns the calls.
    pub fn wait_for_calls(&self, path: &str, times: usize) -> Vec<Call> {
        let enough = |state: &mut State| state.calls.iter().filter(|call| call.path == path).count() < times;
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.state(), PATIENCE, enough)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let calls: Vec<Call> = state.calls.iter().filter(|call| call.path == path).cloned().collect();
        drop(state);
        assert!(!waited.timed_out(), "`{path}` was called {} times, not {times}", calls.len());
        calls
    }

    /// The customer-service messages that followers got, oldest first.
    pub fn sent(&self) -> Vec<Value> {
        self.state().sent.clone()
    }

    /// Waits until followers got so many customer-service messages, and returns them.
    pub fn wait_for_sent(&self, messages: usize) -> Vec<Value> {
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| state.sent.len() < messages)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let sent = state.sent.clone();
        drop(state);
        assert!(!waited.timed_out(), "followers got {} messages, not {messages}", sent.len());
        sent
    }

    /// The temporary media that were uploaded.
    pub fn uploads(&self) -> Vec<Media> {
        self.state().media.clone()
    }

    /// Every token that was ever given out, for tests that look for them where they must not be.
    pub fn tokens(&self) -> Vec<String> {
        self.state().accounts.iter().flat_map(Account::tokens).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for WechatApi {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Call {
    /// The first parameter of this name in the URL.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock is reported by itself.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// The double's time.
    fn now(&self) -> Duration {
        self.started.elapsed() + self.advanced
    }
}

#[cfg(test)]
mod tests;

//! Messages as WeChat sends them, each one new to the server.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use mynah::wechat::{
    cipher::{AesKey, Cipher, WhichKey},
    signature,
};

/// The token of every bot that is measured.
pub(crate) const TOKEN: &str = "mynahbench";

/// The key and the account of safe mode.
pub(crate) const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
pub(crate) const APP_ID: &str = "wxb11529c136998cb6";

/// What followers say, and so what an echo answers.
pub(crate) const TEXT: &str = "你好，今天几点开门？";

const TIMESTAMP: &str = "1700000000";
const NONCE: &str = "415670741";

/// Followers who take turns: more than are ever under way at one time.
const FOLLOWERS: u64 = 10_000;

/// Tells one message from another, in the whole process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The bot's path for the nth message.
type Path = Arc<dyn Fn(u64) -> String + Send + Sync>;

/// The text of the nth message, from this follower.
type Text = Arc<dyn Fn(u64, u64) -> String + Send + Sync>;

/// What a server is asked, and what its answer must contain.
#[derive(Clone)]
pub(crate) struct Messages {
    path: Path,
    text: Text,
    /// In safe mode.
    sealed: bool,
    /// What must be in each answer.
    pub(crate) expected: &'static str,
}

impl Messages {
    /// The same text from many followers, to be echoed.
    pub(crate) fn echo() -> Self {
        Self {
            path: Arc::new(|_| "/weixin/".into()),
            text: Arc::new(|_, _| TEXT.into()),
            sealed: false,
            expected: TEXT,
        }
    }

    /// The same in safe mode.
    pub(crate) fn sealed() -> Self {
        Self { sealed: true, expected: "<Encrypt>", ..Self::echo() }
    }

    /// These texts, by number and follower.
    pub(crate) fn texts(text: impl Fn(u64, u64) -> String + Send + Sync + 'static, expected: &'static str) -> Self {
        Self { text: Arc::new(text), expected, ..Self::echo() }
    }

    /// The echo at these paths, by number.
    pub(crate) fn at(path: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        Self { path: Arc::new(path), ..Self::echo() }
    }

    /// `count` whole HTTP requests.
    pub(crate) fn requests(&self, count: usize) -> Vec<Vec<u8>> {
        let first = NEXT.fetch_add(count as u64, Ordering::Relaxed);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let signed = signature::sign(&[TOKEN, TIMESTAMP, NONCE]);
        let cipher = Cipher::new(AesKey::parse(AES_KEY).expect("a key"), None, APP_ID);
        (first..first + count as u64)
            .map(|n| {
                let (path, text) = ((self.path)(n), (self.text)(n, n % FOLLOWERS));
                let follower = n % FOLLOWERS;
                let body = format!(
                    "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><FromUserName>\
                     <![CDATA[oia2TjjewbmiOUlr6X{follower:010}]]></FromUserName><CreateTime>{created}</CreateTime>\
                     <MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{text}]]></Content><MsgId>{id}</MsgId></xml>",
                    id = 23_000_000_000_000_000 + n,
                );
                let (body, more) = if self.sealed {
                    let encrypt = cipher.encrypt(WhichKey::Current, [7; 16], body.as_bytes());
                    let signed = signature::sign(&[TOKEN, TIMESTAMP, NONCE, &encrypt]);
                    let body = format!(
                        "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
                    );
                    (body, format!("&encrypt_type=aes&msg_signature={signed}"))
                } else {
                    (body, String::new())
                };
                format!(
                    "POST {path}?signature={signed}&timestamp={TIMESTAMP}&nonce={NONCE}&openid=oia2TjjewbmiOUlr6X{follower:010}{more} \
                     HTTP/1.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\nHost: 127.0.0.1\r\nPragma: no-cache\r\n\
                     Content-Length: {length}\r\nContent-Type: text/xml\r\n\r\n{body}",
                    length = body.len(),
                )
                .into_bytes()
            })
            .collect()
    }
}

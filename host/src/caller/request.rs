//! What WeChat sends: the query that it signs, and the body in each mode.

use url::Url;

use crate::{
    clock::World,
    secret::Secret,
    wechat::{
        cipher::{Cipher, WhichKey},
        document::{Document, Format},
        message::Message,
        signature,
    },
};

/// What WeChat and an account share.
#[derive(Debug, Clone)]
pub struct Account {
    /// The Token of the account's server configuration.
    pub token: Secret,
    /// The EncodingAESKey and the AppID, where they are known.
    pub cipher: Option<Cipher>,
}

/// The account's choice of encryption (消息加解密方式).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 明文模式.
    Plain,
    /// 兼容模式: plain fields and `Encrypt` in one body.
    Compatible,
    /// 安全模式: `Encrypt` alone.
    Safe,
}

impl Mode {
    /// Its name in words, as the console has it too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plaintext mode (明文模式)",
            Self::Compatible => "compatible mode (兼容模式)",
            Self::Safe => "safe mode (安全模式)",
        }
    }
}

/// One HTTP request of WeChat's.
#[derive(Debug, Clone)]
pub struct Request {
    /// The URL with all of its query.
    pub url: Url,
    /// A POST's body; a GET has none.
    pub body: Option<String>,
    /// The body's type.
    pub content_type: &'static str,
}

/// A message that is to be delivered, in any number of deliveries.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The body as it is in plaintext mode.
    pub body: String,
    /// What it was written in.
    pub format: Format,
    /// What it says.
    pub message: Message,
}

/// Why a message cannot be delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undeliverable {
    /// The text is no document, or none of a message.
    #[error("this is no message of WeChat's: {0}")]
    NoMessage(String),
    /// It cannot be encrypted.
    #[error("{mode} needs the account's `encoding_aes_key` and `app_id`", mode = .0.name())]
    NoKey(Mode),
}

impl Outgoing {
    /// Takes a body that is a message's.
    pub fn new(body: String) -> Result<Self, Undeliverable> {
        let no_message = |why: &dyn std::fmt::Display| Undeliverable::NoMessage(why.to_string());
        let document = Document::parse(body.as_bytes()).map_err(|error| no_message(&error))?;
        let format = document.format;
        let message = Message::try_from(document).map_err(|error| no_message(&error))?;
        Ok(Self { body, format, message })
    }
}

impl Account {
    /// The parameters that come with every request, signed now, behind those that the URL has of its own.
    fn signed(&self, url: &Url, world: &World) -> (Url, String, String) {
        let timestamp = world.clock.now().as_secs().to_string();
        // Ten digits at the most, as WeChat's have.
        let nonce = number(world, u64::from(u32::MAX)).to_string();
        let signature = signature::sign(&[self.token.expose(), &timestamp, &nonce]);
        let mut url = url.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("signature", &signature);
        query.append_pair("timestamp", &timestamp).append_pair("nonce", &nonce);
        drop(query);
        (url, timestamp, nonce)
    }

    /// What WeChat sends when the URL is entered in the account's console.
    pub fn verification(&self, url: &Url, echostr: &str, world: &World) -> Request {
        let (mut url, ..) = self.signed(url, world);
        url.query_pairs_mut().append_pair("echostr", echostr);
        Request { url, body: None, content_type: "" }
    }

    /// One delivery of a message, with a signature and a ciphertext of its own.
    pub fn delivery(
        &self,
        url: &Url,
        mode: Mode,
        outgoing: &Outgoing,
        world: &World,
    ) -> Result<Request, Undeliverable> {
        let (mut url, timestamp, nonce) = self.signed(url, world);
        url.query_pairs_mut().append_pair("openid", &outgoing.message.sender);
        let content_type = match outgoing.format {
            Format::Xml => "text/xml",
            Format::Json => "application/json",
        };
        if mode == Mode::Plain {
            return Ok(Request { url, body: Some(outgoing.body.clone()), content_type });
        }
        let cipher = self.cipher.as_ref().ok_or(Undeliverable::NoKey(mode))?;
        let mut random = [0; 16];
        world.randomness.fill(&mut random);
        let encrypt = cipher.encrypt(WhichKey::Current, random, outgoing.body.as_bytes());
        let msg_signature = signature::sign(&[self.token.expose(), &timestamp, &nonce, &encrypt]);
        url.query_pairs_mut().append_pair("encrypt_type", "aes").append_pair("msg_signature", &msg_signature);
        let plain = if mode == Mode::Compatible { Some(outgoing.body.as_str()) } else { None };
        let body = sealed(outgoing, plain, &encrypt);
        Ok(Request { url, body: Some(body), content_type })
    }
}

impl Request {
    /// `GET` or `POST`.
    pub fn method(&self) -> &'static str {
        if self.body.is_some() { "POST" } else { "GET" }
    }
}

/// A body with `Encrypt` in it, behind the fields of `plain` where there are any.
fn sealed(outgoing: &Outgoing, plain: Option<&str>, encrypt: &str) -> String {
    let account = &outgoing.message.account;
    match (outgoing.format, plain) {
        (Format::Xml, Some(plain)) => {
            let (fields, end) = plain.rsplit_once("</").unwrap_or((plain, "xml>"));
            format!("{fields}<Encrypt><![CDATA[{encrypt}]]></Encrypt></{end}")
        }
        (Format::Json, Some(plain)) => {
            let (fields, end) = plain.rsplit_once('}').unwrap_or((plain, ""));
            format!("{fields},\"Encrypt\":\"{encrypt}\"}}{end}")
        }
        (Format::Xml, None) => {
            let account = account.replace("]]>", "");
            format!(
                "<xml>\n<ToUserName><![CDATA[{account}]]></ToUserName>\n<Encrypt><![CDATA[{encrypt}]]></Encrypt>\n</xml>"
            )
        }
        (Format::Json, None) => serde_json::json!({ "ToUserName": account, "Encrypt": encrypt }).to_string(),
    }
}

/// A string as WeChat gives to be echoed: a number of 19 digits, which is more than a JavaScript number can hold.
pub fn echostr(world: &World) -> String {
    (1_000_000_000_000_000_000 + number(world, 8_000_000_000_000_000_000)).to_string()
}

/// A message's id, as large as WeChat's are.
pub fn message_id(world: &World) -> u64 {
    20_000_000_000_000_000 + number(world, 9_000_000_000_000_000)
}

fn number(world: &World, below: u64) -> u64 {
    let mut bytes = [0; 8];
    world.randomness.fill(&mut bytes);
    u64::from_le_bytes(bytes) % below.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::cipher::AesKey;

    fn account() -> Account {
        let key = AesKey::parse("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap();
        Account { token: Secret::new("mynah"), cipher: Some(Cipher::new(key, None, "wxb11529c136998cb6")) }
    }

    const XML: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>o_1</FromUserName><CreateTime>1</CreateTime>\
                       <MsgType>text</MsgType><Content>hi</Content></xml>";
    const JSON: &str = r#"{"ToUserName":"gh_1","FromUserName":"o_1","CreateTime":1,"MsgType":"text","Content":"hi"}"#;

    fn parameter(url: &Url, name: &str) -> String {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    fn url() -> Url {
        Url::parse("http://bot.example.com/weixin/?own=1").unwrap()
    }

    #[test]
    fn every_request_is_signed_anew_behind_the_urls_own_query() {
        let world = World::system();
        let first = account().verification(&url(), "123", &world).url;
        assert!(first.as_str().starts_with("http://bot.example.com/weixin/?own=1&signature="), "{first}");
        let parts = ["mynah", &parameter(&first, "timestamp"), &parameter(&first, "nonce")];
        assert!(signature::verify(&parts, &parameter(&first, "signature")));
        assert_eq!(parameter(&first, "echostr"), "123");
        assert_ne!(account().verification(&url(), "123", &world).url, first);
    }

    #[test]
    fn each_mode_can_be_read_in_each_format() {
        let world = World::system();
        for body in [XML, JSON] {
            let outgoing = Outgoing::new(body.to_owned()).unwrap();
            for mode in [Mode::Plain, Mode::Compatible, Mode::Safe] {
                let request = account().delivery(&url(), mode, &outgoing, &world).unwrap();
                assert_eq!(request.method(), "POST");
                let sent = request.body.unwrap();
                let document = Document::parse(sent.as_bytes()).unwrap();
                assert_eq!(document.format, outgoing.format);
                assert_eq!(document.leaf("ToUserName"), Some("gh_1"));
                assert_eq!(document.leaf("Content").is_some(), mode != Mode::Safe, "{sent}");
                assert_eq!(document.leaf("Encrypt").is_some(), mode != Mode::Plain, "{sent}");
                assert_eq!(parameter(&request.url, "openid"), "o_1");
                let Some(encrypt) = document.leaf("Encrypt") else { continue };
                let [timestamp, nonce, msg_signature] =
                    ["timestamp", "nonce", "msg_signature"].map(|name| parameter(&request.url, name));
                assert!(signature::verify(&["mynah", &timestamp, &nonce, encrypt], &msg_signature));
                let opened = account().cipher.unwrap().decrypt(encrypt).unwrap();
                assert_eq!(opened.message, body.as_bytes());
            }
        }
    }

    #[test]
    fn what_is_no_message_or_cannot_be_encrypted_is_refused() {
        assert_eq!(
            Outgoing::new("hello".into()).unwrap_err().to_string(),
            "this is no message of WeChat's: the body is neither XML nor JSON, it begins with `hello`"
        );
        let outgoing = Outgoing::new(XML.into()).unwrap();
        let plain = Account { cipher: None, ..account() };
        let error = plain.delivery(&url(), Mode::Safe, &outgoing, &World::system()).unwrap_err();
        assert_eq!(error.to_string(), "safe mode (安全模式) needs the account's `encoding_aes_key` and `app_id`");
    }

    #[test]
    fn an_echostr_is_larger_than_a_javascript_number() {
        for _ in 0..100 {
            let text = echostr(&World::system());
            assert_eq!(text.len(), 19);
        }
    }
}

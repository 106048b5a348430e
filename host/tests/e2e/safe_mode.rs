//! Plaintext, compatible and safe mode through the whole server.

use mynah::wechat::{
    cipher::{AesKey, Cipher, WhichKey},
    document::Document,
    signature,
};

use super::harness::*;

const APP_ID: &str = "wxb11529c136998cb6";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const OLD_KEY: &str = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba";

fn server(more: &str) -> Server {
    build_plugins();
    Server::with_config(&format!(
        "{LOOPBACK}{BOT}app_id = \"{APP_ID}\"\nencoding_aes_key = \"{KEY}\"\nprevious_aes_key = \"{OLD_KEY}\"\n{more}\
         [[bots.test.rules]]\nkeyword = \"nothing\"\nreply = {{ silence = true }}\n\
         [[bots.test.rules]]\nplugin = \"echo\"\n[plugins.echo]\nwasm = '{}'\n",
        component("echo")
    ))
}

fn cipher(key: &str, app_id: &str) -> Cipher {
    Cipher::new(AesKey::parse(key).expect("a key"), None, app_id)
}

/// The URL of an encrypted message.
fn url(server: &Server, encrypt: &str) -> String {
    let msg_signature = signature::sign(&[TOKEN, "1700000000", "nonce", encrypt]);
    format!("{}&encrypt_type=aes&msg_signature={msg_signature}", server.url())
}

fn text(content: &str) -> String {
    envelope(&format!("<MsgType>text</MsgType><Content>{content}</Content><MsgId>1</MsgId>"))
}

/// Checks an encrypted reply's signature and decrypts it.
fn opened(body: &str, cipher: &Cipher) -> String {
    let document = Document::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"));
    let leaf = |name: &str| document.leaf(name).unwrap_or_else(|| panic!("no {name}: {body}"));
    let parts = [TOKEN, leaf("TimeStamp"), leaf("Nonce"), leaf("Encrypt")];
    assert!(signature::verify(&parts, leaf("MsgSignature")), "{body}");
    String::from_utf8(cipher.decrypt(leaf("Encrypt")).expect("decrypted").message).expect("text")
}

#[test]
fn all_three_modes_are_recognised_for_each_message() {
    let server = server("");
    let cipher = cipher(KEY, APP_ID);
    assert_eq!(server.answer("明文"), "明文");
    for (n, plain_fields) in ["", "<MsgType>text</MsgType><Content>forged</Content>"].into_iter().enumerate() {
        let encrypt = cipher.encrypt(WhichKey::Current, [n as u8; 16], text("你好").as_bytes());
        let body =
            format!("<xml><ToUserName>gh_1</ToUserName>{plain_fields}<Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>");
        let (status, reply) = post(&url(&server, &encrypt), &body);
        assert_eq!(status, 200, "{reply}");
        assert_eq!(content(&opened(&reply, &cipher)), "你好");
    }
}

#[test]
fn a_reply_is_encrypted_with_the_key_that_decrypted_and_fresh_random_bytes() {
    let server = server("");
    let old = cipher(OLD_KEY, APP_ID);
    let encrypt = old.encrypt(WhichKey::Current, *b"0123456789abcdef", text("旧").as_bytes());
    let body = format!("<xml><ToUserName>gh_1</ToUserName><Encrypt>{encrypt}</Encrypt></xml>");
    let replies = [(); 2].map(|()| post(&url(&server, &encrypt), &body).1);
    for reply in &replies {
        assert_eq!(content(&opened(reply, &old)), "旧");
    }
    let encrypted =
        replies.map(|reply| Document::parse(reply.as_bytes()).expect("a reply").leaf("Encrypt").map(str::to_owned));
    assert_ne!(encrypted[0], encrypted[1]);
}

#[test]
fn silence_stays_plain_in_every_mode() {
    let server = server("");
    let encrypt = cipher(KEY, APP_ID).encrypt(WhichKey::Current, [0; 16], text("nothing").as_bytes());
    let body = format!("<xml><Encrypt>{encrypt}</Encrypt></xml>");
    assert_eq!(post(&url(&server, &encrypt), &body), (200, "success".into()));
}

#[test]
fn json_is_answered_in_json() {
    let server = server("");
    let message = r#"{"ToUserName":"gh_1","FromUserName":"o_1","CreateTime":1700000000,"MsgType":"text","Content":"嗨","MsgId":23242342342342344}"#;
    let (_, reply) = post(&server.url(), message);
    assert!(reply.starts_with('{'), "{reply}");
    assert_eq!(content(&reply), "嗨");
    let cipher = cipher(KEY, APP_ID);
    let encrypt = cipher.encrypt(WhichKey::Current, [7; 16], message.as_bytes());
    let (_, reply) = post(&url(&server, &encrypt), &format!(r#"{{"ToUserName":"gh_1","Encrypt":"{encrypt}"}}"#));
    assert!(reply.starts_with('{'), "{reply}");
    let inner = opened(&reply, &cipher);
    assert!(inner.starts_with('{'), "{inner}");
    assert_eq!(content(&inner), "嗨");
}

#[test]
fn refusals_tell_the_operator_and_nobody_else() {
    let server = server("");
    let good = cipher(KEY, APP_ID).encrypt(WhichKey::Current, [1; 16], text("x").as_bytes());
    let other_key = cipher("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG", APP_ID);
    let strange = other_key.encrypt(WhichKey::Current, [1; 16], text("x").as_bytes());
    let other_app = cipher(KEY, "wx0000000000000000").encrypt(WhichKey::Current, [1; 16], text("x").as_bytes());
    let mut tampered = good.clone().into_bytes();
    tampered[40] = if tampered[40] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).expect("text");
    let refused = (403, "this message cannot be decrypted\n".to_owned());
    let send = |encrypt: &str| post(&url(&server, encrypt), &format!("<xml><Encrypt>{encrypt}</Encrypt></xml>"));

    for encrypt in [strange.as_str(), &tampered, &good[..good.len() - 24], "AAAA", "not base64!", ""] {
        assert_eq!(send(encrypt), refused, "{encrypt}");
    }
    assert_eq!(send(&other_app), refused);
    server.wait_for_log("wx0000000000000000");
    // No `Encrypt` at all, and a `msg_signature` of something else.
    assert_eq!(post(&url(&server, ""), &text("x")), refused);
    server.wait_for_log("it has no `Encrypt`");
    assert_eq!(post(&url(&server, "other"), &format!("<xml><Encrypt>{good}</Encrypt></xml>")), refused);
    server.wait_for_log("`msg_signature` is wrong");
    // The outer signature counts in every mode.
    let unsigned = url(&server, &good).replace("signature=", "signature=0");
    assert_eq!(post(&unsigned, &format!("<xml><Encrypt>{good}</Encrypt></xml>")).0, 403);
    let log = server.log();
    for cause in ["base64", "the EncodingAESKey differs"] {
        assert!(log.contains(cause), "{cause}: {log}");
    }
    assert!(!log.contains(KEY) && !log.contains(OLD_KEY), "{log}");
}

#[test]
fn plaintext_is_refused_where_encryption_is_required() {
    let server = server("require_encryption = true\n");
    assert_eq!(post(&server.url(), &text("x")), (403, "this bot takes encrypted messages only\n".into()));
    // `raw` is plaintext too.
    assert_eq!(post(&format!("{}&encrypt_type=raw", server.url()), &text("x")).0, 403);
    let encrypt = cipher(KEY, APP_ID).encrypt(WhichKey::Current, [0; 16], text("x").as_bytes());
    assert_eq!(post(&url(&server, &encrypt), &format!("<xml><Encrypt>{encrypt}</Encrypt></xml>")).0, 200);
}

#[test]
fn an_encrypted_message_to_a_bot_without_a_key_says_what_to_add() {
    build_plugins();
    let server = Server::with_rules("[[bots.test.rules]]\nplugin = \"echo\"\n");
    let encrypt = cipher(KEY, APP_ID).encrypt(WhichKey::Current, [0; 16], text("x").as_bytes());
    let body = format!("<xml><Encrypt>{encrypt}</Encrypt></xml>");
    assert_eq!(post(&url(&server, &encrypt), &body).0, 403);
    server.wait_for_log("the bot has no `encoding_aes_key`");
    assert_eq!(post(&server.url(), &body).0, 400);
    server.wait_for_log("the URL lacks `encrypt_type=aes`");
}

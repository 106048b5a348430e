//! The reply of safe mode.

use super::document::Format;
use super::writer::Writer;

/// Wraps an encrypted reply. The signature must cover this same timestamp, in decimal digits, this nonce and this ciphertext.
pub fn render_envelope(format: Format, encrypt: &str, msg_signature: &str, timestamp: u64, nonce: &str) -> String {
    // Tags, keys and digits come to less than the spare room.
    let mut out = String::with_capacity(encrypt.len() + msg_signature.len() + nonce.len() + 256);
    let mut writer = Writer::begin(&mut out, format);
    writer.text("Encrypt", encrypt);
    writer.text("MsgSignature", msg_signature);
    writer.number("TimeStamp", timestamp);
    writer.text("Nonce", nonce);
    writer.end();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::Document;

    #[test]
    fn wraps_in_xml() {
        assert_eq!(
            render_envelope(Format::Xml, "Zm9v", "1b93", 1_713_424_427, "415670741"),
            "<xml><Encrypt><![CDATA[Zm9v]]></Encrypt><MsgSignature><![CDATA[1b93]]></MsgSignature>\
             <TimeStamp>1713424427</TimeStamp><Nonce><![CDATA[415670741]]></Nonce></xml>"
        );
    }

    #[test]
    fn wraps_in_json_with_the_time_as_a_number() {
        assert_eq!(
            render_envelope(Format::Json, "Zm9v", "1b93", 1_713_424_427, "415670741"),
            r#"{"Encrypt":"Zm9v","MsgSignature":"1b93","TimeStamp":1713424427,"Nonce":"415670741"}"#
        );
    }

    #[test]
    fn a_nonce_cannot_end_its_place() {
        for format in [Format::Xml, Format::Json] {
            let nonce = "\"]]></Nonce><Encrypt>x</Encrypt>";
            let envelope = render_envelope(format, "Zm9v", "1b93", 1, nonce);
            let document = Document::parse(envelope.as_bytes()).unwrap();
            assert_eq!(document.leaf("Nonce"), Some(nonce));
            assert_eq!(document.leaf("Encrypt"), Some("Zm9v"));
        }
    }
}

//! No body panics the reader, and what it reads is within its bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mynah::wechat::document::{MAX_LEAVES, MAX_NAME};
use mynah::wechat::{Document, Format, Header, Message, Raw, Reply};

fuzz_target!(|body: &[u8]| {
    let Ok(document) = Document::parse(body) else {
        return;
    };
    assert!(document.leaves().len() <= MAX_LEAVES);
    assert!(
        document
            .leaves()
            .iter()
            .all(|leaf| leaf.name.len() <= MAX_NAME)
    );
    let Ok(message) = Message::try_from(document) else {
        return;
    };
    let _ = message.scene();

    let header = Header {
        to: &message.sender,
        from: &message.account,
        created: message.created.into(),
    };
    let text = message.text.clone().unwrap_or_default();
    let raw = Raw {
        kind: message.kind.clone(),
        fields: message.fields.clone(),
    };
    for reply in [Reply::Text(text), Reply::Raw(raw)] {
        let Ok((reply, _)) = reply.check(&message.kind) else {
            continue;
        };
        for format in [Format::Xml, Format::Json] {
            let mut out = String::new();
            reply.render(&header, format, &mut out);
            // A raw reply may use names that a message may not.
            let must_read_back = matches!(reply.reply(), Reply::Text(_));
            assert!(
                !must_read_back || Document::parse(out.as_bytes()).is_ok(),
                "{out}"
            );
        }
    }
});

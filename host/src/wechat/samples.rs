//! The samples of `samples.txt`, which says how to read it.

use super::{Document, Field, Message};

/// A body, and what is to be read from it.
struct Sample {
    body: String,
    message: Message,
}

/// Whole bodies to damage.
pub(super) fn bodies() -> Vec<String> {
    samples().map(|sample| sample.body).chain([JSON.to_owned()]).collect()
}

fn samples() -> impl Iterator<Item = Sample> {
    let blocks = include_str!("samples.txt").split("\n\n");
    blocks.filter(|block| !block.starts_with('#')).map(sample)
}

fn sample(block: &str) -> Sample {
    let (kind, rest) = block.trim_end().split_once('\n').unwrap();
    let mut message = Message {
        account: "gh_1".to_owned(),
        sender: "o1".to_owned(),
        id: String::new(),
        created: 1_348_831_860,
        kind: kind.to_owned(),
        text: None,
        fields: Vec::new(),
    };
    let mut body = format!(
        "<xml>\n<ToUserName><![CDATA[gh_1]]></ToUserName>\n<FromUserName><![CDATA[o1]]></FromUserName>\n\
         <CreateTime>1348831860</CreateTime>\n<MsgType><![CDATA[{kind}]]></MsgType>\n"
    );
    for line in rest.lines() {
        if line.starts_with('<') {
            body.push_str(line);
            body.push('\n');
            continue;
        }
        let (name, value) = line.split_once('=').unwrap();
        match name {
            "@id" => message.id = value.to_owned(),
            "@text" => message.text = Some(value.to_owned()),
            _ => message.fields.push(Field { name: name.to_owned(), value: value.to_owned() }),
        }
    }
    body.push_str("</xml>");
    Sample { body, message }
}

fn parse(body: &str) -> Message {
    Message::try_from(Document::parse(body.as_bytes()).unwrap()).unwrap()
}

#[test]
fn reads_every_documented_message() {
    for Sample { body, message } in samples() {
        assert_eq!(parse(&body), message, "{body}");
    }
}

#[test]
fn the_case_of_the_tags_does_not_matter() {
    // Where two spellings are documented, the rarer one cannot be told.
    let rarer = ["MsgID", "AppID", "count", "idx"];
    for Sample { mut body, message } in samples() {
        let names = message.fields.iter().flat_map(|field| field.name.split('.'));
        for name in names.chain(["MsgId", "ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"]) {
            if !rarer.contains(&name) && message.kind != "hologram" {
                body = body.replace(&format!("{name}>"), &format!("{}>", name.to_uppercase()));
            }
        }
        assert_eq!(parse(&body), message, "{body}");
    }
}

#[test]
fn reads_a_message_in_json() {
    let message = parse(JSON);
    assert_eq!((message.account.as_str(), message.sender.as_str()), ("gh_1", "o1"));
    assert_eq!((message.created, message.kind.as_str()), (1_408_090_816, "event"));
    let fields: Vec<_> = message.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
    let expected = [
        ("Event", "pic_weixin"),
        ("EventKey", "6"),
        ("SendPicsInfo.Count", "1"),
        ("SendPicsInfo.PicList.item.0.PicMd5Sum", "1b5f"),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn an_encrypted_body_has_its_two_leaves() {
    let body = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[ELGd+/==]]></Encrypt></xml>";
    let document = Document::parse(body.as_bytes()).unwrap();
    assert_eq!(document.leaf("ToUserName"), Some("gh_1"));
    assert_eq!(document.leaf("Encrypt"), Some("ELGd+/=="));
}

const JSON: &str = r#"{"ToUserName": "gh_1", "FromUserName": "o1", "CreateTime": 1408090816, "MsgType": "event",
    "Event": "pic_weixin", "EventKey": "6",
    "SendPicsInfo": {"Count": 1, "PicList": {"item": [{"PicMd5Sum": "1b5f"}]}}}"#;

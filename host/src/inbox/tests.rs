use super::*;
use crate::wechat::document::Field;

fn message(id: &str) -> Message {
    Message {
        account: "gh_1".into(),
        sender: "o_1".into(),
        id: id.into(),
        created: 5,
        kind: "text".into(),
        text: Some("hi".into()),
        fields: Vec::new(),
    }
}

fn event(name: &str, event_key: &str) -> Message {
    let field = |name: &str, value: &str| Field { name: name.into(), value: value.into() };
    let fields = vec![field("Event", name), field("EventKey", event_key)];
    Message { id: String::new(), kind: "event".into(), text: None, fields, ..message("") }
}

#[test]
fn a_retry_has_the_key_of_the_first_delivery_and_nothing_else_has() {
    let first = key("bot", &message("7"));
    assert_eq!(key("bot", &message("7")), first);
    let others = [
        key("other", &message("7")),
        key("bot", &message("8")),
        key("bot", &message("")),
        key("bot", &Message { sender: "o_2".into(), ..message("7") }),
        key("bot", &Message { account: "gh_2".into(), ..message("7") }),
        key("bot", &Message { created: 6, ..message("7") }),
        key("bot", &event("CLICK", "a")),
        key("bot", &event("CLICK", "b")),
        key("bot", &event("VIEW", "a")),
        run::late_key(first),
    ];
    for (n, other) in others.iter().enumerate() {
        assert_ne!(*other, first, "{n}");
        assert!(!others[n + 1..].contains(other), "{n}");
    }
}

#[test]
fn messages_without_an_id_are_told_apart_by_their_content() {
    let other = Message { text: Some("ho".into()), ..message("") };
    assert_ne!(key("bot", &message("")), key("bot", &other));
    assert_eq!(key("bot", &other), key("bot", &other.clone()));
}

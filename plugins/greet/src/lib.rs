//! Says hello: to a message in one of six languages, to a new follower with a welcome.
//!
//! Settings in bots.toml, each of them optional:
//!
//! ```toml
//! [plugins.greet]
//! wasm = "target/wasm32-wasip2/release/greet.wasm"
//! config = { name = "八哥", greetings = { file = "greetings.txt" } }   # one greeting a line
//! ```

use mynah_plugin::{Content, Event, IntoReply, Message, config};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand::seq::IndexedRandom;

/// What is said where the settings have no `greetings`.
const GREETINGS: &str = "你好！\nHello!\nBonjour !\n¡Hola!\nこんにちは！\n안녕하세요!";

/// Greets whoever speaks, joins, or comes back by a QR code. Other events pass.
#[mynah_plugin::plugin]
fn handle(message: Message) -> impl IntoReply {
    match message.content() {
        Content::Event(Event::Subscribe { scene, .. }) => Some(welcome(scene)),
        Content::Event(Event::Scan { scene, .. }) => Some(welcome_back(scene)),
        Content::Event(_) => None,
        _ => greeting(),
    }
}

/// One of the greetings at random; `None` where the settings give an empty list.
fn greeting() -> Option<String> {
    let greetings = config::get("greetings").unwrap_or_else(|| GREETINGS.to_owned());
    let greetings: Vec<&str> = greetings.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // Every message meets a fresh instance of the plugin, which would seed a generator of its own
    // just to draw once. So each draw asks the host (wasi:random), who never refuses.
    let greeting = greetings.choose(&mut UnwrapErr(SysRng))?;
    Some((*greeting).to_owned())
}

/// For somebody who begins to follow. A QR code's scene says where they found us.
fn welcome(scene: Option<&str>) -> String {
    let name = config::get("name").unwrap_or_default();
    match scene {
        Some(scene) => format!("欢迎关注{name}！很高兴你从「{scene}」来。"),
        None => format!("欢迎关注{name}！"),
    }
}

/// For somebody who follows already and scans a QR code.
fn welcome_back(scene: &str) -> String {
    format!("又见面了！欢迎来到「{scene}」。")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_plugin::{Reply, testing};
    use std::collections::HashSet;

    /// What the plugin says to `message`.
    fn said(message: Message) -> String {
        match testing::deliver(handle, message) {
            Ok(Reply::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn says_hello_in_six_languages() {
        // That one of six fails to come up in 500 draws is as likely as 6 · (5/6)^500, or 10^-39.
        let heard: HashSet<_> = (0..500).map(|_| said(testing::text("hi"))).collect();
        assert_eq!(heard.len(), 6);
        assert!(heard.contains("안녕하세요!"));
    }

    #[test]
    fn says_what_the_settings_say_instead() {
        testing::set_config("greetings", "\n  Moin!\r\n\nGrüezi!  \n");
        let heard: HashSet<_> = (0..100).map(|_| said(testing::text("hi"))).collect();
        assert_eq!(heard, ["Moin!", "Grüezi!"].map(str::to_owned).into());
    }

    #[test]
    fn passes_without_a_greeting_to_give() {
        testing::set_config("greetings", " \n");
        assert_eq!(testing::deliver(handle, testing::text("hi")), Ok(Reply::Pass));
    }

    #[test]
    fn welcomes_by_name() {
        assert_eq!(said(testing::event("subscribe")), "欢迎关注！");
        testing::set_config("name", "八哥");
        assert_eq!(said(testing::event("subscribe")), "欢迎关注八哥！");
    }

    #[test]
    fn names_the_scene_that_led_here() {
        let joined = testing::event("subscribe").with_field("EventKey", "qrscene_shop-1");
        assert_eq!(said(joined), "欢迎关注！很高兴你从「shop-1」来。");
        let returned = testing::event("SCAN").with_field("EventKey", "shop-1");
        assert_eq!(said(returned), "又见面了！欢迎来到「shop-1」。");
    }

    #[test]
    fn leaves_other_events_to_others() {
        for event in ["unsubscribe", "CLICK", "LOCATION"] {
            assert_eq!(testing::deliver(handle, testing::event(event)), Ok(Reply::Pass));
        }
    }
}

//! 复读机: says again whatever the follower sent.
//!
//! The shortest useful plugin, and a tour of the kinds of messages and replies.

use mynah_plugin::{Content, Message, Reply};

/// Answers each kind of message with its like. `Reply::Pass` leaves the others, events among them,
/// to the rules further down in bots.toml.
#[mynah_plugin::plugin]
fn handle(message: Message) -> Reply {
    match message.content() {
        // As typed. `message.text()` would be without the white space around it.
        Content::Text(text) => Reply::text(text),

        // Accounts with speech recognition get a voice message's words as well.
        Content::Voice { recognition: Some(words), .. } => Reply::text(words),

        // The media id of what a follower sent is good for sending it back, for three days.
        Content::Voice { media_id, .. } => Reply::voice(media_id),
        Content::Image { media_id, .. } => Reply::image(media_id),
        Content::Video { media_id, .. } | Content::ShortVideo { media_id, .. } => Reply::video(media_id),

        // A place and a link cannot be sent as such; their text can.
        Content::Location { label, .. } => Reply::text(label),
        Content::Link { title, url, .. } => Reply::text(format!("{title}\n{url}")),

        _ => Reply::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_plugin::testing;

    #[test]
    fn repeats_a_text_to_the_letter() {
        let text = " 你好，<b>&amp;]]> \n🦜";
        assert_eq!(handle(testing::text(text)), Reply::text(text));
    }

    #[test]
    fn says_what_it_heard_or_sends_the_voice_back() {
        let understood = testing::voice("media-1", Some("今天天气真好"));
        assert_eq!(handle(understood), Reply::text("今天天气真好"));
        let noise = testing::voice("media-1", None);
        assert_eq!(handle(noise), Reply::voice("media-1"));
    }

    #[test]
    fn sends_pictures_and_videos_back() {
        let image = testing::image("https://mmbiz.qpic.cn/a", "media-1");
        assert_eq!(handle(image), Reply::image("media-1"));
        let video = testing::video("media-2", "thumb-2");
        assert_eq!(handle(video), Reply::video("media-2"));
        let filmed = testing::message("shortvideo").with_field("MediaId", "media-3");
        assert_eq!(handle(filmed), Reply::video("media-3"));
    }

    #[test]
    fn names_places_and_links() {
        let place = testing::location(23.134, 113.359, "广州市海珠区");
        assert_eq!(handle(place), Reply::text("广州市海珠区"));
        let link = testing::link("八哥", "会说话的鸟", "https://example.com/mynah");
        assert_eq!(handle(link), Reply::text("八哥\nhttps://example.com/mynah"));
    }

    #[test]
    fn leaves_events_and_unknown_kinds_to_others() {
        assert_eq!(handle(testing::event("subscribe")), Reply::Pass);
        assert_eq!(handle(testing::message("hologram")), Reply::Pass);
    }
}

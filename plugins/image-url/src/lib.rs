//! 图床: tells where WeChat keeps a picture, or the media id of a voice message or a video.
//!
//! The link to the picture works anywhere, so the chat becomes a place to put pictures. Voices and
//! videos have no link; their media id is what WeChat's API takes instead.

use mynah_plugin::{Content, IntoReply, Message};

/// `Some` text is the answer. `None` passes: the next rule in bots.toml that matches gets the
/// message.
#[mynah_plugin::plugin]
fn handle(message: Message) -> impl IntoReply {
    match message.content() {
        // Nothing but the link: WeChat makes it clickable, and it is easy to copy.
        Content::Image { pic_url, .. } => Some(pic_url.to_owned()),
        Content::Voice { media_id, .. } => Some(format!("语音的媒体 ID：{media_id}")),
        Content::Video { media_id, .. } | Content::ShortVideo { media_id, .. } => {
            Some(format!("视频的媒体 ID：{media_id}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mynah_plugin::{Reply, testing};

    #[test]
    fn a_picture_becomes_its_link() {
        let image = testing::image("https://mmbiz.qpic.cn/a?x=1&y=2", "media-1");
        let reply = testing::deliver(handle, image);
        assert_eq!(reply, Ok(Reply::text("https://mmbiz.qpic.cn/a?x=1&y=2")));
    }

    #[test]
    fn voices_and_videos_become_their_media_ids() {
        let voice = testing::deliver(handle, testing::voice("media-1", Some("你好")));
        assert_eq!(voice, Ok(Reply::text("语音的媒体 ID：media-1")));
        let video = testing::deliver(handle, testing::video("media-2", "thumb-2"));
        assert_eq!(video, Ok(Reply::text("视频的媒体 ID：media-2")));
        let filmed = testing::message("shortvideo").with_field("MediaId", "media-3");
        let filmed = testing::deliver(handle, filmed);
        assert_eq!(filmed, Ok(Reply::text("视频的媒体 ID：media-3")));
    }

    #[test]
    fn anything_else_is_for_others() {
        for message in [testing::text("图床"), testing::event("subscribe")] {
            assert_eq!(testing::deliver(handle, message), Ok(Reply::Pass));
        }
    }
}

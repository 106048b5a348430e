//! Replies as customer-service messages.

use serde_json::{Map, Value, json};

use crate::wechat::reply::Reply;

/// Whether there are customer-service messages of this kind.
pub fn has_form(reply: &Reply) -> bool {
    render("", reply).is_some()
}

/// The body that sends `reply` to a follower; none where there is no such message.
pub(super) fn render(openid: &str, reply: &Reply) -> Option<String> {
    let content = match reply {
        Reply::Text(text) => json!({ "content": text }),
        Reply::Image { media_id } | Reply::Voice { media_id } => json!({ "media_id": media_id }),
        Reply::Video(video) => object([
            ("media_id", Some(&video.media_id)),
            ("title", video.title.as_ref()),
            ("description", video.description.as_ref()),
        ]),
        Reply::Music(music) => object([
            ("title", music.title.as_ref()),
            ("description", music.description.as_ref()),
            ("musicurl", music.url.as_ref()),
            ("hqmusicurl", music.hq_url.as_ref()),
            ("thumb_media_id", Some(&music.thumb_media_id)),
        ]),
        Reply::News(articles) => {
            let articles = articles.iter().map(|article| {
                object([
                    ("title", Some(&article.title)),
                    ("description", article.description.as_ref()),
                    ("url", Some(&article.url)),
                    ("picurl", article.picture.as_ref()),
                ])
            });
            json!({ "articles": articles.collect::<Vec<_>>() })
        }
        Reply::Transfer(_) | Reply::TransferToAi | Reply::Raw(_) | Reply::Silence => return None,
    };
    let kind = reply.kind();
    Some(json!({ "touser": openid, "msgtype": kind, kind: content }).to_string())
}

fn object<const N: usize>(members: [(&str, Option<&String>); N]) -> Value {
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?.as_str()))));
    Value::Object(given.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::reply::{Article, Music, Raw, Video};

    #[test]
    fn every_kind_that_has_a_form_is_rendered_and_others_are_not() {
        let shown = |reply: Reply| render("o", &reply);
        let expected =
            |kind: &str, content: &str| Some(format!(r#"{{"touser":"o","msgtype":"{kind}","{kind}":{content}}}"#));
        assert_eq!(shown(Reply::Text("八\"哥".into())), expected("text", r#"{"content":"八\"哥"}"#));
        assert_eq!(shown(Reply::Image { media_id: "m".into() }), expected("image", r#"{"media_id":"m"}"#));
        assert_eq!(shown(Reply::Voice { media_id: "m".into() }), expected("voice", r#"{"media_id":"m"}"#));
        let video = Video { media_id: "m".into(), title: Some("t".into()), description: None };
        assert_eq!(shown(Reply::Video(video)), expected("video", r#"{"media_id":"m","title":"t"}"#));
        let music = Music { url: Some("u".into()), thumb_media_id: "c".into(), ..Music::default() };
        assert_eq!(shown(Reply::Music(music)), expected("music", r#"{"musicurl":"u","thumb_media_id":"c"}"#));
        let article = Article { title: "t".into(), picture: Some("p".into()), url: "u".into(), ..Article::default() };
        assert_eq!(
            shown(Reply::News(vec![article])),
            expected("news", r#"{"articles":[{"title":"t","url":"u","picurl":"p"}]}"#)
        );
        for reply in [Reply::Transfer(None), Reply::TransferToAi, Reply::Raw(Raw::default()), Reply::Silence] {
            assert!(!has_form(&reply), "{reply:?}");
        }
    }
}

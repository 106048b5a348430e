use proptest::prelude::*;

use super::*;
use crate::wechat::Document;

const HEADER: Header<'_> = Header { to: "o1", from: "gh_1", created: 1_460_541_339 };

fn check(reply: Reply) -> CheckedReply {
    let (checked, warnings) = reply.check("event").unwrap();
    assert_eq!(warnings, []);
    checked
}

fn refuse(reply: Reply) -> String {
    reply.check("text").unwrap_err().to_string()
}

fn render(reply: &CheckedReply, format: Format) -> String {
    let mut out = String::new();
    reply.render(&HEADER, format, &mut out);
    out
}

/// Asserts everything below the header, in both formats.
#[track_caller]
fn renders(reply: Reply, kind: &str, xml: &str, json: &str) {
    let checked = check(reply);
    let expected = format!(
        "<xml><ToUserName><![CDATA[o1]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName>\
         <CreateTime>1460541339</CreateTime><MsgType><![CDATA[{kind}]]></MsgType>{xml}</xml>"
    );
    assert_eq!(render(&checked, Format::Xml), expected);
    let expected =
        format!(r#"{{"ToUserName":"o1","FromUserName":"gh_1","CreateTime":1460541339,"MsgType":"{kind}"{json}}}"#);
    assert_eq!(render(&checked, Format::Json), expected);
}

fn article(title: &str, url: &str) -> Article {
    Article { title: title.into(), url: url.into(), ..Article::default() }
}

fn raw(kind: &str, fields: &[(&str, &str)]) -> Reply {
    let field = |&(name, value): &(&str, &str)| Field { name: name.into(), value: value.into() };
    Reply::Raw(Raw { kind: kind.into(), fields: fields.iter().map(field).collect() })
}

#[test]
fn renders_text() {
    renders(
        Reply::Text("你好\n\"<a>\"".into()),
        "text",
        "<Content><![CDATA[你好\n\"<a>\"]]></Content>",
        r#","Content":"你好\n\"<a>\"""#,
    );
}

#[test]
fn renders_media() {
    renders(
        Reply::Image { media_id: "m".into() },
        "image",
        "<Image><MediaId><![CDATA[m]]></MediaId></Image>",
        r#","Image":{"MediaId":"m"}"#,
    );
    renders(
        Reply::Voice { media_id: "m".into() },
        "voice",
        "<Voice><MediaId><![CDATA[m]]></MediaId></Voice>",
        r#","Voice":{"MediaId":"m"}"#,
    );
    renders(
        Reply::Video(Video { media_id: "m".into(), title: Some("t".into()), description: None }),
        "video",
        "<Video><MediaId><![CDATA[m]]></MediaId><Title><![CDATA[t]]></Title></Video>",
        r#","Video":{"MediaId":"m","Title":"t"}"#,
    );
    renders(
        Reply::Music(Music {
            title: Some("t".into()),
            description: Some("d".into()),
            url: Some("u".into()),
            hq_url: Some("h".into()),
            thumb_media_id: "m".into(),
        }),
        "music",
        "<Music><Title><![CDATA[t]]></Title><Description><![CDATA[d]]></Description><MusicUrl><![CDATA[u]]></MusicUrl>\
         <HQMusicUrl><![CDATA[h]]></HQMusicUrl><ThumbMediaId><![CDATA[m]]></ThumbMediaId></Music>",
        r#","Music":{"Title":"t","Description":"d","MusicUrl":"u","HQMusicUrl":"h","ThumbMediaId":"m"}"#,
    );
    renders(
        Reply::Music(Music { thumb_media_id: "m".into(), ..Music::default() }),
        "music",
        "<Music><ThumbMediaId><![CDATA[m]]></ThumbMediaId></Music>",
        r#","Music":{"ThumbMediaId":"m"}"#,
    );
}

#[test]
fn renders_news() {
    let full = Article { description: Some("d".into()), picture: Some("p".into()), ..article("t", "u") };
    renders(
        Reply::News(vec![full, article("t2", "")]),
        "news",
        "<ArticleCount>2</ArticleCount><Articles><item><Title><![CDATA[t]]></Title><Description><![CDATA[d]]></Description>\
         <PicUrl><![CDATA[p]]></PicUrl><Url><![CDATA[u]]></Url></item>\
         <item><Title><![CDATA[t2]]></Title><Url><![CDATA[]]></Url></item></Articles>",
        r#","ArticleCount":2,"Articles":[{"Title":"t","Description":"d","PicUrl":"p","Url":"u"},{"Title":"t2","Url":""}]"#,
    );
}

#[test]
fn renders_handovers() {
    let account = "test1@test";
    renders(Reply::Transfer(None), "transfer_customer_service", "", "");
    renders(Reply::Transfer(Some(" ".into())), "transfer_customer_service", "", "");
    renders(
        Reply::Transfer(Some(account.into())),
        "transfer_customer_service",
        "<TransInfo><KfAccount><![CDATA[test1@test]]></KfAccount></TransInfo>",
        r#","TransInfo":{"KfAccount":"test1@test"}"#,
    );
    renders(Reply::TransferToAi, "transfer_biz_ai_ivr", "", "");
}

#[test]
fn renders_a_raw_reply() {
    renders(
        raw("link_card-2", &[("ScanCodeInfo.ScanType", "q"), ("A.item.0.X", "]]>"), ("A.item.1.X", "")]),
        "link_card-2",
        "<ScanCodeInfo><ScanType><![CDATA[q]]></ScanType></ScanCodeInfo>\
         <A><item><X><![CDATA[]]]]><![CDATA[>]]></X></item><item><X><![CDATA[]]></X></item></A>",
        r#","ScanCodeInfo":{"ScanType":"q"},"A":{"item":[{"X":"]]>"},{"X":""}]}"#,
    );
}

#[test]
fn silence_is_success_in_either_format() {
    assert_eq!(render(&CheckedReply::SILENCE, Format::Xml), "success");
    assert_eq!(render(&CheckedReply::SILENCE, Format::Json), "success");
    assert!(CheckedReply::SILENCE.is_silence());
    assert_eq!(CheckedReply::SILENCE.reply(), &Reply::Silence);
}

#[test]
fn renders_after_what_the_buffer_holds() {
    let mut out = "x".to_owned();
    CheckedReply::SILENCE.render(&HEADER, Format::Xml, &mut out);
    assert_eq!(out, "xsuccess");
}

#[test]
fn a_reply_cannot_end_its_cdata() {
    let text = "]]></Content><MsgType>image</MsgType><Content><![CDATA[";
    let body = render(&check(Reply::Text(text.into())), Format::Xml);
    let document = Document::parse(body.as_bytes()).unwrap();
    assert_eq!(document.leaf("Content"), Some(text));
    assert_eq!(document.leaves().len(), 5);
}

#[test]
fn a_header_cannot_carry_what_xml_forbids() {
    let mut out = String::new();
    let header = Header { to: "o\u{0}1]]>", from: "g\u{ffff}h", created: 0 };
    check(Reply::TransferToAi).render(&header, Format::Xml, &mut out);
    let document = Document::parse(out.as_bytes()).unwrap();
    assert_eq!(document.leaf("ToUserName"), Some("o1]]>"));
    assert_eq!(document.leaf("FromUserName"), Some("gh"));
}

#[test]
fn an_ordinary_text_stays_in_its_buffer() {
    let text = "你好\tworld\r\n".to_owned();
    let buffer = text.as_ptr();
    match check(Reply::Text(text)).reply() {
        Reply::Text(text) => assert_eq!(text.as_ptr(), buffer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cuts_a_long_text_between_characters() {
    assert!(check(Reply::Text("x".repeat(2048))).reply() == &Reply::Text("x".repeat(2048)));
    let (checked, warnings) = Reply::Text("中".repeat(700)).check("text").unwrap();
    assert_eq!(checked.reply(), &Reply::Text("中".repeat(682)));
    assert_eq!(warnings, [Warning::TextCut(2100)]);
    assert_eq!(warnings[0].to_string(), "the text has 2100 bytes and was cut to 2048");
}

#[test]
fn removes_what_xml_forbids_before_it_cuts() {
    let (checked, warnings) = Reply::Text(format!("\u{0}{}\u{fffe}", "x".repeat(2048))).check("text").unwrap();
    assert_eq!(checked.reply(), &Reply::Text("x".repeat(2048)));
    assert_eq!(warnings, [Warning::ForbiddenCharacters(2)]);
    assert_eq!(warnings[0].to_string(), "2 characters that XML forbids were removed");
}

#[test]
fn cleans_every_string_of_every_kind() {
    let dirty = || "a\u{1}b".to_owned();
    let music = Music {
        title: Some(dirty()),
        description: Some(dirty()),
        url: Some(dirty()),
        hq_url: Some(dirty()),
        thumb_media_id: dirty(),
    };
    let article = Article { title: dirty(), description: Some(dirty()), picture: Some(dirty()), url: dirty() };
    for (reply, count) in [
        (Reply::Image { media_id: dirty() }, 1),
        (Reply::Voice { media_id: dirty() }, 1),
        (Reply::Video(Video { media_id: dirty(), title: Some(dirty()), description: Some(dirty()) }), 3),
        (Reply::Music(music), 5),
        (Reply::News(vec![article.clone(), article]), 8),
        (Reply::Transfer(Some(dirty())), 1),
        (raw(&dirty(), &[("A", "a\u{1}b"), ("B.0", "\u{8}")]), 3),
    ] {
        let (checked, warnings) = reply.check("event").unwrap();
        assert_eq!(warnings, [Warning::ForbiddenCharacters(count)]);
        for format in [Format::Xml, Format::Json] {
            let body = render(&checked, format);
            assert!(body.chars().all(chars::is_allowed) && !body.contains("\\u"), "{body}");
        }
    }
}

#[test]
fn a_blank_text_is_silence() {
    for text in ["", " \n\u{3000}", "\u{1}", &format!("{}x", " ".repeat(2048))] {
        let (checked, warnings) = Reply::Text(text.into()).check("text").unwrap();
        assert!(checked.is_silence());
        assert_eq!(warnings.last(), Some(&Warning::Blank));
    }
}

#[test]
fn drops_articles_that_wechat_would_drop() {
    let news = |count: usize| Reply::News((0..count).map(|i| article(&i.to_string(), "u")).collect());
    let first = CheckedReply(news(1));
    for kind in ["text", "image", "voice", "video", "news", "location"] {
        let (checked, warnings) = news(3).check(kind).unwrap();
        assert_eq!(checked, first);
        assert_eq!(warnings, [Warning::ArticlesCut { had: 3, kept: 1 }]);
        assert_eq!(news(1).check(kind), Ok((first.clone(), vec![])));
    }
    for kind in ["event", "link", "shortvideo"] {
        assert_eq!(news(8).check(kind), Ok((CheckedReply(news(8)), vec![])));
        let (checked, warnings) = news(9).check(kind).unwrap();
        assert_eq!(checked, CheckedReply(news(8)));
        assert_eq!(warnings[0].to_string(), "the news has 9 articles and was cut to 8");
    }
}

#[test]
fn refuses_a_reply_without_its_substance() {
    assert_eq!(refuse(Reply::Image { media_id: String::new() }), "the image has no media id");
    assert_eq!(refuse(Reply::Voice { media_id: "\u{0}".into() }), "the voice message has no media id");
    assert_eq!(refuse(Reply::Video(Video::default())), "the video has no media id");
    assert_eq!(refuse(Reply::Music(Music::default())), "the music has no thumb media id");
    assert_eq!(refuse(Reply::News(vec![])), "the news has no article");
    assert_eq!(refuse(Reply::News(vec![article("", " ")])), "article 1 has neither title nor url");
}

#[test]
fn refuses_a_raw_reply_that_is_none() {
    assert_eq!(refuse(raw("", &[])), "`` is no kind of reply");
    assert_eq!(refuse(raw("a>b", &[])), "`a>b` is no kind of reply");
    assert_eq!(refuse(raw("a", &[("A\n", "")])), "`A\\n` is no field name");
    assert_eq!(refuse(raw("a", &[("tousername", "")])), "`tousername` is the host's to set");
}

#[test]
fn the_bound_on_everything_together_is_exact() {
    let news = |bytes: usize| Reply::News(vec![article("t", &"u".repeat(bytes - 1))]);
    assert!(news(MAX_REPLY).check("event").is_ok());
    assert_eq!(refuse(news(MAX_REPLY + 1)), "the reply has 65537 bytes, more than 65536");
    let value = "v".repeat(MAX_REPLY - 2);
    assert!(raw("k", &[("A", &value)]).check("event").is_ok());
    assert_eq!(refuse(raw("k", &[("AB", &value)])), "the reply has 65537 bytes, more than 65536");
}

/// A tree of raw fields whose names are those that reading it back gives: a list has two elements at least.
fn branches() -> impl Strategy<Value = Vec<Field>> {
    let leaf = any::<String>().prop_map(|value| vec![Field { name: String::new(), value }]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let lists = proptest::collection::vec(inner.clone(), 2..4).prop_map(|elements| (true, elements));
        let single = inner.prop_map(|element| (false, vec![element]));
        proptest::collection::vec(prop_oneof![single, lists], 1..4).prop_map(|children| {
            let mut fields = Vec::new();
            for (at, (listed, elements)) in children.into_iter().enumerate() {
                for (index, element) in elements.into_iter().enumerate() {
                    let own = if listed { format!("n-{at}.{index}") } else { format!("n-{at}") };
                    fields.extend(element.into_iter().map(|field| match field.name.as_str() {
                        "" => Field { name: own.clone(), ..field },
                        name => Field { name: format!("{own}.{name}"), ..field },
                    }));
                }
            }
            fields
        })
    })
    .prop_filter("a leaf alone has no name", |fields| !fields[0].name.is_empty())
}

proptest! {
    #[test]
    fn any_text_reads_back(text: String, to: String, created: u32) {
        let Ok((checked, _)) = Reply::Text(text).check("text") else { unreachable!() };
        for format in [Format::Xml, Format::Json] {
            let mut out = String::new();
            checked.render(&Header { to: &to, from: "gh_1", created: created.into() }, format, &mut out);
            let Reply::Text(text) = checked.reply() else {
                prop_assert_eq!(out, "success");
                continue;
            };
            let document = Document::parse(out.as_bytes()).unwrap();
            prop_assert_eq!(document.format, format);
            prop_assert_eq!(document.leaf("Content"), Some(text.as_str()));
            let to: String = to.chars().filter(|&c| chars::is_allowed(c)).collect();
            prop_assert_eq!(document.leaf("ToUserName"), Some(to.as_str()));
            let created = created.to_string();
            prop_assert_eq!(document.leaf("CreateTime"), Some(created.as_str()));
            prop_assert_eq!(document.leaves().len(), 5);
        }
    }

    #[test]
    fn markup_in_a_text_reads_back(text in "[\\]\\[<>!&;\"\\\\{}CDAT\u{0}\r\n\t ]{0,60}") {
        let Ok((checked, _)) = Reply::Text(text).check("text") else { unreachable!() };
        for format in [Format::Xml, Format::Json] {
            if let Reply::Text(text) = checked.reply() {
                let rendered = render(&checked, format);
                let document = Document::parse(rendered.as_bytes()).unwrap();
                prop_assert_eq!(document.leaf("Content"), Some(text.as_str()));
            }
        }
    }

    #[test]
    fn any_raw_tree_reads_back(fields in branches()) {
        let Ok((checked, _)) = Reply::Raw(Raw { kind: "k".into(), fields }).check("text") else { unreachable!() };
        let Reply::Raw(raw) = checked.reply() else { unreachable!() };
        for format in [Format::Xml, Format::Json] {
            let rendered = render(&checked, format);
            let document = Document::parse(rendered.as_bytes()).unwrap();
            let fields: Vec<Field> = document.leaves()[4..].iter().cloned().map(Field::from).collect();
            prop_assert_eq!(&fields, &raw.fields);
        }
    }

    #[test]
    fn no_raw_reply_panics(names in proptest::collection::vec("[a-c.0-2]{0,6}", 0..8)) {
        let fields = names.into_iter().map(|name| Field { name, value: "]]>".into() }).collect();
        if let Ok((checked, _)) = Reply::Raw(Raw { kind: "k".into(), fields }).check("text") {
            for format in [Format::Xml, Format::Json] {
                prop_assert!(Document::parse(render(&checked, format).as_bytes()).is_ok());
            }
        }
    }
}

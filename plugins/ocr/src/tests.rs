use std::{cell::RefCell, rc::Rc};

use mynah_plugin::{
    http::{Request, Response},
    testing,
};

use super::*;

/// Where WeChat keeps a picture.
const PICTURE: &str = "http://mmbiz.qpic.cn/mmbiz_jpg/a/0?x=1&y=2";

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a picture";

/// What a RapidOCR service answers; its keys as text are not in the order of the lines.
const LINES: &str = r#"{"10":{"rec_txt":"最后","score":0.9,"dt_boxes":[[1,2],[3,4]]},"0":{"rec_txt":"今天天气真好"},"2":{"rec_txt":"八哥"}}"#;

/// Scripts WeChat's pictures and the service; tells which URLs were asked for.
fn service(
    pictures: impl Fn(&str) -> Result<Response, Error> + 'static,
    ocr: impl Fn(&Request) -> Result<Response, Error> + 'static,
) -> Rc<RefCell<Vec<String>>> {
    let asked: Rc<RefCell<Vec<String>>> = Rc::default();
    let told = asked.clone();
    testing::on_http(move |request| {
        told.borrow_mut().push(format!("{} {}", request.method, request.url));
        if request.url.contains("qpic.cn") { pictures(&request.url) } else { ocr(request) }
    });
    asked
}

fn reads_all() -> Rc<RefCell<Vec<String>>> {
    service(|_| Ok(Response::new(200, JPEG)), |_| Ok(Response::new(200, LINES)))
}

fn each() {
    testing::set_config("mode", "each");
}

fn say(message: Message) -> String {
    match testing::deliver(handle, message) {
        Ok(Reply::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn picture() -> String {
    say(testing::image(PICTURE, "media-1"))
}

#[test]
fn a_picture_is_answered_at_once_where_that_is_configured() {
    each();
    testing::set_config("url", "http://ocr.local:9003/ocr");
    let asked = reads_all();
    assert_eq!(picture(), "今天天气真好\n八哥\n最后");
    assert_eq!(*asked.borrow(), [format!("GET {PICTURE}"), "POST http://ocr.local:9003/ocr".to_owned()]);
    assert_eq!(testing::remembered(), None);
}

#[test]
fn the_service_gets_the_picture_as_a_form() {
    each();
    // A picture that holds what a naive boundary would be.
    let bytes = [JPEG, b"\r\n--mynah-picture--\r\n"].concat();
    let sent = bytes.clone();
    let posted: Rc<RefCell<Vec<Request>>> = Rc::default();
    let told = posted.clone();
    service(
        move |_| Ok(Response::new(200, bytes.clone())),
        move |request| {
            told.borrow_mut().push(request.clone());
            Ok(Response::new(200, LINES))
        },
    );
    picture();
    let request = &posted.borrow()[0];
    let kind = &request.headers.iter().find(|header| header.name == "Content-Type").expect("a type").value;
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"image_file\"; filename=\"picture\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let body = request.body.strip_prefix(head.as_bytes()).expect("a head");
    assert_eq!(body.strip_suffix(format!("\r\n--{boundary}--\r\n").as_bytes()), Some(&sent[..]));
}

#[test]
fn pictures_in_a_row_are_read_together_when_the_word_comes() {
    let asked = reads_all();
    assert!(picture().starts_with("收到。"));
    assert!(say(testing::image("http://mmbiz.qpic.cn/b", "media-2")).starts_with("收到 2 张。"));
    assert_eq!(testing::remembered().map(|(_, seconds)| seconds), Some(600));
    assert!(asked.borrow().is_empty(), "nothing is read before the word");
    let text = say(testing::text(" 识别 "));
    assert_eq!(text, "【1/2】\n今天天气真好\n八哥\n最后\n【2/2】\n今天天气真好\n八哥\n最后");
    let pictures: Vec<_> = asked.borrow().iter().filter(|asked| asked.starts_with("GET")).cloned().collect();
    assert_eq!(pictures, [format!("GET {PICTURE}"), "GET http://mmbiz.qpic.cn/b".to_owned()]);
    assert_eq!(testing::remembered(), None, "the conversation is over");
    assert!(say(testing::text("识别")).starts_with("先发图片"));
}

#[test]
fn a_single_collected_picture_has_no_heading() {
    reads_all();
    picture();
    assert_eq!(say(testing::text("识别")), "今天天气真好\n八哥\n最后");
}

#[test]
fn a_batch_has_so_many_pictures_and_no_more() {
    testing::set_config("pages", "2");
    testing::set_config("wait", "60");
    testing::set_config("words", "读，read");
    reads_all();
    picture();
    picture();
    assert!(
        picture()
            .starts_with("一次最多 2 张，这一张没有收下。先回复「<a href=\"weixin://bizmsgmenu?msgmenucontent=读&")
    );
    assert_eq!(testing::remembered().map(|(_, seconds)| seconds), Some(60));
    assert!(say(testing::text("read")).contains("【2/2】"));
}

#[test]
fn what_goes_wrong_is_said_in_words_that_a_follower_understands() {
    each();
    let fine = |_: &str| Ok(Response::new(200, JPEG));
    let failing = |code: &'static str| move |_: &Request| Err(Error::new(code, "details for the log"));
    for (expected, ocr) in [
        ("没有找到文字", Box::new(|_: &Request| Ok(Response::new(200, "{}"))) as Box<dyn Fn(&Request) -> _>),
        ("没有找到文字", Box::new(|_: &Request| Ok(Response::new(200, r#"{"0":{"rec_txt":" "}}"#)))),
        ("图片太大了", Box::new(|_: &Request| Ok(Response::new(413, "")))),
        ("暂时用不了", Box::new(|_: &Request| Ok(Response::new(500, "Internal Server Error")))),
        ("暂时用不了", Box::new(|_: &Request| Ok(Response::new(200, "<html>")))),
        ("暂时用不了", Box::new(failing("unavailable"))),
        ("暂时用不了", Box::new(failing("not-granted"))),
        ("时间不够", Box::new(failing("timeout"))),
    ] {
        service(fine, ocr);
        let said = picture();
        assert!(said.contains(expected) && !said.contains("details"), "{expected}: {said}");
    }
    let missing = |code: &'static str| move |_: &str| Err(Error::new(code, "details for the log"));
    for (expected, pictures) in [
        ("取不到", Box::new(|_: &str| Ok(Response::new(404, ""))) as Box<dyn Fn(&str) -> _>),
        ("暂时用不了", Box::new(|_: &str| Ok(Response::new(502, "")))),
        ("图片太大了", Box::new(|_: &str| Ok(Response::new(200, vec![0xff; (10 << 20) + 1])))),
        ("图片太大了", Box::new(missing("too-large"))),
        ("看不懂", Box::new(|_: &str| Ok(Response::new(200, "<html>")))),
        ("看不懂", Box::new(|_: &str| Ok(Response::new(200, "")))),
        ("暂时用不了", Box::new(missing("not-granted"))),
        ("时间不够", Box::new(missing("timeout"))),
    ] {
        service(pictures, |_| Ok(Response::new(200, LINES)));
        let said = picture();
        assert!(said.contains(expected) && !said.contains("details"), "{expected}: {said}");
    }
}

#[test]
fn what_may_go_better_later_is_kept_and_the_rest_is_answered() {
    let away = Rc::new(RefCell::new(true));
    let gone = away.clone();
    service(
        move |url| match url.ends_with('3') {
            true if *gone.borrow() => Err(Error::new("unavailable", "down")),
            _ => Ok(Response::new(200, JPEG)),
        },
        |_| Ok(Response::new(200, r#"{"0":{"rec_txt":"字"}}"#)),
    );
    for n in 1..=3 {
        say(testing::image(&format!("http://mmbiz.qpic.cn/{n}"), "media"));
    }
    let said = say(testing::text("识别"));
    assert!(said.starts_with("【1/3】\n字\n【2/3】\n字\n【3/3】\n识别服务暂时用不了"), "{said}");
    assert!(said.contains("没读成的 1 张还留着"), "{said}");
    away.replace(false);
    assert_eq!(say(testing::text("识别")), "字");
    assert_eq!(testing::remembered(), None);
}

#[test]
fn when_the_time_is_used_up_no_more_is_asked_for() {
    let asked = service(|_| Err(Error::new("timeout", "slow")), |_| Ok(Response::new(200, LINES)));
    for _ in 0..3 {
        picture();
    }
    let said = say(testing::text("识别"));
    assert_eq!(said.matches("时间不够").count(), 3, "{said}");
    assert_eq!(asked.borrow().len(), 1);
}

#[test]
fn a_follower_has_so_many_pictures_a_day() {
    each();
    testing::set_config("per_day", "2");
    reads_all();
    let on = |day: u32| {
        let mut message = testing::image(PICTURE, "media-1");
        // Noon in China.
        message.created = day * 24 * 60 * 60 + 4 * 60 * 60;
        say(message)
    };
    assert!(on(20_000).starts_with("今天天气"));
    assert!(on(20_000).starts_with("今天天气"));
    assert!(on(20_000).starts_with("今天的 2 张已经用完了"));
    assert!(on(20_001).starts_with("今天天气"));
}

#[test]
fn wechat_reads_pictures_by_their_url() {
    each();
    testing::set_config("backend", "wechat");
    testing::on_wechat_call(|path, body| {
        assert_eq!(path, "/cv/ocr/comm?img_url=http%3A%2F%2Fmmbiz.qpic.cn%2Fmmbiz_jpg%2Fa%2F0%3Fx%3D1%26y%3D2");
        assert!(body.is_some(), "a POST");
        Ok(r#"{"errcode":0,"errmsg":"ok","items":[{"text":"腾讯","pos":{}},{"text":"微信团队"}],"img_size":{"w":1,"h":2}}"#
            .to_owned())
    });
    assert_eq!(picture(), "腾讯\n微信团队");
    for (code, expected) in
        [("101000", "取不到"), ("48001", "暂时用不了"), ("45009", "暂时用不了"), ("timeout", "时间不够")]
    {
        testing::on_wechat_call(move |_, _| Err(Error::new(code, "details for the log")));
        let said = picture();
        assert!(said.contains(expected) && !said.contains("details"), "{code}: {said}");
    }
    testing::on_wechat_call(|_, _| Ok(r#"{"errcode":0,"items":[]}"#.to_owned()));
    assert!(picture().contains("没有找到文字"));
}

#[test]
fn anything_else_is_for_others() {
    reads_all();
    picture();
    for message in [testing::text("你好"), testing::voice("media", Some("识别一下")), testing::event("subscribe")]
    {
        assert_eq!(testing::deliver(handle, message), Ok(Reply::Pass));
    }
    assert!(testing::remembered().is_some(), "the pictures stay");
    each();
    assert_eq!(testing::deliver(handle, testing::text("识别")), Ok(Reply::Pass));
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    for (key, value) in
        [("mode", "all"), ("backend", "tesseract"), ("pages", "0"), ("pages", "many"), ("wait", "0"), ("words", " , ")]
    {
        testing::reset();
        testing::set_config(key, value);
        let error = testing::deliver(handle, testing::text("识别")).unwrap_err();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn double() -> WechatApi {
    let api = WechatApi::start();
    api.account("wx1", "secret");
    api
}

fn post(api: &WechatApi, path: &str, body: &Value) -> Value {
    let mut response = ureq::post(format!("{}{path}", api.url())).send(body.to_string()).unwrap();
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

fn get(api: &WechatApi, path: &str) -> Value {
    let mut response = ureq::get(format!("{}{path}", api.url())).call().unwrap();
    serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
}

fn stable_token(api: &WechatApi, secret: &str, force: bool) -> Value {
    let asked = json!({ "grant_type": "client_credential", "appid": "wx1", "secret": secret, "force_refresh": force });
    post(api, "/cgi-bin/stable_token", &asked)
}

fn token(api: &WechatApi, force: bool) -> String {
    stable_token(api, "secret", force)["access_token"].as_str().unwrap().to_owned()
}

fn code(api: &WechatApi, token: &str) -> i64 {
    // Without a menu, a call with a good token gets as far as that.
    match get(api, &format!("/cgi-bin/menu/get?access_token={token}"))["errcode"].as_i64() {
        Some(46003) => 0,
        code => code.unwrap(),
    }
}

#[test]
fn a_token_stays_until_its_last_five_minutes_and_then_two_are_good() {
    let api = double();
    let first = token(&api, false);
    api.advance(Duration::from_secs(6_800));
    assert_eq!(token(&api, false), first);
    assert!(stable_token(&api, "secret", false)["expires_in"].as_u64().unwrap() <= 400);
    api.advance(Duration::from_secs(101));
    let second = token(&api, false);
    assert_ne!(second, first);
    assert_eq!((code(&api, &first), code(&api, &second)), (0, 0));
    api.advance(Duration::from_secs(300));
    assert_eq!((code(&api, &first), code(&api, &second)), (42001, 0));
}

#[test]
fn a_forced_refresh_ends_the_token_before_but_not_twice_in_a_row() {
    let api = double();
    let first = token(&api, false);
    let second = token(&api, true);
    assert_eq!((code(&api, &first), code(&api, &second)), (40001, 0));
    assert_eq!(token(&api, true), second);
    api.advance(Duration::from_secs(30));
    assert_ne!(token(&api, true), second);
}

#[test]
fn what_is_wrong_with_an_account_or_a_token_has_its_own_code() {
    let api = double();
    assert_eq!(stable_token(&api, "wrong", false)["errcode"], 40125);
    api.set_listed(false);
    assert_eq!(stable_token(&api, "secret", false)["errcode"], 40164);
    assert_eq!(post(&api, "/cgi-bin/stable_token", &json!({ "grant_type": "client_credential" }))["errcode"], 40013);
    assert_eq!(get(&api, "/cgi-bin/menu/get")["errcode"], 41001);
    assert_eq!((code(&api, "short"), code(&api, &"x".repeat(136))), (40014, 40001));
}

#[test]
fn messages_are_held_to_the_window_the_quota_and_the_permission() {
    let api = double();
    let token = token(&api, false);
    let path = format!("/cgi-bin/message/custom/send?access_token={token}");
    let send = |openid: &str| {
        let text = json!({ "touser": openid, "msgtype": "text", "text": { "content": "hi" } });
        post(&api, &path, &text)["errcode"].as_i64().unwrap()
    };
    api.close_window("closed");
    api.set_quota("o", 1);
    assert_eq!([send("closed"), send("o"), send("o"), send("p")], [45015, 0, 45047, 0]);
    api.set_permitted("/cgi-bin/message/custom/send", false);
    assert_eq!(send("p"), 48001);
    let sent: Vec<_> = api.sent().iter().map(|message| message["touser"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent, ["o", "p"]);
    assert_eq!(post(&api, &path, &json!({ "touser": "p", "msgtype": "wxcard" }))["errcode"], 48001);
}

#[test]
fn media_the_menu_pictures_and_codes_are_kept() {
    let api = double();
    let token = token(&api, false);
    let form = "--x\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
                by\r\ntes\r\n--x--\r\n";
    let url = format!("{}/cgi-bin/media/upload?access_token={token}&type=image", api.url());
    let mut uploaded = ureq::post(url).content_type("multipart/form-data; boundary=x").send(form).unwrap();
    let uploaded: Value = serde_json::from_str(&uploaded.body_mut().read_to_string().unwrap()).unwrap();
    let id = uploaded["media_id"].as_str().unwrap();
    let url = format!("{}/cgi-bin/media/get?access_token={token}&media_id={id}", api.url());
    assert_eq!(ureq::get(url).call().unwrap().body_mut().read_to_vec().unwrap(), b"by\r\ntes");
    assert_eq!((api.uploads()[0].file_name.as_str(), api.uploads()[0].kind.as_str()), ("a.png", "image"));

    let menu = json!({ "button": [{ "type": "click", "name": "a", "key": "A" }] });
    assert_eq!(post(&api, &format!("/cgi-bin/menu/create?access_token={token}"), &menu)["errcode"], 0);
    assert_eq!(get(&api, &format!("/cgi-bin/menu/get?access_token={token}"))["menu"], menu);

    api.set_text("http://picture", &["一", "二"]);
    let ocr = |url: &str| post(&api, &format!("/cv/ocr/comm?access_token={token}&img_url={url}"), &json!({}));
    assert_eq!(ocr("http://picture")["items"][1]["text"], "二");
    assert_eq!(ocr("http://other")["errcode"], 101000);

    api.grant_code("c", "o", "snsapi_userinfo");
    let exchange =
        || get(&api, "/sns/oauth2/access_token?appid=wx1&secret=secret&code=c&grant_type=authorization_code");
    let user = exchange();
    assert_eq!(user["openid"], "o");
    let user = format!("/sns/userinfo?openid=o&access_token={}", user["access_token"].as_str().unwrap());
    assert_eq!(get(&api, &user)["nickname"], "八哥");
    assert_eq!(exchange()["errcode"], 40163);
}

#[test]
fn a_script_is_followed_once_each_and_calls_are_recorded() {
    let api = double();
    let token = token(&api, false);
    let path = "/cgi-bin/getcallbackip";
    let url = format!("{}{path}?access_token={token}", api.url());
    for then in
        [Then::Error(-1, "system error"), Then::DropBefore, Then::DropAfter, Then::Delay(Duration::from_millis(1))]
    {
        api.next(path, then);
    }
    let call = || ureq::get(&url).call().map(|mut response| response.body_mut().read_to_string().unwrap());
    assert_eq!(call().unwrap(), r#"{"errcode":-1,"errmsg":"system error"}"#);
    assert!(call().is_err() && call().is_err());
    assert_eq!(call().unwrap(), r#"{"ip_list":["127.0.0.1"]}"#);
    let calls = api.wait_for_calls(path, 4);
    assert_eq!(calls[0].errcode, Some(-1));
    assert_eq!(calls[3].parameter("access_token"), Some(token.as_str()));
}

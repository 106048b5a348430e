//! What each path does.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    Call, State,
    account::{Account, Wrong},
    media::{self, Media, Part},
    server::Answer,
};

/// Answers one call.
pub(crate) fn answer(state: &mut State, call: &Call, address: SocketAddr) -> Answer {
    let path = call.path.as_str();
    match path {
        "/cgi-bin/stable_token" => return issue(state, call),
        "/sns/oauth2/access_token" => return exchange_code(state, call),
        "/sns/userinfo" | "/sns/auth" => return user(call),
        _ => {}
    }
    if let Some(id) = path.strip_prefix("/double/video/") {
        return state.media.iter().find(|media| media.id == id).map_or_else(|| not_found(path), bytes_of);
    }
    let app_id = match check_token(state, call) {
        Ok(app_id) => app_id,
        Err((code, message)) => return error(code, message),
    };
    if state.revoked.contains(path) {
        return error(48001, "api unauthorized rid: 66666666-66666666-66666666");
    }
    match (call.method.as_str(), path) {
        ("POST", "/cgi-bin/message/custom/send") => send(state, call),
        ("POST", "/cv/ocr/comm") => read_picture(state, call),
        ("POST", "/cgi-bin/menu/create") => {
            let menu = call.json();
            if menu.get("button").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                return error(40016, "invalid button size");
            }
            state.menu = Some(menu);
            fine()
        }
        ("GET", "/cgi-bin/menu/get") => match &state.menu {
            Some(menu) => usual(&json!({ "menu": menu })),
            None => error(46003, "menu no exist"),
        },
        ("GET", "/cgi-bin/menu/delete") => {
            state.menu = None;
            fine()
        }
        ("POST", "/cgi-bin/media/upload") => upload(state, call),
        ("GET", "/cgi-bin/media/get") => download(state, call, address),
        ("POST", "/cgi-bin/callback/check") => usual(&json!({
            "dns": [{ "ip": "127.0.0.1", "real_operator": "UNICOM" }],
            "ping": [{ "ip": "127.0.0.1", "from_operator": "UNICOM", "package_loss": "0%", "time": "1.000ms" }],
        })),
        ("GET", "/cgi-bin/getcallbackip" | "/cgi-bin/get_api_domain_ip") => {
            usual(&json!({ "ip_list": state.callback_ips }))
        }
        // Nothing of WeChat's: says what arrived, so that tests can look for what must not have.
        ("GET" | "POST", "/double/echo") => usual(&json!({
            "app_id": app_id,
            "query": call.query.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "body": String::from_utf8_lossy(&call.body),
        })),
        _ => not_found(path),
    }
}

/// An error as WeChat answers it: status 200.
pub(crate) fn error(code: i64, message: &str) -> Answer {
    let mut answer = usual(&json!({ "errcode": code, "errmsg": message }));
    answer.errcode = Some(code);
    answer
}

fn usual(body: &Value) -> Answer {
    Answer {
        status: 200,
        content_type: "application/json; encoding=utf-8".to_owned(),
        body: body.to_string().into_bytes(),
        errcode: None,
        location: None,
    }
}

fn fine() -> Answer {
    error(0, "ok")
}

fn not_found(path: &str) -> Answer {
    error(40066, &format!("invalid url: {path}"))
}

fn issue(state: &mut State, call: &Call) -> Answer {
    let (now, listed) = (state.now(), state.listed);
    if call.method != "POST" {
        return error(43002, "require POST method");
    }
    let asked = call.json();
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("grant_type") != "client_credential" {
        return error(40002, "invalid grant_type");
    }
    let Some(account) = state.accounts.iter_mut().find(|account| account.app_id == text("appid")) else {
        return error(40013, "invalid appid rid: 66666666-66666666-66666666");
    };
    if account.secret != text("secret") {
        return error(40125, "invalid appsecret, rid: 66666666-66666666-66666666");
    }
    if !listed {
        return error(
            40164,
            "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 66666666-66666666-66666666",
        );
    }
    let force = asked.get("force_refresh").and_then(Value::as_bool).unwrap_or(false);
    let (token, left) = account.stable_token(force, now);
    usual(&json!({ "access_token": token, "expires_in": left }))
}

/// The account whose token the call has.
fn check_token(state: &State, call: &Call) -> Result<String, Wrong> {
    let Some(token) = call.parameter("access_token").filter(|token| !token.is_empty()) else {
        return Err((41001, "access_token missing"));
    };
    let now = state.now();
    let known = |account: &Account| Some((account.app_id.clone(), account.check(token, now)?));
    match state.accounts.iter().find_map(known) {
        Some((app_id, Ok(()))) => Ok(app_id),
        Some((_, Err(wrong))) => Err(wrong),
        None if token.len() < 64 => Err((40014, "invalid access_token")),
        None => Err((40001, "invalid credential, access_token is invalid or not latest")),
    }
}

fn send(state: &mut State, call: &Call) -> Answer {
    let message = call.json();
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(openid) = text("/touser").map(str::to_owned) else { return error(40003, "invalid openid") };
    let kind = text("/msgtype").unwrap_or_default();
    let needed: &[&str] = match kind {
        "text" => &["/text/content"],
        "image" => &["/image/media_id"],
        "voice" => &["/voice/media_id"],
        "video" => &["/video/media_id"],
        "music" => &["/music/thumb_media_id"],
        "news" => &["/news/articles/0/title"],
        "msgmenu" => &["/msgmenu/list/0/content"],
        _ => return error(40008, "invalid message type"),
    };
    if let Some(missing) = needed.iter().find(|pointer| text(pointer).is_none()) {
        return if missing.ends_with("media_id") {
            error(40007, "invalid media_id")
        } else {
            error(44004, "empty content")
        };
    }
    if kind == "news" && message.pointer("/news/articles/1").is_some() {
        return error(45008, "article size out of limit");
    }
    if state.closed.contains(&openid) {
        return error(45015, "response out of time limit or subscription is canceled rid: 66666666-66666666-66666666");
    }
    if let Some(left) = state.quotas.get_mut(&openid) {
        if *left == 0 {
            return error(45047, "out of response count limit rid: 66666666-66666666-66666666");
        }
        *left -= 1;
    }
    state.sent.push(message);
    fine()
}

fn read_picture(state: &State, call: &Call) -> Answer {
    let form = call.content_type.as_deref().and_then(|kind| media::parts(kind, &call.body));
    let posted = form.is_some_and(|parts| parts.iter().any(|part| part.name == "img" && !part.data.is_empty()));
    let lines = match call.parameter("img_url") {
        Some(url) => state.texts.get(url).cloned(),
        None if posted => Some(vec!["posted".to_owned()]),
        None => return error(41005, "media data missing"),
    };
    let Some(lines) = lines else { return error(101000, "invalid image url") };
    let items: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| {
            let (top, bottom) = (20 * n, 20 * n + 20);
            let corner = |x: usize, y: usize| json!({ "x": x, "y": y });
            json!({
                "text": line,
                "pos": {
                    "left_top": corner(0, top),
                    "right_top": corner(100, top),
                    "right_bottom": corner(100, bottom),
                    "left_bottom": corner(0, bottom),
                },
            })
        })
        .collect();
    usual(&json!({ "errcode": 0, "errmsg": "ok", "items": items, "img_size": { "w": 100, "h": 20 * lines.len() } }))
}

fn upload(state: &mut State, call: &Call) -> Answer {
    let kind = call.parameter("type").unwrap_or_default().to_owned();
    let Some(bound) = media::bound(&kind) else { return error(40004, "invalid media type") };
    let parts = call.content_type.as_deref().and_then(|kind| media::parts(kind, &call.body));
    let Some(part) = parts.into_iter().flatten().find(|part| part.name == "media") else {
        return error(41005, "media data missing");
    };
    if part.data.is_empty() {
        return error(44001, "empty media data");
    }
    if part.data.len() > bound {
        return error(45001, "media size out of limit");
    }
    let id = format!("MEDIA-{}", state.media.len() + 1);
    let created = 1_700_000_000 + state.now().as_secs();
    let id_name = if kind == "thumb" { "thumb_media_id" } else { "media_id" };
    let answer = usual(&json!({ "type": kind, id_name: id, "created_at": created }));
    let Part { file_name, content_type, data, .. } = part;
    state.media.push(Media { id, kind, file_name, content_type, data });
    answer
}

fn download(state: &State, call: &Call, address: SocketAddr) -> Answer {
    let id = call.parameter("media_id").unwrap_or_default();
    match state.media.iter().find(|media| media.id == id) {
        Some(media) if media.kind == "video" => {
            usual(&json!({ "video_url": format!("http://{address}/double/video/{id}") }))
        }
        Some(media) => bytes_of(media),
        None => error(40007, "invalid media_id"),
    }
}

fn bytes_of(media: &Media) -> Answer {
    Answer {
        status: 200,
        content_type: media.content_type.clone(),
        body: media.data.clone(),
        errcode: None,
        location: None,
    }
}

fn exchange_code(state: &mut State, call: &Call) -> Answer {
    let now = state.now();
    let parameter = |name: &str| call.parameter(name).unwrap_or_default();
    let Some(account) = state.accounts.iter().find(|account| account.app_id == parameter("appid")) else {
        return error(40013, "invalid appid");
    };
    if account.secret != parameter("secret") {
        return error(40125, "invalid appsecret");
    }
    match state.codes.get_mut(parameter("code")) {
        Some(code) if code.used => error(40163, "code been used"),
        Some(code) if code.until > now => {
            code.used = true;
            usual(&json!({
                "access_token": format!("USER_{}", code.openid),
                "expires_in": 7200,
                "refresh_token": format!("REFRESH_{}", code.openid),
                "openid": code.openid,
                "scope": code.scope,
            }))
        }
        _ => error(40029, "invalid code"),
    }
}

fn user(call: &Call) -> Answer {
    let openid = call.parameter("openid").unwrap_or_default();
    if openid.is_empty() || call.parameter("access_token") != Some(format!("USER_{openid}").as_str()) {
        return error(40001, "invalid credential, access_token is invalid or not latest");
    }
    if call.path == "/sns/auth" {
        return fine();
    }
    usual(&json!({
        "openid": openid, "nickname": "八哥", "sex": 0, "language": "", "city": "", "province": "", "country": "",
        "headimgurl": "https://thirdwx.qlogo.cn/mmopen/double/132", "privilege": [],
    }))
}

//! Everything that a plugin can do, a word for each; the other languages answer the same.

use mynah_plugin::{Article, Error, Message, Music, Raw, Reply, Video, config, http, log, store, wechat};

#[mynah_plugin::plugin]
fn handle(message: Message) -> Result<Reply, String> {
    let code = |result: Result<(), Error>| result.map_or_else(|error| error.code, |()| "fine".to_owned());
    let text = |value: Option<Vec<u8>>| value.map_or("-".to_owned(), |value| String::from_utf8_lossy(&value).into_owned());
    everything(&message, code, text).unwrap_or_else(|error| Err(error.to_string()))
}

fn everything(
    message: &Message,
    code: impl Fn(Result<(), Error>) -> String,
    text: impl Fn(Option<Vec<u8>>) -> String,
) -> Result<Result<Reply, String>, Error> {
    Ok(Ok(match message.capture("rest").unwrap_or_default() {
        "image" => Reply::image("m"),
        "voice" => Reply::voice("m"),
        "video" => Reply::video(Video::new("m").title("标题").description("描述")),
        "video-" => Reply::video("m"),
        "music" => {
            Reply::music(Music::new("m").title("t").description("d").url("http://a/").hq_url("http://b/"))
        }
        "music-" => Reply::music(Music::new("m")),
        "news" => Reply::news([
            Article::new("一", "http://a/").description("d").picture("http://p/"),
            Article::new("二", "http://b/"),
        ]),
        "transfer" => Reply::transfer(),
        "agent" => Reply::transfer_to("a@b"),
        "ai" => Reply::TransferToAi,
        "raw" => Raw::new("transfer_customer_service").field("TransInfo.KfAccount", "c@d").into(),
        "silence" => Reply::Silence,
        "pass" => Reply::Pass,
        "fail" => return Ok(Err("on purpose".to_owned())),
        "store" => {
            store::set("k/a", "甲")?;
            store::set("k/b", "乙")?;
            let first = store::list("k/", None, 1)?.join(" ");
            let second = store::list("k/", Some("k/a"), 9)?.join(" ");
            let value = text(store::get("k/a")?);
            store::delete("k/a")?;
            let gone = text(store::get("k/a")?);
            let sum = store::add("n", 9_007_199_254_740_000)? + store::add("n", -9_007_199_254_739_990)?;
            Reply::text(format!("{first}, {second}, {value}, {gone}, {sum}"))
        }
        "refused" => Reply::text(code(store::get("").map(drop))),
        "config" => Reply::text(format!(
            "{} {}",
            config::get("greeting").unwrap_or("-".to_owned()),
            config::get("none").unwrap_or("-".to_owned())
        )),
        "log" => {
            log::warn!("noted 记下了");
            Reply::text("logged")
        }
        "http" => {
            let url = config::get("url").unwrap_or_default();
            let request = http::Request::post(url, "ping 乒").header("X-Ping", "1");
            let response = http::send(&request)?;
            Reply::text(format!("{} {} {}", response.status, response.header("x-pong").unwrap_or("-"), response.text()))
        }
        "elsewhere" => Reply::text(code(http::send(&http::Request::get("http://example.com/")).map(drop))),
        "wechat" => Reply::text(code(wechat::call("/cgi-bin/x", Some("{}")).map(drop))),
        "upload" => Reply::text(code(wechat::upload("image", "a.png", b"x").map(drop))),
        "download" => Reply::text(code(wechat::download("m").map(drop))),
        other => Reply::text(format!(
            "{}|{}|{}|{}|{}|{}|{other}|{}",
            message.bot,
            message.account,
            message.sender,
            message.id,
            message.kind,
            message.text(),
            message.created > 1_600_000_000,
        )),
    }))
}

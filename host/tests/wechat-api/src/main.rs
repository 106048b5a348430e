//! Runs the double by itself, for trying a bot's API calls without an account: `cargo run -p wechat-api-double -- [ADDRESS]`.

use std::{net::SocketAddr, thread, time::Duration};

use wechat_api_double::WechatApi;

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9190";

/// The one account.
const APP_ID: &str = "wxdouble";
const SECRET: &str = "double";

fn main() -> std::io::Result<()> {
    let given = std::env::args().nth(1);
    let address: SocketAddr =
        given.as_deref().unwrap_or(ADDRESS).parse().map_err(|error| std::io::Error::other(format!("{error}")))?;
    let api = WechatApi::start_at(address)?;
    api.account(APP_ID, SECRET);
    println!("a double of the WeChat API; in your bot's table of bots.toml:");
    println!("app_id = \"{APP_ID}\"\napp_secret = \"{SECRET}\"\napi = \"{}\"", api.url());
    let mut shown = 0;
    loop {
        let calls = api.calls("");
        for call in &calls[shown..] {
            // A token, even a double's, is nobody's to read over a shoulder.
            let query: Vec<String> = call
                .query
                .iter()
                .map(|(name, value)| if name == "access_token" { name.clone() } else { format!("{name}={value}") })
                .collect();
            let body =
                if call.path == "/cgi-bin/stable_token" { "…".into() } else { String::from_utf8_lossy(&call.body) };
            let errcode = call.errcode.unwrap_or_default();
            println!("{} {}?{} {body} → {errcode}", call.method, call.path, query.join("&"));
        }
        shown = calls.len();
        thread::sleep(Duration::from_millis(200));
    }
}

//! What WeChat's API says: whether it takes the AppID, the AppSecret and this machine, and what it finds when it looks for the URL.

use std::{net::IpAddr, time::Duration};

use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{Report, answers};
use crate::{
    called::Called,
    caller::{PATIENCE, Request, Way},
    clock::World,
    config::{Api, Config},
    fault::{Fault, excerpt},
    http_client::Client,
    wechat_api::{Account, ApiError, Path, Terms},
};

/// WeChat's own check of the URL in the account's console.
const CHECK: &str = "/cgi-bin/callback/check";

/// It looks the host up and pings it, from its own machines.
const CHECK_TIME: Duration = Duration::from_secs(10);

/// How many accounts are tried.
const ACCOUNTS: usize = 20;

/// Asks the API of each account that can; of one only, where `bot` names it. `addresses` are those of the URL's host.
pub(super) async fn check(
    config: &Config,
    bot: Option<&str>,
    addresses: &[IpAddr],
    world: &World,
    report: &mut Report,
) {
    let chosen = config.bots.iter().filter(|candidate| bot.is_none_or(|name| *candidate.name == *name));
    for bot in chosen.take(ACCOUNTS) {
        // One that is not known here has been reported.
        let Some(api) = bot.api.as_ref().filter(|api| !api.app_secret.expose().is_empty()) else { continue };
        report.section(&format!("{} for bot `{}`", api.base, bot.name));
        check_account(api, addresses, world, report).await;
    }
}

async fn check_account(api: &Api, addresses: &[IpAddr], world: &World, report: &mut Report) {
    let account = Account::new(api, &Client::new(), world.clone());
    if let Err(error) = account.prepare().await {
        return report.problem(&refused(&error));
    }
    report.ok("it takes the AppID, the AppSecret and this machine's address");
    check_time(api, world, report).await;

    let Ok(path) = Path::parse(CHECK) else { return };
    let body = r#"{"action":"all","check_operator":"DEFAULT"}"#.to_owned();
    let terms = Terms { called: Called::default(), deadline: Instant::now() + CHECK_TIME };
    match account.call(&path, Some(body), &terms).await {
        Ok(answer) => read_check(&answer, addresses, report),
        // Without a URL in the console there is nothing to check, and some accounts may not ask.
        Err(error) => report.note(format_args!("WeChat's own check of the URL in the console gave nothing: {error}")),
    }
}

/// Why there is no token.
fn refused(error: &ApiError) -> Fault {
    let ApiError::Refused { code, text } = error else {
        return Fault::new(
            error.to_string(),
            "let this machine call it, and check `api` where it is set; plugins need it, WeChat does not",
        );
    };
    let what = match code {
        40013 => "WeChat's API does not know the AppID (40013)".to_owned(),
        40001 | 40125 => format!("the AppSecret is not the account's ({code})"),
        40164 => {
            let address = text.split_whitespace().skip_while(|word| *word != "ip").nth(1);
            format!(
                "this machine's address, {}, is not on the account's IP list (40164)",
                excerpt(address.unwrap_or("unknown"))
            )
        }
        _ => format!("WeChat's API gives no token ({code}, {})", excerpt(text)),
    };
    Fault::new(what, error.hint().unwrap_or("see the platform's list of return codes (全局返回码)"))
}

/// The API's clock is WeChat's, and right.
async fn check_time(api: &Api, world: &World, report: &mut Report) {
    let (Ok(way), Ok(url)) = (Way::new(&[]), Url::parse(&api.base)) else { return };
    if let Ok(answer) = way.call(&Request { url, body: None, content_type: "" }, PATIENCE, world).await {
        answers::check_clock(&answer, "WeChat's API", world, report);
    }
}

/// Tells what WeChat found: addresses, and what became of its pings.
fn read_check(answer: &str, addresses: &[IpAddr], report: &mut Report) {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return };
    let listed = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let found: Vec<String> = listed("dns").iter().map(|entry| text(entry, "ip")).collect();
    if found.is_empty() {
        return report.problem(&Fault::new(
            "WeChat finds no address for the host of the URL in the console",
            "check its spelling there, and the domain's A record",
        ));
    }
    let shown = excerpt(&found.join(", "));
    let public = |ip: &&IpAddr| super::place::not_public(**ip).is_none();
    let here: Vec<&IpAddr> = addresses.iter().filter(public).collect();
    let meets = here.iter().any(|ip| found.contains(&ip.to_string()));
    if here.is_empty() || meets {
        report.ok(format_args!("WeChat finds the host of the URL in the console at {shown}"));
    } else {
        report.warning(&Fault::new(
            format!("WeChat finds the host of the URL in the console at {shown}, this machine finds {}", here[0]),
            "wait where the record was changed lately, and compare the console's URL with this one",
        ));
    }
    let pings = listed("ping");
    let lost = |entry: &Value| text(entry, "package_loss").starts_with("100");
    if !pings.is_empty() && pings.iter().all(lost) {
        report.note("all of WeChat's pings are lost: of no matter where the firewall drops pings only");
    }
}

//! What WeChat would make of a response.

use super::{Account, Exchange, Mode, Request, request::Outgoing};
use crate::{
    fault::{self, Fault, excerpt},
    wechat::{
        document::{Document, Format},
        reply::{Reply, SUCCESS, Warning},
        signature,
    },
};

/// What a follower sees when WeChat takes a response for none.
pub const SHOWN_TO_FOLLOWERS: &str = "该公众号提供的服务出现故障，请稍后再试";

/// What WeChat would make of the response to a message.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What the follower gets, as far as it can be read.
    pub reply: Option<Reply>,
    /// The reply's body as it was before it was encrypted.
    pub opened: Option<String>,
    /// Why WeChat takes it for no answer.
    pub fault: Option<Fault>,
    /// What WeChat passes over in silence.
    pub warnings: Vec<String>,
}

/// Judges the response to a verification. `earlier` is what was to be echoed in the request before.
pub fn verification(request: &Request, exchange: &Exchange, echostr: &str, earlier: Option<&str>) -> Result<(), Fault> {
    if let Some(fault) = refusal(request, exchange) {
        return Err(fault);
    }
    let text = exchange.text();
    if text == echostr {
        return Ok(());
    }
    let from_mynah = "mynah answers it as it came; look at what stands between, or at what else answers this URL";
    let fault = |what: String| Err(Fault::new(what, from_mynah));
    let bare = text.trim_start_matches('\u{feff}');
    if bare.is_empty() {
        return fault("the answer to the verification is empty".into());
    }
    if bare.len() < text.len() && bare.trim() == echostr {
        return fault("a byte order mark (BOM) stands before the `echostr`".into());
    }
    if bare.trim() == echostr {
        return fault("white space or a newline stands around the `echostr`".into());
    }
    if bare.trim().trim_matches(['"', '\'', '`']) == echostr {
        return fault("the `echostr` comes back in quotes, as JSON would have it".into());
    }
    if Some(bare.trim()) == earlier {
        return Err(Fault::new(
            "the `echostr` of an earlier request comes back: something caches the answers",
            "turn the cache of the proxy or the CDN off for this path",
        ));
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(bare) && bare.len() == echostr.len() && bare.get(..15) == echostr.get(..15) {
        return fault("the `echostr` comes back rounded: something reads it as a number".into());
    }
    if is_html(exchange, bare) {
        return if bare.contains(echostr) {
            fault("the `echostr` comes back within an HTML page".into())
        } else {
            Err(html_page(bare))
        };
    }
    if bare.contains(echostr) {
        return fault(format!("something stands around the `echostr`: `{}`", excerpt(bare)));
    }
    Err(Fault::new(
        format!("not the `echostr` comes back but `{}`", excerpt(bare)),
        "something else than mynah answers this URL; check the host, the port and the path, and where the proxy sends it",
    ))
}

/// Judges the response to a message.
pub fn reply(request: &Request, exchange: &Exchange, sent: &Outgoing, mode: Mode, account: &Account) -> Verdict {
    let mut verdict = Verdict::default();
    if let Err(fault) = read_reply(request, exchange, sent, mode, account, &mut verdict) {
        verdict.fault = Some(fault);
    }
    verdict
}

fn read_reply(
    request: &Request,
    exchange: &Exchange,
    sent: &Outgoing,
    mode: Mode,
    account: &Account,
    verdict: &mut Verdict,
) -> Result<(), Fault> {
    if let Some(fault) = refusal(request, exchange) {
        return Err(fault);
    }
    let between = "mynah sends nothing of the kind; look at what stands between, or at what else answers this URL";
    let Ok(text) = std::str::from_utf8(&exchange.body) else {
        return Err(Fault::new("the reply is not UTF-8", between));
    };
    if text.is_empty() || text == SUCCESS {
        verdict.reply = Some(Reply::Silence);
        return Ok(());
    }
    if text.starts_with('\u{feff}') {
        return Err(Fault::new("a byte order mark (BOM) stands before the reply", between));
    }
    if text.trim() == SUCCESS || text.trim().is_empty() {
        return Err(Fault::new("white space stands around `success`, or alone", between));
    }
    if is_html(exchange, text) {
        return Err(html_page(text));
    }
    if text.starts_with(|c: char| c.is_whitespace()) {
        return Err(Fault::new("white space stands before the reply", between));
    }
    let document = Document::parse(text.as_bytes()).map_err(|error| {
        Fault::new(
            format!("the reply is neither `success` nor a document: `{}` ({error})", excerpt(text)),
            "something else than mynah answers this URL",
        )
    })?;
    if document.format != sent.format {
        let name = |format| if format == Format::Xml { "XML" } else { "JSON" };
        let what = format!("the message was {}, but the reply is {}", name(sent.format), name(document.format));
        return Err(Fault::new(what, "an account is answered in the format that it was set to"));
    }
    let opened = match (document.leaf("Encrypt"), mode) {
        (None, Mode::Safe) => {
            return Err(Fault::new(
                "the reply is not encrypted, though the message was sent in safe mode (安全模式)",
                "the server must encrypt its replies; mynah does once it has `encoding_aes_key` and `app_id`",
            ));
        }
        (None, _) => text.to_owned(),
        (Some(_), Mode::Plain) => {
            return Err(Fault::new("the reply is encrypted, though the message was not", between));
        }
        (Some(encrypt), _) => opened(&document, encrypt, account)?,
    };
    let said = Reply::read(&opened).map_err(|error| Fault::new(format!("the reply cannot be read: {error}"), between));
    let opened = verdict.opened.insert(opened);
    let said = said?;
    verdict.reply = Some(said.clone());
    if let Ok(inner) = Document::parse(opened.as_bytes()) {
        check_names(&inner, sent)?;
    }
    if let Reply::Raw(raw) = &said {
        let what = format!("`{}` is no kind of reply that WeChat is known to take", excerpt(&raw.kind));
        return Err(Fault::new(what, "see the platform's documentation of passive replies (被动回复)"));
    }
    let blank = matches!(&said, Reply::Text(text) if text.trim().is_empty());
    if blank {
        return Err(Fault::new("the reply is an empty text", "answer `success` to say nothing"));
    }
    let (_, warnings) = said.check(&sent.message.kind).map_err(|error| Fault::new(error.to_string(), between))?;
    for warning in warnings {
        match warning {
            Warning::TextCut(bytes) => {
                let what = format!("the reply's text has {bytes} bytes, more than the 2048 that WeChat delivers");
                return Err(Fault::new(what, "shorten it"));
            }
            warning => verdict.warnings.push(warning.to_string()),
        }
    }
    Ok(())
}

/// Checks an encrypted reply's signature and decrypts it.
fn opened(document: &Document<'_>, encrypt: &str, account: &Account) -> Result<String, Fault> {
    let leaf = |name: &str| {
        document.leaf(name).map(str::trim).filter(|value| !value.is_empty()).ok_or_else(|| {
            Fault::new(format!("the encrypted reply has no `{name}`"), "the four parts of the envelope are all needed")
        })
    };
    let parts = [account.token.expose(), leaf("TimeStamp")?, leaf("Nonce")?, encrypt];
    if !signature::verify(&parts, leaf("MsgSignature")?) {
        return Err(Fault::new(
            "the encrypted reply's `MsgSignature` is wrong",
            "it is made of the token and of the reply's own TimeStamp, Nonce and Encrypt",
        ));
    }
    let Some(cipher) = &account.cipher else { return Err(fault::no_key()) };
    let opened = cipher.decrypt(encrypt).map_err(|error| fault::undecipherable(&error))?;
    String::from_utf8(opened.message).map_err(|_| Fault::new("the encrypted reply is not UTF-8", "it must be"))
}

fn check_names(reply: &Document<'_>, sent: &Outgoing) -> Result<(), Fault> {
    let message = &sent.message;
    for (name, wanted, other) in
        [("ToUserName", &message.sender, &message.account), ("FromUserName", &message.account, &message.sender)]
    {
        let given = reply.leaf(name).map(str::trim).unwrap_or_default();
        if given == other {
            return Err(Fault::new(
                "`ToUserName` and `FromUserName` of the reply are those of the message, not the other way round",
                "the reply goes from the account to the follower",
            ));
        }
        if given != wanted {
            return Err(Fault::new(
                format!("the reply's `{name}` is `{}`, not `{wanted}`", excerpt(given)),
                "the reply goes from the account to the follower who wrote",
            ));
        }
    }
    let created = reply.leaf("CreateTime").map(str::trim).unwrap_or_default();
    if created.is_empty() || !created.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new(
            format!("the reply's `CreateTime` is `{}`, not seconds since 1970", excerpt(created)),
            "it is the time of the reply",
        ));
    }
    Ok(())
}

/// Why a response is none that WeChat would look into, whatever it was to answer.
fn refusal(request: &Request, exchange: &Exchange) -> Option<Fault> {
    let text = exchange.text();
    match exchange.status {
        200 => {
            let coding = exchange.header("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"));
            let coding = coding?;
            Some(Fault::new(
                format!("the answer is compressed (`{}`), though nothing asked for it", excerpt(coding)),
                "turn it off for this path (nginx: `gzip off;`)",
            ))
        }
        301 | 302 | 303 | 307 | 308 => Some(redirect(request, exchange.header("location").unwrap_or_default())),
        status => Some(fault::told(text.trim(), request.method()).unwrap_or_else(|| refused(status, exchange, &text))),
    }
}

fn redirect(request: &Request, location: &str) -> Fault {
    let target = request.url.join(location).ok();
    let follows_not = "WeChat does not follow redirects";
    let shown = target.as_ref().map_or(location, |target| &target[..url::Position::AfterPath]);
    let shown = excerpt(shown);
    match &target {
        Some(target) if request.url.scheme() == "http" && target.scheme() == "https" => Fault::new(
            format!("the answer is a redirect from http to https: {follows_not}"),
            format!("enter `{shown}` in the console, or let the proxy pass this path on without a redirect"),
        ),
        Some(target) if target.path() != request.url.path() => Fault::new(
            format!("the answer is a redirect to `{shown}`: {follows_not}"),
            "enter that URL in the console, if it is mynah's, or let the proxy pass this path on as it is",
        ),
        _ => Fault::new(
            format!("the answer is a redirect to `{shown}`: {follows_not}"),
            "enter that URL in the console, or let the proxy answer without a redirect",
        ),
    }
}

/// An answer that is none of mynah's own.
fn refused(status: u16, exchange: &Exchange, text: &str) -> Fault {
    let by = match exchange.header("server") {
        Some(server) => format!("{status} by `{}`", excerpt(server)),
        None => status.to_string(),
    };
    match status {
        400 if text.contains("plain HTTP request was sent to HTTPS port") => {
            Fault::new("the port speaks TLS, but the URL begins with `http://`", "enter it with `https://`")
        }
        401 | 407 => Fault::new(
            format!("the answer is {by}: a password is asked for"),
            "let the proxy pass this path on without one: WeChat has only the signature",
        ),
        403 => Fault::new(
            format!("the answer is {by}, and not from mynah"),
            "a firewall, a CDN or the proxy refuses WeChat's request; let this path through",
        ),
        404 => Fault::new(
            format!("the answer is {by}, and not from mynah: the path is wrong, or the proxy does not pass it on"),
            "enter the `path` of the bot in the console, and pass it on in the proxy (nginx: `location /weixin/`)",
        ),
        405 => Fault::new(
            format!(
                "the answer is {by}: {} is not allowed",
                if text.is_empty() { "this method" } else { "the method" }
            ),
            "let the proxy pass GET and POST on",
        ),
        413 => Fault::new(
            format!("the answer is {by}: the message is too large for the proxy"),
            "allow some KiB at least (nginx: `client_max_body_size 1m;`)",
        ),
        429 => Fault::new(
            format!("the answer is {by}: there are too many requests for the proxy"),
            "take its rate limit off this path",
        ),
        502..=504 => Fault::new(
            format!("the proxy does not reach mynah: it answers {by}"),
            "start mynah, and let the proxy pass to the address of `server.listen` (nginx: `proxy_pass http://127.0.0.1:8080;`)",
        ),
        500.. => {
            Fault::new(format!("the answer is {by}: the server failed"), "see its log; mynah itself never answers so")
        }
        _ => Fault::new(format!("the answer is {by}, not 200"), "see the log of the server that answers this URL"),
    }
}

/// Whether the body is a page for a browser.
fn is_html(exchange: &Exchange, text: &str) -> bool {
    let start: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    let typed = exchange.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("text/html"));
    start.starts_with("<!doctype html") || start.starts_with("<html") || (typed && text.contains("</"))
}

fn html_page(text: &str) -> Fault {
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        let end = lower[start..].find("</title>")? + start;
        text.get(start..end)
    });
    let title = title.map_or_else(String::new, |title| format!(" (`{}`)", excerpt(title.trim())));
    Fault::new(
        format!("an HTML page is the answer{title}"),
        "another web server, or a page of the proxy or the tunnel, answers this URL; let it pass this path on to mynah",
    )
}

#[cfg(test)]
mod tests;

//! `mynah send`: one message to a running server, exactly as WeChat sends it.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use url::Url;

use super::{
    Refused,
    account::{AccountFlags, harmless, read_url, say},
    load_config_quietly, tokio_runtime,
};
use crate::{
    caller::{
        Account, DELIVERIES, Exchange, Failed, Mode, PATIENCE, Request, Way, judge,
        request::{Outgoing, echostr, message_id},
    },
    clock::World,
    config,
    fault::excerpt,
    limits,
    transcript::{acts, replies},
    wechat::{
        callback::Act,
        document::{Format, MAX_BODY},
        message::Message,
        reply::{Header, Reply},
    },
};

/// Characters of an answer that are shown.
const SHOWN: usize = 16 * 1024;

/// A message to send.
#[derive(Args)]
pub(super) struct Sending {
    /// The account's URL, as in the console: http://127.0.0.1:8080/weixin/
    url: String,
    /// A text, or as in transcripts: '[image http://…]', '[event CLICK key=HELP]', '[message file Title=a.pdf]'
    #[arg(required_unless_present_any = ["what", "verify"], conflicts_with_all = ["what", "verify"])]
    message: Option<String>,
    #[command(flatten)]
    what: What,
    /// Send no message, but the verification of the URL that the console sends
    #[arg(long, conflicts_with_all = ["retries", "mode", "json"])]
    verify: bool,
    /// The encryption; by default safe mode for a bot with a key, else plaintext
    #[arg(long, value_enum)]
    mode: Option<ModeFlag>,
    /// Write the message in JSON, as an account can choose
    #[arg(long, conflicts_with = "xml")]
    json: bool,
    /// Send it up to three times, 5 seconds apart and with the same MsgId, as WeChat does when no answer comes
    #[arg(long)]
    retries: bool,
    /// The follower's OpenID
    #[arg(long, value_name = "OPENID", default_value = "o_mynah_send", conflicts_with = "xml")]
    from: String,
    /// The account's original id
    #[arg(long, value_name = "ACCOUNT", default_value = "gh_mynah_send", conflicts_with = "xml")]
    to: String,
    /// The MsgId; by default a new one
    #[arg(long, value_name = "MSGID", conflicts_with = "xml")]
    id: Option<u64>,
    #[command(flatten)]
    account: AccountFlags,
}

/// The kinds of message by flags.
#[derive(Args)]
#[group(id = "what", multiple = true)]
struct What {
    /// A picture, by its URL
    #[arg(long, value_name = "URL", conflicts_with_all = ["voice", "location", "link", "event", "kind", "xml"])]
    image: Option<String>,
    /// A voice message, by what was recognised in it
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["location", "link", "event", "kind", "xml"])]
    voice: Option<String>,
    /// A place
    #[arg(long, num_args = 2..=3, value_names = ["LATITUDE", "LONGITUDE", "LABEL"],
        allow_negative_numbers = true, conflicts_with_all = ["link", "event", "kind", "xml"])]
    location: Option<Vec<String>>,
    /// A page, by its URL
    #[arg(long, value_name = "URL", conflicts_with_all = ["event", "kind", "xml"])]
    link: Option<String>,
    /// An event: subscribe, SCAN, CLICK, …
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["kind", "xml"])]
    event: Option<String>,
    /// The event's key: a menu button's
    #[arg(long, requires = "event", conflicts_with = "scene")]
    key: Option<String>,
    /// The scene of the QR code of a subscribe or SCAN
    #[arg(long, requires = "event")]
    scene: Option<String>,
    /// A message of another type, with its fields
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "xml")]
    kind: Option<String>,
    /// A further field, as often as needed: SendPicsInfo.Count=1
    #[arg(long = "field", value_name = "NAME=VALUE", conflicts_with = "xml")]
    fields: Vec<String>,
    /// The message from this file, as it is; `-` is standard input
    #[arg(long, value_name = "FILE")]
    xml: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeFlag {
    Plain,
    Compatible,
    Safe,
}

pub(super) fn send(path: &Path, sending: &Sending) -> Result<(), Refused> {
    let url = read_url(&sending.url).map_err(usage)?;
    let config = if sending.account.suffice() { None } else { Some(load_config_quietly(path)?) };
    let config = match config {
        Some(checked) => Some(super::routed(checked)?.0),
        None => None,
    };
    let bot = config.as_ref().map(|config| sending.account.bot(config, &url)).transpose().map_err(usage)?;
    let account = sending.account.account(bot).map_err(usage)?;
    let way = sending.account.way()?;
    let world = World::system();
    let tokio = tokio_runtime()?;
    if sending.verify {
        return tokio.block_on(verify(&url, &account, &way, &world));
    }
    let outgoing = sending.outgoing(&world)?;
    let mode = sending.mode(bot, &account);
    tokio.block_on(deliver(sending, &url, mode, &outgoing, &account, &way, &world))
}

/// The command line cannot be used.
fn usage(why: String) -> Refused {
    eprintln!("error: {why}");
    Refused::Config
}

impl Sending {
    fn mode(&self, bot: Option<&config::Bot>, account: &Account) -> Mode {
        match self.mode {
            Some(ModeFlag::Plain) => Mode::Plain,
            Some(ModeFlag::Compatible) => Mode::Compatible,
            Some(ModeFlag::Safe) => Mode::Safe,
            None if account.cipher.is_some() || bot.is_some_and(|bot| bot.require_encryption) => Mode::Safe,
            None => Mode::Plain,
        }
    }

    fn outgoing(&self, world: &World) -> Result<Outgoing, Refused> {
        let body = match &self.what.xml {
            Some(path) => read_body(path)?,
            None => {
                let act = self.act().map_err(usage)?;
                let id = match self.id {
                    Some(id) => id.to_string(),
                    None if act.has_id() => message_id(world).to_string(),
                    None => String::new(),
                };
                let header = Header { to: &self.to, from: &self.from, created: world.clock.now().as_secs() };
                let format = if self.json { Format::Json } else { Format::Xml };
                act.render(&header, &id, format).map_err(|error| usage(error.to_string()))?
            }
        };
        Outgoing::new(body).map_err(|error| usage(error.to_string()))
    }

    fn act(&self) -> Result<Act, String> {
        let What { image, voice, location, link, event, key, scene, kind, fields, xml: _ } = &self.what;
        let mut act = match (&self.message, image, voice, location, link, event, kind) {
            (Some(message), ..) => acts::read(message)?,
            (_, Some(url), ..) => Act::image(url),
            (_, _, Some(words), ..) => Act::voice(Some(words.as_str()).filter(|words| !words.is_empty())),
            (_, _, _, Some(place), ..) => {
                let part = |at: usize| place.get(at).map(String::as_str).unwrap_or_default();
                Act::location(part(0), part(1), part(2))
            }
            (_, _, _, _, Some(url), ..) => Act::link(url, "", url),
            (.., Some(event), _) => match scene {
                Some(scene) => Act::scan(event, scene),
                None => Act::event(event, key.as_deref().unwrap_or_default()),
            },
            (.., Some(kind)) => Act::new(kind),
            _ => return Err("there is nothing to send: give a text, or one of the kinds of message".into()),
        };
        for field in fields {
            let (name, value) =
                field.split_once('=').ok_or_else(|| format!("`--field {field}` is not of the form `NAME=VALUE`"))?;
            act = act.with(name, value);
        }
        Ok(act)
    }
}

fn read_body(path: &Path) -> Result<String, Refused> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MAX_BODY as u64 + 1).read_to_end(&mut bytes);
        read.context("cannot read standard input")?;
        bytes
    } else {
        config::read_bounded(path, limits::CONFIG_FILE).with_context(|| format!("cannot read `{}`", path.display()))?
    };
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("`{}` is not UTF-8 text", path.display()))?;
    // What follows the document in a file is the file's, not the message's.
    Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
}

async fn verify(url: &Url, account: &Account, way: &Way, world: &World) -> Result<(), Refused> {
    let echostr = echostr(world);
    let request = account.verification(url, &echostr, world);
    show_request(&request);
    let called = way.call(&request, PATIENCE, world).await;
    show_answer(&called);
    let judged = match &called {
        Ok(exchange) => judge::verification(&request, exchange, &echostr, None),
        Err(failed) => Err(failed.fault.clone()),
    };
    match judged {
        Ok(()) => {
            say("accepted: WeChat would take this URL");
            Ok(())
        }
        Err(fault) => {
            say(&format!("refused: {fault}"));
            Err(Refused::Failed)
        }
    }
}

async fn deliver(
    sending: &Sending,
    url: &Url,
    mode: Mode,
    outgoing: &Outgoing,
    account: &Account,
    way: &Way,
    world: &World,
) -> Result<(), Refused> {
    let deliveries = if sending.retries { DELIVERIES } else { 1 };
    say(&format!("> {}", sending.message.clone().unwrap_or_else(|| in_words(&outgoing.message))));
    for delivery in 1..=deliveries {
        let start = world.clock.monotonic();
        let request = account.delivery(url, mode, outgoing, world).map_err(|error| usage(error.to_string()))?;
        if sending.retries {
            say(&format!("\ndelivery {delivery} of {deliveries}, in {}", mode.name()));
        } else {
            say(&format!("\nin {}", mode.name()));
        }
        show_request(&request);
        if mode != Mode::Plain {
            say(&format!("encrypted in it:\n{}", harmless(&outgoing.body)));
        }
        let called = way.call(&request, PATIENCE, world).await;
        show_answer(&called);
        match called {
            Ok(exchange) => return judged(&request, &exchange, outgoing, mode, account),
            Err(failed) => {
                say(&format!("no answer: {}", failed.fault));
                if delivery < deliveries {
                    let spent = world.clock.monotonic().saturating_sub(start);
                    tokio::time::sleep(PATIENCE.saturating_sub(spent)).await;
                }
            }
        }
    }
    say(&format!("refused: WeChat got no answer, and the follower sees: {}", judge::SHOWN_TO_FOLLOWERS));
    Err(Refused::Failed)
}

fn judged(
    request: &Request,
    exchange: &Exchange,
    outgoing: &Outgoing,
    mode: Mode,
    account: &Account,
) -> Result<(), Refused> {
    let verdict = judge::reply(request, exchange, outgoing, mode, account);
    if let Some(opened) = verdict.opened.as_ref().filter(|opened| opened.as_bytes() != exchange.body) {
        say(&format!("encrypted in it, with a good signature:\n{}", harmless(opened)));
    }
    if let Some(fault) = verdict.fault {
        say(&format!("\nrefused: {fault}\nthe follower sees: {}", judge::SHOWN_TO_FOLLOWERS));
        return Err(Refused::Failed);
    }
    say("");
    for line in verdict.reply.iter().flat_map(replies::lines) {
        say(&format!("< {}", harmless(&line.plain)));
    }
    for warning in verdict.warnings {
        say(&format!("warning: {warning}"));
    }
    say(match verdict.reply {
        Some(Reply::Silence) => "accepted: the follower gets no reply",
        _ => "accepted: the follower gets this reply",
    });
    Ok(())
}

fn show_request(request: &Request) {
    say(&format!("{} {}", request.method(), request.url));
    if let Some(body) = &request.body {
        say(&harmless(body));
    }
}

fn show_answer(called: &Result<Exchange, Failed>) {
    let Ok(exchange) = called else { return };
    let kind = exchange.header("content-type").map(|kind| format!(", {}", excerpt(kind))).unwrap_or_default();
    say(&format!("\n{} after {}{kind}", exchange.status, in_ms(exchange.time)));
    let text = exchange.text();
    let shown: String = text.chars().take(SHOWN).collect();
    say(&harmless(shown.trim_end()));
    if shown.len() < text.len() {
        say(&format!("… {} bytes in all", text.len()));
    }
}

pub(super) fn in_ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// A message in one line, as transcripts have it.
fn in_words(message: &Message) -> String {
    if message.kind == "text" {
        return acts::written(message.text.as_deref().unwrap_or_default());
    }
    let mut words = format!("[{}", message.kind);
    for field in &message.fields {
        words += &format!(" {}={}", field.name, harmless(&field.value));
    }
    words + "]"
}

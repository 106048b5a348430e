//! Calls to the URL, as WeChat makes them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Url;

use super::{Report, answers};
use crate::{
    caller::{
        Account, Exchange, Mode, PATIENCE, Request, Stage, Way, judge,
        request::{Outgoing, echostr},
    },
    cli::send::in_ms,
    clock::World,
    config::{self, Config, normal_path},
    fault::{self, Fault},
    wechat::{callback::Act, document::Format, reply::Header},
};

/// The event that is sent: no rule names it but one for every event, so that nothing of a follower's changes.
const EVENT: &str = "mynah_doctor";

/// Who sends it.
const SENDER: &str = "mynah-doctor";

/// Bytes of the event's key: as long as the longest of WeChat's own messages are, so that a proxy with a small bound shows itself.
const KEY: usize = 4 * 1024;

/// How many bots of one server are tried.
const BOTS: usize = 20;

/// What is called, and on whose behalf.
pub(super) struct Calls<'a> {
    pub(super) url: &'a Url,
    pub(super) way: &'a Way,
    pub(super) account: &'a Account,
    pub(super) bot: Option<&'a config::Bot>,
    pub(super) config: Option<&'a Config>,
    pub(super) world: &'a World,
}

impl Calls<'_> {
    /// Makes all calls, until one shows why WeChat would get nowhere.
    pub(super) async fn check(&self, report: &mut Report) {
        // A bad certificate is reported, and the rest looked at nevertheless.
        let mut way = self.way.clone();
        way.trust_any_certificate = true;
        let calls = Calls { way: &way, ..*self };
        let (first, answer) = match calls.verify(None).await {
            Ok(verified) => verified,
            Err(fault) => {
                let explained = calls.explained(fault.clone());
                report.problem(&explained);
                // What it says of itself, it says directly as well.
                if fault == explained && fault != fault::token_differs() {
                    calls.ask_mynah_itself(report).await;
                }
                return;
            }
        };
        if let Err(fault) = calls.check_further(&first, &answer, report).await {
            report.problem(&fault);
        }
    }

    /// All that goes on from a verification that passed.
    async fn check_further(&self, first: &str, answer: &Exchange, report: &mut Report) -> Result<(), Fault> {
        if let Some(fault) = &answer.certificate {
            report.problem(fault);
        } else if self.url.scheme() == "https" {
            report.ok("the TLS certificate is valid");
        }
        // A second time, so that an answer from a cache shows itself.
        let (_, again) = self.verify(Some(first)).await?;
        report.ok(format_args!("verification: the `echostr` comes back as it is, after {}", in_ms(again.time)));
        answers::check_time(answer.time.min(again.time), report);
        answers::check_type(answer, report);
        answers::check_clock(answer, "the server", self.world, report);

        let (request, echostr) = self.forged_verification();
        let forged = self.call(&request).await?;
        if judge::verification(&request, &forged, &echostr, None).is_ok() {
            report.warning(&Fault::new(
                "a wrong signature is verified, too",
                "not mynah answers here, or a proxy in its place: whoever knows the URL could pass for WeChat",
            ));
        } else {
            report.ok("a wrong signature is refused");
        }

        for mode in self.modes() {
            let answer = self.deliver(mode).await?;
            report.ok(format_args!("a message in {} is taken, after {}", mode.name(), in_ms(answer.time)));
        }
        let request = self.forged_message()?;
        if self.call(&request).await?.status == 200 {
            report.warning(&Fault::new(
                "a message with a wrong signature is taken, too",
                "not mynah answers here, or a proxy in its place: whoever knows the URL could pass for WeChat",
            ));
        } else {
            report.ok("a message with a wrong signature is refused");
        }
        Ok(())
    }

    async fn call(&self, request: &Request) -> Result<Exchange, Fault> {
        self.way.call(request, PATIENCE, self.world).await.map_err(|failed| match (failed.stage, self.config) {
            (Stage::Connect, Some(config)) => not_listening(failed.fault, self.url, config),
            _ => failed.fault,
        })
    }

    /// Verifies once; gives what was to be echoed, and the answer.
    async fn verify(&self, earlier: Option<&str>) -> Result<(String, Exchange), Fault> {
        let echostr = echostr(self.world);
        let request = self.account.verification(self.url, &echostr, self.world);
        let exchange = self.call(&request).await?;
        judge::verification(&request, &exchange, &echostr, earlier)?;
        Ok((echostr, exchange))
    }

    async fn deliver(&self, mode: Mode) -> Result<Exchange, Fault> {
        let outgoing = self.event()?;
        let request = self.account.delivery(self.url, mode, &outgoing, self.world).map_err(bug)?;
        let exchange = self.call(&request).await?;
        let verdict = judge::reply(&request, &exchange, &outgoing, mode, self.account);
        match verdict.fault {
            // The verification has just passed with the same token.
            Some(fault) if fault == fault::token_differs() => Err(Fault::new(
                "the signature of a POST does not fit, though that of a GET does",
                "a proxy changes the query of a POST; pass it on as it is",
            )),
            Some(fault) => {
                let what = format!("a message in {}: {}", mode.name(), fault.what);
                Err(Fault::new(what, fault.advice))
            }
            None => {
                debug_assert!(verdict.reply.is_some());
                Ok(exchange)
            }
        }
    }

    /// An event that no follower sends.
    fn event(&self) -> Result<Outgoing, Fault> {
        let mut key = echostr(self.world);
        key.extend(std::iter::repeat_n('x', KEY - key.len()));
        let header = Header { to: "gh_mynah_doctor", from: SENDER, created: self.world.clock.now().as_secs() };
        let body = Act::event(EVENT, &key).render(&header, "", Format::Xml).map_err(bug)?;
        Outgoing::new(body).map_err(bug)
    }

    /// The modes that the bot takes.
    fn modes(&self) -> Vec<Mode> {
        let mut modes = Vec::new();
        if !self.bot.is_some_and(|bot| bot.require_encryption) {
            modes.push(Mode::Plain);
        }
        if self.account.cipher.is_some() {
            modes.extend([Mode::Compatible, Mode::Safe]);
        }
        modes
    }

    fn forged_verification(&self) -> (Request, String) {
        let echostr = echostr(self.world);
        let mut request = self.account.verification(self.url, &echostr, self.world);
        forge(&mut request.url);
        (request, echostr)
    }

    fn forged_message(&self) -> Result<Request, Fault> {
        let outgoing = self.event()?;
        let mode = if self.account.cipher.is_some() { Mode::Safe } else { Mode::Plain };
        let mut request = self.account.delivery(self.url, mode, &outgoing, self.world).map_err(bug)?;
        forge(&mut request.url);
        Ok(request)
    }

    /// What only `bots.toml` tells of a fault.
    fn explained(&self, fault: Fault) -> Fault {
        let Some(bot) = self.bot else { return fault };
        if fault == fault::token_differs() && bot.token_is_default {
            let advice = "this shell has not set the environment variable of the token, so that the default of bots.toml was used: set \
                          it as for the server, or give `--token`";
            return Fault::new(fault.what, advice);
        }
        if Some(&fault) == fault::told(fault::NO_BOT, "GET").as_ref() {
            return fault::no_bot(self.url.path(), [bot.path.clone()]);
        }
        fault
    }

    /// Tells a fault of the proxy from one of the server behind it, where that is on this machine.
    async fn ask_mynah_itself(&self, report: &mut Report) {
        let (Some(config), Some(bot)) = (self.config, self.bot) else { return };
        let Some(listen) = reached_at(config) else { return };
        let Some(direct) = direct_url(listen, bot) else { return };
        if self.url.port_or_known_default() == Some(listen.port()) && normal_path(self.url.path()) == bot.path {
            return;
        }
        let mut way = self.way.clone();
        way.connect = None;
        let calls = Calls { url: &direct, way: &way, ..*self };
        match calls.verify(None).await {
            Ok(_) => report
                .note(format_args!("mynah itself answers at {listen} as it should: look at what stands before it")),
            Err(fault) => report.note(format_args!("asked directly, at {listen}: {}", fault.what)),
        }
    }
}

/// Without a URL: whether the server of this machine answers, and with these secrets.
pub(super) async fn check_listening(config: &Config, only: &Option<String>, world: &World, report: &mut Report) {
    let Some(listen) = reached_at(config) else { return };
    report.section(&format!("http://{listen}/"));
    let Ok(way) = Way::new(&[]) else { return };
    let chosen = |bot: &&config::Bot| only.as_ref().is_none_or(|name| **name == *bot.name);
    for bot in config.bots.iter().filter(chosen).take(BOTS) {
        if !bot.unset.is_empty() {
            continue;
        }
        let Some(url) = direct_url(listen, bot) else { continue };
        let account = Account { token: bot.token.clone(), cipher: bot.cipher.clone() };
        let calls = Calls { url: &url, way: &way, account: &account, bot: Some(bot), config: Some(config), world };
        let request = account.verification(&url, "1", world);
        if let Err(failed) = way.call(&request, PATIENCE, world).await
            && failed.stage == Stage::Connect
        {
            return report.note(format_args!("mynah does not run here: nobody takes connections at {listen}"));
        }
        match calls.verify(None).await {
            Ok((_, answer)) => {
                report.ok(format_args!("bot `{}` answers at `{}/`, after {}", bot.name, bot.path, in_ms(answer.time)));
            }
            Err(fault) => report.problem(&calls.explained(fault)),
        }
    }
    report.note("give `mynah doctor` the URL of the account's console, too: then all that stands between is looked at");
}

/// Where this machine reaches its own server.
fn reached_at(config: &Config) -> Option<SocketAddr> {
    let listen = config.server.listen;
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    (listen.port() != 0).then(|| SocketAddr::new(ip, listen.port()))
}

fn direct_url(listen: SocketAddr, bot: &config::Bot) -> Option<Url> {
    Url::parse(&format!("http://{listen}{}/", bot.path)).ok()
}

/// Nobody takes connections: perhaps because the server takes this machine's only.
fn not_listening(fault: Fault, url: &Url, config: &Config) -> Fault {
    let listen = config.server.listen;
    let same_port = url.port_or_known_default() == Some(listen.port());
    if !listen.ip().to_canonical().is_loopback() || url.host_str().is_some_and(|host| host == listen.ip().to_string()) {
        return fault;
    }
    let what = format!("{}: mynah listens on `{listen}` only (`server.listen`)", fault.what);
    if same_port {
        Fault::new(what, "let it listen on `0.0.0.0`, or start the proxy before it")
    } else {
        Fault::new(what, "start the proxy before it, and open its port in the firewall and the security group (安全组)")
    }
}

/// Spoils the signature, and nothing else.
fn forge(url: &mut Url) {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut query = url.query_pairs_mut();
    query.clear();
    for (name, value) in pairs {
        let value = if name == "signature" { fault::PROBE.to_owned() } else { value };
        query.append_pair(&name, &value);
    }
}

fn bug(error: impl std::fmt::Display) -> Fault {
    Fault::new(error.to_string(), "this is a bug of `mynah doctor`")
}

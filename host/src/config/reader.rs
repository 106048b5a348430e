//! Reads the tables of `bots.toml`, each key by itself.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use ignore::overrides::OverrideBuilder;
use toml::de::{DeTable, DeValue};

use super::{
    Bot, Config, Escape, Instances, LATE_WORD, Late, Limits, Plugin, Server,
    allow::{self, Allow},
    normal_path,
    problems::{Problem, Problems, SourceId},
    rules::{self, Known},
    table::{Entry, Table, described},
    values::{self, HumanDuration, HumanSize, Origin, Origins, sourced},
};
use crate::{
    limits,
    secret::Secret,
    wechat::reply::{CheckedReply, Reply},
};

/// Every address: WeChat calls from outside, straight or through a proxy.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

/// Where the embedded database is, beside `bots.toml`.
const STATE: &str = "data/mynah.db";

/// What leaves a conversation.
const ESCAPE_WORDS: [&str; 2] = ["退出", "取消"];

/// What is said then.
const ESCAPE_REPLY: &str = "已退出。";

/// What is said in place of an answer that is not there in time.
const LATE_REPLY: &str = "还在想……稍后回复「继续」取答案。";

/// The same where the answer is pushed. The word is there for when that turns out impossible.
const PUSH_REPLY: &str = "还在想……想好了就发给你。要是没收到，回复「继续」。";

/// Bytes of that: it must leave room for the link within WeChat's 2,048.
const LATE_REPLY_BYTES: usize = 1024;

/// WeChat's users live in this time zone.
const TIMEZONE: &str = "Asia/Shanghai";

/// Reads the tables of one file.
pub(super) struct Reader<'a, 'b> {
    pub(super) source: SourceId,
    /// The line in which a byte stands, counted from 1.
    pub(super) lines: &'a dyn Fn(usize) -> usize,
    pub(super) origins: &'a mut Origins<'b>,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_, '_> {
    /// All of it; usable only if no problem is an error.
    pub(super) fn config(&mut self, mut table: Table<'_>) -> Config {
        let server = table.take("server").and_then(|entry| self.table(entry, "`server`"));
        let bots = self.named(table.take("bots"), "bots");
        let plugins = self.named(table.take("plugins"), "plugins");
        table.finish("this file", self.problems);

        let server = self.server(server);
        let names: Vec<String> = plugins.iter().map(|(name, ..)| name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let places: Vec<_> = plugins.iter().map(|(name, place, _)| (name.clone(), place.clone())).collect();
        let plugins: BTreeMap<Arc<str>, Plugin> =
            plugins.into_iter().filter_map(|(name, _, table)| Some((Arc::from(name), self.plugin(table)?))).collect();
        if bots.is_empty() {
            self.problems
                .push(Problem::error("there is no bot").hint("add a table `[bots.demo]` with `path` and `token`"));
        }
        let mut taken: Vec<(String, Arc<str>)> = Vec::new();
        let bots: Vec<Bot> = bots
            .into_iter()
            .filter_map(|(name, _, table)| self.bot(name.into(), table, &names, &server, &mut taken))
            .collect();
        for (name, place) in places {
            self.warn_of_calls_without_secret(&name, &bots, &plugins, &place);
            if !bots.iter().any(|bot| bot.uses(&name)) && !self.problems.has_errors() {
                let problem = Problem::warning(format!("no rule uses the plugin `{name}`")).at(self.source, place);
                self.problems.push(problem);
            }
        }
        Config { server, bots, plugins }
    }

    /// A plugin that may call the WeChat API does so for each of its bots.
    fn warn_of_calls_without_secret(
        &mut self,
        name: &str,
        bots: &[Bot],
        plugins: &BTreeMap<Arc<str>, Plugin>,
        place: &Range<usize>,
    ) {
        if !plugins.get(name).is_some_and(|plugin| plugin.allow.any_wechat()) {
            return;
        }
        for bot in bots.iter().filter(|bot| bot.api.is_none() && bot.uses(name)) {
            let message = format!("the plugin `{name}` may call the WeChat API, but bot `{}` cannot", bot.name);
            let problem = Problem::warning(message).at(self.source, place.clone());
            self.problems.push(problem.hint(format!("add `app_id` and `app_secret` to `[bots.{}]`", bot.name)));
        }
    }

    fn server(&mut self, table: Option<Table<'_>>) -> Server {
        let mut table = table.unwrap_or_else(|| Table::new(DeTable::new(), 0..0, self.source));
        let listen = self.address("listen", &mut table, "`0.0.0.0:8080`, or `127.0.0.1:8080` behind a proxy");
        let admin = self.address("admin", &mut table, "`127.0.0.1:9180`");
        if let Some(admin) = &admin
            && !admin.get_ref().ip().is_loopback()
        {
            let problem = Problem::warning("everybody who reaches `server.admin` can use it: it asks for no password");
            self.problems.push(
                problem
                    .at(self.source, admin.span())
                    .hint("an address of this machine alone is `127.0.0.1:9180`; let others in through what asks them"),
            );
        }
        let listen = listen.map_or(LISTEN, toml::Spanned::into_inner);
        if let Some(admin) = &admin
            && *admin.get_ref() == listen
            && listen.port() != 0
        {
            self.error("`server.admin` is the address that WeChat calls", admin.span(), "give it a port of its own");
        }
        let connections = table.get::<usize>("connections", self.problems);
        let timezone = table.get::<String>("timezone", self.problems);
        let state = table.get::<String>("state", self.problems);
        if let Some(state) = &state
            && state.get_ref().contains("://")
        {
            self.error(
                format!("`{}` is no file", state.get_ref()),
                state.span(),
                "this version keeps state in an SQLite database: `data/mynah.db`",
            );
        }
        table.finish("`[server]`", self.problems);
        if let Some(zone) = &timezone
            && jiff::tz::TimeZone::get(zone.get_ref()).is_err()
        {
            self.error(
                format!("`{}` is no time zone", zone.get_ref()),
                zone.span(),
                "an IANA name such as `Asia/Shanghai`",
            );
        }
        if let Some(connections) = &connections
            && !(1..=limits::CONNECTIONS_MAX).contains(connections.get_ref())
        {
            let message = format!("`connections` must be between 1 and {}", limits::CONNECTIONS_MAX);
            self.error(message, connections.span(), "leave it out for the default");
        }
        Server {
            listen,
            admin: admin.map(toml::Spanned::into_inner),
            timezone: timezone.map_or_else(|| TIMEZONE.to_owned(), toml::Spanned::into_inner),
            connections: connections.map_or(limits::CONNECTIONS, toml::Spanned::into_inner),
            state: self.origins.resolve(state.as_ref().map_or(STATE, |state| state.get_ref())),
        }
    }

    fn address(
        &mut self,
        key: &'static str,
        table: &mut Table<'_>,
        example: &str,
    ) -> Option<toml::Spanned<SocketAddr>> {
        let text = table.get::<String>(key, self.problems)?;
        match text.get_ref().parse() {
            Ok(address) => Some(toml::Spanned::new(text.span(), address)),
            Err(_) => {
                let message = format!("`{}` is no address to listen on", text.get_ref());
                self.error(message, text.span(), &format!("an IP address and a port: {example}"));
                None
            }
        }
    }

    fn bot(
        &mut self,
        name: Arc<str>,
        mut table: Table<'_>,
        plugins: &[&str],
        server: &Server,
        taken: &mut Vec<(String, Arc<str>)>,
    ) -> Option<Bot> {
        let span = table.span.clone();
        let path_given = table.contains("path");
        let path = match table.get::<String>("path", self.problems) {
            Some(path) => self.path(&name, path, taken),
            None if !path_given => {
                self.error(
                    format!("bot `{name}` has no `path`"),
                    span.clone(),
                    "add `path = \"/weixin/\"`, the path of the URL that WeChat calls",
                );
                None
            }
            None => None,
        };
        let unset = self.origins.unset.len();
        let token = match table.take("token") {
            Some(entry) => self.token(&name, entry, server),
            None => {
                self.error(
                    format!("bot `{name}` has no `token`"),
                    span,
                    "add `token = { env = \"WECHAT_TOKEN\" }`: the Token of the account's server configuration",
                );
                None
            }
        };
        let app_id = self.app_id(&mut table);
        let cipher = self.cipher(&name, app_id.as_ref(), &mut table);
        let unset = self.origins.unset.split_off(unset);
        let has_secret = table.contains("app_secret");
        let api = self.api(&name, app_id.as_ref(), &mut table);
        let require_encryption = table.get::<bool>("require_encryption", self.problems);
        if let Some(require) = &require_encryption
            && *require.get_ref()
            && cipher.is_none()
        {
            self.error(
                format!("bot `{name}` requires encryption, but has no key"),
                require.span(),
                "add `app_id` and `encoding_aes_key`",
            );
        }
        let on_error = table.get::<String>("on_error", self.problems).map(|text| self.text_reply("on_error", text));
        let escape = self.escape(&mut table);
        let late = self.late(&name, has_secret, &mut table);
        let rules = table.take("rules").map_or_else(Vec::new, |entry| {
            let known = Known { plugins, lines: self.lines };
            rules::rules(entry.value, self.source, &known, self.origins, self.problems)
        });
        table.finish(&format!("`[bots.{name}]`"), self.problems);
        let (token, token_is_default) = token?;
        Some(Bot {
            name,
            path: path?,
            token,
            token_is_default,
            unset,
            cipher,
            api,
            require_encryption: require_encryption.is_some_and(toml::Spanned::into_inner),
            on_error: on_error.unwrap_or(CheckedReply::SILENCE),
            escape,
            late,
            rules: rules.into(),
        })
    }

    fn escape(&mut self, table: &mut Table<'_>) -> Escape {
        let given = table.take("escape").and_then(|entry| self.table(entry, "`escape`"));
        let (mut words, mut reply) = (None, None);
        if let Some(mut given) = given {
            words = given.take("words").map(|entry| self.words(entry));
            reply = given.get::<String>("reply", self.problems);
            given.finish("`escape`", self.problems);
        }
        let reply = reply.unwrap_or_else(|| toml::Spanned::new(0..0, ESCAPE_REPLY.to_owned()));
        Escape {
            words: words.unwrap_or_else(|| ESCAPE_WORDS.map(str::to_owned).into()),
            reply: self.text_reply("escape.reply", reply),
        }
    }

    fn late(&mut self, bot: &str, has_secret: bool, table: &mut Table<'_>) -> Late {
        let mut late = Late {
            push: false,
            words: vec![LATE_WORD.to_owned()],
            reply: LATE_REPLY.into(),
            kept_reply: LATE_REPLY.into(),
        };
        let Some(mut given) = table.take("late").and_then(|entry| self.table(entry, "`late`")) else { return late };
        if let Some(mode) = given.get::<String>("mode", self.problems) {
            match mode.get_ref().as_str() {
                "keep" => {}
                "push" if has_secret => (late.push, late.reply) = (true, PUSH_REPLY.into()),
                "push" => self.error(
                    format!("bot `{bot}` is to push late answers, but cannot call the WeChat API"),
                    mode.span(),
                    "add `app_id` and `app_secret`",
                ),
                other => self.error(
                    format!("`{other}` is no mode of `late`"),
                    mode.span(),
                    "`keep`: the answer is kept until the follower asks for it; `push`: it is sent as a customer-service message",
                ),
            }
        }
        if let Some(entry) = given.take("words") {
            let words = self.words(entry);
            if !words.is_empty() {
                late.words = words;
            }
        }
        if let Some(reply) = given.get::<String>("reply", self.problems) {
            let span = reply.span();
            late.reply = reply.into_inner();
            late.kept_reply.clone_from(&late.reply);
            if late.reply.trim().is_empty() {
                self.error(
                    "`late.reply` must not be empty",
                    span,
                    "a follower who hears nothing is shown an error by WeChat",
                );
            } else if late.reply.len() > LATE_REPLY_BYTES {
                self.error(
                    format!("`late.reply` has {} bytes, more than {LATE_REPLY_BYTES}", late.reply.len()),
                    span,
                    "one sentence does",
                );
            }
        }
        given.finish("`late`", self.problems);
        late
    }

    fn words(&mut self, entry: Entry<'_>) -> Vec<String> {
        values::strings(entry, "words", self.source, self.problems).into_iter().map(|(word, _)| word).collect()
    }

    fn text_reply(&mut self, key: &str, text: toml::Spanned<String>) -> CheckedReply {
        let span = text.span();
        match Reply::Text(text.into_inner()).check("text") {
            Ok((reply, warnings)) => {
                for warning in warnings {
                    self.problems.push(Problem::warning(format!("`{key}`: {warning}")).at(self.source, span.clone()));
                }
                reply
            }
            Err(error) => {
                self.problems.push(Problem::error(format!("`{key}`: {error}")).at(self.source, span));
                CheckedReply::SILENCE
            }
        }
    }

    fn path(
        &mut self,
        bot: &Arc<str>,
        path: toml::Spanned<String>,
        taken: &mut Vec<(String, Arc<str>)>,
    ) -> Option<String> {
        let span = path.span();
        let path = path.into_inner();
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\"<>\\".contains(&byte));
        if !path.starts_with('/') || !plain {
            self.error(
                format!("`{path}` is no path of a URL"),
                span,
                "it begins with `/` and has neither spaces nor `?`, `#` or `%`: `/weixin/`",
            );
            return None;
        }
        let trimmed = normal_path(&path).to_owned();
        if let Some((_, other)) = taken.iter().find(|(taken, _)| *taken == trimmed) {
            self.error(format!("bots `{other}` and `{bot}` have the same path"), span, "a path tells the bots apart");
            return None;
        }
        taken.push((trimmed.clone(), bot.clone()));
        Some(trimmed)
    }

    /// The token, and whether it is the default.
    fn token(&mut self, bot: &str, entry: Entry<'_>, server: &Server) -> Option<(Secret, bool)> {
        let token = sourced(entry, "`token`", self.source, self.origins, self.problems)?;
        if token.origin == Origin::NotNeeded {
            return Some((Secret::new(""), false));
        }
        let text = token.text.trim();
        // The account's settings page takes nothing else, so anything else cannot be what stands there.
        if !(3..=32).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.error(
                format!("the token of bot `{bot}` is not 3 to 32 letters and digits"),
                token.span,
                "copy it from the account's server configuration (服务器配置)",
            );
            return None;
        }
        if token.origin == Origin::Default && !is_loopback(server.listen.ip()) {
            let problem = Problem::warning(format!(
                "bot `{bot}` uses the default token on a public address, so anybody can send it messages"
            ));
            self.problems
                .push(problem.at(self.source, token.span).hint("set the environment variable to a token of your own"));
        }
        Some((Secret::new(text), token.origin == Origin::Default))
    }

    fn plugin(&mut self, mut table: Table<'_>) -> Option<Plugin> {
        let span = table.span.clone();
        let wasm_given = table.contains("wasm");
        let wasm = match table.get::<String>("wasm", self.problems) {
            Some(path) => Some((path.span(), self.origins.resolve(path.get_ref()))),
            None if !wasm_given => {
                self.error(
                    "this plugin has no `wasm`",
                    span,
                    "add `wasm = \"PATH\"`, the file of the compiled component",
                );
                None
            }
            None => None,
        };
        let sha256 = table.get::<String>("sha256", self.problems).and_then(|digest| {
            let text = digest.get_ref().trim().to_lowercase();
            if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Some(text);
            }
            self.error("`sha256` is not 64 hexadecimal digits", digest.span(), "what `sha256sum FILE` prints");
            None
        });
        let build = table.get::<String>("build", self.problems).map(toml::Spanned::into_inner);
        let watch = table.take("watch").map(|entry| self.globs(entry));
        let config = table.take("config").map_or_else(BTreeMap::new, |entry| self.plugin_config(entry));
        let limits = match table.take("limits").and_then(|entry| self.table(entry, "`limits`")) {
            Some(table) => self.limits(table),
            None => Limits { time: limits::PLUGIN_TIME, memory: limits::PLUGIN_MEMORY },
        };
        let allow = table.take("allow").and_then(|entry| self.table(entry, "`allow`"));
        let allow = allow.map_or_else(Allow::default, |table| allow::allow(table, self.origins, self.problems));
        let instances = table.take("instances").and_then(|entry| self.instances(entry)).unwrap_or_default();
        table.finish("a plugin", self.problems);
        let (span, wasm) = wasm?;
        let (config, allow) = (Arc::new(config), Arc::new(allow));
        Some(Plugin { span, wasm, sha256, build, watch, config, limits, allow, instances })
    }

    fn globs(&mut self, entry: Entry<'_>) -> Vec<String> {
        let mut globs = Vec::new();
        for (glob, span) in values::strings(entry, "watch", self.source, self.problems) {
            let relative = glob.strip_prefix("./").unwrap_or(&glob);
            if let Err(error) = OverrideBuilder::new("").add(relative) {
                self.error(format!("`{glob}` is no pattern of files: {error}"), span, "`plugins/echo/src/**`");
            } else if relative.starts_with(['/', '~']) || relative.split('/').any(|part| part == "..") {
                self.error(
                    format!("`{glob}` leads out of the folder of `bots.toml`"),
                    span,
                    "a path relative to it: `plugins/echo/src/**`",
                );
            } else {
                globs.push(relative.to_owned());
            }
        }
        globs
    }

    fn plugin_config(&mut self, entry: Entry<'_>) -> BTreeMap<String, String> {
        let Some(table) = self.table(entry, "`config`") else { return BTreeMap::new() };
        let mut config = BTreeMap::new();
        for (key, value) in table.into_entries() {
            // Numbers and truth values are what a person would write; the plugin gets the text.
            let text = match value.get_ref() {
                DeValue::Integer(number) => Some(number.to_string()),
                DeValue::Float(number) => Some(number.to_string()),
                DeValue::Boolean(truth) => Some(truth.to_string()),
                _ => None,
            };
            let text = text.or_else(|| {
                let what = format!("`config.{}`", key.get_ref());
                let entry = Entry { key_span: key.span(), value };
                sourced(entry, &what, self.source, self.origins, self.problems).map(|value| value.text)
            });
            if let Some(text) = text {
                config.insert(key.into_inner(), text);
            }
        }
        config
    }

    fn instances(&mut self, entry: Entry<'_>) -> Option<Instances> {
        let span = entry.value.span();
        match entry.value.get_ref() {
            DeValue::String(text) if text == "fresh" => return Some(Instances::Fresh),
            DeValue::String(text) if text == "reuse" => {
                return Some(Instances::Reuse { messages: limits::PLUGIN_REUSE });
            }
            DeValue::Table(given) if given.contains_key("reuse") => {
                let mut table = self.table(entry, "`instances`")?;
                let messages = table.get::<u32>("reuse", self.problems);
                table.finish("`instances`", self.problems);
                let messages = messages?;
                if (2..=limits::PLUGIN_REUSE_MAX).contains(messages.get_ref()) {
                    return Some(Instances::Reuse { messages: messages.into_inner() });
                }
                let message = format!("`reuse` must be between 2 and {}", limits::PLUGIN_REUSE_MAX);
                let hint = "how many messages an instance answers; the default is 1000";
                self.error(message, messages.span(), hint);
            }
            _ => self.error(
                "`instances` is neither `\"fresh\"` nor `\"reuse\"`",
                span,
                "`fresh`: each message meets new memory; `reuse`: memory stays from one message to the next, and the start is spared; \
                 `{ reuse = 1000 }` says for how many messages",
            ),
        }
        None
    }

    fn limits(&mut self, mut table: Table<'_>) -> Limits {
        let time = table.get::<HumanDuration>("time", self.problems);
        let memory = table.get::<HumanSize>("memory", self.problems);
        table.finish("`limits`", self.problems);
        if let Some(time) = &time
            && !(Duration::from_millis(1)..=limits::PLUGIN_TIME_MAX).contains(&time.get_ref().0)
        {
            self.error("`time` must be between 1ms and 300s", time.span(), "the default is `4s`");
        }
        if let Some(memory) = &memory
            && !((64 << 10)..=limits::PLUGIN_MEMORY_MAX).contains(&memory.get_ref().0)
        {
            self.error("`memory` must be between 64 KiB and 4 GiB", memory.span(), "the default is `64 MiB`");
        }
        Limits {
            time: time.map_or(limits::PLUGIN_TIME, |time| time.into_inner().0),
            memory: memory.map_or(limits::PLUGIN_MEMORY, |memory| memory.into_inner().0),
        }
    }

    fn table<'i>(&mut self, entry: Entry<'i>, what: &str) -> Option<Table<'i>> {
        Table::from_value(entry.value, what, self.source, self.problems)
    }

    /// The tables `[kind.NAME]` with their names and the names' places.
    fn named<'i>(&mut self, entry: Option<Entry<'i>>, kind: &str) -> Vec<(String, Range<usize>, Table<'i>)> {
        let Some(table) = entry.and_then(|entry| self.table(entry, &format!("`{kind}`"))) else { return Vec::new() };
        let mut tables = Vec::new();
        for (name, value) in table.into_entries() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.get_ref().is_empty() || name.get_ref().len() > 64 || !name.get_ref().bytes().all(plain) {
                self.error(
                    format!("`{}` is no name", name.get_ref()),
                    name.span(),
                    "names are up to 64 letters, digits, `-` and `_`",
                );
                continue;
            }
            if !matches!(value.get_ref(), DeValue::Table(_)) {
                let message =
                    format!("`{kind}.{}` must be a table, not {}", name.get_ref(), described(value.get_ref()));
                self.error(message, name.span(), &format!("write `[{kind}.NAME]` on a line of its own"));
                continue;
            }
            let place = name.span();
            if let Some(table) = Table::from_value(value, kind, self.source, self.problems) {
                tables.push((name.into_inner(), place, table));
            }
        }
        tables
    }

    pub(super) fn error(&mut self, message: impl Into<String>, span: Range<usize>, hint: &str) {
        self.problems.push(Problem::error(message).at(self.source, span).hint(hint));
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

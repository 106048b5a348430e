//! One generation: a configuration with its routes compiled and its plugins loaded, immutable once made.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};

use crate::{
    bot::{Bot, Slot, templates},
    config::{
        self, Config, Files, Print, Secrets, Server,
        problems::{Problem, Problems, SourceId},
        rule::{Action, FixedReply, Rule},
    },
    digest::digest_of,
    limits,
    plugin::{Failure, Plugin, Runtime, Settings},
    router::{Router, capture_names, placeholders},
    versions::{Rejected, Versions},
    wechat_api::Account,
};

/// A configuration that answers.
pub struct Generation {
    /// Counted from 1 at the start of the process.
    pub number: u64,
    /// `[server]`.
    pub server: Server,
    /// The bots by the paths that WeChat calls.
    bots: HashMap<String, Arc<Bot>>,
    /// The plugins by name.
    pub plugins: BTreeMap<Arc<str>, Loaded>,
    /// Every file that it was made of: when one changes, it is out of date.
    pub files: Files,
}

/// A plugin as it is in a generation.
#[derive(Clone)]
pub struct Loaded {
    /// What is called.
    pub slot: Slot,
    /// What `bots.toml` says of it.
    pub config: config::Plugin,
    /// The generation that brought this version.
    pub generation: u64,
    /// When that was, since the Unix epoch.
    pub since: Duration,
    /// Why the file is not what is called.
    pub trouble: Option<Trouble>,
}

/// Why a plugin's file is not taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be used.
    Bad(String),
    /// It was rolled back, because its first calls all failed.
    RolledBack(String),
}

impl Trouble {
    /// A version whose first calls all failed.
    pub fn rolled_back(file: &Path, plugin: &str, rejected: &Rejected) -> Self {
        Self::RolledBack(format!(
            "`{}` was rolled back: the first {} calls of this version all failed, the last one so: {}. Another version is taken up at \
             once, this one after `mynah plugins retry {plugin}`",
            file.display(),
            limits::FIRST_CALLS,
            rejected.why
        ))
    }

    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Self::Bad(why) | Self::RolledBack(why) => why,
        }
    }
}

impl Loaded {
    /// Tells the operator of a running server what is wrong with the plugin's file.
    pub fn log(&self, name: &str) {
        let Some(trouble) = &self.trouble else { return };
        let then = match self.slot {
            Slot::Ready(_) => "its last good version goes on",
            Slot::Broken(_) => "until that is mended it answers `on_error`",
        };
        tracing::error!(plugin = name, "{}; {then}", trouble.why());
    }
}

/// A configuration that was read, and its routes.
pub struct Checked {
    /// None when there is an error among the problems.
    pub routed: Option<(Config, Vec<Router>)>,
    /// Everything that is wrong.
    pub problems: Problems,
    /// The configuration's own file in `problems`.
    pub source: Option<SourceId>,
    /// Every file that was read, or should have been.
    pub files: Files,
}

/// Reads `bots.toml`, compiles its routes and looks for rules that cannot be meant.
pub fn check(path: &Path, env: &dyn Fn(&str) -> Option<String>, secrets: Secrets) -> Checked {
    checked(config::load(path, env, secrets))
}

/// The same for a configuration that is there as text; `path` says where relative paths begin, and what it is called.
pub fn check_text(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>, secrets: Secrets) -> Checked {
    checked(config::load_text(path, Print::of(path), text, env, secrets))
}

fn checked(loaded: config::Loaded) -> Checked {
    let mut problems = loaded.problems;
    let mut routed = None;
    if let (Some(config), Some(source)) = (loaded.config, loaded.source) {
        let routers: Vec<Router> = config.bots.iter().map(|bot| Router::new(bot.rules.clone())).collect();
        for (bot, router) in config.bots.iter().zip(&routers) {
            report_hidden(&bot.rules, router, source, &mut problems);
            for rule in bot.rules.iter() {
                report_unknown_captures(rule, source, &mut problems);
            }
        }
        if !problems.has_errors() {
            routed = Some((config, routers));
        }
    }
    Checked { routed, problems, source: loaded.source, files: loaded.files }
}

impl Generation {
    /// Loads the plugins of a checked configuration. What `previous` has already compiled is used again, and where a plugin's new file is
    /// bad, so is its last good version, which `versions` may have from before a restart.
    pub async fn load(
        config: Config,
        routers: Vec<Router>,
        mut files: Files,
        runtime: &Runtime,
        versions: &Versions,
        previous: Option<&Self>,
    ) -> Self {
        let number = previous.map_or(1, |generation| generation.number + 1);
        for wanted in config.plugins.values() {
            files.insert(wanted.wasm.clone(), Print::of(&wanted.wasm));
        }
        runtime.expect(config.plugins.len());
        let loads = config.plugins.iter().map(|(name, wanted)| {
            let before = previous.and_then(|generation| generation.plugins.get(name));
            load_plugin(name, wanted, runtime, versions, before, number).map(|loaded| (name.clone(), loaded)).boxed()
        });
        // Boxed and collected, because the compiler cannot tell otherwise that they may move between threads.
        let loads: Vec<BoxFuture<'_, (Arc<str>, Loaded)>> = loads.collect();
        let plugins: BTreeMap<Arc<str>, Loaded> =
            stream::iter(loads).buffer_unordered(limits::PLUGINS_LOADED_AT_ONCE).collect().await;
        let mut accounts: Vec<Arc<Account>> = previous
            .iter()
            .flat_map(|generation| generation.bots.values())
            .filter_map(|bot| bot.account().cloned())
            .collect();
        let bots = config
            .bots
            .into_iter()
            .zip(routers)
            .map(|(bot, router)| {
                let used: HashMap<Arc<str>, Slot> = plugins
                    .iter()
                    .filter(|(name, _)| bot.uses(name))
                    .map(|(name, loaded)| (name.clone(), loaded.slot.clone()))
                    .collect();
                let account = bot.api.as_ref().map(|api| account(api, &mut accounts, runtime));
                (bot.path.clone(), Arc::new(Bot::new(bot, router, used, account)))
            })
            .collect();
        Self { number, server: config.server, bots, plugins, files }
    }

    /// The next generation, with another version of one plugin.
    pub fn with_plugin(&self, name: &Arc<str>, loaded: Loaded) -> Self {
        let with = |bot: &Arc<Bot>| {
            if bot.has(name) { Arc::new(bot.with_plugin(name, loaded.slot.clone())) } else { bot.clone() }
        };
        let bots = self.bots.iter().map(|(path, bot)| (path.clone(), with(bot))).collect();
        let mut plugins = self.plugins.clone();
        plugins.insert(name.clone(), loaded);
        Self { number: self.number + 1, server: self.server.clone(), bots, plugins, files: self.files.clone() }
    }

    /// The plugins whose files are not what is called.
    pub fn troubles(&self) -> impl Iterator<Item = (&Arc<str>, &Loaded)> {
        self.plugins.iter().filter(|(_, loaded)| loaded.trouble.is_some())
    }

    /// The bot that WeChat calls at this path, with or without its closing slash.
    pub fn bot(&self, path: &str) -> Option<&Arc<Bot>> {
        self.bots.get(config::normal_path(path))
    }

    /// The bots with their paths.
    pub fn bots(&self) -> impl Iterator<Item = (&str, &Arc<Bot>)> {
        self.bots.iter().map(|(path, bot)| (path.as_str(), bot))
    }
}

/// The account of this configuration: one that is known already, with its token, or a new one.
fn account(api: &config::Api, known: &mut Vec<Arc<Account>>, runtime: &Runtime) -> Arc<Account> {
    if let Some(account) = known.iter().find(|account| account.is_for(api)) {
        return account.clone();
    }
    let account = Account::new(api, runtime.http(), runtime.world());
    known.push(account.clone());
    account
}

fn settings(plugin: &config::Plugin) -> Settings {
    Settings {
        limits: plugin.limits,
        config: plugin.config.clone(),
        allow: plugin.allow.clone(),
        instances: plugin.instances,
    }
}

/// Loads a plugin, or what there is in its place.
async fn load_plugin(
    name: &Arc<str>,
    wanted: &config::Plugin,
    runtime: &Runtime,
    versions: &Versions,
    before: Option<&Loaded>,
    generation: u64,
) -> Loaded {
    let ready = before.and_then(|before| match &before.slot {
        Slot::Ready(plugin) => Some((before, plugin)),
        Slot::Broken(_) => None,
    });
    let loaded = |slot, since: Option<&Loaded>, trouble| Loaded {
        slot,
        config: wanted.clone(),
        generation: since.map_or(generation, |before| before.generation),
        since: since.map_or_else(|| runtime.now(), |before| before.since),
        trouble,
    };
    let trouble = match read_plugin(name, wanted, runtime, versions, ready.map(|(_, plugin)| plugin)).await {
        Ok(plugin) => {
            let same = ready.filter(|(_, before)| before.same_version(&plugin)).map(|(before, _)| before);
            return loaded(Slot::Ready(Arc::new(plugin)), same, None);
        }
        Err(trouble) => trouble,
    };
    if let Some((before, plugin)) = ready {
        let plugin = plugin.reconfigured(settings(wanted));
        return loaded(Slot::Ready(Arc::new(plugin)), Some(before), Some(trouble));
    }
    // None in this process: the one that worked before it was started.
    let mut loaded = loaded(Slot::Broken(trouble.why().into()), None, Some(trouble));
    if let Some(plugin) = last_proven(&loaded, name, &settings(wanted), runtime, versions).await {
        loaded.slot = Slot::Ready(Arc::new(plugin));
    }
    loaded
}

async fn read_plugin(
    name: &Arc<str>,
    wanted: &config::Plugin,
    runtime: &Runtime,
    versions: &Versions,
    before: Option<&Arc<Plugin>>,
) -> Result<Plugin, Trouble> {
    let file = wanted.wasm.display();
    let path = wanted.wasm.clone();
    let read = move || {
        let bytes = config::read_bounded(&path, limits::COMPONENT_FILE)?;
        Ok((digest_of(&bytes), Arc::from(bytes)))
    };
    let read: Result<(String, Arc<[u8]>), io::Error> =
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (digest, bytes) = read.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::NotFound && wanted.build.is_some() {
            " (`mynah build` makes it)"
        } else {
            ""
        };
        Trouble::Bad(format!("cannot read `{file}`: {error}{hint}"))
    })?;
    if let Some(pinned) = &wanted.sha256
        && *pinned != digest
    {
        return Err(Trouble::Bad(format!("`{file}` has the SHA-256 digest {digest}, not the pinned {pinned}")));
    }
    if let Some(rejected) = versions.rejection(name, &digest) {
        return Err(Trouble::rolled_back(&wanted.wasm, name, &rejected));
    }
    if let Some(before) = before
        && before.digest() == digest
        && before.fits(runtime, wanted.limits.memory)
    {
        return Ok(before.reconfigured(settings(wanted)));
    }
    let start = std::time::Instant::now();
    let compiled = Plugin::compile(runtime, name.clone(), bytes, settings(wanted)).await;
    let plugin = compiled.map_err(|why| Trouble::Bad(format!("`{file}` cannot be used: {why}")))?;
    match plugin.try_start().await {
        // Without room now, it is called no later for it.
        Ok(()) | Err(Failure::Unavailable(_)) => {}
        Err(failure) => return Err(Trouble::Bad(format!("`{file}` does not start: {failure}"))),
    }
    if versions.proven(name).as_deref() == Some(&digest) {
        plugin.trust();
    }
    tracing::debug!(plugin = &**name, ms = start.elapsed().as_millis() as u64, "compiled `{file}`");
    Ok(plugin)
}

/// The version of a plugin that is known to have worked, from the copy that was kept of it.
pub async fn last_proven(
    loaded: &Loaded,
    name: &Arc<str>,
    settings: &Settings,
    runtime: &Runtime,
    versions: &Versions,
) -> Option<Plugin> {
    // What is pinned is that and nothing else.
    if loaded.config.sha256.is_some() {
        return None;
    }
    let bytes = versions.component(name)?;
    let plugin = Plugin::compile(runtime, name.clone(), bytes.into(), settings.clone()).await.ok()?;
    plugin.try_start().await.ok()?;
    plugin.trust();
    Some(plugin)
}

fn report_hidden(rules: &[Rule], router: &Router, source: SourceId, problems: &mut Problems) {
    for hidden in router.hidden() {
        let (Some(rule), Some(by)) = (rules.get(hidden.rule), rules.get(hidden.by_rule)) else { continue };
        let row = |rule: &Rule, row: Option<usize>| match (&rule.action, row) {
            (Action::Replies(rows), Some(row)) => rows.get(row).map(|row| match &row.file {
                Some(file) => format!("the reply in line {} of `{file}`", row.line),
                None => format!("the reply in line {}", row.line),
            }),
            _ => None,
        };
        let what = row(rule, hidden.row).unwrap_or_else(|| "this rule".into());
        let earlier = row(by, hidden.by_row).unwrap_or_else(|| format!("the rule in line {}", by.line));
        let problem = match &by.action {
            Action::Plugin(plugin) => Problem::warning(format!("{what} is reached only when `{plugin}` passes"))
                .hint(format!("{earlier} matches everything that it matches; put it above")),
            _ if hidden.by_plugin => {
                Problem::warning(format!("{what} is reached only when nobody answers the text of {earlier}"))
                    .hint("put it above")
            }
            // Only a warning: it harms nobody, and one line too many in a long table must not keep the rest from being served.
            _ => Problem::warning(format!("{what} is never reached"))
                .hint(format!("{earlier} matches everything that it matches; put it above, or take it out")),
        };
        problems.push(problem.at(source, rule.span.clone()));
    }
}

/// A `{name}` that looks like a capture and is none is a slip; other braces are the reply's own.
fn report_unknown_captures(rule: &Rule, source: SourceId, problems: &mut Problems) {
    let replies: Vec<_> = match &rule.action {
        Action::Reply(FixedReply::One(reply)) => templates(reply),
        Action::Reply(FixedReply::Random(replies)) => replies.iter().flat_map(templates).collect(),
        Action::TreatAs(text) => vec![text.into()],
        Action::Replies(rows) => rows.iter().map(|row| (&row.reply).into()).collect(),
        Action::Plugin(_) => return,
    };
    let mut names: Option<Vec<String>> = None;
    for name in replies.iter().flat_map(|text| placeholders(text)) {
        let names = names.get_or_insert_with(|| capture_names(rule));
        if !names.iter().any(|known| known == name) {
            let hint = match names.as_slice() {
                [] => "this rule captures nothing; the braces are sent as they are".to_owned(),
                names => format!("it captures {}; other braces are sent as they are", names.join(", ")),
            };
            let problem = Problem::warning(format!("`{{{name}}}` is nothing that this rule captures"));
            problems.push(problem.at(source, rule.span.clone()).hint(hint));
        }
    }
}

//! One generation: a configuration with its routes compiled and its plugins loaded, immutable once made.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::Path,
    sync::Arc,
};

use crate::{
    bot::{Bot, Slot, templates},
    config::{
        self, Config, Files, Print, Secrets, Server,
        problems::{Problem, Problems, SourceId},
        rule::{Action, FixedReply, Rule},
    },
    limits,
    plugin::{Plugin, Runtime, Settings},
    router::{Router, capture_names, placeholders},
};

/// A configuration that answers.
pub struct Generation {
    /// `[server]`.
    pub server: Server,
    /// The bots by the paths that WeChat calls.
    bots: HashMap<String, Arc<Bot>>,
    /// The plugins by name.
    pub plugins: BTreeMap<Arc<str>, Slot>,
    /// Every file that it was made of: when one changes, it is out of date.
    pub files: Files,
}

/// A plugin that could not be loaded.
pub struct BadPlugin {
    /// Its name.
    pub name: Arc<str>,
    /// Where `bots.toml` names its file, in bytes.
    pub span: Range<usize>,
    /// What is wrong with it.
    pub why: String,
    /// Whether its last good version goes on; else it answers `on_error`.
    pub goes_on: bool,
}

impl BadPlugin {
    /// Tells the operator of a running server.
    pub fn log(&self) {
        let Self { name, why, goes_on, .. } = self;
        let then =
            if *goes_on { "its last good version goes on" } else { "until that is mended it answers `on_error`" };
        tracing::error!(plugin = &**name, "{why}; {then}");
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
    let loaded = config::load(path, env, secrets);
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
    /// Loads the plugins of a checked configuration, and says which could not be, and why. What `previous` has already compiled is
    /// used again, and where a plugin's new file is bad, so is its last good version. Takes a core for as long as compiling does.
    pub fn load(
        config: Config,
        routers: Vec<Router>,
        mut files: Files,
        runtime: &Runtime,
        previous: Option<&Self>,
    ) -> (Self, Vec<BadPlugin>) {
        let mut plugins = BTreeMap::new();
        let mut bad = Vec::new();
        for (name, wanted) in &config.plugins {
            files.insert(wanted.wasm.clone(), Print::of(&wanted.wasm));
            let before = previous.and_then(|generation| match generation.plugins.get(name) {
                Some(Slot::Ready(plugin)) => Some(plugin),
                _ => None,
            });
            let slot = match load_plugin(name, wanted, runtime, before) {
                Ok(plugin) => Slot::Ready(Arc::new(plugin)),
                Err(why) => {
                    bad.push(BadPlugin {
                        name: name.clone(),
                        span: wanted.span.clone(),
                        why: why.clone(),
                        goes_on: before.is_some(),
                    });
                    match before {
                        Some(before) => Slot::Ready(Arc::new(before.reconfigured(settings(wanted)))),
                        None => Slot::Broken(why.into()),
                    }
                }
            };
            plugins.insert(name.clone(), slot);
        }
        let bots = config
            .bots
            .into_iter()
            .zip(routers)
            .map(|(bot, router)| {
                let used: HashMap<Arc<str>, Slot> = plugins
                    .iter()
                    .filter(|(name, _)| bot.uses(name))
                    .map(|(name, slot)| (name.clone(), slot.clone()))
                    .collect();
                (bot.path.clone(), Arc::new(Bot::new(bot, router, used)))
            })
            .collect();
        (Self { server: config.server, bots, plugins, files }, bad)
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

fn settings(plugin: &config::Plugin) -> Settings {
    Settings { limits: plugin.limits, config: plugin.config.clone(), allow: plugin.allow.clone() }
}

fn load_plugin(
    name: &Arc<str>,
    wanted: &config::Plugin,
    runtime: &Runtime,
    before: Option<&Arc<Plugin>>,
) -> Result<Plugin, String> {
    let file = wanted.wasm.display();
    let bytes = config::read_bounded(&wanted.wasm, limits::COMPONENT_FILE).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::NotFound && wanted.build.is_some() {
            " (`mynah build` makes it)"
        } else {
            ""
        };
        format!("cannot read `{file}`: {error}{hint}")
    })?;
    let digest = Plugin::digest_of(&bytes);
    if let Some(pinned) = &wanted.sha256
        && *pinned != digest
    {
        return Err(format!("`{file}` has the SHA-256 digest {digest}, not the pinned {pinned}"));
    }
    if let Some(before) = before
        && before.digest() == digest
        && before.fits(runtime, wanted.limits.memory)
    {
        return Ok(before.reconfigured(settings(wanted)));
    }
    let start = std::time::Instant::now();
    let compiled = Plugin::compile(runtime, name.clone(), &bytes, settings(wanted));
    tracing::debug!(plugin = &**name, ms = start.elapsed().as_millis() as u64, "compiled `{file}`");
    compiled.map_err(|why| format!("`{file}` cannot be used: {why}"))
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

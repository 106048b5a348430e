//! What can be seen without calling anybody: `bots.toml` and the files that it names.

use std::path::Path;

use super::Report;
use crate::{
    config::{
        Config, Secrets, Server,
        problems::{Problems, Severity},
    },
    fault::Fault,
    generation,
    wechat::cipher::Cipher,
};

/// Looks at `bots.toml` and reports each problem; gives the configuration as far as it can be used.
pub(super) fn check(path: &Path, report: &mut Report) -> Option<Config> {
    let env = |name: &str| std::env::var(name).ok();
    let checked = generation::check(path, &env, Secrets::Needed);
    show(&checked.problems, report);
    let whole = checked.routed.is_some();
    // Secrets that only the server's own environment has keep nothing else from being looked at.
    let routed = checked.routed.or_else(|| generation::check(path, &env, Secrets::NotNeeded).routed);
    let (config, _) = routed?;
    if whole {
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let rules: usize = config.bots.iter().map(|bot| bot.rules.len()).sum();
        report.ok(format_args!(
            "it can be used: {}, {}, {}",
            count(config.bots.len(), "bot"),
            count(rules, "rule"),
            count(config.plugins.len(), "plugin")
        ));
    }
    check_bots(&config, report);
    check_plugins(&config, report);
    check_state(&config.server, report);
    check_listen(&config.server, report);
    Some(config)
}

fn show(problems: &Problems, report: &mut Report) {
    for problem in problems.iter() {
        let what = match problems.place(problem) {
            Some(place) => format!("{place}: {}", problem.message()),
            None => problem.message().to_owned(),
        };
        let fault = Fault::new(what, problem.advice().unwrap_or("correct it").to_owned());
        match problem.severity() {
            Severity::Error => report.problem(&fault),
            Severity::Warning => report.warning(&fault),
        }
    }
}

fn check_bots(config: &Config, report: &mut Report) {
    for bot in &config.bots {
        // Those whose secrets are elsewhere have been reported, or do not matter here.
        if !bot.unset.is_empty() {
            continue;
        }
        let encryption = match &bot.cipher {
            None => "plaintext mode (明文模式)",
            Some(_) if bot.require_encryption => "safe mode (安全模式) only",
            Some(_) => "all three modes",
        };
        report.ok(format_args!(
            "bot `{}` at `{}/`: token and keys have the right form, for {encryption}",
            bot.name, bot.path
        ));
        let of_cipher = bot.cipher.as_ref().map(Cipher::app_id);
        let Some(app_id) = of_cipher.or_else(|| bot.api.as_ref().map(|api| &*api.app_id)) else { continue };
        let digits = app_id.strip_prefix("wx").unwrap_or_default();
        if digits.len() != 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            report.warning(&Fault::new(
                format!("bot `{}`: `{}` is hardly an AppID, which is `wx` and 16 hexadecimal digits", bot.name, app_id),
                "copy it from the account's console (基本配置); with another one no encrypted message can be read",
            ));
        }
    }
}

fn check_plugins(config: &Config, report: &mut Report) {
    for (name, plugin) in &config.plugins {
        let file = plugin.wasm.display();
        let why = match std::fs::metadata(&plugin.wasm) {
            Ok(data) if data.is_file() => continue,
            Ok(_) => "it is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        let advice = match plugin.build {
            Some(_) => format!("`mynah build {name}` makes it"),
            None => "put the compiled component there".to_owned(),
        };
        report.problem(&Fault::new(format!("plugin `{name}`: there is no `{file}` ({why})"), advice));
    }
}

/// Whether the database, or the folder that it would be made in, can be written.
fn check_state(server: &Server, report: &mut Report) {
    let file = server.state.as_path();
    let cannot = |what: String| {
        Fault::new(what, "let the user that mynah runs as own the folder, or choose another one in `server.state`")
    };
    if file.is_dir() {
        return report.problem(&cannot(format!("the state, `{}`, is a folder", file.display())));
    }
    // What is missing is made, in the nearest folder that is there.
    let nearest = |path: &Path| {
        let named = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        named.exists().then(|| named.to_owned())
    };
    let folder = file.parent().and_then(|folder| folder.ancestors().find_map(nearest));
    let folder = folder.unwrap_or_else(|| Path::new(".").to_owned());
    if !folder.is_dir() {
        return report.problem(&cannot(format!("the state: `{}` is no folder", folder.display())));
    }
    // Tried rather than read off the permissions: a file system may be read-only, and root is asked by none of them.
    let tried =
        tempfile::tempfile_in(&folder).map_err(|error| (folder.as_path(), error)).and_then(|_| match file.exists() {
            true => std::fs::OpenOptions::new().append(true).open(file).map(drop).map_err(|error| (file, error)),
            false => Ok(()),
        });
    if let Err((path, error)) = tried {
        return report.problem(&cannot(format!("the state: `{}` cannot be written ({error})", path.display())));
    }
    report.ok(format_args!("the state, `{}`, can be written", file.display()));
}

fn check_listen(server: &Server, report: &mut Report) {
    let (address, port) = (server.listen.ip().to_canonical(), server.listen.port());
    let public_port = port == 80 || port == 443;
    if address.is_loopback() {
        report.note(format_args!(
            "mynah listens on `{}`, which only this machine reaches: a proxy here has to pass WeChat's calls on",
            server.listen
        ));
    } else if !public_port && port != 0 {
        report.note(format_args!(
            "mynah listens on port {port}, and WeChat calls 80 (http) and 443 (https) only: a proxy has to pass its calls on"
        ));
    }
}

//! `mynah build`: runs the `build` command of each plugin.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::Context as _;

use super::{Refused, load_config_quietly, routed};
use crate::config;

pub(super) fn build(path: &Path, only: &[String]) -> Result<(), Refused> {
    let (config, ..) = routed(load_config_quietly(path)?)?;
    if let Some(unknown) = only.iter().find(|name| !config.plugins.contains_key(name.as_str())) {
        eprintln!("error: there is no plugin `{unknown}` in `{}`", path.display());
        return Err(Refused::Failed);
    }
    let folder = folder_of(path);
    let wanted = config.plugins.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|only| **only == ***name));
    let mut failed = false;
    for (command, names) in commands(wanted) {
        let names = names.join(", ");
        eprintln!("building {names}: {command}");
        let built = add_rust_target(&command, folder).and_then(|()| {
            let status = shell(&command, folder).status().context("cannot start a shell")?;
            anyhow::ensure!(status.success(), "`{command}` ended with {status}");
            Ok(())
        });
        if let Err(error) = built {
            eprintln!("error: {names} not built: {error:#}");
            failed = true;
        }
    }
    if failed { Err(Refused::Failed) } else { Ok(()) }
}

/// The folder that paths and commands in `bots.toml` are relative to.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The commands that build plugins, each with the plugins that share it and are built at once.
pub(super) fn commands<'a>(
    plugins: impl Iterator<Item = (&'a Arc<str>, &'a config::Plugin)>,
) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for (name, plugin) in plugins {
        let Some(command) = &plugin.build else { continue };
        match commands.iter_mut().find(|(known, _)| known == command) {
            Some((_, names)) => names.push(name.to_string()),
            None => commands.push((command.clone(), vec![name.to_string()])),
        }
    }
    commands
}

/// A command as a shell runs it. It asks nobody anything.
pub(super) fn shell(command: &str, folder: &Path) -> Command {
    let mut shell = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
    shell
        .arg(if cfg!(windows) { "/C" } else { "-c" })
        .arg(command)
        .current_dir(folder)
        // For commands that call `mynah tool` and `mynah componentize`: the one that builds, wherever it is.
        .env("MYNAH", std::env::current_exe().unwrap_or_else(|_| "mynah".into()))
        .stdin(Stdio::null());
    shell
}

/// Adds the Rust target that a command asks for where it is missing: on a fresh machine it is, and cargo's own error does not say
/// what to do.
pub(super) fn add_rust_target(command: &str, folder: &Path) -> anyhow::Result<()> {
    let mut words = command.split_whitespace();
    let target = words
        .find_map(|word| if word == "--target" { Some(None) } else { word.strip_prefix("--target=").map(Some) })
        .and_then(|given| given.or_else(|| words.next()));
    let Some(target) = target.filter(|target| target.starts_with("wasm32-")) else { return Ok(()) };
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(folder)
        .output()
        .context("cannot run rustc; install Rust with rustup")?;
    let folder_of_libraries = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    if libraries.status.success() && Path::new(&folder_of_libraries).is_dir() {
        return Ok(());
    }
    eprintln!("the Rust target {target} is missing: rustup target add {target}");
    let status = Command::new("rustup")
        .args(["target", "add", target])
        .current_dir(folder)
        .status()
        .with_context(|| format!("cannot run rustup; install the Rust target {target}"))?;
    anyhow::ensure!(status.success(), "rustup cannot add the target {target}");
    Ok(())
}

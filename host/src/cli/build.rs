//! `mynah build`: runs the `build` command of each plugin.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::{Refused, load_config_quietly, routed};

pub(super) fn build(path: &Path, only: &[String]) -> Result<(), Refused> {
    let (config, ..) = routed(load_config_quietly(path)?)?;
    if let Some(unknown) = only.iter().find(|name| !config.plugins.contains_key(name.as_str())) {
        eprintln!("error: there is no plugin `{unknown}` in `{}`", path.display());
        return Err(Refused::Failed);
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Plugins may share a command, and it then builds all of them.
    let mut commands: Vec<(Vec<&str>, &str)> = Vec::new();
    for (name, plugin) in &config.plugins {
        if !only.is_empty() && !only.iter().any(|wanted| **wanted == **name) {
            continue;
        }
        let Some(command) = &plugin.build else { continue };
        match commands.iter_mut().find(|(_, known)| known == command) {
            Some((names, _)) => names.push(name),
            None => commands.push((vec![name], command)),
        }
    }
    let mut failed = Vec::new();
    for (names, command) in commands {
        eprintln!("building {}: {command}", names.join(", "));
        if let Err(error) = add_rust_target(command, folder).and_then(|()| run(command, folder)) {
            eprintln!("error: {} not built: {error:#}", names.join(", "));
            failed.extend(names);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Refused::Failed) }
}

fn run(command: &str, folder: &Path) -> anyhow::Result<()> {
    let mut shell = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
    let status = shell
        .arg(if cfg!(windows) { "/C" } else { "-c" })
        .arg(command)
        .current_dir(folder)
        // For commands that call `mynah tool` and `mynah componentize`: the one that builds, wherever it is.
        .env("MYNAH", std::env::current_exe().unwrap_or_else(|_| "mynah".into()))
        .stdin(Stdio::null())
        .status()
        .context("cannot start a shell")?;
    anyhow::ensure!(status.success(), "`{command}` ended with {status}");
    Ok(())
}

/// Adds the Rust target that a command asks for where it is missing: on a fresh machine it is, and cargo's own error does not say
/// what to do.
fn add_rust_target(command: &str, folder: &Path) -> anyhow::Result<()> {
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

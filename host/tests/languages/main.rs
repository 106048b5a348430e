//! Every language, from nothing to an answering plugin: what its page says is done literally.
//!
//! The compilers come from PyPI and npm, and are kept in `target/tools` and npm's own cache.

mod everything;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod harness;
mod pages;
mod sdk;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use self::harness::*;

/// One at a time: each takes all cores, and some take much memory.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program is there; without it the test is left out, loudly, but in CI it fails.
fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "CI needs {program}");
        eprintln!("\n*** SKIPPED: there is no {program} ***\n");
    }
    there
}

/// A new user's folder, in which `mynah` is a command.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Rust's libraries are compiled once for all runs of the tests.
        let target = target().join("languages");
        fs::create_dir_all(&target).expect("made");
        std::os::unix::fs::symlink(&target, folder.path().join("target")).expect("linked");
        fs::create_dir(folder.path().join(".bin")).expect("made");
        let program = folder.path().join(".bin/mynah");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mynah"), program).expect("linked");
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs a line of a page, and returns what it printed.
    fn shell(&self, line: &str) -> String {
        let (done, said) = self.try_shell(line);
        assert!(done, "{line}\n{said}");
        said
    }

    fn try_shell(&self, line: &str) -> (bool, String) {
        eprintln!("$ {line}");
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-ec", &format!("exec 2>&1; {line}")])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.path(".bin").display()))
            .env("MYNAH_TOOLS", target().join("tools"))
            // A user has no workspace's settings.
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .expect("sh");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Serves the folder's `bots.toml`, on a free port.
    fn serve(&self) -> Server {
        let config = self.path("bots.toml");
        let text = fs::read_to_string(&config).expect("bots.toml");
        fs::write(&config, text.replace("127.0.0.1:8080", "127.0.0.1:0")).expect("written");
        Server::start(&config.display().to_string(), &["serve"], &[])
    }
}

/// Says what a transcript says, and expects the answers that it has.
fn talk(server: &Server, transcript: &str) {
    let mut reply = String::new();
    let mut said = 0;
    for line in transcript.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(expected) = line.strip_prefix("< ") {
            assert_eq!(reply, expected, "in\n{transcript}");
            said += 1;
        } else if let Some(place) = line.strip_prefix("> [location ").and_then(|rest| rest.strip_suffix(']')) {
            let [x, y, label] = place.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            reply = content(&server.message(&format!(
                "<MsgType>location</MsgType><Location_X>{x}</Location_X><Location_Y>{y}</Location_Y><Scale>15</Scale>\
                 <Label><![CDATA[{label}]]></Label><MsgId>2</MsgId>"
            )));
        } else if let Some(text) = line.strip_prefix("> ") {
            reply = server.answer(text);
        } else {
            panic!("{line}");
        }
    }
    assert!(said > 0, "nothing was said");
}

/// The fenced blocks of a language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let open = format!("\n```{language}\n");
    page.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn page(lang: &str) -> String {
    fs::read_to_string(sdk_folder().join("templates").join(lang).join("README.md")).expect("a page")
}

fn sdk_folder() -> PathBuf {
    Path::new(&root()).join("plugin-sdk")
}

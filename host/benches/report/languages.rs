//! Echoes in slower languages, each made as its author would make it, in fresh instances and in reused ones.

use std::{fs, path::Path, process::Command};

use crate::{
    messages::Messages,
    parts::{Contestant, all_to, contest},
    process::{Server, bot, build_plugins, component, plugin, target},
    report::{Table, number},
};

/// What it is called, what `mynah new` is told, the file that is replaced, and what with.
const LANGUAGES: [(&str, &[&str], &str, &str); 3] = [
    ("JavaScript on QuickJS", &["--lang", "javascript"], "src/plugin.js", JAVASCRIPT),
    (
        "JavaScript on StarlingMonkey",
        &["--lang", "javascript", "--engine", "starlingmonkey"],
        "src/plugin.js",
        JAVASCRIPT,
    ),
    ("Python", &["--lang", "python"], "plugin.py", PYTHON),
];

const JAVASCRIPT: &str = "export default function handle(message) {\n  return message.text;\n}\n";

const PYTHON: &str =
    "from mynah import Message, plugin\n\n\n@plugin\ndef handle(message: Message) -> str:\n    return message.text\n";

/// Echo plugins in several languages beside the bare floor.
pub(crate) fn languages() -> String {
    build_plugins();
    let folder = tempfile::tempdir().expect("a folder");
    let mut made = vec![("Rust", component("echo"))];
    for (n, (name, arguments, file, source)) in LANGUAGES.into_iter().enumerate() {
        let folder = folder.path().join(n.to_string());
        match make(&folder, arguments, file, source) {
            Ok(()) => made.push((name, folder.join("plugins/echo/build/plugin.wasm"))),
            Err(why) => eprintln!("\n*** SKIPPED: an echo in {name}, because it cannot be built ***\n{why}\n"),
        }
    }
    let mut all = vec![Contestant::new("bare floor", Server::native("floor"), Messages::echo())];
    for (name, file) in &made {
        for (how, instances) in [("a fresh instance each message", "fresh"), ("reused, 1,000 times each", "reuse")] {
            let plugin = format!("{}instances = \"{instances}\"\n", plugin("echo", file));
            let server = Server::mynah(&format!("{}{}{plugin}", bot(false), all_to("echo")));
            all.push(Contestant::new(&format!("{name}, {how}"), server, Messages::echo()));
        }
    }
    let mut table =
        Table::new(&["echo in", "CPU µs a message", "relative to the floor", "messages/s on one core", "MiB resident"]);
    for (one, outcome) in all.iter().zip(contest(&all)) {
        table.row(&[
            &one.name,
            &number(outcome.cpu_us),
            &format!("{:.3}", outcome.ratio),
            &format!("{:.0}", outcome.per_second),
            &number(one.server.memory().0),
        ]);
    }
    table.to_string()
}

/// Makes a plugin in a folder of its own, with compilers that are kept for the next time.
fn make(folder: &Path, arguments: &[&str], file: &str, source: &str) -> Result<(), String> {
    fs::create_dir(folder).expect("made");
    fs::write(folder.join("bots.toml"), bot(false)).expect("written");
    let mynah = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
            .args(arguments)
            .current_dir(folder)
            .env("MYNAH_TOOLS", target().join("tools"))
            .output()
            .expect("mynah runs");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    mynah(&[&["new"], arguments, &["echo", "--add"]].concat())?;
    fs::write(folder.join("plugins/echo").join(file), source).expect("written");
    mynah(&["build", "echo"])
}

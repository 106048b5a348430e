//! What the READMEs say, done literally.

use std::{fs, process::Command};

use super::harness::*;

fn readme(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("a README")
}

/// The demo's configuration, with the file that it names where it is from any folder.
fn demo_config() -> String {
    let questions = root().join("plugins/quiz/questions.toml").display().to_string();
    let config = fs::read_to_string(root().join("bots.toml")).expect("bots.toml");
    config.replace("\"plugins/quiz/questions.toml\"", &format!("'{questions}'"))
}

/// The fenced blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() == format!("```{language}") {
            let indent = line.len() - line.trim_start().len();
            let block: Vec<&str> = lines
                .by_ref()
                .take_while(|line| line.trim_start() != "```")
                .map(|line| line.get(indent..).unwrap_or(""))
                .collect();
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

/// The part of a text between quotes that follows `after`.
fn quoted<'a>(text: &'a str, after: &str) -> &'a str {
    let rest = &text[text.find(after).expect(after) + after.len()..];
    &rest[..rest.find('\'').expect("a closing quote")]
}

#[test]
fn the_curl_request_is_answered_as_shown() {
    build_plugins();
    for name in ["README.md", "README.zh-CN.md"] {
        let readme = readme(name);
        let curl = blocks(&readme, "sh").into_iter().find(|block| block.starts_with("curl ")).expect("a curl command");
        let shown = blocks(&readme, "xml").remove(0);
        let config = demo_config().replace("0.0.0.0:8080", "127.0.0.1:0");
        let server = Server::with_config(&config);
        let url = quoted(&curl, "curl '").replace("127.0.0.1:8080", &server.address().to_string());
        let (status, body) = post(&url, quoted(&curl, "-d '"));
        assert_eq!(status, 200, "{body}");
        let without_time = |xml: &str| {
            let (before, rest) = xml.trim().split_once("<CreateTime>").expect("a time");
            format!("{before}{}", rest.split_once("</CreateTime>").expect("a time").1)
        };
        assert_eq!(without_time(&body), without_time(&shown), "{name}");
    }
}

#[test]
fn the_two_commands_are_the_ones_that_ci_and_the_demo_test_run() {
    for name in ["README.md", "README.zh-CN.md"] {
        let commands = blocks(&readme(name), "sh");
        assert_eq!(commands[0], "cargo run -- dev\n", "{name}");
        assert!(commands.contains(&"cargo test --workspace\n".to_owned()), "{name}");
    }
    assert!(fs::read_to_string(root().join(".ci/run")).expect(".ci/run").contains("cargo test --workspace"));
}

#[test]
fn the_first_plugin_builds_and_answers() {
    build_plugins();
    let readme = readme("README.md");
    let folder = Folder::new("");
    let shell = |command: &str| {
        let output = Command::new("sh").args(["-ec", command]).current_dir(folder.path(".")).output().expect("sh");
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    // The commands are for a checkout; this is one with as much of it as they touch.
    let sdk = root().join("plugin-sdk").display().to_string();
    let target = target().join("first-plugin");
    fs::write(folder.path("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"plugins/*\"]\n")
        .expect("written");
    fs::copy(root().join("Cargo.lock"), folder.path("Cargo.lock")).expect("copied");
    fs::create_dir(folder.path("plugins")).expect("made");
    let commands = blocks(&readme, "sh").into_iter().find(|block| block.starts_with("cargo new")).expect("commands");
    shell(&commands.replace("plugin-sdk/rust", &format!("{sdk}/rust")));
    let toml = blocks(&readme, "toml");
    let manifest = folder.path("plugins/shout/Cargo.toml");
    let lib = toml.iter().find(|block| block.starts_with("[lib]")).expect("a [lib] table");
    fs::write(&manifest, fs::read_to_string(&manifest).expect("a manifest") + "\n" + lib).expect("written");
    fs::write(folder.path("plugins/shout/src/lib.rs"), &blocks(&readme, "rust")[0]).expect("written");
    let rules = toml.iter().find(|block| block.contains("[plugins.shout]")).expect("rules");
    let rules = rules.replace("\"target/", &format!("\"{}/", target.display()));
    let rules = rules.replace("\"cargo build", &format!("\"CARGO_TARGET_DIR='{}' cargo build", target.display()));
    folder.write("bots.toml", &format!("{LOOPBACK}{}{rules}", BOT.replace("bots.test", "bots.demo")));
    let built = mynah(&["build", "shout", "--config", &folder.config()]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let server = Server::start(&folder.config(), &["serve"], &[]);
    assert_eq!(server.answer("喊 hello"), "HELLO！");
    assert_eq!(server.answer("shout"), "喊什么？");
}

#[test]
fn the_configuration_error_is_the_one_shown() {
    let shown =
        blocks(&readme("README.md"), "text").into_iter().find(|block| block.starts_with("error:")).expect("an error");
    let config = demo_config();
    let (before, after) = config.rsplit_once("plugin = \"echo\"").expect("the last rule");
    let folder = Folder::new(&format!("{before}plugin = \"ecoh\"{after}"));
    let output = mynah(&["check", "--config", &folder.config()]);
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&folder.config(), "bots.toml");
    assert!(stderr.contains(shown.trim_end()), "{stderr}");
}

#[test]
fn every_key_of_the_rules_tables_is_known() {
    for name in ["README.md", "README.zh-CN.md"] {
        let mut rules = String::new();
        for line in readme(name).lines().filter(|line| line.starts_with("| `") && line.contains(" = ")) {
            let code = line.split('`').nth(1).expect("code");
            let rule = match code.split(' ').next().expect("a key") {
                "plugin" | "reply" | "treat_as" => format!("keyword = \"k{}\"\n{code}", rules.len()),
                "replies" => code.to_owned(),
                "key" => format!("event = \"CLICK\"\n{code}\nreply = \"x\""),
                "scene" => format!("event = \"SCAN\"\n{code}\nreply = \"x\""),
                _ => format!("{code}\nreply = \"x\""),
            };
            rules += &format!("[[bots.test.rules]]\n{}\n", rule.replace("\"…\"", "\"x\""));
        }
        assert!(rules.matches("[[").count() >= 12, "{rules}");
        let config = format!("{BOT}{rules}[plugins.echo]\nwasm = '{}'\n", component("echo"));
        build_plugins();
        let output = mynah(&["check", "--config", &Folder::new(&config).config()]);
        assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

//! What the SDKs and their templates keep to.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_file_of_the_sdks_is_in_a_new_plugin() {
    let listed = fs::read_to_string(root().join("host/src/cli/new/templates.rs")).expect("the list");
    let listed: BTreeSet<&str> =
        listed.lines().filter_map(|line| line.split(" = \"").nth(1)?.split('"').next()).collect();
    let output = Command::new("git").args(["ls-files", "plugin-sdk"]).current_dir(root()).output().expect("git");
    let files = String::from_utf8(output.stdout).expect("text");
    let missing: Vec<&str> = files
        .lines()
        .filter_map(|file| file.strip_prefix("plugin-sdk/"))
        // The pages beside the SDKs are for whoever reads the repository.
        .filter(|file| file.contains('/') || !file.ends_with(".md"))
        .filter(|file| !listed.contains(file))
        // The transcript is filled in for each plugin.
        .filter(|file| *file != "templates/plugin.chat.template")
        .collect();
    assert!(listed.len() > 40 && missing.is_empty(), "not in templates.rs: {missing:?}");
}

#[test]
fn a_plugin_is_made_in_a_new_folder_or_not_at_all() {
    let project = Project::new();
    let said = project.shell("mynah new --lang python hello");
    assert!(said.contains("[plugins.hello]\nwasm  = \"plugins/hello/build/plugin.wasm\"\n"), "{said}");
    assert!(!project.path("bots.toml").exists());
    let (done, said) = project.try_shell("mynah new --lang go hello");
    assert!(!done && said.contains("`plugins/hello` is there already"), "{said}");
    for name in ["Hello", "../x", "1", "x/y", "a_b", ""] {
        let (done, said) = project.try_shell(&format!("mynah new --lang python '{name}'"));
        assert!(!done && said.contains("lower-case letters, digits and `-`"), "{said}");
    }
    let (done, said) = project.try_shell("mynah new --lang rust async");
    assert!(!done && said.contains("means something else to Rust"), "{said}");
    fs::write(project.path("bots.toml"), "[server]\n").expect("written");
    let (done, said) = project.try_shell("mynah new --lang python other --add");
    assert!(!done && said.contains("it has no bots") && !project.path("plugins/other").exists(), "{said}");
}

#[test]
fn a_plugin_is_added_to_the_demo_without_a_mistake() {
    let project = Project::new();
    let questions = "plugins/quiz/questions.toml";
    fs::create_dir_all(project.path("plugins/quiz")).expect("made");
    for file in ["bots.toml", questions] {
        fs::copy(root().join(file), project.path(file)).expect("copied");
    }
    project.shell("mynah new --lang js shout --add");
    let said = project.shell("mynah explain 'shout hi'");
    assert!(said.contains("by plugin    shout\n"), "{said}");
}

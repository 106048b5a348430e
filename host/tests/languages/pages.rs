//! The pages, `plugin-sdk/templates/LANGUAGE/README.md`.

use super::*;

/// Does what a page says, in a new folder: its first commands, then its conversation with a server.
fn follow(lang: &str) -> Project {
    let page = page(lang);
    let project = Project::new();
    for line in blocks(&page, "sh")[0].lines().filter(|line| *line != "mynah serve") {
        project.shell(line);
    }
    talk(&project.serve(), &blocks(&page, "text")[0]);
    assert!(project.shell("mynah test").contains("ok plugins/hello/hello.chat\n"));
    project
}

#[test]
fn rust() {
    let _turn = turn();
    let project = follow("rust");
    project.shell("cargo test --manifest-path plugins/hello/Cargo.toml --target-dir target");
}

#[test]
fn python() {
    let _turn = turn();
    if has("python3") {
        follow("python");
    }
}

#[test]
fn typescript() {
    let _turn = turn();
    if !has("npm") {
        return;
    }
    let project = follow("typescript");
    let source = project.path("plugins/hello/src/plugin.ts");
    let text = fs::read_to_string(&source).expect("the source");
    fs::write(&source, text.replace("store.add(`", "store.add(1, `")).expect("written");
    let (built, said) = project.try_shell("mynah build hello");
    assert!(!built && said.contains("src/plugin.ts"), "a wrong type was built:\n{said}");
}

#[test]
fn javascript() {
    let _turn = turn();
    if has("npm") {
        follow("javascript");
    }
}

#[test]
fn go() {
    let _turn = turn();
    if has("python3") {
        follow("go");
    }
}

#[test]
fn c() {
    let _turn = turn();
    if has("python3") {
        follow("c");
    }
}

#[test]
fn cpp() {
    let _turn = turn();
    if has("python3") {
        follow("cpp");
    }
}

#[test]
fn zig() {
    let _turn = turn();
    if has("python3") {
        follow("zig");
    }
}

#[test]
fn assemblyscript() {
    let _turn = turn();
    if has("npm") {
        follow("assemblyscript");
    }
}

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
    // What an author writes first, and a mistake.
    let text = text.replace("  const words", "  console.log(message.time ?? message.text);\n  const words");
    fs::write(&source, text.replace("message.time ?? ", "")).expect("written");
    project.shell("mynah build hello");
    fs::write(&source, text).expect("written");
    let (built, said) = project.try_shell("mynah build hello");
    assert!(!built && said.contains("src/plugin.ts"), "a wrong type was built:\n{said}");
}

#[test]
fn javascript() {
    let _turn = turn();
    if !has("npm") {
        return;
    }
    let project = follow("javascript");
    // The runtime that uses the async component model, whatever the types say: it needs an engine of its own.
    let build = project.path("plugins/hello/build.mjs");
    let text = fs::read_to_string(&build).expect("the build");
    assert!(text.contains("sync: true"), "{text}");
    fs::write(&build, text.replace("sync: true", "sync: false")).expect("written");
    let source = project.path("plugins/hello/src/plugin.js");
    fs::write(&source, "export default async (message) => 'later';").expect("written");
    project.shell("mynah build");
    let server = project.serve();
    assert_eq!(server.answer("hello"), "我走神了，请再说一遍。");
    server.wait_for_log("TypeError: on QuickJS a plugin cannot be async");
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

//! `mynah dev`: sources are built again when they change, and the plugin is swapped.

use std::fs;

use super::harness::*;

/// `mynah dev` on a plugin whose source says which component it is built to.
fn dev(build: &str) -> Server {
    build_plugins();
    let folder = Folder::new(&format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\nbuild = '''{build}'''\n\
         watch = [\"src/**\"]\n"
    ));
    fs::create_dir(folder.path("src")).expect("made");
    folder.write("src/source", &component("echo"));
    let mut server = Server::start(&folder.config(), &["dev"], &[]);
    server.own(folder);
    server
}

#[test]
fn a_changed_source_is_built_and_swapped_and_a_failed_build_leaves_the_old_plugin() {
    let server = dev("cp \"$(cat src/source)\" p.wasm");
    assert_eq!(server.answer("say hi"), "say hi");
    server.folder().write("src/source", &component("probe"));
    wait_until("the new plugin", || server.answer("say hi") == "hi");
    server.wait_for_log("src/source changed: building p");
    server.wait_for_log("built p");
    // One line tells what was said.
    server.wait_for_log("say hi → hi");

    server.folder().write("src/source", "/nowhere");
    server.wait_for_log("p not built, so what was there before goes on");
    assert!(server.log().contains("/nowhere"), "the command's own words are shown");
    assert_eq!(server.answer("say hi"), "hi");
    server.folder().write("src/source", &component("echo"));
    wait_until("the mended plugin", || server.answer("say hi") == "say hi");
}

#[test]
fn a_newer_change_cancels_the_build_under_way() {
    let server = dev("case $(cat src/source) in slow*) sleep 1000 & wait;; *) cp \"$(cat src/source)\" p.wasm;; esac");
    assert_eq!(server.answer("say hi"), "say hi");
    server.folder().write("src/source", "slow");
    server.wait_for_log("changed: building p");
    server.folder().write("src/source", &component("probe"));
    server.wait_for_log("the build under way is cancelled");
    wait_until("the new plugin", || server.answer("say hi") == "hi");
}

#[test]
fn a_build_that_makes_files_among_its_sources_runs_once() {
    let server = dev("date +%N > src/made; cp \"$(cat src/source)\" p.wasm");
    assert_eq!(server.answer("say hi"), "say hi");
    server.folder().write("src/source", &component("probe"));
    wait_until("the new plugin", || server.answer("say hi") == "hi");
    server.wait_for_log("built p");
    // A build that goes on changing what was there is followed for a bounded number of times.
    server.wait_for_log("changes its own sources each time");
    let builds = server.log().matches("built p").count();
    assert!(builds <= 4, "{builds} builds");
}

#[test]
fn what_is_configured_while_it_runs_is_built_too() {
    let server = dev("cp \"$(cat src/source)\" p.wasm");
    let config = fs::read_to_string(server.folder().config()).expect("readable");
    let more = "[[bots.test.rules]]\nplugin = \"q\"\n[plugins.q]\nwasm = \"q.wasm\"\nbuild = '''cp \"$(cat more/source)\" \
                q.wasm'''\nwatch = [\"more/**\"]\n";
    fs::create_dir(server.folder().path("more")).expect("made");
    server.folder().write("more/source", &component("echo"));
    server.folder().write("bots.toml", &config.replace("[plugins.p]", &format!("{more}[plugins.p]")));
    server.wait_for_log("q.wasm");
    wait_until("the added plugin's file", || server.folder().path("q.wasm").exists());
}

//! Changes of files on a running server.

use super::harness::*;

fn config(reply: &str) -> String {
    format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nreplies = {{ file = \"faq.csv\" }}\n[[bots.test.rules]]\nreply = \"{reply}\"\n"
    )
}

fn start() -> Server {
    let folder = Folder::new(&config("first"));
    folder.write("faq.csv", "match,text,reply\nkeyword,a,one\n");
    let path = folder.config();
    let mut server = Server::start(&path, &["serve"], &[]);
    server.own(folder);
    server
}

#[test]
fn a_changed_table_of_replies_takes_effect() {
    let server = start();
    assert_eq!(server.answer("a"), "one");
    server.folder().write("faq.csv", "match,text,reply\nkeyword,a,two\n");
    wait_until("the new reply", || server.answer("a") == "two");
}

#[test]
fn a_changed_configuration_takes_effect_and_a_bad_one_does_not() {
    let server = start();
    assert_eq!(server.answer("x"), "first");
    server.folder().write("bots.toml", "[bots.test\npath = ");
    server.wait_for_log("cannot be used, so what was there before goes on");
    assert_eq!(server.answer("x"), "first");
    server.folder().write("bots.toml", &config("second"));
    wait_until("the new reply", || server.answer("x") == "second");
}

#[test]
fn a_file_that_comes_back_is_read_again() {
    let server = start();
    std::fs::remove_file(server.folder().path("faq.csv")).expect("removed");
    server.wait_for_log("cannot read `faq.csv`");
    assert_eq!(server.answer("a"), "one");
    server.folder().write("faq.csv", "match,text,reply\nkeyword,a,three\n");
    wait_until("the new reply", || server.answer("a") == "three");
}

#[test]
fn a_plugin_is_replaced_by_saving_its_file_and_a_bad_one_is_not_taken() {
    build_plugins();
    let folder =
        Folder::new(&format!("{LOOPBACK}{BOT}[[bots.test.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\n"));
    std::fs::copy(component("echo"), folder.path("p.wasm")).expect("copied");
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    assert_eq!(server.answer("say hi"), "say hi");
    std::fs::copy(component("probe"), server.folder().path("p.wasm")).expect("copied");
    wait_until("the new plugin", || server.answer("say hi") == "hi");
    server.folder().write("p.wasm", "half a file");
    server.wait_for_log("its last good version goes on");
    assert_eq!(server.answer("say hi"), "hi");
}

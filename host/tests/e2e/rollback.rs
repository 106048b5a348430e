//! A new version whose first calls all fail is rolled back.

use std::{fs, net::TcpListener, process::Command};

use super::harness::*;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn folder() -> (Folder, u16) {
    build_plugins();
    let port = free_port();
    let folder = Folder::new(&format!(
        "{LOOPBACK}admin = \"127.0.0.1:{port}\"\n{BOT}[[bots.test.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\n"
    ));
    fs::copy(component("echo"), folder.path("p.wasm")).expect("copied");
    (folder, port)
}

fn plugins(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let output = mynah(&[&["plugins", "--config", &folder.config()], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_version_whose_first_calls_all_fail_is_rolled_back_and_remembered_until_it_is_tried_again() {
    let (folder, port) = folder();
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    assert_eq!(server.answer("trap"), "trap");
    let (list, _) = plugins(server.folder(), &[]);
    assert!(list.starts_with("NAME") && list.contains(" ready"), "{list}");

    // The new version traps at the text that is all that anybody says.
    fs::copy(component("probe"), server.folder().path("p.wasm")).expect("copied");
    server.wait_for_log("another version of the plugin answers");
    for _ in 0..3 {
        assert_eq!(server.answer("trap"), "sorry");
    }
    server.wait_for_log("was rolled back: the first 3 calls of this version all failed");
    assert_eq!(server.answer("trap"), "trap");
    let (status, json) = get(&format!("http://127.0.0.1:{port}/plugins"));
    assert_eq!(status, 200);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let plugin = &json["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["state"]), (&"p".into(), &"rolled-back".into()));
    let echo = mynah::digest::digest_of(&fs::read(component("echo")).expect("built"));
    assert_eq!(plugin["digest"], echo);
    let (list, notes) = plugins(server.folder(), &[]);
    assert!(list.contains("rolled-back") && list.contains("p: `") && notes.is_empty(), "{list}{notes}");

    // After a restart the version before it is there from its copy, and what the files say is the same without a server.
    let folder = server.into_folder();
    let (list, notes) = plugins(&folder, &[]);
    assert!(list.contains("rolled-back") && list.contains(&echo[..12]), "{list}");
    assert!(notes.contains("this is what the files say"), "{notes}");
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    server.wait_for_log("was rolled back: the first 3 calls of this version all failed");
    assert_eq!(server.answer("trap"), "trap");

    let (said, _) = plugins(server.folder(), &["retry", "p"]);
    assert_eq!(said, "the server tries it again\n");
    wait_until("the version that was rolled back", || server.answer("say hi") == "hi");
    // It has answered, so it stays.
    for _ in 0..3 {
        assert_eq!(server.answer("trap"), "sorry");
    }
    assert_eq!(server.answer("say hi"), "hi");
    let (said, _) = plugins(server.folder(), &["retry", "p"]);
    assert_eq!(said, "nothing of it was rolled back\n");
}

#[test]
fn a_bad_file_at_the_start_leaves_the_version_that_worked_before() {
    let (folder, _) = folder();
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    assert_eq!(server.answer("say hi"), "say hi");
    wait_until("the copy", || server.folder().path("data/plugins/versions.json").exists());
    let folder = server.into_folder();
    folder.write("p.wasm", "half a file");
    let server = Server::start(&folder.config(), &["serve"], &[]);
    server.wait_for_log("is not WebAssembly; its last good version goes on");
    assert_eq!(server.answer("say hi"), "say hi");
}

#[test]
fn a_plugin_with_no_earlier_version_is_not_rolled_back() {
    let (folder, _) = folder();
    fs::copy(component("probe"), folder.path("p.wasm")).expect("copied");
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    for _ in 0..3 {
        assert_eq!(server.answer("trap"), "sorry");
    }
    server.wait_for_log("there is no version of it to go back to");
    assert_eq!(server.answer("say hi"), "hi");
}

#[test]
fn the_admin_address_answers_operators_and_no_web_page() {
    let (folder, port) = folder();
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/health")), (200, "ok\n".into()));
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).0, 404);
    let retry = format!("http://127.0.0.1:{port}/plugins/p/retry");
    assert_eq!(get(&retry).0, 405);
    assert_eq!(post(&format!("http://127.0.0.1:{port}/plugins/other/retry"), "").0, 404);
    assert_eq!(post(&retry, ""), (200, "{\"forgiven\":0}".into()));
    let response = agent().post(&retry).header("Origin", "https://example.com").send("").expect("an answer");
    assert_eq!(response.status(), 403);
    // WeChat's address knows nothing of it.
    assert_eq!(get(&format!("http://{}/plugins", server.address())).0, 404);
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_everything_again_also_what_is_to_be_tried_again() {
    let (folder, _) = folder();
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    assert_eq!(server.answer("trap"), "trap");
    fs::copy(component("probe"), server.folder().path("p.wasm")).expect("copied");
    server.wait_for_log("another version of the plugin answers");
    for _ in 0..3 {
        assert_eq!(server.answer("trap"), "sorry");
    }
    server.wait_for_log("was rolled back");
    // Nobody can be asked where there is no admin address.
    let config = fs::read_to_string(server.folder().config()).expect("readable");
    let without: String =
        config.lines().filter(|line| !line.starts_with("admin")).map(|line| format!("{line}\n")).collect();
    fs::write(server.folder().path("other.toml"), without).expect("written");
    let other = server.folder().path("other.toml").display().to_string();
    let output = mynah(&["plugins", "--config", &other, "retry", "p"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "it is tried again when the server starts, or gets SIGHUP\n");
    let id = server.process().id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().expect("kill runs").success());
    server.wait_for_log("took up everything, as it was told to");
    assert_eq!(server.answer("say hi"), "hi");
}

//! Components that mean harm: each ends in the bot's `on_error` within its time, with a line in the log that says why, while a
//! bystander is answered as ever.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::harness::*;

/// A component of the contract's world from a core module's text: its memory, its allocator and its handler's body.
fn component_of(items: &str, handler: &str) -> Vec<u8> {
    encode(&contract(), "plugin", &module(items, handler, "0.1.0"))
}

fn module(items: &str, handler: &str, version: &str) -> String {
    format!(
        r#"(module {items}
  (memory (export "memory") 2 1000)
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "mynah:bot/handler@{version}#handle") (param i32) (result i32) {handler}))"#
    )
}

fn contract() -> String {
    std::fs::read_to_string(root().join("plugin-sdk/wit/bot.wit")).expect("the contract")
}

fn encode(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("WIT");
    let world = resolve.select_world(&[package], Some(world)).expect("a world");
    let mut core = wat::parse_str(module).expect("a module's text");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false).expect("embedded");
    ComponentEncoder::default().validate(true).module(&core).expect("a module").encode().expect("a component")
}

/// A server with these components, each called by its name, and `echo` for everybody else.
fn server(components: &[(&str, Vec<u8>)]) -> Server {
    build_plugins();
    let folder = Folder::new("");
    let mut config = format!("{LOOPBACK}state = 'state.db'\n{BOT}");
    for (name, bytes) in components {
        let file = folder.path(&format!("{name}.wasm"));
        std::fs::write(&file, bytes).expect("written");
        config += &format!(
            "[[bots.test.rules]]\nkeyword = \"{name}\"\nplugin = \"{name}\"\n\
             [plugins.{name}]\nwasm = '{}'\nlimits = {{ time = \"1s\", memory = \"16 MiB\" }}\n",
            file.display()
        );
    }
    config += &format!(
        "[[bots.test.rules]]\nkeyword = \"bystander\"\nplugin = \"echo\"\n[[bots.test.rules]]\nplugin = \"probe\"\n\
         [plugins.probe]\nwasm = '{}'\nlimits = {{ time = \"1s\" }}\n[plugins.echo]\nwasm = '{}'\n",
        component("probe"),
        component("echo")
    );
    folder.write("bots.toml", &config);
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    server
}

const SPIN: &str = "(loop $forever (br $forever)) (unreachable)";

#[test]
fn hostile_components_end_in_the_apology_and_harm_nobody() {
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("loop", component_of("", SPIN), "it took longer than 1s"),
        ("start", component_of(&format!("(func $s {SPIN}) (start $s)"), "(i32.const 0)"), "it took longer than 1s"),
        (
            "grow",
            component_of("", "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)"),
            "it had reached its memory limit of 16 MiB",
        ),
        (
            "tables",
            component_of(
                "(table $t 1 funcref)",
                "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1)))) (unreachable)",
            ),
            "unreachable",
        ),
        ("recursion", component_of("(func $r (call $r) (call $r))", "(call $r) (unreachable)"), "call stack exhausted"),
        ("trap", component_of("", "(unreachable)"), "unreachable"),
        ("bounds", component_of("", "(i32.load (i32.const -8))"), "out of bounds"),
        // A reply whose pointer leads nowhere, one of no known case, and one that claims 2 GiB.
        ("nonsense", component_of("", "(i32.const -16)"), "it trapped"),
        ("case", component_of("", "(i32.store8 (i32.const 100) (i32.const 9)) (i32.const 100)"), "it trapped"),
        (
            "long",
            component_of("", "(i32.store offset=12 (i32.const 96) (i32.const 0x7fffffff)) (i32.const 96)"),
            "it trapped",
        ),
        ("handles", handles(), "it trapped"),
    ];
    let components: Vec<_> = cases.iter().map(|(name, bytes, _)| (*name, bytes.clone())).collect();
    let mut server = server(&components);
    assert_eq!(server.answer("bystander"), "bystander");
    let before = resident(&mut server);
    for (name, _, logged) in &cases {
        let known = server.log().len();
        std::thread::scope(|scope| {
            let hostile = scope.spawn(|| server.answer(name));
            while !hostile.is_finished() {
                assert_eq!(server.answer("bystander"), "bystander");
            }
            assert_eq!(hostile.join().expect("answered"), "sorry", "{name}");
        });
        // One that never started is said to be broken instead.
        wait_until(name, || {
            let log = server.log();
            let own = &log[known..];
            own.contains(logged)
                && (own.contains("the plugin failed: ") || own.contains("the plugin cannot be called: "))
        });
    }
    // What a call had is given back, but for what the pool and the allocator keep at hand.
    let after = resident(&mut server);
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
}

/// KiB of memory that the server has; none where that cannot be told.
fn resident(server: &mut Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process().id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}

/// Takes one handle after the other and gives none back.
fn handles() -> Vec<u8> {
    let wit = contract()
        + "
world hoarder { import wasi:clocks/monotonic-clock@0.2.0; export handler; }
package wasi:io@0.2.0 { interface poll { resource pollable; } }
package wasi:clocks@0.2.0 {
  interface monotonic-clock {
    use wasi:io/poll@0.2.0.{pollable};
    subscribe-duration: func(when: u64) -> pollable;
  }
}
";
    let import =
        "(import \"wasi:clocks/monotonic-clock@0.2.0\" \"subscribe-duration\" (func $take (param i64) (result i32)))";
    let hoard = "(loop $l (drop (call $take (i64.const 1000000000))) (br $l)) (unreachable)";
    encode(&wit, "hoarder", &module(import, hoard, "0.1.0"))
}

#[test]
fn an_ordinary_plugins_excesses_are_bounded_too() {
    let server = server(&[]);
    for (text, answer) in [
        ("huge", "sorry"),
        ("forbidden", "abc"),
        ("calls 20000", "10000 refused"),
        ("logs 100000", "logged"),
        ("print 100000", "printed"),
        ("sleep 60000", "sorry"),
    ] {
        std::thread::scope(|scope| {
            let hostile = scope.spawn(|| server.answer(text));
            while !hostile.is_finished() {
                assert_eq!(server.answer("bystander"), "bystander");
            }
            assert_eq!(hostile.join().expect("answered"), answer, "{text}");
        });
    }
    server.wait_for_log("it took longer than 1s");
    let log = server.settled_log();
    for words in [
        "too much data is being copied between the host and the guest",
        "more log lines were cut",
        "more bytes were cut",
        "characters that XML forbids were removed",
    ] {
        assert!(log.contains(words), "{words}");
    }
    assert!(log.len() < 200_000, "the log has {} bytes", log.len());
}

#[test]
fn bystanders_are_answered_while_many_calls_loop() {
    let server = server(&[("loop", component_of("", SPIN))]);
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..16)
            .map(|n| {
                scope.spawn({
                    let server = &server;
                    move || server.answer_to(&format!("f{n}"), "loop")
                })
            })
            .collect();
        let mut answered = 0;
        while loops.iter().any(|looped| !looped.is_finished()) {
            assert_eq!(server.answer("bystander"), "bystander");
            answered += 1;
        }
        // Their time limit is a second; a bystander that had to wait for all of them would be answered once or twice.
        assert!(answered >= 5, "{answered}");
        for looped in loops {
            assert_eq!(looped.join().expect("answered"), "sorry");
        }
    });
}

#[test]
fn a_plugin_that_keeps_failing_is_not_called_for_a_while() {
    let server = server(&[("trap", component_of("", "(unreachable)"))]);
    let trap = |follower: usize, id: usize| {
        let body = format!(
            "<xml><ToUserName>gh_1</ToUserName><FromUserName>f{follower}</FromUserName><CreateTime>1</CreateTime>\
             <MsgType>text</MsgType><Content>trap</Content><MsgId>{id}</MsgId></xml>"
        );
        assert_eq!(content(&post(&server.url(), &body).1), "sorry");
    };
    (0..10).for_each(|n| trap(n % 3, n));
    server.wait_for_log("the plugin keeps failing and is not called for 5s");
    trap(1, 11);
    server.wait_for_log("it kept failing; it is tried again in");
    assert_eq!(server.answer("bystander"), "bystander");
}

#[test]
fn components_of_other_contracts_are_refused_in_plain_words() {
    let newer = contract().replace("mynah:bot@0.1.0", "mynah:bot@0.2.0");
    let other = "package other:x; interface run { go: func(); } world w { export run; }";
    let more = contract() + "\ninterface payments { pay: func(); }\nworld rich { import payments; export handler; }\n";
    let pay = "(import \"mynah:bot/payments@0.1.0\" \"pay\" (func $pay))";
    let go = "(module (memory (export \"memory\") 1) (func (export \"other:x/run#go\")))";
    let server = server(&[
        ("newer", encode(&newer, "plugin", &module("", "(i32.const 0)", "0.2.0"))),
        ("other", encode(other, "w", go)),
        ("rich", encode(&more, "rich", &module(pay, "(call $pay) (i32.const 0)", "0.1.0"))),
        ("core", wat::parse_str("(module)").expect("a module")),
    ]);
    let log = server.log();
    for words in [
        "it was built for mynah:bot 0.2; this host speaks mynah:bot 0.1",
        "it exports no handler, `mynah:bot/handler@0.1.0`: it exports `other:x/run`",
        "it imports `mynah:bot/payments@0.1.0`, which this host does not have yet",
        "it is a core WebAssembly module, not a component",
    ] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    for name in ["newer", "other", "rich", "core"] {
        assert_eq!(server.answer(name), "sorry");
    }
    assert_eq!(server.answer("bystander"), "bystander");
}

#[test]
fn what_is_not_granted_says_so_and_the_log_names_the_line_to_add() {
    let server = server(&[]);
    assert!(server.answer("http GET https://api.example.com/x?y").starts_with("not-granted: "));
    server.wait_for_log("add `allow = { http = [\"https://api.example.com\"] }` to `[plugins.probe]`");
    assert_eq!(server.answer("wechat /cv/ocr/comm"), "not-granted");
    server.wait_for_log("add `allow = { wechat = [\"/cv/ocr/comm\"] }` to `[plugins.probe]`");
}

#[cfg(target_os = "linux")]
#[test]
fn the_demos_plugins_run_in_little_memory() {
    build_plugins();
    let plugins = ["echo", "greet", "image_url", "quiz"];
    let mut config = format!("{LOOPBACK}state = 'state.db'\n{BOT}");
    for name in plugins {
        config += &format!(
            "[[bots.test.rules]]\nkeyword = \"{name}\"\nplugin = \"{name}\"\n[plugins.{name}]\nwasm = '{}'\n",
            component(name)
        );
    }
    let questions = root().join("plugins/quiz/questions.toml");
    config += &format!("config = {{ questions = {{ file = '{}' }} }}\n", questions.display());
    let folder = Folder::new(&config);
    // 4 GiB of address space, as service managers bound it.
    let mut server = Server::start_in_shell("ulimit -v 4194304; ", &folder.config());
    for name in plugins {
        server.text(name);
    }
    server.wait_for_log("plugins' memories come from a pool");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process().id())).expect("the process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(kib < 512 * 1024, "{kib} KiB");
    drop(server);
    // Less, and the pool is smaller; plugins run all the same.
    let server = Server::start_in_shell("ulimit -v 1572864; ", &folder.config());
    let log = server.wait_for_log("plugins' memories come from a pool");
    assert!(!log.contains("memories=24"), "{log}");
    // Another follower: the first one is in the middle of the quiz.
    assert_eq!(server.answer_to("o_2", "echo"), "echo");
}

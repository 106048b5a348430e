//! `instances = "reuse"`: an instance that answers more than one message.

use std::{collections::BTreeSet, thread};

use super::harness::*;

/// A plugin that remembers what it did, if it is let.
fn config(instances: &str) -> String {
    build_plugins();
    format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nplugin = 'probe'\n\
         [plugins.probe]\nwasm = '{}'\nlimits = {{ time = '2s', memory = '16 MiB' }}\ninstances = {instances}\n",
        component("probe")
    )
}

fn server(instances: &str) -> Server {
    Server::with_config(&config(instances))
}

/// How often the instance that answers has counted, this time included.
fn count(server: &Server) -> u32 {
    server.answer("again").parse().expect("a number")
}

#[test]
fn memory_stays_where_that_is_wanted_and_nowhere_else() {
    let kept = server("'reuse'");
    assert_eq!([(); 4].map(|()| count(&kept)), [1, 2, 3, 4]);
    let fresh = server("'fresh'");
    assert_eq!([(); 3].map(|()| count(&fresh)), [1, 1, 1]);
    let silent = Server::with_config(&config("'reuse'").replace("instances = 'reuse'\n", ""));
    assert_eq!([(); 3].map(|()| count(&silent)), [1, 1, 1]);
}

#[test]
fn an_instance_answers_so_many_messages_and_no_more() {
    let server = server("{ reuse = 3 }");
    assert_eq!([(); 7].map(|()| count(&server)), [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn an_instance_that_failed_is_dropped() {
    let server = server("'reuse'");
    for failing in ["trap", "error no", "loop", "sleep 60000", "allocate"] {
        assert_eq!([count(&server), count(&server)], [1, 2], "before {failing}");
        assert_eq!(server.answer(failing), "sorry");
    }
    assert_eq!(count(&server), 1);
}

#[test]
fn an_instance_that_keeps_opening_resources_is_dropped_before_it_runs_out_of_them() {
    let server = server("'reuse'");
    assert_eq!(count(&server), 1);
    for _ in 0..100 {
        assert_eq!(server.answer("open"), "opened");
    }
    assert!(count(&server) <= 2);
    let log = server.settled_log();
    assert!(!log.contains("trapped"), "{log}");
}

#[test]
fn each_message_has_its_own_log_output_and_room() {
    let server = server("'reuse'");
    let times = 5;
    for n in 1..=times {
        assert_eq!(count(&server), n);
        assert_eq!(server.answer("logs 90"), "logged");
        // Of output, too, each message has its own lines.
        server.wait_for_log_times("counted", n as usize);
    }
    let log = server.settled_log();
    assert!(!log.contains("more log lines were cut"), "{log}");
    assert_eq!(server.answer("imports"), "fine fine not-granted not-granted");
}

#[test]
fn what_a_message_writes_is_its_own() {
    let server = server("'reuse'");
    assert_eq!(server.answer_to("o_1", "remember 600 one"), "remembered");
    assert_eq!(server.answer_to("o_2", "recall"), "none");
    assert_eq!(server.answer_to("o_1", "recall"), "=one");
    assert_eq!(server.answer_to("o_2", "count n"), "1");
    assert_eq!(server.answer_to("o_1", "count n"), "2");
    assert_eq!(server.answer_to("o_1", "echo-all").matches("o_1").count(), 1);
}

#[test]
fn a_swap_or_a_change_of_configuration_drops_what_was_kept() {
    let folder = Folder::new(&config("'reuse'").replace(&component("probe"), "p.wasm"));
    std::fs::copy(component("probe"), folder.path("p.wasm")).expect("copied");
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    assert_eq!([(); 3].map(|()| count(&server)), [1, 2, 3]);
    // The same code in another file, as a new version.
    let mut version = std::fs::read(component("probe")).expect("readable");
    version.extend([0, 2, 1, b'v']);
    std::fs::write(server.folder().path("p.wasm"), version).expect("written");
    let mut last = 3;
    wait_until("the new version", || {
        let before = std::mem::replace(&mut last, count(&server));
        last <= before
    });
    assert_eq!(last, 1);
    let text = std::fs::read_to_string(server.folder().path("bots.toml")).expect("readable");
    server.folder().write("bots.toml", &text.replace("'16 MiB'", "'17 MiB'"));
    wait_until("the new configuration", || {
        let before = std::mem::replace(&mut last, count(&server));
        last <= before
    });
    assert_eq!(last, 1);
}

#[test]
fn messages_at_one_time_never_share_an_instance() {
    let server = server("'reuse'");
    let mut answered = vec![0_u32; 20];
    for _ in 0..3 {
        let counts: Vec<usize> = thread::scope(|scope| {
            let server = &server;
            let asked: Vec<_> =
                (0..6).map(|n| scope.spawn(move || server.answer_to(&format!("o_{n}"), "again 100"))).collect();
            asked.into_iter().map(|asked| asked.join().expect("answered").parse().expect("a number")).collect()
        });
        for count in counts {
            answered[count] += 1;
        }
    }
    // However they met: each instance counted one by one.
    assert_eq!(answered.iter().sum::<u32>(), 18);
    assert!(answered[1..].is_sorted_by(|few, more| few >= more), "{answered:?}");
    // Those that were under way at one time had an instance each.
    assert!(answered[1] > 1, "{answered:?}");
}

#[test]
fn kept_instances_make_room_for_other_plugins() {
    let mut config = config("'reuse'");
    let probe = component("probe");
    // More plugins that keep instances than the pool has memories, and each of them called.
    let names: BTreeSet<String> = (0..40).map(|n| format!("p{n}")).collect();
    for name in &names {
        config += &format!("[plugins.{name}]\nwasm = '{probe}'\ninstances = 'reuse'\n");
    }
    let rules: String =
        names.iter().map(|n| format!("[[bots.test.rules]]\nprefix = '{n} '\nplugin = '{n}'\n")).collect();
    let config = config.replace("[[bots.test.rules]]\nplugin = 'probe'\n", &rules);
    let server = Server::with_config(&config);
    for name in &names {
        // The probe does not know the word that calls it, and passes; nobody answers.
        assert_eq!(server.text(&format!("{name} x")), "success");
    }
    // All at one time, beside what is kept.
    thread::scope(|scope| {
        let server = &server;
        for (n, name) in names.iter().enumerate() {
            scope.spawn(move || {
                let body = format!("<MsgType>text</MsgType><Content>{name} y</Content><MsgId>{}</MsgId>", 7_000 + n);
                assert_eq!(server.message(&body), "success");
            });
        }
    });
    let log = server.settled_log();
    assert!(!log.contains("could not be started"), "{log}");
}

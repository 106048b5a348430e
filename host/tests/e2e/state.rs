//! Conversations, storage, and each message taking effect exactly once.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::harness::*;

const RULES: &str = "[[bots.test.rules]]\nkeyword = \"count elsewhere\"\nplugin = \"other\"\n\
                     [[bots.test.rules]]\nkeyword = \"fixed\"\nreply = \"a fixed reply\"\n\
                     [[bots.test.rules]]\nevent = \"*\"\nreply = \"an event\"\n\
                     [[bots.test.rules]]\nprefix = \"other \"\nplugin = \"other\"\n\
                     [[bots.test.rules]]\nplugin = \"probe\"\n\
                     [[bots.test.rules]]\nreply = \"passed\"\n";

fn config(rules: &str) -> String {
    build_plugins();
    format!(
        "{LOOPBACK}state = \"state.db\"\n{BOT}{rules}[plugins.probe]\nwasm = '{0}'\nlimits = {{ time = \"30s\" }}\n\
         [plugins.other]\nwasm = '{0}'\n",
        component("probe")
    )
}

fn server() -> Server {
    Server::with_config(&config(RULES))
}

/// A text of a follower with an id of its own.
fn sent(follower: &str, id: usize, text: &str) -> String {
    sent_at(follower, id, text, 1_700_000_000)
}

fn sent_at(follower: &str, id: usize, text: &str, created: u64) -> String {
    format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>{follower}</FromUserName><CreateTime>{created}</CreateTime>\
         <MsgType>text</MsgType><Content>{text}</Content><MsgId>{id}</MsgId></xml>"
    )
}

/// Sends a text as a follower and returns the text of the answer.
fn say(server: &Server, follower: &str, text: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1_000_000);
    let body = sent(follower, NEXT.fetch_add(1, Ordering::Relaxed), text);
    content(&post(&server.url(), &body).1)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn a_conversation_captures_its_followers_messages_but_no_events() {
    let server = server();
    assert_eq!(say(&server, "a", "other remember 60 here"), "passed");
    assert_eq!(say(&server, "a", "remember 600 state"), "remembered");
    assert_eq!(say(&server, "a", "recall"), "=state");
    // Rules are not asked while it lasts, unless the plugin passes.
    assert_eq!(say(&server, "b", "fixed"), "a fixed reply");
    assert_eq!(say(&server, "a", "say fixed"), "fixed");
    assert_eq!(say(&server, "a", "fixed"), "a fixed reply");
    assert_eq!(say(&server, "a", "recall"), "=state");
    assert_eq!(content(&server.event("<Event>CLICK</Event><EventKey>k</EventKey>")), "an event");
    // A word leaves it.
    assert_eq!(say(&server, "a", "退出"), "已退出。");
    assert_eq!(say(&server, "a", "recall"), "none");
    assert_eq!(say(&server, "a", "退出"), "passed");
}

#[test]
fn a_conversation_ends_by_the_plugin_by_time_and_never_grows_too_large() {
    let server = server();
    assert_eq!(say(&server, "a", "remember 600 state"), "remembered");
    assert_eq!(say(&server, "a", "forget"), "forgotten");
    assert_eq!(say(&server, "a", "recall"), "none");
    assert_eq!(say(&server, "a", "remember 1 short"), "remembered");
    wait_until("the conversation ends", || say(&server, "a", "recall") == "none");
    assert_eq!(say(&server, "a", "remember-large 65536"), "remembered");
    assert_eq!(say(&server, "a", "remember-large 65537"), "too-large");
}

#[test]
fn what_a_passing_or_failing_plugin_did_leaves_no_trace() {
    let server = server();
    assert_eq!(say(&server, "a", "set-and-pass"), "passed");
    assert_eq!(say(&server, "a", "get passed"), "none");
    assert_eq!(say(&server, "a", "recall"), "none");
    assert_eq!(say(&server, "a", "set-and-trap"), "sorry");
    assert_eq!(say(&server, "a", "get trapped"), "none");
}

#[test]
fn a_store_is_a_plugins_own_for_each_bot() {
    build_plugins();
    let two = config(RULES).replace(
        "[plugins.probe]",
        "[bots.two]\npath = \"/two\"\ntoken = \"mynah\"\n[[bots.two.rules]]\nplugin = \"probe\"\n[plugins.probe]",
    );
    let two = two.replace("[[bots.test.rules]]\nprefix = \"other \"", "[[bots.test.rules]]\nregex = '^other-(?<rest>.*)'\nplugin = \"other\"\n[[bots.test.rules]]\nprefix = \"other \"");
    let server = Server::with_config(&two);
    assert_eq!(say(&server, "a", "get k"), "none");
    assert_eq!(say(&server, "a", "set k 值"), "set");
    assert_eq!(say(&server, "b", "get k"), "=值");
    for key in ["a1", "a2", "b1"] {
        assert_eq!(say(&server, "a", &format!("set {key} x")), "set");
    }
    assert_eq!(say(&server, "a", "list a"), "[\"a1\", \"a2\"]");
    assert_eq!(say(&server, "a", "delete a1"), "None");
    assert_eq!(say(&server, "a", "list "), "[\"a2\", \"b1\", \"k\"]");
    let there = |text: &str| content(&post(&server.url_of("/two"), &sent("a", 77, text)).1);
    assert_eq!(there("get k"), "none");
}

#[test]
fn bounds_are_errors_with_codes() {
    let server = server();
    assert_eq!(say(&server, "a", &format!("set {} x", "k".repeat(512))), "set");
    assert_eq!(say(&server, "a", &format!("set {} x", "k".repeat(513))), "too-large");
    assert_eq!(say(&server, "a", "set  x"), "bad-key");
    assert_eq!(say(&server, "a", "set-large 1048576"), "set");
    assert_eq!(say(&server, "a", "set-large 1048577"), "too-large");
    assert_eq!(say(&server, "a", "set counter many"), "set");
    assert_eq!(say(&server, "a", "count counter"), "sorry");
    server.wait_for_log("it returned an error: not-a-number");
}

#[test]
fn deliveries_of_one_message_share_one_run_and_one_answer() {
    let server = server();
    let body = sent("a", 1, "set-and-sleep 600");
    let replies: Vec<_> = thread::scope(|scope| {
        let tasks: Vec<_> = (0..3).map(|_| scope.spawn(|| post(&server.url(), &body).1)).collect();
        tasks.into_iter().map(|task| task.join().expect("answered")).collect()
    });
    assert_eq!(content(&replies[0]), "slept 1");
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    // A delivery whose connection is dropped does not stop the run, and the retry gets its answer.
    let body = sent("a", 2, "set-and-sleep 600");
    let mut dropped = connect(server.address());
    let url = server.url();
    let target = url.split_once(&server.address().to_string()).expect("the address").1;
    write!(dropped, "POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("sent");
    server.wait_for_log_times("going to sleep", 2);
    drop(dropped);
    assert_eq!(content(&post(&server.url(), &body).1), "slept 2");
    assert_eq!(content(&post(&server.url(), &body).1), "slept 2");
    // Another message with the same MsgId is another message.
    assert_eq!(content(&post(&server.url(), &sent("b", 2, "count slept")).1), "3");
    assert_eq!(content(&post(&server.url(), &sent_at("a", 2, "count slept", 1_700_000_001)).1), "4");
}

#[test]
fn overtaken_messages_run_again_and_no_increment_is_lost() {
    let server = server();
    let sums: Vec<usize> = thread::scope(|scope| {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let server = &server;
                scope.spawn(move || say(server, &format!("f{n}"), "count-slowly c").parse().expect("a sum"))
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("answered")).collect()
    });
    assert_eq!(sums.iter().copied().collect::<BTreeSet<_>>(), (1..=100).collect());
}

#[test]
fn slow_messages_that_overtake_each_other_are_all_answered_and_hold_up_nobody_else() {
    let server = server();
    thread::scope(|scope| {
        let slow: Vec<_> = (0..6)
            .map(|n| {
                let server = &server;
                scope.spawn(move || say(server, &format!("f{n}"), "set-and-sleep 1500"))
            })
            .collect();
        // All of them have read the counter, and one has been overtaken and runs alone.
        server.wait_for_log_times("going to sleep", 7);
        for n in 1..=5 {
            assert_eq!(say(&server, "bystander", "count elsewhere"), n.to_string());
        }
        assert!(slow.iter().any(|slow| !slow.is_finished()));
        let sums: BTreeSet<String> = slow.into_iter().map(|slow| slow.join().expect("answered")).collect();
        assert_eq!(sums, (1..=6).map(|n| format!("slept {n}")).collect());
    });
}

#[test]
fn a_late_message_that_is_overtaken_runs_again_and_its_answer_is_kept() {
    let server = server();
    let body = sent_at("a", 1, "set-and-sleep 6000", now() - 13);
    assert!(content(&post(&server.url(), &body).1).contains("继续"));
    assert_eq!(say(&server, "b", "count slept"), "1");
    server.wait_for_log("the answer came late and is kept");
    assert_eq!(say(&server, "a", "继续"), "slept 2");
    assert_eq!(say(&server, "b", "get slept"), "=2");
}

#[test]
fn a_late_message_does_not_bring_back_a_conversation_that_was_left() {
    let server = server();
    assert_eq!(say(&server, "a", "remember 600 before"), "remembered");
    let body = sent_at("a", 1, "remember-slowly 6000", now() - 13);
    assert!(content(&post(&server.url(), &body).1).contains("继续"));
    assert_eq!(say(&server, "a", "退出"), "已退出。");
    server.wait_for_log("what the late run did to it is dropped");
    server.wait_for_log("the answer came late and is kept");
    assert_eq!(say(&server, "a", "继续"), "remembered");
    assert_eq!(say(&server, "a", "recall"), "none");
}

#[test]
fn one_followers_messages_wait_for_each_other_and_others_do_not() {
    let server = server();
    thread::scope(|scope| {
        let slow = scope.spawn(|| say(&server, "a", "set-and-sleep 1500"));
        server.wait_for_log("going to sleep");
        let next = scope.spawn(|| say(&server, "a", "count slept"));
        assert_eq!(say(&server, "b", "say hi"), "hi");
        assert!(!slow.is_finished() && !next.is_finished());
        assert_eq!(slow.join().expect("answered"), "slept 1");
        assert_eq!(next.join().expect("answered"), "2");
    });
}

#[cfg(unix)]
#[test]
fn a_server_killed_under_load_loses_nothing_and_does_nothing_twice() {
    const ROUNDS: usize = 12;
    let folder = Folder::new(&config(RULES));
    let answered: Mutex<BTreeMap<usize, String>> = Mutex::default();
    let next = AtomicUsize::new(0);
    for round in 0..ROUNDS {
        let mut server = Server::start(&folder.config(), &["serve"], &[]);
        let (url, stop) = (server.url(), AtomicBool::new(false));
        thread::scope(|scope| {
            for client in 0..6 {
                let (answered, next, url, stop) = (&answered, &next, &url, &stop);
                scope.spawn(move || {
                    let agent = agent();
                    while !stop.load(Ordering::Relaxed) {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        let body = sent(&format!("f{client}"), id, "count c");
                        let Ok(mut response) = agent.post(url).send(&body) else { continue };
                        let Ok(reply) = response.body_mut().read_to_string() else { continue };
                        answered.lock().expect("not poisoned").insert(id, reply);
                    }
                });
            }
            // At another moment each round; the load decides what is in flight then.
            thread::sleep(Duration::from_millis(40 + 37 * round as u64));
            server.process().kill().expect("killed");
            server.process().wait().expect("ended");
            stop.store(true, Ordering::Relaxed);
        });
    }
    let server = Server::start(&folder.config(), &["serve"], &[]);
    let answered = answered.into_inner().expect("not poisoned");
    assert!(answered.len() > ROUNDS, "the rounds were too short: {}", answered.len());
    let total = next.into_inner();
    let mut sums = BTreeSet::new();
    for id in 0..total {
        // WeChat's retry of each message, answered or not. The client that sent it is lost; a follower is part of its identity.
        let replies: Vec<String> = (0..6)
            .filter_map(|client| {
                let body = sent(&format!("f{client}"), id, "count c");
                let known = answered.get(&id)?;
                known.contains(&format!("f{client}")).then(|| post(&server.url(), &body).1)
            })
            .collect();
        if let Some(first) = answered.get(&id) {
            assert_eq!(replies, std::slice::from_ref(first), "message {id}");
            assert!(sums.insert(content(first).parse::<usize>().expect("a sum")), "message {id} counted twice");
        }
    }
    // Whatever was counted and not acknowledged lies between; never more than what was in flight at each kill.
    let last = say(&server, "other", "count c").parse::<usize>().expect("a sum");
    assert!(last > answered.len() && last <= answered.len() + 6 * ROUNDS + 1, "{last} of {}", answered.len());
}

#[test]
fn an_answer_that_comes_late_is_kept_for_the_follower() {
    let server = server();
    // As if WeChat's first deliveries had gone to a host before this one.
    let body = sent_at("a", 1, "set-and-sleep 6000", now() - 13);
    let interim = content(&post(&server.url(), &body).1);
    assert!(interim.starts_with("还在想……稍后回复「<a href=\"weixin://bizmsgmenu?msgmenucontent=继续"), "{interim}");
    assert_eq!(content(&post(&server.url(), &body).1), interim);
    // The follower's other messages go on meanwhile, and asking too early is answered as such.
    assert_eq!(say(&server, "a", "say hi"), "hi");
    assert_eq!(say(&server, "a", "继续"), interim);
    server.wait_for_log("the answer came late and is kept");
    assert_eq!(say(&server, "a", "继续"), "slept 1");
    assert_eq!(say(&server, "a", "继续"), "passed");
    assert_eq!(say(&server, "b", "继续"), "passed");
}

#[cfg(unix)]
#[test]
fn a_late_answer_survives_a_kill_before_and_after_it_is_there() {
    let folder = Folder::new(&config(RULES));
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    let body = sent_at("a", 1, "set-and-sleep 6000", now() - 13);
    let interim = post(&server.url(), &body).1;
    server.process().kill().expect("killed");
    server.process().wait().expect("ended");
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.wait_for_log("running a message again");
    assert_eq!(post(&server.url(), &body).1, interim);
    server.wait_for_log("the answer came late and is kept");
    server.process().kill().expect("killed");
    server.process().wait().expect("ended");
    let server = Server::start(&folder.config(), &["serve"], &[]);
    // Run twice, counted once.
    assert_eq!(say(&server, "a", "继续"), "slept 1");
    assert!(!server.settled_log().contains("running a message again"));
}

#[test]
fn a_long_text_comes_in_pages() {
    let server = server();
    let mut page = say(&server, "a", "long 60");
    let mut lines = 0;
    let mut pages = 1;
    while page.contains("看下一页") {
        assert!(page.len() <= 2048);
        lines += page.matches("line ").count();
        page = say(&server, "a", "继续");
        pages += 1;
    }
    lines += page.matches("line ").count();
    assert_eq!((pages, lines), (4, 60));
    assert_eq!(say(&server, "a", "继续"), "passed");
}

#[cfg(unix)]
#[test]
fn a_conversation_survives_a_kill_and_a_changed_plugin() {
    let folder = Folder::new(&config(RULES));
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    assert_eq!(say(&server, "a", "remember 600 state"), "remembered");
    server.process().kill().expect("killed");
    server.process().wait().expect("ended");
    let server = Server::start(&folder.config(), &["serve"], &[]);
    assert_eq!(say(&server, "a", "recall"), "=state");
    folder.write("bots.toml", &config(RULES).replace("a fixed reply", "a new reply"));
    wait_until("the new generation", || say(&server, "b", "fixed") == "a new reply");
    assert_eq!(say(&server, "a", "recall"), "=state");
}

#[test]
fn state_is_listed_and_exported_while_the_server_runs_and_after() {
    let server = server();
    assert_eq!(say(&server, "a", "set answers/1 {\"score\":5,\"text\":\"=1+1\"}"), "set");
    assert_eq!(say(&server, "a", "set answers/2 {\"score\":7,\"choice\":\"B\"}"), "set");
    assert_eq!(say(&server, "a", "set note plain"), "set");
    let config = server.folder().config();
    let state = |arguments: &[&str]| {
        let all: Vec<&str> = ["state", "--config", &config].iter().chain(arguments).copied().collect();
        let output = mynah(&all);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let listed = "test\tprobe\tanswers/1\t25 bytes\ntest\tprobe\tanswers/2\t24 bytes\ntest\tprobe\tnote\t5 bytes\n";
    assert_eq!(state(&["list"]), listed);
    assert_eq!(state(&["list", "other"]), "");
    assert_eq!(
        state(&["export", "probe", "--prefix", "answers/"]),
        "{\"bot\":\"test\",\"plugin\":\"probe\",\"key\":\"answers/1\",\"value\":{\"score\":5,\"text\":\"=1+1\"}}\n\
         {\"bot\":\"test\",\"plugin\":\"probe\",\"key\":\"answers/2\",\"value\":{\"score\":7,\"choice\":\"B\"}}\n"
    );
    let csv = "\u{feff}bot,plugin,key,score,text,choice,value\ntest,probe,answers/1,5,'=1+1,,\n\
               test,probe,answers/2,7,,B,\ntest,probe,note,,,,plain\n";
    assert_eq!(state(&["export", "--format", "csv", "--bot", "test"]), csv);
    let file = server.folder().path("out.csv");
    state(&["export", "--format", "csv", "--output", &file.display().to_string()]);
    assert_eq!(std::fs::read_to_string(&file).expect("written"), csv);
    let mut server = server;
    server.process().kill().expect("killed");
    server.process().wait().expect("ended");
    assert_eq!(state(&["list"]), listed);
}

#[test]
fn state_that_is_not_there_or_damaged_is_named() {
    let folder = Folder::new(&config(RULES));
    let output = mynah(&["state", "list", "--config", &folder.config()]);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains("cannot open the state") && shown.contains("state.db"), "{shown}");
    std::fs::write(folder.path("state.db"), "this is no database, whatever it is called ".repeat(100))
        .expect("written");
    let output = mynah(&["serve", "--config", &folder.config()]);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains("cannot open the state") && shown.contains("state.db"), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_starting_host_waits_for_a_draining_one() {
    let folder = Folder::new(&config(RULES));
    let mut first = Server::start(&folder.config(), &["serve"], &[]);
    assert_eq!(say(&first, "a", "count c"), "1");
    thread::scope(|scope| {
        let second = scope.spawn(|| Server::start(&folder.config(), &["serve"], &[]));
        let pid = first.process().id().to_string();
        assert!(!second.is_finished());
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        assert_eq!(first.process().wait().expect("ended").code(), Some(0));
        let second = second.join().expect("started");
        assert_eq!(say(&second, "a", "count c"), "2");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_costs_writes_an_apology_and_nothing_else() {
    // A file may not grow beyond 400 blocks of 1,024 bytes; with the signal ignored, that is an error like a full disk.
    let folder = Folder::new(&config(RULES));
    let server = Server::start_in_shell("trap '' XFSZ; ulimit -f 400; ", &folder.config());
    let full = |text: &str| say(&server, "a", text);
    let mut written = 0;
    wait_until("the disk is full", || {
        written += 1;
        full(&format!("set {written} {}", "x".repeat(20_000))) == "sorry"
    });
    server.wait_for_log("the store is unavailable");
    assert_eq!(full("say still here"), "still here");
    assert!(full("list 1").starts_with("[\"1\""));
    assert_eq!(full("fixed"), "a fixed reply");
}

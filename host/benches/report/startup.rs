//! Memory when idle, and how soon a server that starts, or a plugin that is replaced, answers.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    load::{self, CONNECTIONS},
    messages::{Messages, TOKEN},
    parts::all_to,
    process::{Server, bot, build_plugins, component, plugin, root},
    report::{Table, median, number},
};

/// How often each is tried.
const TRIES: usize = 11;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The demo's own `bots.toml`, but for the port and the state.
fn demo() -> String {
    let text = fs::read_to_string(root().join("bots.toml")).expect("readable");
    let plugins = component("").parent().expect("a folder").display().to_string();
    text.replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("target/wasm32-wasip2/release", &plugins)
        .replace("plugins/quiz/questions.toml", &root().join("plugins/quiz/questions.toml").display().to_string())
        .replace("{ env = \"WECHAT_TOKEN\", default = \"mynah\" }", &format!("\"{TOKEN}\""))
}

/// The same with its state, and so its compiled code, in a folder that lasts.
fn demo_with_state(folder: &Path) -> String {
    demo().replace("state = \"data/mynah.db\"", &format!("state = \"{}/mynah.db\"", folder.display()))
}

pub(crate) fn startup() -> String {
    build_plugins();
    format!("{}\n{}\n{}", memory(), start(), swap())
}

/// What is resident, of a server that has just started and of one that has worked.
fn memory() -> String {
    let mut table = Table::new(&["server", "MiB resident", "of that anonymous"]);
    let mut row = |name: &str, server: &Server| {
        let (resident, anonymous) = server.memory();
        table.row(&[name, &number(resident), &number(anonymous)]);
        resident
    };
    let state = tempfile::tempdir().expect("a folder");
    let config = demo_with_state(state.path());
    let server = Server::mynah(&config);
    thread::sleep(Duration::from_secs(2));
    row("the demo's bots, idle after their first start, which compiled them", &server);
    drop(server);
    let server = Server::mynah(&config);
    thread::sleep(Duration::from_secs(2));
    row("idle after any later start", &server);
    load::measure(&server, &Messages::echo(), CONNECTIONS, 20_000);
    row("the same after 20,000 messages", &server);

    let echo = fs::read(component("echo")).expect("readable");
    let folder = tempfile::tempdir().expect("a folder");
    let with = |count: usize| {
        let mut config = bot(false) + &all_to("p0");
        for n in 0..count {
            let file = folder.path().join(format!("p{n}.wasm"));
            // A custom section makes it another component.
            fs::write(&file, [&echo[..], &[0, 3, 2, b'0' + (n / 10) as u8, b'0' + (n % 10) as u8]].concat())
                .expect("written");
            config += &plugin(&format!("p{n}"), &file);
        }
        let server = Server::mynah(&config);
        thread::sleep(Duration::from_secs(2));
        server.memory().0
    };
    let share = (with(51) - with(1)) / 50.0;
    format!("{table}Each further plugin of the echo's size adds {} MiB.\n", number(share))
}

/// From the start of the process to its first answer.
fn start() -> String {
    let mut table = Table::new(&["from the start of the process to the first answer", "median ms", "least ms"]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let config = demo_with_state(folder.path());
        let begin = Instant::now();
        let server = Server::mynah(&config);
        load::ask(server.address(), &Messages::echo()).expect("an answer");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    // The first one may have had to compile.
    row(&mut table, "the demo's bots, started before", &times[1..]);
    table.to_string()
}

fn row(table: &mut Table, name: &str, times: &[f64]) {
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    table.row(&[name, &number(median(times.iter().copied())), &number(least)]);
}

/// From a finished write of a plugin to its first answer.
fn swap() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("swapped.wasm");
    let (echo, greet) =
        (fs::read(component("echo")).expect("readable"), fs::read(component("greet")).expect("readable"));
    fs::write(&file, &echo).expect("written");
    let server = Server::mynah(&(bot(false) + &all_to("swapped") + &plugin("swapped", &file)));
    let messages = Messages::texts(|_, _| "你好".into(), "<Content>");
    let said_by_echo = |answer: &str| answer.contains("<Content><![CDATA[你好]]>");
    let mut times = Vec::new();
    for n in 0..2 * TRIES {
        // New code each time, or the cache of compiled code would answer.
        let own = [if n % 2 == 0 { &greet[..] } else { &echo[..] }, &[0, 3, 2, b'a', b'a' + n as u8]].concat();
        thread::sleep(Duration::from_millis(300));
        fs::write(&file, own).expect("written");
        let begin = Instant::now();
        loop {
            let answer = load::ask(server.address(), &messages).expect("an answer");
            let echoes = said_by_echo(&answer);
            if echoes == (n % 2 == 1) {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "the plugin was not swapped");
            thread::sleep(Duration::from_millis(1));
        }
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let mut table =
        Table::new(&["from a finished write of a 100 KB Rust plugin to its first answer", "median ms", "least ms"]);
    row(&mut table, "written over", &times);
    table.to_string()
}

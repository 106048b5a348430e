//! Gates on what a message costs, counted rather than timed, so that they hold on a busy machine. Each says what to do when it closes.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::harness::*;

/// Page faults of a message that a plugin answers beyond those of one that a rule answers: none, but for what malloc does at its own time.
const FAULTS: f64 = 0.1;

/// The same where the kernel cannot tell which pages were written (before Linux 6.7): what is given back faults again.
const FAULTS_BLIND: f64 = 12.0;

/// Calls of the kernel about memory, likewise.
const CALLS: f64 = 0.1;
const CALLS_BLIND: f64 = 8.0;

/// The same of plugins in turn, with what malloc asks for meanwhile. An image that is mapped anew takes two.
const CALLS_IN_TURN: f64 = 0.5;

/// Messages that are counted.
const MESSAGES: u32 = 1_000;

/// Messages before: until heaps have grown and every slot of the pool has met the plugin.
const WARM: u32 = 500;

/// Instructions of a whole message, from the socket to the socket, as this crate's profile for tests builds them.
const INSTRUCTIONS: f64 = if cfg!(debug_assertions) { DEBUG_INSTRUCTIONS } else { RELEASE_INSTRUCTIONS };
const DEBUG_INSTRUCTIONS: f64 = 680_000.0;
const RELEASE_INSTRUCTIONS: f64 = 205_000.0;

/// Long enough for a start under valgrind on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server where 「定」 is answered by a rule, and everything else by the echo plugin.
fn config() -> String {
    build_plugins();
    format!(
        "{LOOPBACK}{BOT}[[bots.test.rules]]\nkeyword = '定'\nreply = '定'\n[[bots.test.rules]]\nplugin = 'echo'\n\
         [plugins.echo]\nwasm = '{}'\n",
        component("echo")
    )
}

/// A connection that is kept, as a proxy keeps it.
struct Connection(TcpStream);

impl Connection {
    fn new(address: std::net::SocketAddr) -> Self {
        let stream = connect(address);
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self(stream)
    }

    /// Sends so many messages with this text, one after the other, and sees them all answered with it.
    fn say(&mut self, text: &str, times: u32) {
        for _ in 0..times {
            let elements = format!("<MsgType>text</MsgType><Content><![CDATA[{text}]]></Content><MsgId>1</MsgId>");
            let body = envelope(&elements);
            let query = signed_query(TOKEN);
            let length = body.len();
            let request =
                format!("POST /weixin/?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
            self.0.write_all(request.as_bytes()).expect("sent");
            let mut answer = Vec::new();
            let mut part = [0; 4096];
            while !answer.ends_with(b"</xml>") {
                let read = self.0.read(&mut part).expect("an answer");
                assert!(read > 0, "hung up after {}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&part[..read]);
            }
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.contains(&format!("[{text}]")), "{answer}");
        }
    }
}

fn is_blind() -> bool {
    !wasmtime::PoolingAllocationConfig::is_pagemap_scan_available()
}

/// Whether a tool is there, installed from Debian where that can be.
fn has(tool: &str) -> bool {
    let there = || {
        let asked = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    if there() {
        return true;
    }
    eprintln!("installing {tool} from Debian");
    let install = "apt-get update -q && apt-get install -q -y";
    let _ = Command::new("sh").args(["-c", &format!("{install} {tool}")]).stdout(Stdio::null()).status();
    let there = there();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "CI needs {tool}");
        eprintln!("\n*** SKIPPED: a gate on the cost of a message, because there is no {tool} ***\n");
    }
    there
}

/// Minor page faults of a process so far.
#[cfg(target_os = "linux")]
fn faults(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("readable");
    let after_name = stat.rsplit(')').next().expect("fields");
    after_name.split_whitespace().nth(7).expect("a field").parse().expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_costs_no_page_faults() {
    let mut server = Server::with_config(&config());
    let process = server.process().id();
    let mut connection = Connection::new(server.address());
    connection.say("复读", WARM);
    connection.say("定", WARM);
    let mut count = |text: &str| {
        let before = faults(process);
        connection.say(text, MESSAGES);
        (faults(process) - before) / f64::from(MESSAGES)
    };
    let (fixed, echo) = (count("定"), count("复读"));
    let budget = if is_blind() { FAULTS_BLIND } else { FAULTS };
    eprintln!("page faults a message: {fixed} by a rule, {echo} by the plugin");
    assert!(
        echo - fixed < budget,
        "a message to the echo plugin costs {echo} page faults, one to a rule {fixed}. A plugin's memory is given back to the kernel \
         after each message: look at `pool_config` in plugin/engine.rs (what is kept resident), and at the plugin's stack size \
         (plugins/echo/build.rs)"
    );
}

/// Calls of the kernel about memory that a process makes meanwhile; none where they cannot be counted.
#[cfg(target_os = "linux")]
fn calls_about_memory(server: &mut Server, meanwhile: impl FnOnce()) -> Option<f64> {
    let process = server.process().id().to_string();
    let counts = server.folder().path("strace");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=mmap,munmap,mremap,mprotect,madvise,brk", "-p", &process, "-o"])
        .arg(&counts)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace starts");
    // It says so when it has attached.
    let mut said = [0; 1];
    let attached = strace.stderr.as_mut().expect("piped").read_exact(&mut said);
    if attached.is_ok() {
        meanwhile();
    }
    let _ = Command::new("kill").args(["-INT", &strace.id().to_string()]).stderr(Stdio::null()).status();
    strace.wait().expect("ended");
    if attached.is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs to be allowed to trace its processes");
        eprintln!("\n*** SKIPPED: calls about memory were not counted, because strace may not attach ***\n");
        return None;
    }
    let counts = fs::read_to_string(counts).expect("readable");
    let total = counts.lines().find(|line| line.ends_with(" total"));
    Some(total.map_or(0.0, |line| line.split_whitespace().nth(3).expect("calls").parse().expect("a number")))
}

#[test]
#[cfg(target_os = "linux")]
fn a_plugin_costs_no_calls_about_memory() {
    if !has("strace") {
        return;
    }
    let mut server = Server::with_config(&config());
    let mut connection = Connection::new(server.address());
    connection.say("复读", WARM);
    connection.say("定", WARM);
    let mut count = |text: &str| {
        let calls = calls_about_memory(&mut server, || connection.say(text, MESSAGES))?;
        Some(calls / f64::from(MESSAGES))
    };
    let (Some(fixed), Some(echo)) = (count("定"), count("复读")) else { return };
    let budget = if is_blind() { CALLS_BLIND } else { CALLS };
    eprintln!("calls about memory a message: {fixed} by a rule, {echo} by the plugin");
    assert!(
        echo - fixed < budget,
        "a message to the echo plugin calls the kernel {echo} times about memory, one to a rule {fixed} times. Look at `pool_config` in \
         plugin/engine.rs: madvise means that memory is not kept resident, mprotect that it grows for each message, mmap that an \
         image is mapped anew"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn plugins_that_take_turns_cost_no_calls_about_memory() {
    let is_bounded = rustix::process::getrlimit(rustix::process::Resource::As).current.is_some();
    if !has("strace") || is_bounded {
        return;
    }
    build_plugins();
    // More than the pool has memories, each with code of its own.
    let names: Vec<String> = (0..40).map(|n| format!("p{n:02}")).collect();
    let mut config = format!("{LOOPBACK}{BOT}");
    for name in &names {
        config += &format!(
            "[[bots.test.rules]]\nkeyword = '{name}'\nplugin = '{name}'\n[plugins.{name}]\nwasm = '{name}.wasm'\n"
        );
    }
    let folder = Folder::new(&config);
    let echo = fs::read(component("echo")).expect("readable");
    for name in &names {
        // A custom section makes it another component.
        let section = [&[0, name.len() as u8 + 1, name.len() as u8], name.as_bytes()].concat();
        fs::write(folder.path(&format!("{name}.wasm")), [&echo[..], &section].concat()).expect("written");
    }
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    let mut connection = Connection::new(server.address());
    let mut in_turn = |times: u32| {
        for _ in 0..times {
            for name in &names {
                connection.say(name, 1);
            }
        }
    };
    in_turn(15);
    let Some(calls) = calls_about_memory(&mut server, || in_turn(15)) else { return };
    let calls = calls / (15 * names.len()) as f64;
    let budget = if is_blind() { CALLS_BLIND } else { CALLS_IN_TURN };
    eprintln!("calls about memory a message, of plugins in turn: {calls}");
    assert!(
        calls < budget,
        "a message to one of many plugins calls the kernel {calls} times about memory: look at `load` and `COPIED_DATA` in plugin/engine.rs; \
         mmap means that an image is mapped into a slot that another plugin had"
    );
}

#[test]
fn a_message_stays_within_its_budget_of_instructions() {
    if !has("valgrind") {
        return;
    }
    let folder = Folder::new(&config());
    // Leaves the compiled plugin behind, which would take minutes under valgrind.
    drop(Server::start(&folder.config(), &["serve"], &[]));
    let (log, out) = (folder.path("log"), folder.path("callgrind"));
    let mut server = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
        .args([env!("CARGO_BIN_EXE_mynah"), "serve", "--config", &folder.config()])
        .stderr(fs::File::create(&log).expect("a file"))
        .stdout(Stdio::null())
        .spawn()
        .expect("valgrind starts");
    let counted = std::panic::catch_unwind(|| instructions(server.id(), &log, &out));
    let _ = server.kill();
    let _ = server.wait();
    let counted = counted.unwrap_or_else(|_| panic!("{}", fs::read_to_string(&log).unwrap_or_default()));
    eprintln!("instructions a message: {counted}");
    assert!(
        counted < INSTRUCTIONS,
        "a message to the echo plugin takes {counted} instructions, and may take {INSTRUCTIONS}. Run `cargo bench -- messages` before and \
         after the change; `callgrind_annotate --inclusive=yes` shows where they go. If they are worth it, raise the budget here"
    );
    assert!(
        counted > INSTRUCTIONS / 1.5,
        "a message takes only {counted} instructions: lower the budget here, so that it stays won"
    );
}

fn instructions(process: u32, log: &Path, out: &Path) -> f64 {
    let start = Instant::now();
    let address = loop {
        let said = fs::read_to_string(log).expect("readable");
        let address = said.split("listening on http://").nth(1).and_then(|rest| rest.split([' ', '\n']).next());
        if let Some(address) = address {
            break address.parse().expect("an address");
        }
        assert!(start.elapsed() < PATIENCE, "the server does not start under valgrind");
        thread::sleep(Duration::from_millis(100));
    };
    let control = |action: &str| {
        let done =
            Command::new("callgrind_control").args([action, &process.to_string()]).stdout(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "callgrind_control {action}");
    };
    let messages = 300;
    let mut connection = Connection::new(address);
    connection.say("复读", 100);
    control("-z");
    connection.say("复读", messages);
    control("-d");
    let dump = out.with_extension("1");
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(&dump).unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        if let Some(total) = total {
            return total.trim().parse::<f64>().expect("a number") / f64::from(messages);
        }
        assert!(start.elapsed() < PATIENCE, "callgrind wrote nothing");
        thread::sleep(Duration::from_millis(100));
    }
}

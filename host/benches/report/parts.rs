//! What a message costs: the bare floor, Mynah in its several ways, and its peers, side by side.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{
    curves::{many_plugins, plugins_in_turn},
    load::{self, CONNECTIONS, Round},
    messages::Messages,
    peers,
    process::{Server, bot, build_plugins, component, plugin},
    report::{Table, median, number},
};

/// Rounds that everybody gets, and rounds at most while figures still scatter.
const ROUNDS: usize = 5;
const ROUNDS_MAX: usize = 15;

/// How long a part may go on for want of agreement.
const TIME: Duration = Duration::from_secs(60);

/// The scatter (quartiles, of the median) that is good enough.
const SCATTER: f64 = 0.06;

/// CPU time that a round takes of a server.
const ROUND: Duration = Duration::from_millis(400);

/// More plugins than a pool has memories.
const PLUGINS_IN_TURN: u64 = 100;

/// One who takes part.
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) messages: Messages,
    pub(crate) connections: usize,
}

/// What came of all rounds.
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// Median CPU time of a message in µs.
    pub(crate) cpu_us: f64,
    /// Median messages in a second.
    pub(crate) per_second: f64,
    /// The first one's CPU time divided by this one's, in the median round.
    pub(crate) ratio: f64,
    /// How far the quartiles of the CPU times lie apart, as a part of the median.
    pub(crate) scatter: f64,
}

impl Contestant {
    pub(crate) fn new(name: &str, server: Server, messages: Messages) -> Self {
        Self { name: name.into(), server, messages, connections: CONNECTIONS }
    }
}

/// Lets all take turns, round by round, until their figures agree with themselves.
pub(crate) fn contest(contestants: &[Contestant]) -> Vec<Outcome> {
    let counts: Vec<usize> = contestants
        .iter()
        .map(|one| {
            // The first messages meet cold caches, and heaps that still grow.
            let few = 3 * one.connections.max(CONNECTIONS);
            let first = load::measure(&one.server, &one.messages, one.connections, few);
            let many = (50_000.0 / first.cpu_us).max(few as f64) as usize;
            let warm = load::measure(&one.server, &one.messages, one.connections, many);
            ((ROUND.as_secs_f64() * 1e6 / warm.cpu_us) as usize).clamp(few, 200_000)
        })
        .collect();
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); contestants.len()];
    let start = Instant::now();
    for n in 0..ROUNDS_MAX {
        for ((one, count), rounds) in contestants.iter().zip(&counts).zip(&mut rounds) {
            rounds.push(load::measure(&one.server, &one.messages, one.connections, *count));
        }
        if n + 1 >= ROUNDS && (start.elapsed() > TIME || rounds.iter().all(|rounds| scatter(rounds) < SCATTER)) {
            break;
        }
    }
    contestants
        .iter()
        .zip(&rounds)
        .map(|(one, own)| Outcome {
            name: one.name.clone(),
            cpu_us: median(own.iter().map(|round| round.cpu_us)),
            per_second: median(own.iter().map(|round| round.per_second)),
            ratio: median(rounds[0].iter().zip(own).map(|(first, own)| first.cpu_us / own.cpu_us)),
            scatter: scatter(own),
        })
        .collect()
}

fn scatter(rounds: &[Round]) -> f64 {
    let mut sorted: Vec<f64> = rounds.iter().map(|round| round.cpu_us).collect();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() * 3 / 4] - sorted[sorted.len() / 4]) / sorted[sorted.len() / 2]
}

/// A rule that gives every message to a plugin.
pub(crate) fn all_to(plugin: &str) -> String {
    format!("[[bots.b.rules]]\nplugin = \"{plugin}\"\n")
}

/// Everybody, one message each: in, out.
pub(crate) fn messages() -> String {
    build_plugins();
    let echo = plugin("echo", &component("echo"));
    let probe = plugin("probe", &component("probe"));
    let mut all = vec![
        Contestant::new("(a) bare floor: hyper, verify, parse, render", Server::native("floor"), Messages::echo()),
        Contestant::new(
            "(b) Mynah without WebAssembly: a rule's own reply, `reply = \"你好{rest}\"`",
            Server::mynah(&format!("{}[[bots.b.rules]]\nprefix = \"你好\"\nreply = \"你好{{rest}}\"\n", bot(false))),
            Messages::echo(),
        ),
        Contestant::new(
            "(c) echo plugin, fresh instance each message",
            Server::mynah(&format!("{}{}{echo}", bot(false), all_to("echo"))),
            Messages::echo(),
        ),
        Contestant::new(
            "(d) the same in safe mode",
            Server::mynah(&format!("{}{}{echo}", bot(true), all_to("echo"))),
            Messages::sealed(),
        ),
        Contestant::new(
            "(e) a counter for each follower: read, add, commit durably",
            Server::mynah(&format!("{}{}{probe}", bot(false), all_to("probe"))),
            Messages::texts(|_, follower| format!("count {follower:05}"), "<Content>"),
        ),
    ];
    all.extend(peers::frameworks());
    let outcomes = contest(&all);
    let mut table = Table::new(&["server", "CPU µs a message", "relative to (a)", "messages/s on one core", "scatter"]);
    for one in &outcomes {
        table.row(&[
            &one.name,
            &number(one.cpu_us),
            &format!("{:.3}", one.ratio),
            &format!("{:.0}", one.per_second),
            &format!("{:.0} %", one.scatter * 100.0),
        ]);
    }
    let mut text = table.to_string();
    let cpu = |letter: &str| outcomes.iter().find(|one| one.name.starts_with(letter)).map(|one| one.cpu_us);
    let mut ratio = |what: &str, over: &str, under: &str| {
        if let (Some(over), Some(under)) = (cpu(over), cpu(under)) {
            let _ = writeln!(text, "- {what}: {:.2}", over / under);
        }
    };
    text_line(&mut ratio);
    text
}

fn text_line(ratio: &mut impl FnMut(&str, &str, &str)) {
    ratio("(a)/(c), the floor against a sandbox for each message", "(a)", "(c)");
    ratio("(b)/(c), the same server without and with the sandbox", "(b)", "(c)");
    ratio("(c)/(d), plaintext against safe mode", "(c)", "(d)");
}

/// Other builds of Mynah beside this one, to see what a change is worth.
pub(crate) fn builds(others: &[String]) -> String {
    build_plugins();
    let echo = format!("{}{}{}", bot(false), all_to("echo"), plugin("echo", &component("echo")));
    let fixed = format!("{}[[bots.b.rules]]\nprefix = \"你好\"\nreply = \"你好{{rest}}\"\n", bot(false));
    let folder = many_plugins();
    let many = plugins_in_turn(folder.path(), PLUGINS_IN_TURN);
    let mut all = vec![Contestant::new("bare floor", Server::native("floor"), Messages::echo())];
    for build in std::iter::once(env!("CARGO_BIN_EXE_mynah")).chain(others.iter().map(String::as_str)) {
        for (what, config) in [("a rule's own reply", &fixed), ("echo plugin", &echo)] {
            all.push(Contestant::new(&format!("{build}: {what}"), Server::build(build, config), Messages::echo()));
        }
        let turns = Messages::texts(|n, _| format!("p{}", n % PLUGINS_IN_TURN), "<Content>");
        let name = format!("{build}: {PLUGINS_IN_TURN} echo plugins in turn");
        all.push(Contestant::new(&name, Server::build(build, &many), turns));
    }
    let mut table =
        Table::new(&["server", "CPU µs a message", "relative to the floor", "messages/s on one core", "scatter"]);
    for one in contest(&all) {
        let scatter = format!("{:.0} %", one.scatter * 100.0);
        let (cpu, rate) = (number(one.cpu_us), format!("{:.0}", one.per_second));
        table.row(&[&one.name, &cpu, &format!("{:.3}", one.ratio), &rate, &scatter]);
    }
    table.to_string()
}

/// How long an answer takes at half of what the server can do.
pub(crate) fn latency() -> String {
    build_plugins();
    let echo = plugin("echo", &component("echo"));
    let server = Server::mynah(&format!("{}{}{echo}", bot(false), all_to("echo")));
    let messages = Messages::echo();
    load::measure(&server, &messages, CONNECTIONS, 5_000);
    let full = median((0..3).map(|_| load::measure(&server, &messages, CONNECTIONS, 20_000).per_second));
    let mut table = Table::new(&["load", "messages/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms"]);
    for (name, part) in [("a tenth", 0.1), ("half", 0.5), ("three quarters", 0.75)] {
        // The best of many short tries is the server; in the others, the machine had something else to do on one of the two cores.
        let tries = (0..20).map(|_| load::paced(&server, &messages, full * part, Duration::from_millis(500)));
        let best = tries.min_by_key(|took| quantile(took, 0.99)).expect("a try");
        let at = |part| format!("{:.2}", quantile(&best, part).as_secs_f64() * 1e3);
        table.row(&[name, &format!("{:.0}", full * part), &at(0.5), &at(0.9), &at(0.99), &at(0.999)]);
    }
    table.to_string()
}

fn quantile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// Messages that each store something, as many at a time as WeChat might send.
pub(crate) fn durable() -> String {
    build_plugins();
    let probe = plugin("probe", &component("probe"));
    let rules = all_to("probe");
    let quiz = format!(
        "{}config = {{ questions = {{ file = '{}' }} }}\n",
        plugin("quiz", &component("quiz")),
        crate::process::root().join("plugins/quiz/questions.toml").display()
    );
    let count = || Messages::texts(|_, follower| format!("count {follower:05}"), "<Content>");
    let mut all = Vec::new();
    for connections in [1, 16, 64, 256] {
        let server = Server::mynah(&format!("{}{rules}{probe}", bot(false)));
        all.push(Contestant {
            connections,
            ..Contestant::new(&format!("counter, {connections} at a time"), server, count())
        });
    }
    all.push(Contestant::new(
        "the demo's quiz: a question each message",
        Server::mynah(&format!("{}{}{quiz}", bot(false), all_to("quiz"))),
        Messages::texts(|n, _| if n.is_multiple_of(2) { "答题".into() } else { "A".into() }, "<Content>"),
    ));
    let mut table = Table::new(&["what", "CPU µs a message", "messages/s on one core"]);
    for one in contest(&all) {
        table.row(&[&one.name, &number(one.cpu_us), &format!("{:.0}", one.per_second)]);
    }
    format!("{table}{}", store())
}

/// The store alone: how many messages a second can be made durable in groups.
fn store() -> String {
    use std::sync::Arc;

    use mynah::store::{Commit, MessageKey, Scope, Store, Version, sqlite::SqliteStore};

    const COMMITS: u64 = 60_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(SqliteStore::open(&folder.path().join("mynah.db")).expect("opened"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut table =
        Table::new(&["commits under way", "commits/s, each a value of 200 bytes read and replaced, and an answer"]);
    let mut first = 0;
    for lanes in [1_u64, 64, 512] {
        let count = if lanes == 1 { COMMITS / 20 } else { COMMITS };
        let rates = (0..3).map(|_| {
            let start = Instant::now();
            runtime.block_on(async {
                let tasks: Vec<_> = (0..lanes)
                    .map(|lane| {
                        let store = store.clone();
                        tokio::spawn(async move {
                            let scope = Scope::new("b", "p");
                            for n in (lane..count).step_by(lanes as usize) {
                                let key = format!("follower {lane} {}", n % 1_000);
                                let read = store.get(&scope, &key).await.expect("read");
                                let mut hash = [0; 32];
                                hash[..8].copy_from_slice(&(first + n).to_le_bytes());
                                hash[8..16].copy_from_slice(&lanes.to_le_bytes());
                                let mut commit = Commit::new(MessageKey(hash), Duration::from_secs(1_700_000_000));
                                let version: Version = read.version;
                                let access = commit.scope(&scope);
                                access.reads.insert((key.clone(), version));
                                access.writes.insert(key, Some(vec![b'x'; 200]));
                                commit.answer = Some(vec![b'y'; 300]);
                                store.commit(commit).await.expect("committed");
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.expect("no panic");
                }
            });
            first += count;
            count as f64 / start.elapsed().as_secs_f64()
        });
        let rates: Vec<f64> = rates.collect();
        table.row(&[&lanes.to_string(), &format!("{:.0}", median(rates.into_iter()))]);
    }
    format!("\n{table}")
}

/// Keeps a server busy, for a profiler.
pub(crate) fn profile(sealed: bool) {
    build_plugins();
    let echo = plugin("echo", &component("echo"));
    let server = Server::mynah(&format!("{}{}{echo}", bot(sealed), all_to("echo")));
    let messages = if sealed { Messages::sealed() } else { Messages::echo() };
    eprintln!("perf record -e cpu-clock -F 5000 -p {}", server.id());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        let round = load::measure(&server, &messages, CONNECTIONS, 20_000);
        eprintln!("{:.1} µs a message", round.cpu_us);
    }
}

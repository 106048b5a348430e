//! How fast Mynah is, measured over real HTTP beside what it is compared with.
//!
//! `cargo bench` measures everything and prints the report; `cargo bench -- --write` also puts it into `BENCHMARKS.md`. Names of
//! parts after `--` measure only those: `cargo bench -- messages rules`. `cargo bench -- profile` keeps an echoing server busy for half a
//! minute, in safe mode with `profile sealed`, and says what to point `perf` at; `cargo bench -- against BINARY…` measures other builds of `mynah` beside this one.
//!
//! Each server is a process of its own, held to one core; the load comes from this process, held to another. What counts is the CPU time
//! that the server's process took, so the client's is not in it, and neither is what else the machine does. All servers of a part are
//! up at the same time and take turns in short rounds, so that whatever disturbs one disturbs the others as well; figures are
//! medians of the rounds, and only their ratios mean much on another machine.

mod curves;
mod languages;
mod load;
mod messages;
mod native;
mod parts;
mod peers;
mod process;
mod report;
mod startup;

use std::process::ExitCode;

/// A part of the report: its name on the command line, and what makes it.
type Part = (&'static str, fn() -> String);

/// Not part of the report: load for a profiler to look at.
const PROFILE: &str = "profile";

/// After it: in safe mode.
const SEALED: &str = "sealed";

/// Not part of the report either: other builds beside this one.
const AGAINST: &str = "against";

const PARTS: [Part; 9] = [
    ("messages", parts::messages),
    ("languages", languages::languages),
    ("latency", parts::latency),
    ("durable", parts::durable),
    ("rules", curves::rules),
    ("plugins", curves::plugins),
    ("bots", curves::bots),
    ("connections", curves::connections),
    ("startup", startup::startup),
];

fn main() -> ExitCode {
    // Cargo itself adds `--bench`.
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, which] = &arguments[..]
        && flag == "--serve"
    {
        return native::serve(which);
    }
    if arguments == [PROFILE] || arguments == [PROFILE, SEALED] {
        parts::profile(arguments.len() > 1);
        return ExitCode::SUCCESS;
    }
    if let [first, builds @ ..] = &arguments[..]
        && first == AGAINST
    {
        println!("{}", parts::builds(builds));
        return ExitCode::SUCCESS;
    }
    let write = arguments.iter().position(|argument| argument == "--write").map(|at| arguments.remove(at)).is_some();
    if let Some(unknown) = arguments.iter().find(|argument| !PARTS.iter().any(|(name, _)| name == argument)) {
        let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no part `{unknown}`; the parts are {}, and `--write`", names.join(", "));
        return ExitCode::FAILURE;
    }
    let mut made = Vec::new();
    for (name, part) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            eprintln!("measuring: {name}");
            let text = part();
            println!("{text}");
            made.push((name, text));
        }
    }
    if write {
        report::write(&made);
    }
    ExitCode::SUCCESS
}

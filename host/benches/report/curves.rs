//! What a message costs against the number of rules, plugins, bots and connections.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    load::CONNECTIONS,
    messages::{Messages, TEXT, TOKEN},
    parts::{Contestant, all_to, contest},
    process::{Server, bot, build_plugins, component, plugin},
    report::{Table, number},
};

/// Half of the messages meet a rule somewhere in the table, half none but the last; all go to the echo plugin.
pub(crate) fn rules() -> String {
    build_plugins();
    curve(
        "rules",
        [10, 100, 1_000, 10_000, 100_000].map(|size: u64| {
            let mut config = bot(false);
            for n in 0..size {
                // Of the kinds that people use, most are whole keywords.
                let condition = match n % 10 {
                    0..=6 => format!("keyword = \"词{n}号\""),
                    7 | 8 => format!("prefix = \"词{n}号\""),
                    _ => format!("contains = \"词{n}号\""),
                };
                let _ = writeln!(config, "[[bots.b.rules]]\n{condition}\nplugin = \"echo\"");
            }
            config += &all_to("echo");
            config += &plugin("echo", &component("echo"));
            let say = move |n: u64, _| {
                // Spread over the whole table.
                if n.is_multiple_of(2) { format!("词{}号", (n / 2).wrapping_mul(7_919) % size) } else { TEXT.into() }
            };
            (size, config, Messages::texts(say, "<Content>"))
        }),
    )
}

/// Every plugin has its own code, and gets as many messages as every other.
pub(crate) fn plugins() -> String {
    let folder = many_plugins();
    curve(
        "plugins",
        [1, 10, 100, 1_000].map(|size: u64| {
            (
                size,
                plugins_in_turn(folder.path(), size),
                Messages::texts(move |n, _| format!("p{}", n % size), "<Content>"),
            )
        }),
    )
}

/// A thousand echo plugins.
pub(crate) fn many_plugins() -> tempfile::TempDir {
    build_plugins();
    let folder = tempfile::tempdir().expect("a folder");
    let echo = fs::read(component("echo")).expect("readable");
    for n in 0..1_000 {
        // A custom section makes it another component.
        let name = format!("{n:04}");
        let section = [&[0, name.len() as u8 + 1, name.len() as u8], name.as_bytes()].concat();
        fs::write(folder.path().join(format!("p{n}.wasm")), [&echo[..], &section].concat()).expect("written");
    }
    folder
}

/// So many of them, each with a keyword of its own.
pub(crate) fn plugins_in_turn(folder: &Path, size: u64) -> String {
    let mut config = bot(false);
    for n in 0..size {
        let _ = writeln!(config, "[[bots.b.rules]]\nkeyword = \"p{n}\"\nplugin = \"p{n}\"");
    }
    for n in 0..size {
        config += &plugin(&format!("p{n}"), &folder.join(format!("p{n}.wasm")));
    }
    config
}

/// Every bot has its own path and rules; they share the plugin.
pub(crate) fn bots() -> String {
    build_plugins();
    curve(
        "bots",
        [1, 10, 100, 1_000].map(|size: u64| {
            let mut config = bot(false) + &all_to("echo") + &plugin("echo", &component("echo"));
            for n in 0..size {
                let _ = writeln!(
                    config,
                    "[bots.b{n}]\npath = \"/bot{n}\"\ntoken = \"{TOKEN}\"\n[[bots.b{n}.rules]]\nplugin = \"echo\""
                );
            }
            (size, config, Messages::at(move |n| format!("/bot{}", n % size)))
        }),
    )
}

/// All of them have a message under way.
pub(crate) fn connections() -> String {
    build_plugins();
    let config = bot(false) + &all_to("echo") + &plugin("echo", &component("echo"));
    let sizes = [1, 10, CONNECTIONS, 1_000, 10_000];
    let all = sizes.map(|connections| Contestant {
        connections,
        ..Contestant::new(&connections.to_string(), Server::mynah(&config), Messages::echo())
    });
    table("connections", &all)
}

fn curve<const N: usize>(what: &str, sizes: [(u64, String, Messages); N]) -> String {
    let all =
        sizes.map(|(size, config, messages)| Contestant::new(&size.to_string(), Server::mynah(&config), messages));
    table(what, &all)
}

fn table(what: &str, all: &[Contestant]) -> String {
    let mut table =
        Table::new(&[what, "CPU µs a message", "relative to the first", "messages/s on one core", "MiB resident"]);
    for (one, outcome) in all.iter().zip(contest(all)) {
        table.row(&[
            &one.name,
            &number(outcome.cpu_us),
            &format!("{:.2}", outcome.ratio),
            &format!("{:.0}", outcome.per_second),
            &number(one.server.memory().0),
        ]);
    }
    table.to_string()
}

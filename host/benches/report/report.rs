//! Markdown, and the file that it goes into.

use std::{fmt, fs};

use crate::process::{cores, root};

/// The text between these two is the report's; the rest of `BENCHMARKS.md` is written by hand.
const BEGIN: &str = "<!-- begin: ";
const END: &str = "<!-- end: ";

/// A Markdown table.
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = Self(String::new());
        table.row(columns);
        table.0 += &format!("|{}\n", "---|".repeat(columns.len()));
        table
    }

    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.0 += &format!("| {} |\n", cells.join(" | "));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)
    }
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Puts the parts that were measured into `BENCHMARKS.md`, each where its name is.
pub(crate) fn write(parts: &[(&str, String)]) {
    let file = root().join("BENCHMARKS.md");
    let mut text = fs::read_to_string(&file).expect("BENCHMARKS.md is there");
    let machine = ("machine", machine());
    for (name, part) in parts.iter().chain([&machine]) {
        let (begin, end) = (format!("{BEGIN}{name} -->\n"), format!("{END}{name} -->"));
        let places = text.find(&begin).map(|at| at + begin.len()).zip(text.find(&end));
        let Some((from, to)) = places.filter(|(from, to)| from <= to) else {
            panic!("BENCHMARKS.md has no place for `{name}`: {begin}{end}");
        };
        text.replace_range(from..to, &format!("\n{}\n\n", part.trim()));
    }
    fs::write(&file, text).expect("written");
    eprintln!("written: {}", file.display());
}

/// What it was measured on.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("?");
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    let commit = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root()).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!(
        "{} cores, {model}; Linux {}; commit {commit}; load average at the end {load} (the client's and the server's own is 2).",
        cores(),
        kernel.trim()
    )
}

//! Plugins are replaced on the running server, under load, in every way that files are replaced.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use mynah::{
    clock::World,
    config::{Allow, Instances, Limits},
    plugin::{Plugin, Runtime, Settings},
};

use super::harness::*;

/// A server whose only plugin is the file `p.wasm` in its folder, there at first as the component of this name.
fn server_with(component_name: &str, more: &str) -> Server {
    build_plugins();
    let folder = Folder::new(&format!(
        "{LOOPBACK}{more}{BOT}[[bots.test.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\n"
    ));
    fs::copy(component(component_name), folder.path("p.wasm")).expect("copied");
    let mut server = Server::start(&folder.config(), &["serve"], &[]);
    server.own(folder);
    server
}

/// Replaces `p.wasm` by turns with `probe` and `echo` while clients talk, and holds every single answer against the version that must
/// have given it.
fn swap_under_load(times: usize, server: &Server, replace: impl Fn(&Path, &[u8])) {
    let path = server.folder().path("p.wasm");
    let versions = ["echo", "probe"].map(|name| fs::read(component(name)).expect("built"));
    // The version that answers for certain, and the newest that may: they differ while a swap is under way.
    let (sure, newest) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in 0..4 {
            let (sure, newest, done, answered) = (&sure, &newest, &done, &answered);
            scope.spawn(move || {
                for n in 0.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let said = format!("say {client}-{n}");
                    let before = sure.load(Ordering::SeqCst);
                    let answer = server.answer_to(&format!("o_{client}"), &said);
                    let after = newest.load(Ordering::SeqCst);
                    let of =
                        |version: usize| if version.is_multiple_of(2) { said.as_str() } else { &said["say ".len()..] };
                    assert!((before..=after).any(|version| answer == of(version)), "{said}: {answer}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let swaps = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for version in 1..=times {
                newest.store(version, Ordering::SeqCst);
                replace(&path, &versions[version % 2]);
                let expected = if version.is_multiple_of(2) { "say hi" } else { "hi" };
                wait_until("the next version", || server.answer("say hi") == expected);
                sure.store(version, Ordering::SeqCst);
                // Some answers that only this version may give.
                let until = answered.load(Ordering::SeqCst) + 20;
                wait_until("answers", || answered.load(Ordering::SeqCst) >= until);
            }
        }));
        done.store(true, Ordering::SeqCst);
        if let Err(panic) = swaps {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(
        !server.settled_log().contains("last good version goes on"),
        "a half-written file is no mistake to tell of"
    );
}

#[test]
fn a_plain_write_loses_no_message() {
    swap_under_load(4, &server_with("echo", ""), |path, bytes| fs::write(path, bytes).expect("written"));
}

#[test]
fn a_rename_over_the_file_loses_no_message() {
    swap_under_load(4, &server_with("echo", ""), |path, bytes| {
        fs::write(path.with_extension("new"), bytes).expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
    });
}

#[test]
fn a_slow_write_in_pieces_loses_no_message() {
    swap_under_load(2, &server_with("echo", ""), |path, bytes| {
        let mut file = fs::File::create(path).expect("made");
        for piece in bytes.chunks(bytes.len().div_ceil(8)) {
            file.write_all(piece).expect("written");
            thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn removing_and_making_it_anew_loses_no_message() {
    swap_under_load(2, &server_with("echo", ""), |path, bytes| {
        fs::remove_file(path).expect("removed");
        thread::sleep(Duration::from_millis(200));
        fs::write(path, bytes).expect("written");
    });
}

/// As Kubernetes replaces what it mounts, and as releases are switched: the file's own folder is a link.
#[cfg(unix)]
#[test]
fn switching_a_symbolic_link_loses_no_message() {
    use std::os::unix::fs::symlink;

    let server = server_with("echo", "");
    let count = AtomicUsize::new(0);
    swap_under_load(4, &server, |path, bytes| {
        let folder = path.parent().expect("a folder");
        let release = folder.join(format!("release-{}", count.fetch_add(1, Ordering::SeqCst)));
        fs::create_dir(&release).expect("made");
        fs::write(release.join("p.wasm"), bytes).expect("written");
        symlink(&release, folder.join("..next")).expect("linked");
        fs::rename(folder.join("..next"), folder.join("..data")).expect("renamed");
        if !path.is_symlink() {
            symlink("..data/p.wasm", folder.join("link")).expect("linked");
            fs::rename(folder.join("link"), path).expect("renamed");
        }
    });
}

/// Where the sections of a component end, also those of what is nested in it, up to the last that is more than a note.
fn section_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![8];
    let (mut at, mut nested, mut needed) = (8, Vec::new(), 8);
    while at < bytes.len() || !nested.is_empty() {
        if nested.last() == Some(&at) {
            nested.pop();
            continue;
        }
        let (id, mut size, mut shift) = (bytes[at], 0, 0);
        at += 1;
        loop {
            let byte = bytes[at];
            at += 1;
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = at + size;
        if nested.is_empty() && id != 0 {
            needed = end;
        }
        // Nested modules and components begin like whole files.
        let is_nested = bytes[at..end].starts_with(b"\0asm") && [1, 4].contains(&id) && nested.len() < 2;
        if is_nested {
            nested.push(end);
            at += 8;
        } else {
            at = end;
        }
        ends.push(at);
        while nested.last() == Some(&at) {
            nested.pop();
        }
    }
    assert_eq!(at, bytes.len());
    ends.sort_unstable();
    ends.dedup();
    // Names and the like may be cut off: what is left is a whole component.
    ends.retain(|end| *end <= needed);
    ends
}

#[test]
fn a_component_that_is_cut_at_any_section_is_kept_out() {
    build_plugins();
    let bytes = fs::read(component("echo")).expect("built");
    let ends = section_ends(&bytes);
    assert!(ends.len() > 20, "{ends:?}");
    let runtime = Runtime::new(World::system(), "Asia/Shanghai").expect("a runtime");
    let limits = Limits { time: Duration::from_secs(4), memory: 64 << 20 };
    let settings =
        Settings { limits, config: Default::default(), allow: Allow::default().into(), instances: Instances::Fresh };
    let tokio = tokio::runtime::Runtime::new().expect("a runtime");
    let compile = |bytes: &[u8]| tokio.block_on(Plugin::compile(&runtime, "p".into(), bytes.into(), settings.clone()));
    let (whole, cut) = ends.split_last().expect("not empty");
    assert!(compile(&bytes[..*whole]).is_ok());
    for &end in cut {
        assert!(compile(&bytes[..end]).is_err(), "cut at byte {end} of {}", bytes.len());
    }
}

#[test]
fn a_file_that_stays_half_written_is_told_of_once() {
    let server = server_with("echo", "");
    let bytes = fs::read(component("probe")).expect("built");
    fs::write(server.folder().path("p.wasm"), &bytes[..bytes.len() / 2]).expect("written");
    server.wait_for_log("its last good version goes on");
    assert_eq!(server.answer("say hi"), "say hi");
    // Read again for another reason, it is as bad as it was.
    let config = fs::read_to_string(server.folder().config()).expect("readable");
    server.folder().write("bots.toml", &config.replace("sorry", "pardon"));
    server.wait_for_log("took up");
    assert_eq!(server.settled_log().matches("its last good version goes on").count(), 1);
    fs::write(server.folder().path("p.wasm"), &bytes).expect("written");
    wait_until("the whole file", || server.answer("say hi") == "hi");
}

#[test]
fn the_same_content_again_is_no_change() {
    let server = server_with("echo", "");
    server.wait_for_log("listening");
    let bytes = fs::read(component("echo")).expect("built");
    fs::write(server.folder().path("p.wasm"), bytes).expect("written");
    let config = fs::read_to_string(server.folder().config()).expect("readable");
    server.folder().write("bots.toml", &config);
    // Something that is a change, to know when the others have been seen.
    fs::copy(component("probe"), server.folder().path("p.wasm")).expect("copied");
    server.wait_for_log("took up");
    assert_eq!(server.answer("say hi"), "hi");
    let log = server.settled_log();
    assert!(!log.contains("bots.toml` changed") && !log.contains("took up `bots.toml"), "{log}");
}

#[test]
fn compiled_code_is_kept_for_the_next_start() {
    let server = server_with("echo", "");
    assert_eq!(server.answer("say hi"), "say hi");
    let kept = |folder: &Path| walk(folder).len();
    let cache = server.folder().path("data/cache");
    wait_until("kept code", || cache.is_dir() && kept(&cache) > 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&cache).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else may write what is run: {mode:o}");
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

#[cfg(target_os = "linux")]
#[test]
fn two_hundred_swaps_do_not_grow_the_server() {
    let mut server = server_with("echo", "");
    let versions = ["echo", "probe"].map(|name| fs::read(component(name)).expect("built"));
    let resident = |server: &mut Server| {
        let status = fs::read_to_string(format!("/proc/{}/status", server.process().id())).expect("readable");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line").to_owned();
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") / 1024
    };
    let mut early = 0;
    for n in 1..=200 {
        let path = server.folder().path("p.wasm");
        fs::write(path.with_extension("new"), &versions[n % 2]).expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
        let expected = if n.is_multiple_of(2) { "say hi" } else { "hi" };
        let start = std::time::Instant::now();
        while server.answer("say hi") != expected {
            assert!(start.elapsed() < Duration::from_secs(60), "swap {n}");
            thread::sleep(Duration::from_millis(2));
        }
        if n == 50 {
            early = resident(&mut server);
        }
    }
    let late = resident(&mut server);
    assert!(late < early + 20, "{early} MiB after 50 swaps, {late} MiB after 200");
}

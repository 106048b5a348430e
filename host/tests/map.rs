//! Holds the code to the map in `lib.rs`: who may import whom.

use std::{fs, path::Path};

/// The library's modules and what each may import of the others.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("caller", &[]),
    (
        "cli",
        &[
            "admin",
            "bot",
            "caller",
            "generation",
            "http_client",
            "inbox",
            "plugin",
            "rehearsal",
            "reload",
            "router",
            "server",
            "store",
            "transcript",
            "versions",
            "watch",
            "webhook",
            "wechat_api",
        ],
    ),
    ("server", &[]),
    ("admin", &["reload", "server"]),
    ("webhook", &["bot", "inbox", "reload", "server"]),
    ("inbox", &["bot", "plugin", "store", "wechat_api"]),
    ("rehearsal", &["bot", "http_client", "inbox", "plugin", "store", "transcript"]),
    ("reload", &["bot", "generation", "plugin", "router", "versions", "watch"]),
    ("generation", &["bot", "plugin", "router", "versions", "wechat_api"]),
    ("bot", &["plugin", "router", "store", "wechat_api"]),
    ("router", &[]),
    ("plugin", &["http_client", "store", "wechat_api"]),
    ("wechat_api", &["http_client"]),
    ("http_client", &[]),
    ("store", &[]),
    ("versions", &[]),
    ("watch", &[]),
    ("config", &[]),
    ("transcript", &[]),
    ("fault", &[]),
    ("wechat", &[]),
    ("secret", &[]),
    ("limits", &[]),
    ("clock", &[]),
    ("digest", &[]),
    ("called", &[]),
    ("text", &[]),
    ("throttle", &[]),
];

/// Everyone may use these, but for those modules that may use nothing.
const FOR_ALL: &[&str] =
    &["wechat", "config", "fault", "secret", "limits", "clock", "called", "digest", "text", "throttle"];

/// Pure modules.
const ALONE: &[&str] = &["wechat", "secret", "limits", "clock", "called", "digest", "text", "throttle"];

/// Libraries that stay behind one module, so that replacing one touches one place.
const BEHIND: &[(&str, &[&str])] = &[
    ("wasmtime", &["plugin"]),
    ("wasmtime_wasi", &["plugin"]),
    ("wasmtime_wasi_http", &["plugin"]),
    ("hyper", &["admin", "caller", "http_client", "plugin", "server", "webhook"]),
    ("tokio_rustls", &["caller"]),
    ("rustls", &["caller", "http_client"]),
    ("quick_xml", &["wechat"]),
    ("toml", &["config"]),
    ("rusqlite", &["store"]),
    ("notify", &["watch"]),
    ("csv", &["cli", "config"]),
    ("wit_component", &["cli"]),
    ("wit_parser", &["cli"]),
];

/// What the protocol must not know, so that it stays bytes in, values out.
const NOT_IN_WECHAT: &[&str] = &["tokio", "hyper", "wasmtime", "std::time", "std::net"];

#[test]
fn imports_follow_the_map() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, module, text) in files(&source) {
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            panic!("the module `{module}` is not in the map: add it to `lib.rs` and to this test");
        };
        seen += 1;
        for &(other, _) in MAY_IMPORT {
            let free = FOR_ALL.contains(&other) && !ALONE.contains(&module.as_str());
            if other != module && !free && !allowed.contains(&other) && imports(&text, &format!("crate::{other}")) {
                wrong.push(format!("{path}: `{module}` must not import `{other}`"));
            }
        }
        for &(library, homes) in BEHIND {
            if !homes.contains(&module.as_str()) && imports(&text, library) {
                wrong.push(format!("{path}: `{library}` stays behind {homes:?}"));
            }
        }
        if module == "wechat" {
            for &library in NOT_IN_WECHAT {
                if imports(&text, library) {
                    wrong.push(format!("{path}: the protocol is pure and does not know `{library}`"));
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} files were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All files of the library with the module that each belongs to, their imports written out one by one.
fn files(source: &Path) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(source).expect("below").to_owned();
            let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("text");
            found.push((relative.display().to_string(), first.trim_end_matches(".rs").to_owned(), flattened(&text)));
        }
    }
    found
}

/// Writes `use crate::{a::b, c};` as `use crate::a` and `use crate::c`.
fn flattened(text: &str) -> String {
    let mut flat = text.to_owned();
    let mut rest = text;
    while let Some(at) = rest.find("use crate::{") {
        rest = &rest[at + "use crate::{".len()..];
        let (mut depth, mut name) = (1, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            let ends = depth == 0 || (depth == 1 && c == ',');
            if ends {
                flat += &format!("\nuse crate::{};", name.trim());
                name.clear();
            } else {
                name.push(c);
            }
            if depth == 0 {
                break;
            }
        }
    }
    flat
}

/// Whether code, not comments, names this path.
fn imports(text: &str, path: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + path.len()..];
            let begins = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '`');
            let ends = after.starts_with("::") || after.starts_with(';') || after.starts_with(" as ");
            begins && ends
        })
    })
}

#[test]
fn the_check_sees_nested_imports() {
    let text = flattened(
        "use crate::{\n    bot::{self, Bot},\n    server,\n};\n// crate::cli::x\nlet x = crate::reload::y();",
    );
    assert!(imports(&text, "crate::bot") && imports(&text, "crate::server") && imports(&text, "crate::reload"));
    assert!(!imports(&text, "crate::cli"));
}

//! Whether a component keeps the contract, and in plain words where not.

/// The contract's version: components of every 0.1.x fit.
const VERSION: (&str, &str) = ("0.1", "0.1.0");

/// The interfaces that a plugin may import of the contract.
const IMPORTS: [&str; 7] = ["types", "log", "config", "conversation", "store", "http", "wechat"];

/// The packages of WASI 0.2 that are linked.
const WASI: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// What is wrong with a component that has these imports and exports; none if nothing is, as far as names tell.
pub(super) fn problem<'a>(
    imports: impl Iterator<Item = &'a str>,
    exports: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let exports: Vec<&str> = exports.collect();
    for name in exports.iter().copied().chain(imports) {
        let Some((package, interface, version)) = parts(name) else {
            if exports.contains(&name) {
                continue;
            }
            return Some(format!("it imports `{}`, which mynah does not offer", short(name)));
        };
        if package == "mynah:bot" && minor(version) != VERSION.0 {
            let theirs = short(minor(version));
            return Some(format!("it was built for mynah:bot {theirs}; this host speaks mynah:bot {}", VERSION.0));
        }
        if exports.contains(&name) {
            continue;
        }
        let known = match package.split_once(':') {
            Some(("mynah", "bot")) if !IMPORTS.contains(&interface) => {
                return Some(format!(
                    "it imports `{}`, which this host does not have yet: it was built for a newer mynah",
                    short(name)
                ));
            }
            Some(("mynah", "bot")) => true,
            Some(("wasi", package)) => WASI.contains(&package) && minor(version) == "0.2",
            _ => false,
        };
        if !known {
            return Some(format!("it imports `{}`, which mynah does not offer", short(name)));
        }
    }
    let handler =
        |name: &&str| parts(name).is_some_and(|(package, name, _)| (package, name) == ("mynah:bot", "handler"));
    if exports.iter().any(handler) {
        return None;
    }
    let has = match exports.as_slice() {
        [] => "it exports nothing".to_owned(),
        names if names.iter().any(|name| name.starts_with("wasi:cli/run")) => {
            "it is a program with a `main`, not a library".to_owned()
        }
        names => format!(
            "it exports {}",
            names.iter().map(|name| format!("`{}`", short(name))).collect::<Vec<_>>().join(", ")
        ),
    };
    Some(format!("it exports no handler, `mynah:bot/handler@{}`: {has}", VERSION.1))
}

/// `wasi:io/streams@0.2.6` as `wasi:io`, `streams` and `0.2.6`.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let (package, rest) = name.split_once('/')?;
    let (interface, version) = rest.split_once('@')?;
    Some((package, interface, version))
}

/// `0.2.6` as `0.2`; of `1.4.2` it is all of `1.4`.
fn minor(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    &version[..end]
}

/// A name from a file that anybody may have made, for the log.
fn short(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(imports: &[&str], exports: &[&str]) -> String {
        problem(imports.iter().copied(), exports.iter().copied()).unwrap_or_else(|| "fine".into())
    }

    const HANDLER: &str = "mynah:bot/handler@0.1.0";

    #[test]
    fn what_every_language_imports_is_fine() {
        let imports =
            ["wasi:cli/environment@0.2.3", "wasi:http/types@0.2.0", "wasi:sockets/tcp@0.2.6", "mynah:bot/store@0.1.0"];
        assert_eq!(says(&imports, &[HANDLER]), "fine");
        assert_eq!(says(&[], &["mynah:bot/handler@0.1.7", "memory-something"]), "fine");
    }

    #[test]
    fn says_in_plain_words_what_does_not_fit() {
        let newer = "it was built for mynah:bot 0.2; this host speaks mynah:bot 0.1";
        assert_eq!(says(&[], &["mynah:bot/handler@0.2.0"]), newer);
        assert_eq!(says(&["mynah:bot/log@0.2.1"], &[HANDLER]), newer);
        assert_eq!(
            says(&["mynah:bot/payments@0.1.0"], &[HANDLER]),
            "it imports `mynah:bot/payments@0.1.0`, which this host does not have yet: it was built for a newer mynah"
        );
        for name in ["wasi:nn/graph@0.2.0", "wasi:cli/stdout@0.3.0", "other:thing/x@1.0.0", "run"] {
            assert_eq!(says(&[name], &[HANDLER]), format!("it imports `{name}`, which mynah does not offer"));
        }
        assert_eq!(says(&[], &[]), "it exports no handler, `mynah:bot/handler@0.1.0`: it exports nothing");
        assert_eq!(
            says(&[], &["wasi:cli/run@0.2.0"]),
            "it exports no handler, `mynah:bot/handler@0.1.0`: it is a program with a `main`, not a library"
        );
        assert_eq!(says(&[], &["a\u{1b}"]), "it exports no handler, `mynah:bot/handler@0.1.0`: it exports `a\u{fffd}`");
    }
}

//! `mynah new`: a plugin's folder, from a template.

mod templates;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueEnum;

use self::templates::Source;
use super::{Refused, componentize};
use crate::config::addition::{self, Addition};

/// Where plugins are, beside `bots.toml`.
const PLUGINS: &str = "plugins";

/// What stands for the plugin's name in templates.
const NAME: &str = "plugin-name";

/// Names that cargo or rustc take for something else.
const NOT_FOR_RUST: [&str; 24] = [
    "alloc",
    "as",
    "async",
    "await",
    "build",
    "const",
    "core",
    "crate",
    "deps",
    "dyn",
    "enum",
    "examples",
    "fn",
    "for",
    "if",
    "impl",
    "incremental",
    "loop",
    "match",
    "proc-macro",
    "self",
    "std",
    "test",
    "type",
];

#[derive(clap::Args)]
pub(super) struct New {
    /// The plugin's language
    #[arg(short, long, value_enum)]
    lang: Language,
    /// The JavaScript engine: QuickJS is small and quick to start, StarlingMonkey has `fetch`
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Add it to bots.toml, which is made if there is none
    #[arg(long)]
    add: bool,
    /// The bot that gets the rule; the first one, if not given
    #[arg(long, requires = "add")]
    bot: Option<String>,
    /// The plugin's name, and the word that it answers
    #[arg(value_parser = name)]
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    #[value(alias = "ts")]
    Typescript,
    #[value(alias = "js")]
    Javascript,
    #[value(alias = "py")]
    Python,
    #[value(alias = "golang")]
    Go,
    C,
    #[value(alias = "c++")]
    Cpp,
    Zig,
    #[value(alias = "as")]
    Assemblyscript,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Quickjs,
    Starlingmonkey,
}

/// Lower-case letters, digits and `-`: a name that every language and file system takes.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(plain) || text.len() > 64 {
        return Err("names are lower-case letters, digits and `-`, and begin with a letter".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn new(config: &Path, plugin: &New) -> Result<(), Refused> {
    let New { lang, name, .. } = plugin;
    let javascript = matches!(lang, Language::Javascript | Language::Typescript);
    if plugin.engine.is_some() && !javascript {
        return Err(anyhow::anyhow!("`--engine` is for JavaScript and TypeScript").into());
    }
    if *lang == Language::Rust && NOT_FOR_RUST.contains(&name.as_str()) {
        return Err(anyhow::anyhow!("`{name}` means something else to Rust; choose another name").into());
    }
    let beside = config.parent().unwrap_or(Path::new(""));
    let folder = beside.join(PLUGINS).join(name);
    if folder.symlink_metadata().is_ok() {
        return Err(anyhow::anyhow!("`{}` is there already", folder.display()).into());
    }
    let workspace = if *lang == Language::Rust { Workspace::around(&folder)? } else { None };
    let addition = addition(*lang, name, workspace.as_ref(), beside);
    // Refused before anything is written.
    let added = if plugin.add { Some(add(config, &addition, plugin.bot.as_deref())?) } else { None };

    for (path, content) in files(*lang, plugin.engine == Some(Engine::Starlingmonkey), name, workspace.as_ref())? {
        let path = folder.join(path);
        let write = |path: &Path| {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, content)
        };
        write(&path).with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    if let Some(added) = &added {
        fs::write(config, added).with_context(|| format!("`{}` cannot be written", config.display()))?;
    }
    say(config, &folder, &addition, added.is_some(), workspace.as_ref());
    Ok(())
}

fn say(config: &Path, folder: &Path, addition: &Addition, added: bool, workspace: Option<&Workspace>) {
    let Addition { name, table, .. } = addition;
    println!("made `{}`; its README.md says how to go on", folder.display());
    if let Some(workspace) = workspace.filter(|workspace| !workspace.has_plugins) {
        println!("add \"{PLUGINS}/{name}\" to the members of `{}`", workspace.manifest.display());
    }
    if added {
        println!("added to `{}`: a rule for texts that begin with 「{name}」, and the plugin", config.display());
    } else {
        println!("add to `{}`, the rule above the one that answers everything:\n", config.display());
        println!("{}\n{table}", addition.rule_of("demo"));
    }
    println!("then `mynah build {name}`, and send 「{name} hi」");
}

/// The text of `bots.toml` with the plugin in it.
fn add(config: &Path, addition: &Addition, bot: Option<&str>) -> anyhow::Result<String> {
    let text = match fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => addition::EMPTY.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("`{}` cannot be read", config.display())),
    };
    let why = |why: String| anyhow::anyhow!("the plugin cannot be added to `{}`: {why}", config.display());
    addition.put_into(&text, bot).map_err(why)
}

/// What `bots.toml` says of the plugin.
fn addition(lang: Language, name: &str, workspace: Option<&Workspace>, beside: &Path) -> Addition {
    let folder = format!("{PLUGINS}/{name}");
    let (wasm, build) = if lang == Language::Rust {
        // One folder for all plugins, so that the second one finds the libraries compiled.
        let target = workspace.and_then(|workspace| workspace.target(beside)).unwrap_or_else(|| "target".to_owned());
        (
            format!("{target}/wasm32-wasip2/release/{}.wasm", name.replace('-', "_")),
            format!(
                "cargo build --release --target wasm32-wasip2 --manifest-path {folder}/Cargo.toml --target-dir {target}"
            ),
        )
    } else {
        (format!("{folder}/build/plugin.wasm"), format!("sh {folder}/build.sh"))
    };
    Addition {
        name: name.to_owned(),
        rule: format!("prefix = \"{name}\"\nplugin = \"{name}\"\n"),
        table: format!("[plugins.{name}]\nwasm  = \"{wasm}\"\nbuild = \"{build}\"\n"),
    }
}

/// A cargo workspace that the plugin's folder is in.
struct Workspace {
    manifest: PathBuf,
    /// Whether all folders of `plugins` are members.
    has_plugins: bool,
    /// The SDK's folder as the plugin's manifest names it, where the workspace is Mynah's own.
    sdk: Option<String>,
}

impl Workspace {
    fn around(folder: &Path) -> anyhow::Result<Option<Self>> {
        let folder = std::path::absolute(folder)?;
        for (up, above) in folder.ancestors().enumerate().skip(1) {
            let manifest = above.join("Cargo.toml");
            let Ok(text) = fs::read_to_string(&manifest) else { continue };
            if !text.lines().any(|line| line.trim() == "[workspace]") {
                continue;
            }
            let sdk = above.join("plugin-sdk/rust/Cargo.toml").is_file();
            return Ok(Some(Self {
                manifest,
                has_plugins: text.contains(&format!("\"{PLUGINS}/*\"")),
                sdk: sdk.then(|| format!("{}plugin-sdk/rust", "../".repeat(up))),
            }));
        }
        Ok(None)
    }

    /// The workspace's own target folder, where it is beside `bots.toml`.
    fn target(&self, beside: &Path) -> Option<String> {
        let beside = std::path::absolute(beside).ok()?;
        (self.manifest.parent() == Some(&beside)).then(|| "target".to_owned())
    }
}

/// The files of a new plugin, their paths relative to its folder.
fn files(
    lang: Language,
    starlingmonkey: bool,
    name: &str,
    workspace: Option<&Workspace>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for Source { path, text } in templates::of(lang, starlingmonkey) {
        let own = !path.starts_with(templates::SDK);
        // Mynah's own workspace has the SDK.
        if !own && workspace.is_some_and(|workspace| workspace.sdk.is_some()) {
            continue;
        }
        let text = if own { text.replace(NAME, name) } else { (*text).to_owned() };
        files.push(((*path).to_owned(), text));
    }
    // All of them say the same.
    files.push((format!("{name}.chat"), templates::TRANSCRIPT.replace(NAME, name)));
    if let Some(workspace) = workspace
        && let Some((_, manifest)) = files.iter_mut().find(|(path, _)| path == "Cargo.toml")
    {
        if let Some(sdk) = &workspace.sdk {
            *manifest = manifest.replace("\"mynah/rust\"", &format!("\"{sdk}\""));
        }
        // Its own workspace and profile only where it is in no other.
        let end = manifest.find(templates::RUST_WORKSPACE).context("the template has changed")?;
        manifest.truncate(end);
        *manifest = format!("{}\n", manifest.trim_end());
    }
    if matches!(lang, Language::C | Language::Cpp | Language::Zig) {
        files.extend(c_bindings()?);
    }
    Ok(files)
}

/// What wit-bindgen makes of the contract for C.
fn c_bindings() -> anyhow::Result<Vec<(String, String)>> {
    let (mut resolve, world) = componentize::contract()?;
    let options = wit_bindgen_c::Opts { no_object_file: true, ..Default::default() };
    let mut generated = wit_bindgen_core::Files::default();
    options.build().generate(&mut resolve, world, &mut generated)?;
    let mut files = Vec::new();
    for (path, bytes) in generated.iter() {
        files.push((format!("{}contract/{path}", templates::SDK), String::from_utf8(bytes.to_vec())?));
    }
    Ok(files)
}

//! The files that a plugin is built from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use ignore::{
    WalkBuilder,
    overrides::{Override, OverrideBuilder},
};
use serde_json::Value;

use crate::{
    config::{self, Print, read_bounded},
    digest::digest_of,
};

/// Folders that hold what builds make, whatever the language; `.gitignore` names the rest.
const MADE: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// Files of one plugin that are looked at; a plugin with more has its `watch` pointed at the ones that matter.
const FILES: usize = 20_000;

/// Bytes of one of them. Of a larger one, as a picture or a model, it is enough to know that it was written to.
const FILE: u64 = 16 << 20;

/// Where the files are that a plugin is built from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources {
    /// Folders, with everything below them.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Which of these files; all of them where it is not said.
    globs: Vec<String>,
    base: PathBuf,
}

/// Files with what they contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<PathBuf, (Option<Print>, String)>);

impl Sources {
    /// What `bots.toml` says, or what its command says: the packages that it names to cargo with the packages beside them that they use,
    /// and the folders and files that it names; and the folder of the plugin's name in `plugins`.
    pub(super) fn of(name: &str, plugin: &config::Plugin, base: &Path) -> Self {
        // Cargo's paths are absolute, and a folder must not be found under two names.
        let base = &base.canonicalize().unwrap_or_else(|_| base.to_owned());
        let mut sources = Self { base: base.clone(), ..Self::default() };
        if let Some(globs) = &plugin.watch {
            sources.globs.clone_from(globs);
            let wanted = globs.iter().filter(|glob| !glob.starts_with('!'));
            sources.folders = wanted.map(|glob| base.join(fixed_part(glob))).collect();
            return sources;
        }
        let command = plugin.build.as_deref().unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().map(|word| word.trim_matches(['"', '\'', ';'])).collect();
        let mut folders = packages(&words, base);
        for word in &words {
            let path = base.join(word.rsplit('=').next().unwrap_or(word));
            let folder = if path.is_file() { path.parent().map(Path::to_owned) } else { Some(path) };
            folders.extend(folder.filter(|folder| folder.is_dir()));
        }
        folders.insert(base.join("plugins").join(name));
        sources.folders = folders
            .into_iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .filter(|folder| folder.is_dir() && folder != base && !is_made(folder, base))
            .collect();
        sources
    }

    /// The files as they are now; `before` spares reading those that look as they did.
    pub(super) fn snapshot(&self, before: &Snapshot) -> Snapshot {
        let mut files = BTreeMap::new();
        let Some(globs) = self.overrides() else { return Snapshot(files) };
        for folder in &self.folders {
            let mut walk = WalkBuilder::new(folder);
            walk.require_git(false).overrides(globs.clone());
            walk.filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                !MADE.contains(&&*name) && !name.ends_with(".wasm")
            });
            for entry in walk.build().flatten() {
                if !entry.file_type().is_some_and(|kind| kind.is_file()) || files.len() >= FILES {
                    continue;
                }
                let path = entry.into_path();
                let print = Print::of(&path);
                let known = before.0.get(&path).filter(|(known, _)| known.is_some() && *known == print);
                let digest = match known {
                    Some((_, digest)) => digest.clone(),
                    None => read_bounded(&path, FILE).map_or_else(|_| format!("{print:?}"), |bytes| digest_of(&bytes)),
                };
                files.insert(path, (print, digest));
            }
        }
        Snapshot(files)
    }

    fn overrides(&self) -> Option<Override> {
        let mut builder = OverrideBuilder::new(&self.base);
        for glob in &self.globs {
            builder.add(glob).ok()?;
        }
        builder.build().ok()
    }
}

impl Snapshot {
    /// The files that were changed, made or removed since.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<PathBuf> {
        let content = |snapshot: &Self, path: &PathBuf| snapshot.0.get(path).map(|(_, digest)| digest.clone());
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(before.0.keys()).collect();
        paths.into_iter().filter(|path| content(self, path) != content(before, path)).cloned().collect()
    }

    /// The files that contain something else than before, leaving out those that came or went: what a build makes comes and goes.
    pub(super) fn edited_since(&self, before: &Self) -> Vec<PathBuf> {
        let edited = |(path, (_, digest)): (&PathBuf, &(Option<Print>, String))| {
            before.0.get(path).is_some_and(|(_, before)| before != digest).then(|| path.clone())
        };
        self.0.iter().filter_map(edited).collect()
    }

    /// Takes in the files that were not there before a build: the build has made them.
    pub(super) fn add_new(&mut self, after: &Self) {
        for (path, content) in &after.0 {
            self.0.entry(path.clone()).or_insert_with(|| content.clone());
        }
    }
}

/// The folder that all files of a pattern are in.
fn fixed_part(glob: &str) -> PathBuf {
    let parts: Vec<&str> = glob.split('/').collect();
    let fixed = parts.iter().take_while(|part| !part.contains(['*', '?', '[', '{'])).count();
    // The last part is a file even where it is fixed.
    parts[..fixed.min(parts.len().saturating_sub(1))].iter().collect()
}

fn is_made(folder: &Path, base: &Path) -> bool {
    let below = folder.strip_prefix(base).unwrap_or(folder);
    below.components().any(|part| MADE.iter().any(|made| part.as_os_str() == *made))
}

/// The folders of the packages that a command names to cargo, and of those beside them that they use.
fn packages(words: &[&str], base: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    if !words.contains(&"cargo") {
        return folders;
    }
    let after = |flags: &[&str]| {
        let pairs = words.iter().zip(words.iter().skip(1));
        let apart = pairs.filter(|(flag, _)| flags.contains(flag)).map(|(_, value)| *value);
        let joined = words.iter().filter_map(|word| {
            let (flag, value) = word.split_once('=')?;
            flags.contains(&flag).then_some(value)
        });
        apart.chain(joined).collect::<Vec<&str>>()
    };
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(base);
    for manifest in after(&["--manifest-path"]) {
        cargo.args(["--manifest-path", manifest]);
    }
    // Without it, as without cargo, the other places are all that is known.
    let Ok(output) = cargo.output() else { return folders };
    let Ok(metadata) = serde_json::from_slice::<Value>(&output.stdout) else { return folders };
    let all: Vec<&Value> = metadata["packages"].as_array().into_iter().flatten().collect();
    let folder = |package: &Value| Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned());
    let named = after(&["-p", "--package"]);
    let mut wanted: Vec<&Value> = all
        .iter()
        .filter(|package| named.is_empty() || named.iter().any(|name| package["name"] == *name))
        .copied()
        .collect();
    while let Some(package) = wanted.pop() {
        let Some(folder_of_package) = folder(package) else { continue };
        if !folders.insert(folder_of_package) {
            continue;
        }
        let used = package["dependencies"].as_array().into_iter().flatten().filter_map(|used| used["path"].as_str());
        for used in used {
            wanted.extend(all.iter().filter(|package| folder(package).as_deref() == Some(Path::new(used))));
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn plugin(build: &str, watch: Option<&[&str]>) -> config::Plugin {
        let limits = config::Limits { time: std::time::Duration::from_secs(4), memory: 64 << 20 };
        config::Plugin {
            span: 0..0,
            wasm: "p.wasm".into(),
            sha256: None,
            build: Some(build.into()),
            watch: watch.map(|globs| globs.iter().map(|glob| (*glob).to_owned()).collect()),
            config: Default::default(),
            limits,
            allow: Default::default(),
            instances: Default::default(),
        }
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, file).expect("written");
        }
        folder
    }

    fn seen(sources: &Sources, base: &Path) -> Vec<String> {
        let snapshot = sources.snapshot(&Snapshot::default());
        snapshot.0.keys().map(|path| path.strip_prefix(base).expect("below").display().to_string()).collect()
    }

    #[test]
    fn what_a_command_names_is_watched_but_for_what_it_makes() {
        let base = tree(&[
            "bots.toml",
            "hello/src/app.py",
            "hello/target/x",
            "hello/node_modules/y/z.js",
            "hello/hello.wasm",
            "hello/gen/types.ts",
            "hello/.gitignore",
            "plugins/greet/greet.c",
        ]);
        fs::write(base.path().join("hello/.gitignore"), "gen/\n").expect("written");
        let sources = Sources::of("greet", &plugin("cd hello && make", None), base.path());
        assert_eq!(seen(&sources, base.path()), ["hello/src/app.py", "plugins/greet/greet.c"]);
        // The folder of `bots.toml` itself would be everything.
        let sources = Sources::of("other", &plugin("cd . && make", None), base.path());
        assert_eq!(sources.folders, BTreeSet::new());
    }

    #[test]
    fn patterns_say_which_files_and_an_exclamation_mark_which_not() {
        let base = tree(&["a/src/x.rs", "a/src/deep/y.rs", "a/src/z.txt", "a/notes.txt", "b/Makefile"]);
        let watch = ["a/src/**/*.rs", "b/Makefile", "!a/src/deep/**"];
        let sources = Sources::of("a", &plugin("make", Some(&watch)), base.path());
        assert_eq!(seen(&sources, base.path()), ["a/src/x.rs", "b/Makefile"]);
    }

    #[test]
    fn packages_are_found_with_those_beside_them_that_they_use() {
        let base = tree(&["app/src/lib.rs", "used/src/lib.rs", "unused/src/lib.rs"]);
        let manifest = |name: &str, more: &str| {
            let text = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}");
            fs::write(base.path().join(name).join("Cargo.toml"), text).expect("written");
        };
        fs::write(base.path().join("Cargo.toml"), "[workspace]\nmembers = [\"app\", \"used\", \"unused\"]\n")
            .expect("written");
        manifest("app", "[dependencies]\nused = { path = \"../used\" }\n");
        manifest("used", "");
        manifest("unused", "");
        let sources = Sources::of("x", &plugin("cargo build --target wasm32-wasip2 -p app", None), base.path());
        let base = base.path().canonicalize().expect("there");
        let expected: BTreeSet<PathBuf> = ["app", "used"].iter().map(|name| base.join(name)).collect();
        let found: BTreeSet<PathBuf> =
            sources.folders.iter().map(|folder| folder.canonicalize().expect("there")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_other_contents_are_changes() {
        let base = tree(&["plugins/p/a", "plugins/p/b"]);
        let sources = Sources::of("p", &plugin("make", None), base.path());
        let first = sources.snapshot(&Snapshot::default());
        let (a, b, c) = {
            let folder = base.path().join("plugins/p");
            (folder.join("a"), folder.join("b"), folder.join("c"))
        };
        fs::write(&a, "plugins/p/a").expect("written");
        let touched = sources.snapshot(&first);
        assert_eq!(touched.changed_since(&first), Vec::<PathBuf>::new());
        fs::write(&a, "other").expect("written");
        fs::remove_file(&b).expect("removed");
        fs::write(&c, "new").expect("written");
        let mut edited = sources.snapshot(&first);
        assert_eq!(edited.changed_since(&first), [a.clone(), b, c.clone()]);
        assert_eq!(edited.edited_since(&first), [a]);
        let mut start = first;
        start.add_new(&edited);
        fs::remove_file(&c).expect("removed");
        edited = sources.snapshot(&edited);
        assert!(edited.changed_since(&start).contains(&c), "a removed file is a change, also one that a build made");
    }
}

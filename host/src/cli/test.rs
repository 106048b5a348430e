//! `mynah test`: plays transcripts, and says where a reply is not the one expected.

mod report;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use jiff::{civil::DateTime, tz::TimeZone};

use self::report::Report;
use super::{Refused, routed, show, tokio_runtime};
use crate::{
    bot::Bot,
    config::{self, Secrets, read_bounded},
    generation::{self, Checked, Generation, Trouble},
    limits,
    rehearsal::{Note, Notes, Play, Stage},
    store::sqlite::SqliteStore,
    transcript::{
        pattern::{self, align},
        replies::lines,
        script::{Exchange, MAX_BYTES, Script, Step, Update, What},
    },
    versions::Versions,
};

/// How transcripts' names end.
const ENDING: &str = "chat";

/// The follower who speaks until a transcript names one.
const FOLLOWER: &str = "me";

/// When a transcript begins that does not say so: at a time of no importance.
const BEGIN: DateTime = DateTime::constant(2026, 1, 1, 12, 0, 0, 0);

/// Folders that hold what others wrote.
const SKIPPED: [&str; 4] = ["target", "node_modules", "venv", "__pycache__"];

/// How deep folders are looked through, and how many files and folders in all: a project's, not a disk's.
const DEPTH: usize = 16;
const ENTRIES: usize = 200_000;

/// What to play.
#[derive(Args)]
pub(super) struct Options {
    /// Transcripts, or folders of them; by default all in the folder of the configuration
    #[arg(value_name = "FILE")]
    paths: Vec<PathBuf>,
    /// Make the transcripts expect what comes
    #[arg(long)]
    update: bool,
    /// Give every message to this component, whatever bots.toml says
    #[arg(long, value_name = "WASM")]
    plugin: Option<PathBuf>,
}

pub(super) fn test(config: &Path, options: &Options, notes: &Notes) -> Result<(), Refused> {
    let files = find(config, &options.paths)?;
    if files.is_empty() {
        eprintln!("error: there is no transcript (`*.{ENDING}`) here");
        return Err(Refused::Failed);
    }
    let mut tester = Tester {
        config,
        options,
        notes,
        stage: Stage::default(),
        tokio: tokio_runtime()?,
        loaded: BTreeMap::new(),
        report: Report::new(options.update),
    };
    for file in &files {
        tester.test(file)?;
    }
    let passed = tester.report.finish();
    tester.tokio.shutdown_timeout(limits::LAST_TASKS);
    if passed { Ok(()) } else { Err(Refused::Failed) }
}

/// Everything that is shared by the transcripts of one run.
struct Tester<'a> {
    config: &'a Path,
    options: &'a Options,
    notes: &'a Notes,
    stage: Stage,
    tokio: tokio::runtime::Runtime,
    /// Bots by their configuration's file; none where it is bad, which has been said.
    loaded: BTreeMap<PathBuf, Option<Arc<Bots>>>,
    report: Report,
}

/// Bots that answer.
struct Bots {
    generation: Generation,
    timezone: String,
}

impl Tester<'_> {
    fn test(&mut self, file: &Path) -> anyhow::Result<()> {
        let name = file.display().to_string();
        let read = read_bounded(file, MAX_BYTES).with_context(|| format!("cannot read `{name}`"))?;
        let Ok(text) = String::from_utf8(read) else {
            self.report.broken(&name, "it is not UTF-8 text");
            return Ok(());
        };
        let script = match Script::read(&text) {
            Ok(script) => script,
            Err(problems) => {
                self.report.unreadable(&name, &text, &problems);
                return Ok(());
            }
        };
        let Some(bots) = self.bots(file, &script)? else {
            self.report.broken(&name, "its bots cannot be used");
            return Ok(());
        };
        let folder = tempfile::tempdir().context("cannot make a folder for the state")?;
        // Runs that are late end with the transcript, and cannot be met in the next.
        let tokio = tokio_runtime()?;
        let update = tokio.block_on(async {
            let store = SqliteStore::open(&folder.path().join("test.db")).context("cannot open the state")?;
            let begins = script.steps.iter().find_map(|step| match step.what {
                What::At(time) => Some(time),
                _ => None,
            });
            let play = self.stage.begin(time(begins, &bots.timezone), Arc::new(store), self.notes);
            anyhow::Ok(play_script(play, &script, &bots, &name, &text, &mut self.report).await)
        })?;
        tokio.shutdown_timeout(limits::LAST_TASKS);
        if self.options.update && !update.is_empty() {
            write(file, &update.apply(&text)).with_context(|| format!("cannot write `{name}`"))?;
        }
        self.report.played(&name, !update.is_empty());
        Ok(())
    }

    /// The bots of a transcript: its own, those of the plugin on the command line, or those of the nearest `bots.toml`.
    fn bots(&mut self, file: &Path, script: &Script) -> anyhow::Result<Option<Arc<Bots>>> {
        let env = |name: &str| std::env::var(name).ok();
        let own = |text: &str| generation::check_text(file, &config::with_a_bot(text), &env, Secrets::NotNeeded);
        if let Some(text) = &script.bots {
            let cache = self.nearest_cache(file);
            return self.load(own(text), cache);
        }
        if let Some(plugin) = &self.options.plugin {
            let path = std::path::absolute(plugin).context("cannot tell where this is")?;
            let text = format!("[plugins.plugin]\nwasm = '''{}'''\n", path.display());
            let cache = self.nearest_cache(file);
            return self.load(own(&text), cache);
        }
        let config = self.nearest_config(file);
        if let Some(loaded) = self.loaded.get(&config) {
            return Ok(loaded.clone());
        }
        let cache = self.nearest_cache(file);
        let loaded = self.load(generation::check(&config, &env, Secrets::NotNeeded), cache)?;
        self.loaded.insert(config, loaded.clone());
        Ok(loaded)
    }

    /// The file that `--config` names; of the default one, that which is nearest to the transcript.
    fn nearest_config(&self, file: &Path) -> PathBuf {
        if self.config != Path::new("bots.toml") {
            return self.config.to_owned();
        }
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let mut folders = absolute.ancestors().skip(1).map(|folder| folder.join("bots.toml"));
        match folders.find(|config| config.is_file()) {
            // As the user would write it, where that is possible.
            Some(config) => {
                match std::env::current_dir().ok().and_then(|here| config.strip_prefix(here).ok().map(Path::to_owned)) {
                    Some(relative) => relative,
                    None => config,
                }
            }
            None => self.config.to_owned(),
        }
    }

    /// Where compiled code is kept: where the server keeps it whose bots are the nearest, unless it keeps its state elsewhere. A
    /// transcript's own folder is no place for it.
    fn nearest_cache(&self, file: &Path) -> Option<PathBuf> {
        let config = self.nearest_config(file);
        config.is_file().then(|| config.with_file_name("data").join("cache"))
    }

    fn load(&mut self, checked: Checked, cache: Option<PathBuf>) -> anyhow::Result<Option<Arc<Bots>>> {
        if checked.routed.is_none() {
            show(&checked.problems);
            return Ok(None);
        }
        let Ok((config, routers, files)) = routed(checked) else { return Ok(None) };
        let timezone = config.server.timezone.clone();
        let runtime = self.stage.runtime(&timezone, cache.as_deref())?;
        let versions = Versions::nowhere();
        let load = Generation::load(config, routers, files, &runtime, &versions, None);
        let generation = self.tokio.block_on(load);
        for (name, loaded) in generation.troubles() {
            eprintln!(
                "warning: the plugin `{name}` cannot be used: {}",
                loaded.trouble.as_ref().map_or("", Trouble::why)
            );
        }
        // Their start-up is no news.
        self.notes.take_others();
        Ok(Some(Arc::new(Bots { generation, timezone })))
    }
}

/// Plays a transcript to its end, and says what would have to change in it.
async fn play_script(
    mut play: Play<'_>,
    script: &Script,
    bots: &Bots,
    name: &str,
    text: &str,
    report: &mut Report,
) -> Update {
    let written: Vec<&str> = text.lines().collect();
    let mut update = Update::default();
    let mut follower = FOLLOWER;
    let mut chosen: Option<&str> = None;
    for Step { line, what } in &script.steps {
        match what {
            What::At(_) => {}
            What::As(name) => follower = name,
            What::Bot(name) => chosen = Some(name),
            What::Seed(seed) => play.seed(seed),
            What::Answer(answer) => {
                let folder = Path::new(name).parent().unwrap_or(Path::new("."));
                if let Err(why) = play.answer(answer, folder) {
                    report.failed(name, *line, written.get(line - 1).copied().unwrap_or_default(), &why);
                }
            }
            What::Pass(time) => play.pass(*time).await,
            What::Say(exchange) => {
                let said = written.get(line - 1).copied().unwrap_or_default();
                let told = match bots.find(chosen) {
                    Ok(bot) => play.deliver(bot, follower, &exchange.act, said).await,
                    Err(why) => Err(why),
                };
                match told {
                    Ok(told) => {
                        let notes = play.notes().of(told.number);
                        compare(exchange, *line, &lines(&told.reply), said, &notes, name, report, &mut update);
                    }
                    Err(why) => report.failed(name, *line, said, &why),
                }
            }
        }
    }
    update
}

#[expect(clippy::too_many_arguments, reason = "what is compared, where it stands, and where the outcome goes")]
fn compare(
    exchange: &Exchange,
    line: usize,
    came: &[crate::transcript::replies::Line],
    said: &str,
    notes: &[Note],
    name: &str,
    report: &mut Report,
    update: &mut Update,
) {
    let aligned = align(&exchange.expected, came);
    report.message();
    if pattern::fits(&aligned) && !exchange.expected.is_empty() {
        return;
    }
    update.add(line, exchange, &aligned, came);
    report.mismatch(name, line, said, exchange, &aligned, came, notes);
}

impl Bots {
    fn find(&self, name: Option<&str>) -> Result<&Arc<Bot>, String> {
        let mut bots: Vec<&Arc<Bot>> = self.generation.bots().map(|(_, bot)| bot).collect();
        bots.sort_by(|a, b| a.name.cmp(&b.name));
        let names = || bots.iter().map(|bot| format!("`{}`", bot.name)).collect::<Vec<_>>().join(", ");
        match (name, &bots[..]) {
            (None, [bot]) => Ok(bot),
            (None, _) => Err(format!("there are several bots ({}): a line `bot NAME:` says which", names())),
            (Some(name), _) => {
                let found = bots.iter().find(|bot| *bot.name == *name);
                found.copied().ok_or_else(|| format!("there is no bot `{name}`; there are {}", names()))
            }
        }
    }
}

/// A time of the bots' time zone, since the Unix epoch.
fn time(time: Option<DateTime>, timezone: &str) -> Duration {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let seconds = time.unwrap_or(BEGIN).to_zoned(zone).map_or(0, |time| time.timestamp().as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Replaces a file whole.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut aside = tempfile::NamedTempFile::new_in(folder)?;
    aside.write_all(text.as_bytes())?;
    // The new file is the old one's, not this process's own.
    aside.as_file().set_permissions(fs::metadata(file)?.permissions())?;
    aside.persist(file)?;
    Ok(())
}

/// All transcripts, in order.
fn find(config: &Path, paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let default = [folder.to_owned()];
    let mut found = Vec::new();
    for path in if paths.is_empty() { &default[..] } else { paths } {
        if !path.is_dir() {
            anyhow::ensure!(path.exists(), "there is no file `{}`", path.display());
            found.push(path.clone());
            continue;
        }
        let wanted = |entry: &walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy();
            entry.depth() == 0 || !(name.starts_with('.') || (entry.file_type().is_dir() && SKIPPED.contains(&&*name)))
        };
        let walk = walkdir::WalkDir::new(path).max_depth(DEPTH).sort_by_file_name();
        // A folder that cannot be read is somebody else's.
        let entries = walk.into_iter().filter_entry(wanted).take(ENTRIES).filter_map(Result::ok);
        let files = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
        found.extend(files.filter(|file| file.extension().is_some_and(|ending| ending == ENDING)));
    }
    // `./a.chat` is written as users write it.
    let plain = |path: PathBuf| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
    Ok(found.into_iter().map(plain).collect())
}

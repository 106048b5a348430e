//! `mynah chat`: talks to the bots as a follower, without a server.

mod command;
mod record;
mod screen;
mod show;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::Args;
use tracing::Level;

use self::{
    command::Typed,
    record::Record,
    screen::{Above, Screen, Style},
    show::Link,
};
use super::{Refused, explain, load_config_quietly, routed, tokio_runtime};
use crate::{
    bot::Bot,
    clock::World,
    config::Secrets,
    plugin::Runtime,
    rehearsal::{self, Note, Notes, Rehearsal, Told},
    reload::Reloader,
    store::sqlite::SqliteStore,
    transcript::acts,
    versions::Versions,
    wechat::{callback::Act, reply::Reply},
};

/// The follower, until `/as` says another.
const FOLLOWER: &str = "me";

/// How long WeChat waits for the answer to one delivery.
const ONE_DELIVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether something is to be said that nobody asked for.
const NEWS: Duration = Duration::from_millis(200);

/// How to chat.
#[derive(Args)]
pub(super) struct Options {
    /// To this bot first; by default the only one, or the first by name
    #[arg(long, value_name = "NAME")]
    bot: Option<String>,
    /// With the state of `server.state`, which no server may be using; by default with an empty one that is thrown away
    #[arg(long)]
    state: bool,
}

pub(super) fn chat(path: &Path, options: &Options, notes: &Notes) -> Result<(), Refused> {
    let checked = load_config_quietly(path)?;
    // They are `check`'s to show, not a chat's.
    let warned = checked.problems.iter().map(|problem| problem.message().to_owned()).collect();
    let world = World::system();
    let (config, routers, files) = routed(checked)?;
    let real_state = config.server.state.clone();
    let cache = real_state.with_file_name("cache");
    let runtime = Runtime::with_cache(world.clone(), &config.server.timezone, Some(&cache))?;
    let throw_away = if options.state {
        None
    } else {
        Some(tempfile::tempdir().context("cannot make a folder for the state; `--state` uses the real one")?)
    };
    let state = throw_away.as_ref().map_or(real_state, |folder| folder.path().join("chat.db"));
    let store = SqliteStore::open(&state).context("cannot open the state")?;
    let tokio = tokio_runtime()?;
    let screen = Screen::open()?;
    if screen.is_terminal() {
        // The first time, plugins are compiled; large ones take seconds.
        screen.print(Style::Aside, "loading the plugins …")?;
    }
    let start = Reloader::start(path.to_owned(), (config, routers, files), warned, runtime, Versions::nowhere());
    let reloader = Arc::new(tokio.block_on(start).with_secrets(Secrets::NotNeeded));
    for note in notes.take_others() {
        // Of a start, only what is wrong with it is news.
        if note.level <= Level::WARN {
            eprintln!("{note}");
        }
    }
    // Ids of messages are never given twice, not by the next chat with the same state either.
    let first_id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_micros() as u64);
    let mut chat = Chat {
        rehearsal: Rehearsal::new(Arc::new(store), world, notes.clone(), first_id),
        screen,
        reloader: reloader.clone(),
        config: path.display().to_string(),
        bot: String::new(),
        follower: FOLLOWER.to_owned(),
        last: None,
        record: Record::default(),
        failed: false,
    };
    chat.bot = match &options.bot {
        Some(name) => chat.known_bot(name)?,
        None => chat.bots().first().cloned().context("there is no bot")?,
    };
    let watch = tokio.spawn(reloader.watch());
    let news = tokio.spawn(tell_news(chat.screen.above(), notes.clone()));
    let talked = chat.talk(&tokio);
    watch.abort();
    news.abort();
    let failed = chat.failed;
    // The store closes before its folder is taken away.
    drop(chat);
    tokio.shutdown_timeout(crate::limits::LAST_TASKS);
    drop(throw_away);
    talked?;
    if failed { Err(Refused::Failed) } else { Ok(()) }
}

/// A chat under way.
struct Chat {
    rehearsal: Rehearsal,
    screen: Screen,
    reloader: Arc<Reloader>,
    config: String,
    bot: String,
    follower: String,
    last: Option<Last>,
    record: Record,
    /// Whether a line from a pipe could not be sent.
    failed: bool,
}

/// The last message.
struct Last {
    told: Told,
    links: Vec<Link>,
    bot: Arc<Bot>,
}

impl Chat {
    fn talk(&mut self, tokio: &tokio::runtime::Runtime) -> anyhow::Result<()> {
        if self.screen.is_terminal() {
            let with = match self.bots().len() {
                1 => format!("the bot {}", self.bot),
                several => format!("the bot {}, one of {several}", self.bot),
            };
            self.screen.print(Style::Aside, &format!("you are a follower of {with}; /help says what you can do"))?;
        }
        loop {
            let prompt = if self.bots().len() > 1 {
                format!("{} @ {}> ", self.follower, self.bot)
            } else {
                format!("{}> ", self.follower)
            };
            let Some(line) = self.screen.read(&prompt)? else { return Ok(()) };
            let typed = match command::read(&line) {
                Ok(Typed::Quit) => return Ok(()),
                Ok(Typed::Pick(number)) => self.picked(number),
                typed => typed,
            };
            if let Err(problem) = typed.and_then(|typed| self.act_on(typed, tokio).map_err(|e| format!("{e:#}"))) {
                self.complain(&problem)?;
            }
        }
    }

    /// What a tap on a link of the last reply does.
    fn picked(&self, number: usize) -> Result<Typed, String> {
        let links = self.last.as_ref().map_or(&[][..], |last| &last.links);
        match number.checked_sub(1).and_then(|index| links.get(index)) {
            Some(Link::Text(written)) => Ok(Typed::Act(acts::read(written)?, written.clone())),
            Some(Link::Page(url)) => Err(format!("that opens {url}")),
            None => Err(format!("the last reply has no link {number}; `\\/{number}` is a text")),
        }
    }

    fn act_on(&mut self, typed: Typed, tokio: &tokio::runtime::Runtime) -> anyhow::Result<()> {
        match typed {
            Typed::Nothing | Typed::Quit | Typed::Pick(_) => Ok(()),
            Typed::Act(act, written) => tokio.block_on(self.deliver(&act, &written)),
            Typed::As(name) => {
                self.follower = name;
                Ok(())
            }
            Typed::Bot(name) => {
                self.bot = self.known_bot(&name)?;
                Ok(())
            }
            Typed::Why => self.why(),
            Typed::Record(file) => {
                self.record.begin(&file)?;
                self.aside(&format!("this conversation goes to `{file}`; `mynah test {file}` plays it again"))
            }
            Typed::Help => self.aside(command::HELP),
        }
    }

    async fn deliver(&mut self, act: &Act, written: &str) -> anyhow::Result<()> {
        let generation = self.reloader.current();
        let bot = generation.bots().find(|(_, bot)| *bot.name == *self.bot).map(|(_, bot)| bot.clone());
        let Some(bot) = bot else {
            anyhow::bail!("the bot `{}` is gone from the configuration; there are {}", self.bot, self.bots().join(", "))
        };
        let delivered = self.rehearsal.deliver(&bot, &self.follower, act).await;
        let told = delivered.map_err(|why| anyhow::anyhow!("WeChat could not send that: {why}"))?;
        let several = self.bots().len() > 1;
        let lines = self.record.add(&bot.name, several, &self.follower, written, &told.reply);
        let shown = show::shown(&told.reply);
        if self.screen.is_terminal() {
            let style = if told.reply == Reply::Silence { Style::Aside } else { Style::Plain };
            let name = self.screen.styled(Style::Name, &format!("{}:", bot.name));
            let text = self.screen.styled(style, &shown.text.replace('\n', "\n  "));
            self.screen.print(Style::Plain, &format!("{name} {text}"))?;
        } else {
            self.screen.print(Style::Plain, lines.trim_end_matches('\n'))?;
        }
        for note in self.rehearsal.notes().of(told.number) {
            if note.level <= Level::WARN {
                self.trouble(&note)?;
            }
        }
        self.record.write(&lines)?;
        self.last = Some(Last { told, links: shown.links, bot });
        Ok(())
    }

    fn why(&self) -> anyhow::Result<()> {
        let Some(Last { told, bot, .. }) = &self.last else { anyhow::bail!("nothing was said yet") };
        let notes = self.rehearsal.notes().of(told.number);
        let mut lines = Vec::new();
        match rehearsal::answered(&notes) {
            Some(answered) => {
                let rule = answered.rule.and_then(|line| bot.router().rules().iter().find(|rule| rule.line == line));
                lines.push(match (rule, &answered.plugin) {
                    (Some(rule), _) => format!("rule    {}", explain::named(rule, None, &self.config)),
                    (None, Some(_)) => "rule    none was asked: a conversation with the plugin is going on".to_owned(),
                    (None, None) => "rule    none: nobody answered, or it was a word to the host".to_owned(),
                });
                if let Some(plugin) = answered.plugin {
                    let failed = if answered.failed { ", which failed: the reply is the bot's `on_error`" } else { "" };
                    lines.push(format!("plugin  {plugin}{failed}"));
                }
            }
            None => lines.push("rule    not known yet: the answer is late, and this was the interim one".to_owned()),
        }
        lines.push(format!("time    {}", time(told.took)));
        for note in notes.iter().filter(|note| note.text != "answered") {
            lines.push(format!("log     {}", note.to_string().replace('\n', "\n        ")));
        }
        self.aside(&lines.join("\n"))
    }

    /// Shows what the host has to say; in a pipe, as a comment of the transcript.
    fn aside(&self, text: &str) -> anyhow::Result<()> {
        if self.screen.is_terminal() {
            return self.screen.print(Style::Aside, text);
        }
        self.screen.print(Style::Plain, &format!("# {}", text.replace('\n', "\n# ")))
    }

    fn trouble(&self, note: &Note) -> anyhow::Result<()> {
        if self.screen.is_terminal() {
            return self.screen.print(Style::Trouble, &format!("  {}", note.to_string().replace('\n', "\n  ")));
        }
        self.aside(&note.to_string())
    }

    fn complain(&mut self, problem: &str) -> anyhow::Result<()> {
        if self.screen.is_terminal() {
            return self.screen.print(Style::Trouble, problem);
        }
        self.failed = true;
        eprintln!("error: {problem}");
        Ok(())
    }

    /// The bots' names, in order.
    fn bots(&self) -> Vec<String> {
        let mut names: Vec<String> = self.reloader.current().bots().map(|(_, bot)| bot.name.to_string()).collect();
        names.sort();
        names
    }

    fn known_bot(&self, name: &str) -> anyhow::Result<String> {
        let names = self.bots();
        if names.iter().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        anyhow::bail!("there is no bot `{name}`; there are {}", names.join(", "))
    }
}

/// A time beside WeChat's.
fn time(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match took {
        _ if seconds < 0.1 => format!("{:.1} ms of WeChat's 5 s", seconds * 1e3),
        _ if took < ONE_DELIVERY => format!("{seconds:.1} s of WeChat's 5 s"),
        _ => format!(
            "{seconds:.1} s: WeChat gave up after 5 s and delivered it again, {} in all, and the last one got the reply",
            if seconds < 10.0 { "twice" } else { "three times" }
        ),
    }
}

/// Tells a person at a terminal of what happens by itself: plugins taken up, answers that came late.
async fn tell_news(above: Above, notes: Notes) {
    loop {
        tokio::time::sleep(NEWS).await;
        for note in notes.take_others() {
            let news = ["mynah::reload", "mynah::inbox"].iter().any(|module| note.target.starts_with(module));
            if note.level <= Level::WARN || (note.level == Level::INFO && news && note.text != "answered") {
                above.print(&note.text);
            }
        }
    }
}

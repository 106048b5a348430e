//! The bots without a server: what a follower does goes into the very inbox that serves WeChat, over the very document that WeChat
//! would post, and what comes of it comes back with everything that was logged meanwhile.

mod notes;
mod outside;
mod stage;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Instrument as _;

pub use self::{
    notes::{Note, Notes, NotesLayer},
    outside::Outside,
    stage::{Play, Stage},
};
use crate::{
    bot::Bot,
    clock::World,
    inbox::Inbox,
    store::Store,
    wechat::{
        callback::Act,
        document::{Document, Format},
        message::Message,
        reply::{Header, Reply},
    },
};

/// Followers talking to bots.
pub struct Rehearsal {
    inbox: Arc<Inbox>,
    world: World,
    /// Of the next message.
    id: u64,
    notes: Notes,
}

/// What came of something that a follower did.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its number among [`Notes`].
    pub number: u64,
    /// What the follower gets.
    pub reply: Reply,
    /// How long that took, by the machine's own clock.
    pub took: Duration,
}

/// How the host told which rule and which plugin answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The line of `bots.toml` with the rule; none when nobody answered, or no rule was asked.
    pub rule: Option<usize>,
    /// The plugin.
    pub plugin: Option<String>,
    /// Whether the reply is an apology.
    pub failed: bool,
}

impl Rehearsal {
    /// Messages get ids from `first_id` on.
    pub fn new(store: Arc<dyn Store>, world: World, notes: Notes, first_id: u64) -> Self {
        Self { inbox: Arc::new(Inbox::new(store, world.clone())), world, id: first_id, notes }
    }

    /// Where messages arrive.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// What has been logged.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Delivers what a follower does, and waits for what they get. The error says why WeChat could not have sent it.
    pub async fn deliver(&mut self, bot: &Arc<Bot>, follower: &str, act: &Act) -> Result<Told, String> {
        let created = self.world.clock.now().as_secs();
        let header = Header { to: &account(bot), from: follower, created };
        let id = if act.has_id() { self.id.to_string() } else { String::new() };
        let body = act.render(&header, &id, Format::Xml).map_err(|error| error.to_string())?;
        let document = Document::parse(body.as_bytes()).map_err(|error| error.to_string())?;
        let message = Message::try_from(document).map_err(|error| error.to_string())?;
        let room = self.inbox.room(body.len()).await.ok_or("too many messages are under way")?;
        self.id += 1;
        let number = self.notes.next();
        let start = Instant::now();
        let span = tracing::info_span!("rehearsal", number);
        let body = self.inbox.deliver(bot, message, Format::Xml, room).instrument(span).await;
        let took = start.elapsed();
        self.notes.told(number);
        let body = std::str::from_utf8(&body).map_err(|error| error.to_string())?;
        let reply = Reply::read(body).map_err(|error| error.to_string())?;
        Ok(Told { number, reply, took })
    }
}

/// The original id of an account that is not there.
fn account(bot: &Bot) -> String {
    format!("gh_{}", bot.name)
}

/// What the host's line on an answer says; the last one, where a run was repeated.
pub fn answered(notes: &[Note]) -> Option<Answered> {
    let note = notes.iter().rev().find(|note| note.text == "answered" && note.target.starts_with("mynah"))?;
    Some(Answered {
        rule: note.field("rule").and_then(|rule| rule.strip_prefix("line ")?.parse().ok()),
        plugin: note.field("plugin").map(str::to_owned),
        failed: note.field("failed").is_some(),
    })
}

//! Bots with time, randomness and an outside that a transcript decides about.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use super::{Notes, Outside, Rehearsal, Told};
use crate::{
    bot::Bot,
    clock::{RehearsedClock, SeededRandomness, World},
    http_client::Client,
    plugin::Runtime,
    store::Store,
    transcript::answers::Answer,
    wechat::callback::Act,
};

/// What all transcripts of a run share: engines, and the world that each of them begins anew.
pub struct Stage {
    clock: RehearsedClock,
    randomness: Arc<SeededRandomness>,
    outside: Arc<Outside>,
    /// By time zone.
    runtimes: HashMap<String, Arc<Runtime>>,
}

/// One transcript's play.
pub struct Play<'a> {
    stage: &'a Stage,
    rehearsal: Rehearsal,
    seed: String,
    /// How often each follower did each thing.
    done: HashMap<(String, String), u64>,
}

impl Default for Stage {
    fn default() -> Self {
        let clock = RehearsedClock::default();
        let outside = Arc::new(Outside::new(Arc::new(clock.clone())));
        Self { clock, randomness: Arc::default(), outside, runtimes: HashMap::new() }
    }
}

impl Stage {
    /// The time, randomness and so on of all plays.
    pub fn world(&self) -> World {
        World { clock: Arc::new(self.clock.clone()), randomness: self.randomness.clone() }
    }

    /// What runs the plugins of bots in a time zone; compiled code is kept in `cache`, where the first who asks has one.
    pub fn runtime(&mut self, timezone: &str, cache: Option<&Path>) -> anyhow::Result<Arc<Runtime>> {
        if let Some(runtime) = self.runtimes.get(timezone) {
            return Ok(runtime.clone());
        }
        let client = Client::answered_by(self.outside.clone());
        let runtime = Arc::new(Runtime::with_client(self.world(), timezone, cache, client)?);
        self.runtimes.insert(timezone.to_owned(), runtime.clone());
        Ok(runtime)
    }

    /// Begins a play, at this time since the Unix epoch.
    pub fn begin(&self, time: Duration, store: Arc<dyn Store>, notes: &Notes) -> Play<'_> {
        self.clock.restart(time);
        self.outside.clear();
        let rehearsal = Rehearsal::new(store, self.world(), notes.clone(), 1);
        Play { stage: self, rehearsal, seed: String::new(), done: HashMap::new() }
    }
}

impl Play<'_> {
    /// From here on what is random comes out another way.
    pub fn seed(&mut self, seed: &str) {
        self.seed = seed.to_owned();
    }

    /// From here on the outside says this. Files that it names are in `folder`.
    pub fn answer(&self, answer: &Answer, folder: &Path) -> Result<(), String> {
        self.stage.outside.add(answer, folder)
    }

    /// Lets time pass, and whatever takes as long come to its end.
    pub async fn pass(&self, time: Duration) {
        let inbox = self.rehearsal.inbox().clone();
        self.stage.clock.pass(time, || inbox.under_way()).await;
    }

    /// Delivers what a follower does, `written` in the transcript.
    pub async fn deliver(&mut self, bot: &Arc<Bot>, follower: &str, act: &Act, written: &str) -> Result<Told, String> {
        // What is random depends on the message alone, so that a line that is put in changes nothing for the others.
        let times = self.done.entry((follower.to_owned(), written.to_owned())).or_default();
        *times += 1;
        let seed = [&self.seed, &*bot.name, follower, written, &times.to_string()].join("\n");
        self.stage.randomness.seed(seed.as_bytes());
        self.stage.clock.begin_message();
        let told = self.rehearsal.deliver(bot, follower, act).await;
        self.stage.clock.end_message();
        // Two events of one second would be deliveries of the same one.
        self.pass(Duration::from_secs(1)).await;
        told
    }

    /// What was logged.
    pub fn notes(&self) -> &Notes {
        self.rehearsal.notes()
    }
}

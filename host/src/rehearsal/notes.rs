//! What is logged while a message is answered, by message.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Messages whose notes are kept.
const MESSAGES: usize = 100;

/// Notes that are kept of one message: as many lines as a plugin may log and print, several times over.
const NOTES: usize = 500;

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Note {
    /// How grave it is.
    pub level: Level,
    /// The module that logged it; `plugin` for a plugin's own lines.
    pub target: String,
    /// What it says.
    pub text: String,
    /// Its other values.
    pub fields: Vec<(String, String)>,
}

/// The notes of the last messages. Those of number 0 belong to none.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    last: u64,
    /// The last message that has its reply: what is logged of it from now on is news.
    told: u64,
    by_message: BTreeMap<u64, Vec<Note>>,
}

/// Collects them from the log.
pub struct NotesLayer(Notes);

/// A message's number, kept with its span.
struct Number(u64);

impl Note {
    /// A value by its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a plugin wrote it, or printed it.
    pub fn is_plugins(&self) -> bool {
        self.target == "plugin"
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} ", self.level.as_str().to_ascii_lowercase())?;
        if let Some(plugin) = self.field("plugin") {
            write!(f, "{plugin}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl Notes {
    /// The layer that fills them.
    pub fn layer(&self) -> NotesLayer {
        NotesLayer(self.clone())
    }

    /// The number of the next message.
    pub(super) fn next(&self) -> u64 {
        let mut kept = self.lock();
        kept.last += 1;
        kept.last
    }

    /// The reply to a message has come: what is logged of it from now on is late, and belongs to no message, too.
    pub(super) fn told(&self, number: u64) {
        self.lock().told = number;
    }

    /// The notes of a message.
    pub fn of(&self, number: u64) -> Vec<Note> {
        self.lock().by_message.get(&number).cloned().unwrap_or_default()
    }

    /// The notes that belong to no message; they are not given twice.
    pub fn take_others(&self) -> Vec<Note> {
        self.lock().by_message.remove(&0).unwrap_or_default()
    }

    fn push(&self, number: u64, note: Note) {
        let mut kept = self.lock();
        if number > 0 && number <= kept.told {
            kept.add(0, note.clone());
        }
        kept.add(number, note);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing that holds the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, number: u64, note: Note) {
        let notes = self.by_message.entry(number).or_default();
        if notes.len() < NOTES {
            notes.push(note);
        }
        while self.by_message.len() > MESSAGES {
            // The oldest, but not those of no message.
            let Some(oldest) = self.by_message.keys().copied().find(|number| *number != 0) else { break };
            self.by_message.remove(&oldest);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for NotesLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if attributes.metadata().name() == "rehearsal"
            && let Some(span) = context.span(id)
        {
            let mut found = Values::default();
            attributes.record(&mut found);
            let number = found.fields.iter().find(|(name, _)| name == "number");
            if let Some(number) = number.and_then(|(_, value)| value.parse().ok()) {
                span.extensions_mut().insert(Number(number));
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut spans = context.event_scope(event).into_iter().flatten();
        let number = spans.find_map(|span| span.extensions().get::<Number>().map(|number| number.0));
        let mut values = Values::default();
        event.record(&mut values);
        let metadata = event.metadata();
        let note = Note {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            text: values.text,
            fields: values.fields,
        };
        self.0.push(number.unwrap_or(0), note);
    }
}

/// The values of a line or a span, as text.
#[derive(Default)]
struct Values {
    text: String,
    fields: Vec<(String, String)>,
}

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format!("{value:?}"));
    }
}

impl Values {
    fn push(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.text = value;
        } else {
            self.fields.push((field.name().to_owned(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_line_belongs_to_the_message_around_it() {
        let notes = Notes::default();
        let subscriber = tracing_subscriber::registry().with(notes.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            let number = notes.next();
            tracing::info_span!("rehearsal", number).in_scope(|| {
                tracing::info_span!("message", id = 7).in_scope(|| {
                    tracing::warn!(target: "plugin", plugin = "echo", rule = Option::<u8>::None, "said {}", 1);
                });
            });
        });
        let [note] = &notes.of(1)[..] else { panic!("{:?}", notes.of(1)) };
        assert_eq!(note.to_string(), "warn  echo: said 1");
        assert!(note.is_plugins() && note.field("rule").is_none());
        assert_eq!(notes.take_others().len(), 1);
        assert!(notes.take_others().is_empty());
    }

    #[test]
    fn what_comes_after_the_reply_is_news() {
        let notes = Notes::default();
        let note = Note { level: Level::INFO, target: "t".into(), text: "x".into(), fields: Vec::new() };
        notes.push(1, note.clone());
        assert!(notes.take_others().is_empty());
        notes.told(1);
        notes.push(1, note);
        assert_eq!((notes.of(1).len(), notes.take_others().len()), (2, 1));
    }

    #[test]
    fn only_the_last_messages_are_kept() {
        let notes = Notes::default();
        let note = Note { level: Level::INFO, target: "t".into(), text: "x".into(), fields: Vec::new() };
        for number in 0..300 {
            for _ in 0..2 {
                notes.push(number, note.clone());
            }
        }
        assert!(notes.of(1).is_empty() && notes.of(299).len() == 2 && notes.of(0).len() == 2);
        (0..1000).for_each(|_| notes.push(299, note.clone()));
        assert_eq!(notes.of(299).len(), NOTES);
    }
}

//! A dialogue written as if the follower answered at once.
//!
//! Each answer runs the handler again, from its beginning and with its first message; [`ask`] then
//! returns what was answered before, and the question that has no answer yet goes out. What was
//! asked and answered is the conversation's state.

use std::cell::RefCell;

use crate::{Error, Field, Message, Reply};

/// How a state begins that is a dialogue's.
const MARK: &[u8] = b"mynah.ask.1\n";

/// Seconds that a follower has for an answer.
const PATIENCE: u32 = 600;

/// What was said so far, and how far this run has come in it.
#[derive(Default)]
struct Dialogue {
    /// The message that began it; none outside a handler that may ask.
    first: Option<Message>,
    journal: Vec<(String, Known)>,
    at: usize,
    /// What this run has changed that a second run would change again.
    written: Option<&'static str>,
    within_once: bool,
    /// What the follower is asked when the handler has returned.
    question: Option<String>,
}

/// What came of a question, or of [`once`].
enum Known {
    Open,
    Answer(Box<Message>),
    Done(String),
}

thread_local! {
    static DIALOGUE: RefCell<Dialogue> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut Dialogue) -> T) -> T {
    DIALOGUE.with_borrow_mut(work)
}

/// Sends the follower a question and returns the message that answers it; they have ten minutes for
/// that.
///
/// The plugin says that it asks: `#[mynah_plugin::plugin(ask)]`. The question leaves the handler as
/// an error, so pass it on with `?`. With each answer the handler runs again from its beginning, and
/// gets the answers that are known: so write after the last question, or within [`once`].
///
/// ```
/// use mynah_plugin::{Error, Message, Reply, conversation::ask, testing};
///
/// #[mynah_plugin::plugin(ask)]
/// fn handle(message: Message) -> Result<String, Error> {
///     let name = ask("你叫什么名字？")?;
///     let city = ask(&format!("{}，你在哪里？", name.text()))?;
///     Ok(format!("{}的{}，你好！", city.text(), name.text()))
/// }
///
/// let say = |text| testing::deliver(handle, testing::text(text));
/// assert_eq!(say("认识一下"), Ok(Reply::text("你叫什么名字？")));
/// assert_eq!(say("小明"), Ok(Reply::text("小明，你在哪里？")));
/// assert_eq!(say("北京"), Ok(Reply::text("北京的小明，你好！")));
/// ```
///
/// # Errors
///
/// The question itself; `"ask"` where a dialogue cannot be: outside a plugin that says that it asks, or after a write; and what
/// [`remember`](super::remember) returns.
pub fn ask(question: impl AsRef<str>) -> Result<Message, Error> {
    ask_within(question, PATIENCE)
}

/// [`ask`] with so many seconds for the answer.
///
/// # Errors
///
/// As [`ask`].
pub fn ask_within(question: impl AsRef<str>, seconds: u32) -> Result<Message, Error> {
    let question = question.as_ref();
    let state = with(|dialogue| {
        if let Some(Known::Answer(answer)) = dialogue.next(question) {
            return Ok(Err(*answer));
        }
        let Some(first) = &dialogue.first else {
            return Err(Error::new("ask", "only a plugin with `#[mynah_plugin::plugin(ask)]` can ask"));
        };
        if let Some(what) = dialogue.written {
            let why =
                "what comes before a question runs again with each answer: write after the last one, or within `once`";
            return Err(Error::new("ask", format!("{what} before `{question}`; {why}")));
        }
        dialogue.journal.push((question.to_owned(), Known::Open));
        Ok(Ok(encode(first, &dialogue.journal)))
    })?;
    match state {
        Err(answer) => Ok(answer),
        Ok(state) => {
            super::remember(state, seconds)?;
            with(|dialogue| dialogue.question = Some(question.to_owned()));
            Err(Error::new("ask", question))
        }
    }
}

/// Does something once in a dialogue, however many questions follow, and returns what it returned.
///
/// ```
/// use mynah_plugin::{Error, Message, Reply, conversation::{ask, once}, store, testing};
///
/// #[mynah_plugin::plugin(ask)]
/// fn handle(message: Message) -> Result<String, Error> {
///     let number = once(|| Ok(store::add("guests", 1)?.to_string()))?;
///     let name = ask("你叫什么名字？")?;
///     Ok(format!("{}，你是第 {number} 位。", name.text()))
/// }
///
/// testing::deliver(handle, testing::text("认识一下"))?;
/// let answer = testing::deliver(handle, testing::text("小明"))?;
/// assert_eq!(answer, Reply::text("小明，你是第 1 位。"));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
///
/// What `work` returns.
pub fn once(work: impl FnOnce() -> Result<String, Error>) -> Result<String, Error> {
    const NAME: &str = "once";
    let known = with(|dialogue| match dialogue.next(NAME) {
        Some(Known::Done(result)) => Some(result),
        _ => {
            dialogue.within_once = true;
            None
        }
    });
    if let Some(result) = known {
        return Ok(result);
    }
    let result = work();
    with(|dialogue| {
        dialogue.within_once = false;
        if let Ok(result) = &result {
            dialogue.journal.push((NAME.to_owned(), Known::Done(result.clone())));
            dialogue.at += 1;
        }
    });
    result
}

/// Something was changed that a second run would change again.
pub(crate) fn wrote(what: &'static str) {
    with(|dialogue| {
        if !dialogue.within_once {
            dialogue.written.get_or_insert(what);
        }
    });
}

/// Calls a handler that may ask: with the dialogue's first message, or with this one if there is none.
pub(crate) fn run(message: Message, handle: impl FnOnce(Message) -> Result<Reply, String>) -> Result<Reply, String> {
    // An event is never an answer: it comes by a rule, whatever dialogue is under way.
    let state = if message.kind == "event" { None } else { super::recall().map_err(|error| error.to_string())? };
    let (first, mut journal) = state.and_then(|state| decode(&state)).unwrap_or((message.clone(), Vec::new()));
    let under_way = !journal.is_empty();
    if let Some((_, last)) = journal.last_mut() {
        *last = Known::Answer(Box::new(message));
    }
    with(|dialogue| *dialogue = Dialogue { first: Some(first.clone()), journal, ..Dialogue::default() });
    let answer = handle(first);
    let question = with(std::mem::take).question;
    match (answer, question) {
        (Err(_), Some(question)) => Ok(Reply::Text(question)),
        (answer, _) => {
            if under_way {
                super::end().map_err(|error| error.to_string())?;
            }
            answer
        }
    }
}

impl Dialogue {
    /// What the journal says came next. A dialogue that went another way, such as in a newer version of the plugin, goes on
    /// from here.
    fn next(&mut self, name: &str) -> Option<Known> {
        let (known_name, known) = self.journal.get(self.at)?;
        let known = match known {
            _ if known_name != name => None,
            Known::Open => None,
            Known::Answer(answer) => Some(Known::Answer(answer.clone())),
            Known::Done(result) => Some(Known::Done(result.clone())),
        };
        match known {
            Some(_) => self.at += 1,
            None => self.journal.truncate(self.at),
        }
        known
    }
}

/// The state of a dialogue as bytes: texts with their lengths before them.
fn encode(first: &Message, journal: &[(String, Known)]) -> Vec<u8> {
    let mut out = MARK.to_vec();
    put_message(&mut out, first);
    for (name, known) in journal {
        put(&mut out, name);
        match known {
            Known::Open => out.push(0),
            Known::Answer(answer) => {
                out.push(1);
                put_message(&mut out, answer);
            }
            Known::Done(result) => {
                out.push(2);
                put(&mut out, result);
            }
        }
    }
    out
}

/// The dialogue of a state; none if the conversation is the plugin's own.
fn decode(state: &[u8]) -> Option<(Message, Vec<(String, Known)>)> {
    let mut rest = state.strip_prefix(MARK)?;
    let first = take_message(&mut rest)?;
    let mut journal = Vec::new();
    while !rest.is_empty() {
        let name = take(&mut rest)?;
        let (kind, after) = rest.split_first()?;
        rest = after;
        journal.push((
            name,
            match kind {
                0 => Known::Open,
                1 => Known::Answer(Box::new(take_message(&mut rest)?)),
                _ => Known::Done(take(&mut rest)?),
            },
        ));
    }
    Some((first, journal))
}

fn put(out: &mut Vec<u8>, text: &str) {
    // A state is at most 64 KiB, so that every length fits; a longer one is refused by the host.
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

fn take(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (text, after) = after.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    for text in [&message.bot, &message.account, &message.sender, &message.id, &message.kind] {
        put(out, text);
    }
    put(out, &message.created.to_string());
    put(out, if message.text.is_some() { "text" } else { "" });
    put(out, message.text.as_deref().unwrap_or_default());
    for fields in [&message.captures, &message.fields] {
        put(out, &fields.len().to_string());
        for field in fields {
            put(out, &field.name);
            put(out, &field.value);
        }
    }
}

fn take_message(rest: &mut &[u8]) -> Option<Message> {
    let mut next = || take(rest);
    let (bot, account, sender, id, kind) = (next()?, next()?, next()?, next()?, next()?);
    let created = next()?.parse().ok()?;
    let (has_text, text) = (!next()?.is_empty(), next()?);
    let mut lists = [Vec::new(), Vec::new()];
    for list in &mut lists {
        let length: usize = next()?.parse().ok()?;
        for _ in 0..length {
            list.push(Field { name: next()?, value: next()? });
        }
    }
    let [captures, fields] = lists;
    Some(Message { bot, account, sender, id, created, kind, text: has_text.then_some(text), captures, fields })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conversation, store, testing};

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let first = testing::text("认识一下").with_capture("rest", "").with_field("a", "b");
        let journal = vec![
            ("谁？".to_owned(), Known::Answer(Box::new(testing::location(1.0, 2.0, "广州市")))),
            ("once".to_owned(), Known::Done("7".to_owned())),
            ("哪里？".to_owned(), Known::Open),
        ];
        let state = encode(&first, &journal);
        let (read, known) = decode(&state).expect("read");
        assert_eq!(read, first);
        assert_eq!(encode(&read, &known), state);
        for end in 0..state.len() {
            // Cut states are not read past their end, nor do they panic.
            let _ = decode(&state[..end]);
        }
        assert!(decode(b"question 3").is_none());
    }

    #[test]
    fn a_write_before_a_question_is_refused() {
        fn handle(_: Message) -> Result<String, Error> {
            store::add("visits", 1)?;
            ask("谁？").map(|answer| answer.text().to_owned())
        }
        let error = testing::deliver(handle, testing::text("a")).expect_err("refused");
        assert!(error.starts_with("ask: store::add before `谁？`"), "{error}");
        assert_eq!(store::get("visits"), Ok(None));
    }

    #[test]
    fn a_dialogue_that_asks_something_else_now_goes_on_from_there() {
        testing::deliver(|_| ask("谁？").map(|_| ""), testing::text("a")).expect("asked");
        let newer = |_| ask("名字？").map(|answer| answer.text().to_owned());
        assert_eq!(testing::deliver(newer, testing::text("小明")), Ok(Reply::text("名字？")));
        assert_eq!(testing::deliver(newer, testing::text("小明")), Ok(Reply::text("小明")));
    }

    #[test]
    fn an_event_is_no_answer() {
        let handle = |message: Message| {
            if message.kind == "event" {
                Ok("event".to_owned())
            } else {
                ask("谁？").map(|who| who.text().to_owned())
            }
        };
        testing::deliver(handle, testing::text("a")).expect("asked");
        assert_eq!(testing::deliver(handle, testing::event("CLICK")), Ok(Reply::text("event")));
        assert_eq!(testing::deliver(handle, testing::text("小明")), Ok(Reply::text("小明")));
        assert_eq!(conversation::recall(), Ok(None));
    }

    #[test]
    fn a_plugin_that_does_not_say_so_cannot_ask() {
        let error = ask("谁？").expect_err("refused");
        assert_eq!(error.code, "ask");
        assert_eq!(conversation::recall(), Ok(None));
    }
}

//! 答题: a questionnaire, one question a message, with a result at the end.
//!
//! The questions are a TOML file; questions.toml beside this source explains its format, and works
//! as it is:
//!
//! ```toml
//! [[bots.demo.rules]]
//! keyword = "答题"
//! plugin = "quiz"
//!
//! [plugins.quiz]
//! wasm = "target/wasm32-wasip2/release/quiz.wasm"
//! config = { questions = { file = "plugins/quiz/questions.toml" }, timeout = "1800" }
//! ```
//!
//! Every answer is stored when it is given, so a follower who stays away for longer than `timeout`
//! goes on later where the answers end. [`records`] says what is stored where.

mod answer;
mod questions;
mod records;

use std::ops::RangeInclusive;

use answer::{Answer, Command, Unclear};
use mynah_plugin::{Content, Error, Event, IntoReply, Message, config, conversation};
use questions::{Question, Questions};
use records::{AnswerRecord, Attempt, ResultRecord};
use serde::{Deserialize, Serialize};

/// How long a question waits for its answer where the settings do not say: half an hour.
const TIMEOUT_SECONDS: u32 = 30 * 60;

/// Less leaves no time to read a question; more than a day is better served by resuming.
const TIMEOUT_RANGE: RangeInclusive<u32> = 10..=24 * 60 * 60;

/// Starts the quiz, or goes on with it. Outside a conversation, whatever message the rules send
/// here starts it.
#[mynah_plugin::plugin]
fn handle(message: Message) -> impl IntoReply {
    let answer = match message.content() {
        // A menu button or a QR code may start the quiz, or show the question again.
        Content::Event(Event::Click { .. } | Event::Scan { .. } | Event::Subscribe { .. }) => None,
        Content::Event(_) => return Ok(None),
        _ => Some(message.text()),
    };
    let (questions, timeout_seconds) = settings()?;
    let quiz = Quiz { questions: &questions, follower: &message.sender, now: message.created, timeout_seconds };
    match (conversation::recall()?, answer) {
        (None, _) => quiz.start(),
        (Some(state), answer) => quiz.go_on(&state, answer),
    }
    .map(Some)
}

/// The questions and the time limit, or all that is wrong with them, on one line for the log.
fn settings() -> Result<(Questions, u32), Error> {
    let mut problems = Vec::new();
    let questions = match config::get("questions") {
        Some(file) => Questions::parse(&file).map_err(|found| problems.extend(found)).ok(),
        None => {
            problems.push("there is no `questions`; set `config = { questions = { file = \"…\" } }`".to_owned());
            None
        }
    };
    let timeout_seconds = match config::parse("timeout") {
        Ok(seconds) => seconds.unwrap_or(TIMEOUT_SECONDS),
        Err(error) => {
            problems.push(error.message);
            TIMEOUT_SECONDS
        }
    };
    if !TIMEOUT_RANGE.contains(&timeout_seconds) {
        let (least, most) = TIMEOUT_RANGE.into_inner();
        problems.push(format!("`timeout` is {timeout_seconds} seconds, and must be from {least} to {most}"));
    }
    match questions {
        Some(questions) if problems.is_empty() => Ok((questions, timeout_seconds)),
        _ => Err(Error::new("bad-config", one_line(&problems))),
    }
}

/// Numbers the problems where there are several, because a log line has no line breaks.
fn one_line(problems: &[String]) -> String {
    if let [problem] = problems {
        return problem.clone();
    }
    let numbered: Vec<_> = problems.iter().zip(1..).map(|(problem, number)| format!("({number}) {problem}")).collect();
    format!("{} problems: {}", problems.len(), numbered.join("; "))
}

/// Where a follower is: the conversation's state.
#[derive(Serialize, Deserialize)]
struct Place {
    /// [`Questions::version`] of the questions that are being answered.
    questions: String,
    /// Which of the follower's attempts this is.
    attempt: u32,
    /// The index of the question that waits for an answer.
    question: usize,
}

/// One message's view of the quiz.
struct Quiz<'a> {
    questions: &'a Questions,
    follower: &'a str,
    now: u32,
    timeout_seconds: u32,
}

impl Quiz<'_> {
    /// Outside a conversation: begins an attempt, takes up an unfinished one, or shows the result
    /// that there is to be only one of.
    fn start(&self) -> Result<String, Error> {
        let Some(attempt) = Attempt::load(self.follower)? else { return self.begin("", 1) };
        let number = attempt.number;
        if attempt.questions != self.questions.version() {
            self.begin("", number.saturating_add(1))
        } else if attempt.finished.is_none() {
            self.resume(&attempt)
        } else if self.questions.once {
            self.earlier_result(number)
        } else {
            self.begin("", number.saturating_add(1))
        }
    }

    /// Within a conversation. There is no `answer` in a tap on a menu button.
    fn go_on(&self, state: &[u8], answer: Option<&str>) -> Result<String, Error> {
        let command = answer.and_then(Command::of);
        if command == Some(Command::Leave) {
            conversation::end()?;
            return Ok("好的，先到这里。答过的题都记下了，下次可以接着答。".to_owned());
        }
        // A state that does not read was another version's of this plugin.
        let Ok(place) = serde_json::from_slice::<Place>(state) else { return self.start() };
        let next_attempt = place.attempt.saturating_add(1);
        if place.questions != self.questions.version() {
            return self.begin("题目刚刚有改动，前面的回答对不上了，麻烦从头再来一次。\n\n", next_attempt);
        }
        let Some(question) = self.questions.list.get(place.question) else { return self.start() };
        match (command, answer) {
            (Some(Command::Restart), _) => self.begin("好的，从头开始。\n\n", next_attempt),
            (Some(Command::Back), _) => self.back(&place),
            (_, Some(answer)) => match Answer::understand(question, answer) {
                Ok(understood) => self.take(&place, question, answer, understood),
                Err(unclear) => self.ask(&place, &format!("{}\n\n", hint(question, &unclear))),
            },
            (_, None) => self.ask(&place, ""),
        }
    }

    /// A new attempt, from the first question.
    fn begin(&self, notice: &str, attempt: u32) -> Result<String, Error> {
        let questions = self.questions.version();
        Attempt { number: attempt, questions: questions.clone(), started: self.now, finished: None }
            .save(self.follower)?;
        let place = Place { questions, attempt, question: 0 };
        self.ask(&place, &format!("{notice}{}\n\n", self.questions.opening()))
    }

    /// An unfinished attempt, from the first question without an answer.
    fn resume(&self, attempt: &Attempt) -> Result<String, Error> {
        let unanswered = self.next_unanswered(attempt.number, 0)?;
        let place = Place {
            questions: attempt.questions.clone(),
            attempt: attempt.number,
            question: unanswered.unwrap_or_default(),
        };
        if place.question == 0 {
            return self.ask(&place, &format!("{}\n\n", self.questions.opening()));
        }
        let title = &self.questions.title;
        self.ask(&place, &format!("继续上次的答题《{title}》。想从头来，就回复「重来」。\n\n"))
    }

    /// The question before this one, with the answer that it has.
    fn back(&self, place: &Place) -> Result<String, Error> {
        let Some(question) = place.question.checked_sub(1) else {
            return self.ask(place, "已经是第一题了。\n\n");
        };
        let place = Place { questions: place.questions.clone(), question, ..*place };
        let answered = match self.questions.list.get(question) {
            Some(question) => AnswerRecord::load(self.follower, place.attempt, &question.id)?,
            None => None,
        };
        let notice = answered.map(|answered| {
            format!("上次答的是「{}」，现在可以改。\n\n", excerpt(answered.choice.as_ref().unwrap_or(&answered.answer)))
        });
        self.ask(&place, &notice.unwrap_or_default())
    }

    /// Stores an answer. What comes next is the first question without one: usually the next, and
    /// after going back the one where the follower was before.
    fn take(&self, place: &Place, question: &Question, said: &str, understood: Answer) -> Result<String, Error> {
        let noted = match &understood.choice {
            Some(choice) => format!("✓ {}\n\n", excerpt(choice)),
            None => "✓ 记下了\n\n".to_owned(),
        };
        AnswerRecord {
            openid: self.follower.to_owned(),
            attempt: place.attempt,
            question: question.id.clone(),
            text: question.text.clone(),
            answer: said.to_owned(),
            choice: understood.choice,
            score: understood.score,
            at: self.now,
        }
        .save()?;
        match self.next_unanswered(place.attempt, place.question + 1)? {
            Some(question) => self.ask(&Place { questions: place.questions.clone(), question, ..*place }, &noted),
            None => Ok(noted + &self.finish(place.attempt)?),
        }
    }

    /// The end: adds up the answers, stores the result, and says it.
    fn finish(&self, number: u32) -> Result<String, Error> {
        let mut score = 0;
        for question in &self.questions.list {
            score += AnswerRecord::load(self.follower, number, &question.id)?.map_or(0, |answer| answer.score);
        }
        let started = Attempt::load(self.follower)?.map_or(self.now, |attempt| attempt.started);
        let result = ResultRecord {
            openid: self.follower.to_owned(),
            attempt: number,
            score,
            max: self.questions.max(),
            result: self.questions.result(score),
            started,
            finished: self.now,
        };
        result.save()?;
        Attempt { number, questions: self.questions.version(), started, finished: Some(self.now) }
            .save(self.follower)?;
        conversation::end()?;
        Ok(format!("《{}》答完了！\n{}", self.questions.title, self.verdict(&result)))
    }

    /// For somebody who has answered what can be answered only once.
    fn earlier_result(&self, attempt: u32) -> Result<String, Error> {
        conversation::end()?;
        let earlier = ResultRecord::load(self.follower, attempt)?;
        let verdict = earlier.map(|result| self.verdict(&result)).unwrap_or_default();
        Ok(format!("《{}》每人只答一次，你已经答过啦，谢谢！\n{verdict}", self.questions.title))
    }

    /// The score, where points can be had at all, and the result.
    fn verdict(&self, result: &ResultRecord) -> String {
        if self.questions.is_scored() {
            format!("得分：{} / {}\n\n{}", result.score, result.max, result.result)
        } else {
            format!("\n{}", result.result)
        }
    }

    /// Asks the question of this place, and waits there for the answer.
    fn ask(&self, place: &Place, notice: &str) -> Result<String, Error> {
        let state = serde_json::to_vec(place).map_err(|error| Error::new("bad-state", error.to_string()))?;
        conversation::remember(state, self.timeout_seconds)?;
        Ok(format!("{notice}{}", self.questions.prompt(place.question)))
    }

    /// The first question without an answer, looked for from one on that has answers to all before it.
    fn next_unanswered(&self, attempt: u32, from: usize) -> Result<Option<usize>, Error> {
        let list = &self.questions.list;
        // Those before are looked at once there is none, lest a result be made of too few.
        for index in (from..list.len()).chain(0..from.min(list.len())) {
            if !records::is_answered(self.follower, attempt, &list[index].id)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

/// What to say about an answer that is none.
fn hint(question: &Question, unclear: &Unclear) -> String {
    let expected = question.expected();
    match unclear {
        Unclear::NoText => format!("答题时我只看得懂文字。{expected}"),
        Unclear::NotAnAnswer => format!("没看懂这个回答。{expected}"),
        Unclear::TooLong { chars } => format!("写了 {chars} 个字，有点长了。{expected}"),
    }
}

/// The beginning of a text that the follower or the file's author may have made long.
fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;

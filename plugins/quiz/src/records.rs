//! What is stored, as JSON, and where:
//!
//! | key | value |
//! |---|---|
//! | `attempts/<openid>` | [`Attempt`]: the follower's latest |
//! | `answers/<openid>/<attempt>/<question id>` | [`AnswerRecord`], as soon as the answer is given |
//! | `results/<openid>/<attempt>` | [`ResultRecord`], once every question is answered |
//!
//! No key is shared by followers, and no keys are listed, since either would make the messages of all who answer at
//! one time wait for one another. How many attempts there were, the other keys tell.
//!
//! An attempt's number has four digits in a key, so that the order of the keys is that of the
//! attempts. An OpenID is made of letters, digits, `-` and `_`, and so are a question's ids: neither
//! can reach into another's keys.

use mynah_plugin::{Error, store};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A follower's latest attempt.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: u32,
    /// [`Questions::version`](crate::questions::Questions::version) of the questions.
    pub(crate) questions: String,
    /// When it began, in seconds since the Unix epoch, like every time here.
    pub(crate) started: u32,
    /// When the last question was answered.
    pub(crate) finished: Option<u32>,
}

/// One answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AnswerRecord {
    /// Whose it is.
    pub(crate) openid: String,
    /// In which attempt.
    pub(crate) attempt: u32,
    /// The question's id.
    pub(crate) question: String,
    /// The question's text at that time.
    pub(crate) text: String,
    /// What the follower wrote.
    pub(crate) answer: String,
    /// What that was taken for: the choice's text, or the number on the scale.
    pub(crate) choice: Option<String>,
    /// What it counts.
    pub(crate) score: i64,
    /// When it was given.
    pub(crate) at: u32,
}

/// A finished attempt's result.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultRecord {
    /// Whose it is.
    pub(crate) openid: String,
    /// Of which attempt.
    pub(crate) attempt: u32,
    /// The sum of the answers' scores.
    pub(crate) score: i64,
    /// The greatest sum that could have been.
    pub(crate) max: i64,
    /// The text that the follower got.
    pub(crate) result: String,
    /// When the attempt began.
    pub(crate) started: u32,
    /// When its last question was answered.
    pub(crate) finished: u32,
}

impl Attempt {
    pub(crate) fn load(openid: &str) -> Result<Option<Self>, Error> {
        load(&format!("attempts/{openid}"))
    }

    pub(crate) fn save(&self, openid: &str) -> Result<(), Error> {
        save(&format!("attempts/{openid}"), self)
    }
}

impl AnswerRecord {
    pub(crate) fn load(openid: &str, attempt: u32, question: &str) -> Result<Option<Self>, Error> {
        load(&format!("{}{question}", answers(openid, attempt)))
    }

    pub(crate) fn save(&self) -> Result<(), Error> {
        save(&format!("{}{}", answers(&self.openid, self.attempt), self.question), self)
    }
}

impl ResultRecord {
    pub(crate) fn load(openid: &str, attempt: u32) -> Result<Option<Self>, Error> {
        load(&format!("results/{openid}/{attempt:04}"))
    }

    pub(crate) fn save(&self) -> Result<(), Error> {
        save(&format!("results/{}/{:04}", self.openid, self.attempt), self)
    }
}

/// Whether this attempt has an answer to a question.
pub(crate) fn is_answered(openid: &str, attempt: u32, question: &str) -> Result<bool, Error> {
    Ok(store::get(&format!("{}{question}", answers(openid, attempt)))?.is_some())
}

/// The prefix of an attempt's answers.
fn answers(openid: &str, attempt: u32) -> String {
    format!("answers/{openid}/{attempt:04}/")
}

fn load<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let read = store::get(key)?.map(|value| serde_json::from_slice(&value)).transpose();
    read.map_err(|error| Error::new("bad-record", format!("`{key}`: {error}")))
}

fn save(key: &str, record: &impl Serialize) -> Result<(), Error> {
    let value = serde_json::to_vec(record).map_err(|error| Error::new("bad-record", format!("`{key}`: {error}")))?;
    store::set(key, value)
}

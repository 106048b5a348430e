//! The questions, and how they are shown.

mod file;

use crate::answer::numbers_are_clear;

/// Ids that are made from a question's place (`q01`) have two digits.
pub(crate) const MAX_QUESTIONS: usize = 99;

/// As many as there are letters to name them.
const CHOICES: std::ops::RangeInclusive<usize> = 2..=26;

/// Bytes that a question, the opening or a result may take. WeChat takes 2,048 for a text, and the
/// quiz has something of its own to say before it.
const MAX_BYTES: usize = 1600;

/// The title stands within other texts.
const MAX_TITLE_CHARS: usize = 40;

/// Where a scale may end; a number with more digits is not read as an answer either.
const MAX_SCALE: i32 = 1000;

/// Steps of a scale. Nobody tells 30 from 31 on a longer one.
const MAX_STEPS: i32 = 100;

/// A percentage, if need be.
const MAX_WEIGHT: i32 = 100;

/// The longest text that WeChat delivers has 2,048 bytes, which are 682 Chinese characters.
const MAX_FREE: usize = 600;

/// Where the file does not say.
const DEFAULT_FREE: usize = 300;

/// How far the totals may lie apart. Each of them is looked at with every message.
const MAX_TOTALS: i64 = 10_000;

/// What a result's text may have filled in.
const PLACEHOLDERS: [&str; 3] = ["score", "max", "title"];

/// A whole questionnaire without mistakes.
#[derive(Debug)]
pub(crate) struct Questions {
    /// What it is called.
    pub(crate) title: String,
    /// What is said before the first question; may be empty.
    intro: String,
    /// Whether a follower may finish it only once.
    pub(crate) once: bool,
    /// What is said at the end; may be empty.
    closing: String,
    /// At least one.
    pub(crate) list: Vec<Question>,
    /// None, or one for each total that can be.
    results: Vec<Band>,
}

/// One question.
#[derive(Debug)]
pub(crate) struct Question {
    /// Unique, and fit for a key in the store.
    pub(crate) id: String,
    /// What is asked.
    pub(crate) text: String,
    /// What is an answer.
    pub(crate) kind: Kind,
}

/// What is an answer to a question.
#[derive(Debug)]
pub(crate) enum Kind {
    /// One of these.
    Choices(Vec<Choice>),
    /// A number.
    Scale(Scale),
    /// Any text.
    Free {
        /// In characters.
        max_length: usize,
    },
}

/// One choice of a question.
#[derive(Debug)]
pub(crate) struct Choice {
    /// What it says.
    pub(crate) text: String,
    /// What it counts.
    pub(crate) score: i64,
}

/// From one number to another, both included.
#[derive(Debug)]
pub(crate) struct Scale {
    /// The least.
    pub(crate) min: i64,
    /// The greatest.
    pub(crate) max: i64,
    /// What the least means.
    pub(crate) low: Option<String>,
    /// What the greatest means.
    pub(crate) high: Option<String>,
    /// Whether the least counts as the greatest.
    reverse: bool,
    /// By how much a number counts.
    weight: i64,
}

/// The result for some of the totals.
#[derive(Debug)]
struct Band {
    from: i64,
    to: i64,
    text: String,
}

impl Scale {
    /// What a number on the scale counts.
    pub(crate) fn score(&self, value: i64) -> i64 {
        self.weight * if self.reverse { self.min + self.max - value } else { value }
    }
}

impl Question {
    /// What an answer should look like, as a whole sentence.
    pub(crate) fn expected(&self) -> String {
        match &self.kind {
            Kind::Choices(choices) => {
                let last = letters().nth(choices.len() - 1).unwrap_or('Z');
                if numbers_are_clear(choices) {
                    format!("请回复字母 A–{last}，数字 1–{}，或者选项的文字。", choices.len())
                } else {
                    format!("这题的选项里有数字，请回复字母 A–{last}，或者选项的文字。")
                }
            }
            Kind::Scale(Scale { min, max, .. }) => format!("请回复 {min} 到 {max} 的整数。"),
            Kind::Free { max_length } => format!("请用文字回答，最多 {max_length} 字。"),
        }
    }

    /// The least and the greatest that an answer counts.
    fn score_range(&self) -> (i64, i64) {
        let scores = self.scores();
        (scores.iter().min().copied().unwrap_or(0), scores.iter().max().copied().unwrap_or(0))
    }

    /// What the answers count.
    fn scores(&self) -> Vec<i64> {
        match &self.kind {
            Kind::Choices(choices) => choices.iter().map(|choice| choice.score).collect(),
            Kind::Scale(scale) => (scale.min..=scale.max).map(|value| scale.score(value)).collect(),
            Kind::Free { .. } => vec![0],
        }
    }
}

impl Questions {
    /// A name of the questions as far as answers depend on them: their ids, their order, and how
    /// they are counted. A corrected word leaves it as it is.
    pub(crate) fn version(&self) -> String {
        // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. Nobody gains by a collision here.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for question in &self.list {
            for byte in format!("{} {:?};", question.id, question.scores()).bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        format!("{hash:016x}")
    }

    /// The greatest possible total.
    pub(crate) fn max(&self) -> i64 {
        self.list.iter().map(|question| question.score_range().1).sum()
    }

    /// Whether one answer counts more than another anywhere.
    pub(crate) fn is_scored(&self) -> bool {
        self.list.iter().map(Question::score_range).any(|(least, most)| least != most)
    }

    /// What is said before the first question.
    pub(crate) fn opening(&self) -> String {
        let mut said = format!("《{}》\n", self.title);
        if !self.intro.is_empty() {
            said += &format!("{}\n\n", self.intro);
        }
        let count = self.list.len();
        said + &format!(
            "共 {count} 题。想改前一题的答案，回复「上一题」；想离开去做别的，回复「不答了」，下次可以接着答。"
        )
    }

    /// A question as it is asked.
    pub(crate) fn prompt(&self, index: usize) -> String {
        let Some(question) = self.list.get(index) else { return String::new() };
        let mut said = format!("【{}/{}】{}\n", index + 1, self.list.len(), question.text);
        match &question.kind {
            Kind::Choices(choices) => {
                let lines: Vec<_> = choices
                    .iter()
                    .zip(letters())
                    .map(|(choice, letter)| format!("{letter}. {}", choice.text))
                    .collect();
                said += &lines.join("\n");
            }
            Kind::Scale(Scale { min, max, low, high, .. }) => {
                let labels: Vec<_> = [(min, low), (max, high)]
                    .into_iter()
                    .filter_map(|(value, label)| Some(format!("{value} = {}", label.as_ref()?)))
                    .collect();
                said += &format!("（回复 {min} 到 {max} 的整数");
                if !labels.is_empty() {
                    said += &format!("：{}", labels.join("，"));
                }
                said += "）";
            }
            Kind::Free { max_length } => said += &format!("（用文字回答，最多 {max_length} 字）"),
        }
        said
    }

    /// The text for a total.
    pub(crate) fn result(&self, score: i64) -> String {
        let band = self.results.iter().find(|band| (band.from..=band.to).contains(&score));
        self.closed(band.map(|band| band.text.as_str()), score)
    }

    /// A result's text with the closing after it, filled in.
    fn closed(&self, result: Option<&str>, score: i64) -> String {
        let closing = Some(self.closing.as_str()).filter(|closing| !closing.is_empty());
        let said: Vec<_> = [result, closing].into_iter().flatten().collect();
        let said = if said.is_empty() { "谢谢参与！".to_owned() } else { said.join("\n\n") };
        // The title comes last, so that nothing in it is filled in.
        said.replace("{score}", &score.to_string())
            .replace("{max}", &self.max().to_string())
            .replace("{title}", &self.title)
    }

    /// Whether each total that can be has come up, from the least on.
    fn totals(&self) -> (i64, Vec<bool>) {
        let (mut least, mut possible) = (0, vec![true]);
        for question in &self.list {
            let (low, high) = question.score_range();
            let width = possible.len() + usize::try_from(high - low).unwrap_or(0);
            let mut next = vec![false; width];
            for score in question.scores() {
                let shift = usize::try_from(score - low).unwrap_or(0);
                for (total, _) in possible.iter().enumerate().filter(|(_, possible)| **possible) {
                    next[total + shift] = true;
                }
            }
            (least, possible) = (least + low, next);
        }
        (least, possible)
    }
}

/// A to Z.
fn letters() -> impl Iterator<Item = char> {
    'A'..='Z'
}

#[cfg(test)]
mod tests;

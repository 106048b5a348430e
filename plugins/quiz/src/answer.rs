//! What a follower means: one of the quiz's own words, or an answer to the question.
//!
//! Full-width forms, case, and punctuation around the text make no difference, the latter because
//! WeChat's speech recognition ends every utterance with a full stop.

use crate::questions::{Choice, Kind, Question};

/// A word that is no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Command {
    /// To the question before.
    Back,
    /// Out of the quiz.
    Leave,
    /// From the beginning.
    Restart,
}

impl Command {
    /// The command that this text is.
    pub(crate) fn of(text: &str) -> Option<Self> {
        match bare(&fold(text)) {
            "上一题" => Some(Self::Back),
            "不答了" => Some(Self::Leave),
            "重来" => Some(Self::Restart),
            _ => None,
        }
    }
}

/// An answer that was understood.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    /// The choice's text, or the number on the scale. A free text stands for itself.
    pub(crate) choice: Option<String>,
    /// What it counts.
    pub(crate) score: i64,
}

/// Why a message is no answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Unclear {
    /// A picture, a sticker, or speech that WeChat did not recognise.
    NoText,
    /// Not what the question asks for.
    NotAnAnswer,
    /// More than the question allows.
    TooLong {
        /// How long it is.
        chars: usize,
    },
}

impl Answer {
    /// Reads `text` as an answer to `question`.
    pub(crate) fn understand(question: &Question, text: &str) -> Result<Self, Unclear> {
        if text.trim().is_empty() {
            return Err(Unclear::NoText);
        }
        let folded = fold(text);
        match &question.kind {
            Kind::Choices(choices) => {
                let choice = choice(choices, &folded).ok_or(Unclear::NotAnAnswer)?;
                Ok(Self { choice: Some(choice.text.clone()), score: choice.score })
            }
            Kind::Scale(scale) => {
                let labelled = [(&scale.low, scale.min), (&scale.high, scale.max)]
                    .into_iter()
                    .find(|(label, _)| label.as_ref().is_some_and(|label| bare(&fold(label)) == bare(&folded)));
                let value = labelled.map(|(_, value)| value).or_else(|| numeral(&folded));
                let value = value.filter(|value| (scale.min..=scale.max).contains(value));
                let value = value.ok_or(Unclear::NotAnAnswer)?;
                Ok(Self { choice: Some(value.to_string()), score: scale.score(value) })
            }
            Kind::Free { max_length } => match text.trim().chars().count() {
                chars if chars > *max_length => Err(Unclear::TooLong { chars }),
                _ => Ok(Self { choice: None, score: 0 }),
            },
        }
    }
}

/// The choice that is meant: by its text, or by its letter or number with or without the text.
fn choice<'a>(choices: &'a [Choice], folded: &str) -> Option<&'a Choice> {
    // Before anything else, so that a choice may consist of punctuation only.
    if let Some(choice) = choices.iter().find(|choice| fold(&choice.text) == folded.trim()) {
        return Some(choice);
    }
    let said = bare(folded);
    if said.is_empty() {
        return None;
    }
    let picked = said.strip_prefix('我').unwrap_or(said);
    let picked = picked.strip_prefix("选择").or_else(|| picked.strip_prefix('选')).map_or(said, bare);
    for said in [said, picked] {
        if let Some(choice) = choices.iter().find(|choice| bare(&fold(&choice.text)) == said) {
            return Some(choice);
        }
    }
    let lettered = choices.iter().zip('a'..='z').find(|(choice, letter)| {
        picked.strip_prefix(*letter).is_some_and(|rest| {
            let rest = bare(rest);
            rest.is_empty() || rest == bare(&fold(&choice.text))
        })
    });
    match lettered {
        Some((choice, _)) => Some(choice),
        None if numbers_are_clear(choices) => {
            let index = usize::try_from(numeral(picked)?).ok()?.checked_sub(1)?;
            choices.get(index)
        }
        None => None,
    }
}

/// Whether a number can only mean a choice's place. Where choices are about numbers themselves
/// (`1–2 次`, `3 次以上`), a `3` might mean either, and it is better to ask than to note the wrong one.
pub(crate) fn numbers_are_clear(choices: &[Choice]) -> bool {
    choices.iter().zip(1..).all(|(choice, place)| {
        let text = fold(&choice.text);
        numeral(&text).is_none_or(|number| number == place) && !text.contains(|c: char| c.is_ascii_digit())
    })
}

/// A whole number in digits or in Chinese: `4`, `-2`, `四`, `十二`, `第三个`, `5分`.
fn numeral(folded: &str) -> Option<i64> {
    let said = bare(folded);
    let said = said.strip_prefix('第').unwrap_or(said);
    let said = said.strip_suffix(['个', '项', '分']).unwrap_or(said).trim();
    let (sign, digits) = match said.strip_prefix(['-', '−', '负']) {
        Some(digits) => (-1, digits),
        None => (1, said),
    };
    let number = match digits {
        "" => return None,
        // Too many digits do not parse.
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => i64::from(digits.parse::<u16>().ok()?),
        _ => chinese(digits)?,
    };
    Some(sign * number)
}

/// A number written in Chinese, below 1,000.
fn chinese(said: &str) -> Option<i64> {
    let (mut sum, mut digit, mut unit) = (0, None, 1000);
    for c in said.chars() {
        let value = match c {
            '零' | '〇' => 0,
            '一' => 1,
            '二' | '两' => 2,
            '三' => 3,
            '四' => 4,
            '五' => 5,
            '六' => 6,
            '七' => 7,
            '八' => 8,
            '九' => 9,
            '十' | '百' => {
                let next = if c == '十' { 10 } else { 100 };
                // 百 before 十, and each of them once.
                if next >= unit {
                    return None;
                }
                unit = next;
                sum += digit.take().unwrap_or(1) * unit;
                continue;
            }
            _ => return None,
        };
        // Two digits side by side are a guess (`三四`, three or four), unless the first is the 零 of 一百零五.
        if digit.replace(value).is_some_and(|before| before != 0) {
            return None;
        }
    }
    Some(sum + digit.unwrap_or(0))
}

/// The text with full-width forms made plain and in lower case, as rules in bots.toml compare it.
pub(crate) fn fold(text: &str) -> String {
    let narrow = |c| match c {
        '\u{3000}' => ' ',
        // The full-width forms repeat ASCII at this distance.
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    text.chars().map(narrow).flat_map(char::to_lowercase).collect()
}

/// A folded text without the white space and the punctuation around it. What may be a sign stays.
pub(crate) fn bare(folded: &str) -> &str {
    folded.trim_matches(|c: char| c.is_whitespace() || ".,!?;:~()[]<>\"'`。、…“”‘’「」『』《》【】·".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Questions;

    fn question(toml: &str) -> Question {
        let file = format!("title = 'T'\nclosing = 'C'\n[[questions]]\ntext = 'Q'\n{toml}");
        Questions::parse(&file).expect("a good file").list.remove(0)
    }

    /// What `text` is taken for, or `None` where it is no answer.
    fn meant(question: &Question, text: &str) -> Option<String> {
        Answer::understand(question, text).ok()?.choice
    }

    #[test]
    fn a_choice_is_named_by_letter_number_or_text() {
        let question = question("choices = ['苹果', 'Pear 梨', '香蕉。']");
        for said in [
            "b",
            "B",
            "Ｂ",
            " b. ",
            "（B）",
            "B、",
            "我选B",
            "选择 b",
            "选Ｂ。",
            "2",
            "２",
            "二",
            "两",
            "第二个",
            "2。",
        ] {
            assert_eq!(meant(&question, said).as_deref(), Some("Pear 梨"), "{said}");
        }
        for said in
            ["pear 梨", "ＰＥＡＲ　梨", "「Pear 梨」", "我选pear 梨。", "B. Pear 梨", "bpear 梨", "B：pear 梨！"]
        {
            assert_eq!(meant(&question, said).as_deref(), Some("Pear 梨"), "{said}");
        }
        for said in ["香蕉", "香蕉。", "c香蕉"] {
            assert_eq!(meant(&question, said).as_deref(), Some("香蕉。"), "{said}");
        }
        for said in [
            "d",
            "4",
            "0",
            "-1",
            "零",
            "ab",
            "A 香蕉",
            "苹",
            "苹果香蕉",
            "选",
            "我",
            "？",
            "1.5",
            "99999999999999999999",
        ] {
            assert_eq!(Answer::understand(&question, said), Err(Unclear::NotAnAnswer), "{said}");
        }
    }

    #[test]
    fn a_text_comes_before_a_number() {
        let amounts = question("choices = ['3', '2', '1']");
        assert_eq!(meant(&amounts, "3").as_deref(), Some("3"));
        assert_eq!(meant(&amounts, "c").as_deref(), Some("1"));
        let chinese = question("choices = ['二', '一']");
        assert_eq!(meant(&chinese, "一").as_deref(), Some("一"));
        assert_eq!(meant(&chinese, "1"), None);
    }

    #[test]
    fn a_number_is_refused_where_it_might_mean_an_amount() {
        let question = question("choices = ['０ 次', '1–2 次', '3 次以上']");
        assert_eq!(meant(&question, "1"), None);
        assert_eq!(meant(&question, "三"), None);
        assert_eq!(meant(&question, "b").as_deref(), Some("1–2 次"));
        assert_eq!(meant(&question, "1–2 次").as_deref(), Some("1–2 次"));
        assert!(!question.expected().contains("数字 1"));
    }

    #[test]
    fn choices_may_be_signs() {
        let question = question("choices = ['?', '!']");
        assert_eq!(meant(&question, "！").as_deref(), Some("!"));
        assert_eq!(meant(&question, "a").as_deref(), Some("?"));
        assert_eq!(meant(&question, "。"), None);
    }

    #[test]
    fn a_scale_takes_whole_numbers_and_its_labels() {
        let question = question("scale = { min = -2, max = 12, low = '从不', high = '总是！' }");
        for (said, value) in [
            ("5", "5"),
            ("５分。", "5"),
            ("五", "5"),
            ("007", "7"),
            ("十", "10"),
            ("十二", "12"),
            ("零", "0"),
            ("-2", "-2"),
            ("－1", "-1"),
            ("负二", "-2"),
            ("从不", "-2"),
            ("总是。", "12"),
        ] {
            assert_eq!(meant(&question, said).as_deref(), Some(value), "{said}");
        }
        for said in [
            "13",
            "-3",
            "一二",
            "十十",
            "三四",
            "4.5",
            "4 5",
            "五六",
            "差不多",
            "-",
            "--1",
            "第",
            "分",
            "b",
            "１２３４５６７",
        ] {
            assert_eq!(Answer::understand(&question, said), Err(Unclear::NotAnAnswer), "{said}");
        }
    }

    #[test]
    fn reads_chinese_numbers() {
        for (said, number) in
            [("十五", 15), ("二十", 20), ("九十九", 99), ("一百", 100), ("一百零五", 105), ("两百三十", 230)]
        {
            assert_eq!(numeral(said), Some(number), "{said}");
        }
        for said in ["十百", "百百", "一〇〇五五", "二三十"] {
            assert_eq!(numeral(said), None, "{said}");
        }
    }

    #[test]
    fn a_scale_counts_reversed_and_weighted() {
        let scored = |toml, said| Answer::understand(&question(toml), said).map(|answer| answer.score);
        assert_eq!(scored("scale = { min = 1, max = 5 }", "2"), Ok(2));
        assert_eq!(scored("scale = { min = 1, max = 5 }\nreverse = true", "2"), Ok(4));
        assert_eq!(scored("scale = { min = 0, max = 5 }\nreverse = true\nweight = 3", "1"), Ok(12));
        assert_eq!(scored("scale = { min = 0, max = 5 }\nweight = 0", "5"), Ok(0));
    }

    #[test]
    fn a_free_text_is_anything_of_some_length() {
        let question = question("free = true\nmax_length = 4");
        let answer = Answer { choice: None, score: 0 };
        assert_eq!(Answer::understand(&question, " 早睡早起 "), Ok(answer));
        assert_eq!(Answer::understand(&question, "早睡早起吧"), Err(Unclear::TooLong { chars: 5 }));
        assert_eq!(Answer::understand(&question, " \n"), Err(Unclear::NoText));
    }

    #[test]
    fn commands_stand_alone() {
        assert_eq!(Command::of(" 上一题。"), Some(Command::Back));
        assert_eq!(Command::of("不答了！"), Some(Command::Leave));
        assert_eq!(Command::of("「重来」"), Some(Command::Restart));
        assert_eq!(Command::of("上一题是什么"), None);
    }
}

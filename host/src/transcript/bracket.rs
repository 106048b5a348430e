//! `[kind words… name=value…]`: how anything but a plain text is written.

/// What stands in brackets, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bracket {
    /// The first word.
    pub(super) kind: String,
    /// The words after it.
    pub(super) words: Vec<String>,
    /// What is given by name.
    pub(super) named: Vec<(String, String)>,
}

impl Bracket {
    /// Takes apart what stands between the brackets.
    pub(super) fn read(inside: &str) -> Result<Self, String> {
        let mut bracket = Self::default();
        let mut rest = inside.trim_start();
        let mut first = true;
        while !rest.is_empty() {
            let name = if first { None } else { name_of(rest) };
            let value = name.map_or(rest, |name| &rest[name.len() + 1..]);
            let (value, after) = word(value)?;
            match name {
                Some(name) => bracket.named.push((name.to_owned(), value)),
                None if first => bracket.kind = value,
                None => bracket.words.push(value),
            }
            first = false;
            rest = after.trim_start();
        }
        Ok(bracket)
    }

    /// Takes out a value that is given by name.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.named.iter().position(|(given, _)| given == name)?;
        Some(self.named.remove(at).1)
    }
}

/// The name before a `=`, where there is one: not so in `http://host/?a=b`.
fn name_of(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'))?;
    let name = &text[..end];
    (text[end..].starts_with('=') && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')).then_some(name)
}

/// One word, in quotes or up to white space, and what follows it.
fn word(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a `\"` is not closed".into())
}

/// Writes brackets, with quotes where a word needs them.
pub(super) fn write(kind: &str, words: &[&str], named: &[(&str, Option<&str>)]) -> String {
    let mut text = format!("[{kind}");
    for word in words {
        text.push(' ');
        text.push_str(&quoted(word, name_of(word).is_some()));
    }
    for (name, value) in named {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={}", quoted(value, false)));
        }
    }
    text.push(']');
    text
}

fn quoted(word: &str, always: bool) -> String {
    if !always && !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '"') {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_words_and_names_apart() {
        let bracket =
            Bracket::read("link \"八哥 的家\" http://h/?a=b  description=\"say \\\"hi\\\"\\nnow\" x=").unwrap();
        assert_eq!(bracket.kind, "link");
        assert_eq!(bracket.words, ["八哥 的家", "http://h/?a=b"]);
        let expected = [("description", "say \"hi\"\nnow"), ("x", "")];
        assert_eq!(bracket.named, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(Bracket::read("a \"b"), Err("a `\"` is not closed".into()));
    }

    #[test]
    fn what_is_written_reads_back() {
        let words = ["plain", "two words", "", "a=b", "q\"q", "line\nline", "back\\slash"];
        let text = write("kind", &words, &[("name", Some("v v")), ("none", None)]);
        let bracket = Bracket::read(text.trim_start_matches('[').trim_end_matches(']')).unwrap();
        assert_eq!(bracket.words, words);
        assert_eq!(bracket.named, [("name".to_owned(), "v v".to_owned())]);
    }
}

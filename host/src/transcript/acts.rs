//! What a follower does, as text.

use super::bracket::Bracket;
use crate::wechat::callback::{Act, PICTURE};

/// The kinds that can stand in brackets, each with its arguments.
pub const KINDS: [(&str, &str); 9] = [
    ("image", "[URL]"),
    ("voice", "[WHAT WAS SAID]"),
    ("video", ""),
    ("shortvideo", ""),
    ("location", "LATITUDE LONGITUDE [LABEL]"),
    ("link", "[TITLE] URL [description=…]"),
    ("event", "NAME [key=…] [scene=…]"),
    ("text", "TEXT"),
    ("message", "TYPE [Field=value…]"),
];

/// Reads a line: a text, or what stands in brackets, such as `[image http://…]`. In a text `\n` is a new line, and a text that would
/// be taken for something else begins with a backslash.
pub fn read(line: &str) -> Result<Act, String> {
    let inside = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let Some(inside) = inside else { return Ok(Act::text(&unescaped(line))) };
    let kind = inside.split_whitespace().next().unwrap_or_default();
    if KINDS.iter().any(|(known, _)| *known == kind) {
        return read_inside(inside);
    }
    // WeChat's own emoticons arrive so: [微笑], [Smile].
    let is_text = kind.len() == inside.trim().len() || !kind.chars().all(|c| c.is_ascii_lowercase());
    if is_text {
        return Ok(Act::text(&unescaped(line)));
    }
    Err(format!(
        "there is no message of kind `{kind}`, only {}; a text that begins so is written `\\[{kind} …`",
        kinds()
    ))
}

/// Reads what stands in the brackets.
pub fn read_inside(inside: &str) -> Result<Act, String> {
    let mut given = Bracket::read(inside)?;
    let words = given.words.join(" ");
    let mut act = match given.kind.as_str() {
        "image" => Act::image(if words.is_empty() { PICTURE } else { &words }),
        "voice" => Act::voice(Some(words.as_str()).filter(|words| !words.is_empty())),
        "video" => Act::video(),
        "shortvideo" => Act::short_video(),
        "text" => Act::text(&words),
        "location" => {
            let [latitude, longitude, label @ ..] = given.words.as_slice() else {
                return Err("a location has a latitude and a longitude: `location 23.13 113.36 广州`".into());
            };
            if let Some(bad) = [latitude, longitude].into_iter().find(|number| number.parse::<f64>().is_err()) {
                return Err(format!("`{bad}` is no number of degrees"));
            }
            Act::location(latitude, longitude, &label.join(" "))
        }
        "link" => {
            let description = given.take("description").unwrap_or_default();
            let Some((url, title)) = given.words.split_last() else {
                return Err("a link has a URL: `link 八哥 https://example.com/`".into());
            };
            Act::link(&title.join(" "), &description, url)
        }
        "event" => event(&mut given)?,
        "message" => match given.words.as_slice() {
            [kind] => Act::new(kind),
            _ => return Err("a message has one type: `message file Title=a.pdf`".into()),
        },
        other => return Err(format!("there is no message of kind `{other}`, only {}", kinds())),
    };
    for (name, value) in &given.named {
        act = act.with(name, value);
    }
    Ok(act)
}

fn event(given: &mut Bracket) -> Result<Act, String> {
    let (key, scene) = (given.take("key"), given.take("scene"));
    let [name] = given.words.as_slice() else {
        return Err("an event has one name: `event subscribe`, `event CLICK key=HELP`".into());
    };
    Ok(match (key, scene) {
        (Some(_), Some(_)) => return Err("an event has a key or a scene, not both".into()),
        (Some(key), None) => Act::event(name, &key),
        (None, Some(scene)) => Act::scan(name, &scene),
        // Those that tell of something else have no key at all.
        (None, None) if !given.named.is_empty() => Act::new("event").with("Event", name),
        (None, None) => Act::event(name, ""),
    })
}

fn kinds() -> String {
    KINDS.map(|(kind, _)| format!("`{kind}`")).join(", ")
}

/// A text as it is meant.
fn unescaped(text: &str) -> String {
    let mut meant = String::new();
    let mut chars = text.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('n')) => meant.push('\n'),
            ('\\', Some('\\')) => meant.push('\\'),
            ('\\', Some(&next @ ('[' | '/'))) if first => meant.push(next),
            _ => {
                meant.push(c);
                first = false;
                continue;
            }
        }
        chars.next();
        first = false;
    }
    meant
}

/// A text as a line that reads back as it.
pub fn written(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\r', "").replace('\n', "\\n");
    if escaped.starts_with(['[', '/']) && read(&escaped).ok() != Some(Act::text(text)) || escaped.starts_with('/') {
        return format!("\\{escaped}");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> (String, Vec<(String, String)>) {
        let act = read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        (act.kind, act.fields.into_iter().map(|field| (field.name, field.value)).collect())
    }

    fn field(line: &str, name: &str) -> String {
        let (_, fields) = fields(line);
        fields.into_iter().find(|(given, _)| given == name).unwrap_or_else(|| panic!("{line}: no {name}")).1
    }

    #[test]
    fn a_plain_line_is_a_text() {
        for text in ["你好", "[微笑]", "[Smile]", "[Aha] x", "/::)", "a [b] c", "[你 好]", "¯\\_(ツ)_/¯", "[x]"]
        {
            assert_eq!(field(text, "Content"), text);
        }
        assert_eq!(field("一\\n二", "Content"), "一\n二");
        assert_eq!(field("\\[image]", "Content"), "[image]");
        assert_eq!(field("a\\\\n", "Content"), "a\\n");
        assert_eq!(field("[text [image]]", "Content"), "[image]");
    }

    #[test]
    fn every_kind_can_be_written() {
        assert_eq!(field("[image http://h/a?b=c]", "PicUrl"), "http://h/a?b=c");
        assert_eq!(field("[image]", "PicUrl"), PICTURE);
        assert_eq!(field("[image http://h MediaId=m7]", "MediaId"), "m7");
        assert_eq!(field("[voice 今天 天气]", "Recognition"), "今天 天气");
        assert!(fields("[voice]").1.iter().all(|(name, _)| name != "Recognition"));
        assert_eq!(fields("[video]").0, "video");
        assert_eq!(fields("[shortvideo]").0, "shortvideo");
        assert_eq!(field("[location 23.13 113.36 广州 塔]", "Label"), "广州 塔");
        assert_eq!(field("[link 八哥 的家 http://h]", "Title"), "八哥 的家");
        assert_eq!(field("[event subscribe scene=fair]", "EventKey"), "qrscene_fair");
        assert_eq!(field("[event SCAN scene=fair]", "EventKey"), "fair");
        assert_eq!(field("[event CLICK key=HELP]", "EventKey"), "HELP");
        assert_eq!(field("[event unsubscribe]", "EventKey"), "");
        let (_, location) = fields("[event LOCATION Latitude=23.1 Longitude=113.3]");
        assert_eq!(location.len(), 3);
        assert_eq!(fields("[message file Title=a.pdf]").0, "file");
    }

    #[test]
    fn says_what_is_wrong_and_what_to_write() {
        let error = |line: &str| read(line).unwrap_err();
        assert!(error("[imgae http://h]").contains("no message of kind `imgae`"));
        assert!(error("[location 23.1]").contains("a latitude and a longitude"));
        assert_eq!(error("[location a b]"), "`a` is no number of degrees");
        assert!(error("[event]").contains("an event has one name"));
        assert!(error("[event SCAN key=a scene=b]").contains("not both"));
        assert!(error("[link]").contains("a link has a URL"));
        assert!(error("[message]").contains("one type"));
        assert!(error("[image \"http://h]").contains("not closed"));
    }

    #[test]
    fn a_text_that_is_written_reads_back() {
        for text in ["你好", "[image]", "[image x]", "[imgae x]", "[微笑]", "/help", "a\nb", "\\[x", "\\n", "[text a]"]
        {
            assert_eq!(read(&written(text)).unwrap(), Act::text(text), "{}", written(text));
        }
        assert_eq!(written("[微笑]"), "[微笑]");
    }
}

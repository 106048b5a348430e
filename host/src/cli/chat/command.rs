//! What is typed in a chat: a message as transcripts have it, or a command that begins with a slash.

use crate::{transcript::acts, wechat::callback::Act};

/// Something typed.
#[derive(Debug, PartialEq)]
pub(super) enum Typed {
    Nothing,
    /// Something that the follower does, and how a transcript has it.
    Act(Act, String),
    /// A link of the last reply, counted from 1.
    Pick(usize),
    As(String),
    Bot(String),
    Why,
    Record(String),
    Help,
    Quit,
}

pub(super) const HELP: &str = "\
a line is a text; anything else begins with a slash (and a text that does so begins with a backslash)
  /image [URL]                        a picture
  /voice [WHAT WAS SAID]              a voice message, as WeChat recognised it
  /video, /shortvideo                 a video
  /location LATITUDE LONGITUDE LABEL  a place
  /link [TITLE] URL [description=…]   a page
  /event NAME [key=…] [scene=…]       subscribe, unsubscribe, SCAN, CLICK, LOCATION …
  /click KEY                          a menu button
  /message TYPE [Field=value…]        anything else; WeChat's own names set any field of the above, too
  /1, /2 …                            taps a link of the last reply
  /as NAME, /bot NAME                 talk as another follower, to another bot
  /why                                which rule and plugin answered, its time, its log
  /record FILE                        writes this conversation to a transcript, for `mynah test`
  /quit                               or the end of the input";

/// Takes a line apart. The error says what is wrong with it.
pub(super) fn read(line: &str) -> Result<Typed, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Typed::Nothing);
    }
    let Some(command) = line.strip_prefix('/').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    else {
        return Ok(Typed::Act(acts::read(line)?, line.to_owned()));
    };
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let needed = |what: &str| match rest {
        "" => Err(format!("`/{name}` needs {what}")),
        given => Ok(given.to_owned()),
    };
    if let Ok(number) = name.parse() {
        return Ok(Typed::Pick(number));
    }
    Ok(match name {
        "as" => Typed::As(needed("a name")?),
        "bot" => Typed::Bot(needed("a bot's name")?),
        "record" => Typed::Record(needed("a file")?),
        "why" => Typed::Why,
        "help" => Typed::Help,
        "quit" | "exit" => Typed::Quit,
        "click" => act(&format!("event CLICK key={}", needed("a key")?))?,
        _ if acts::KINDS.iter().any(|(kind, _)| *kind == name) => act(command)?,
        _ => return Err(format!("there is no command `/{name}`; `/help` lists them, and `\\/{name}` is a text")),
    })
}

/// A command that does what the same words do in brackets.
fn act(inside: &str) -> Result<Typed, String> {
    Ok(Typed::Act(acts::read_inside(inside)?, format!("[{inside}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_a_transcript_has_in_brackets() {
        for (typed, written) in [
            ("你好", "你好"),
            (" /::) ", "/::)"),
            ("/image http://h/a", "[image http://h/a]"),
            ("/event subscribe scene=fair", "[event subscribe scene=fair]"),
            ("/click HELP", "[event CLICK key=HELP]"),
            ("[voice 天气]", "[voice 天气]"),
            ("\\/help", "\\/help"),
        ] {
            let expected = Typed::Act(acts::read(written).unwrap(), written.to_owned());
            assert_eq!(read(typed), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn the_other_commands_are_known_and_say_what_they_need() {
        assert_eq!(read("/2"), Ok(Typed::Pick(2)));
        assert_eq!(read("/as 小红"), Ok(Typed::As("小红".into())));
        assert_eq!(read(""), Ok(Typed::Nothing));
        assert_eq!(read("/as"), Err("`/as` needs a name".into()));
        assert!(read("/hlep").unwrap_err().contains("no command `/hlep`"));
        assert!(read("/location 1").unwrap_err().contains("latitude"));
        for (kind, _) in acts::KINDS {
            assert!(kind == "text" || HELP.contains(&format!("/{kind}")), "{kind}");
        }
    }
}

//! A plugin added to the text of a `bots.toml` that somebody wrote by hand: lines are put in, nothing else is touched.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What is put into `bots.toml` for a new plugin.
#[derive(Debug)]
pub struct Addition {
    /// The plugin's name.
    pub name: String,
    /// A rule's keys, without its header.
    pub rule: String,
    /// The plugin's table, with its header.
    pub table: String,
}

/// A `bots.toml` for somebody who has none, before anything is added.
pub const EMPTY: &str = r#"# The bots of `mynah serve`; `mynah check` says what is wrong with this file.

[server]
listen = "127.0.0.1:8080"           # where WeChat, or the proxy before us, calls
state = "data/mynah.db"             # what plugins store; made when missing

[bots.demo]
path  = "/weixin/"                  # the path of the URL in the account's server configuration
token = { env = "WECHAT_TOKEN", default = "mynah" }
on_error = "我走神了，请再说一遍。"    # what a follower gets when a plugin fails
"#;

impl Addition {
    /// The rule with its header, for this bot.
    pub fn rule_of(&self, bot: &str) -> String {
        format!("[[bots.{bot}.rules]]\n{}", self.rule)
    }

    /// The text with the plugin added: its rule above the one that answers everything, its table at the end. Says why it cannot be done
    /// where the file is written in a way that lines cannot be put into.
    pub fn put_into(&self, text: &str, bot: Option<&str>) -> Result<String, String> {
        let document = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
        let document = document.get_ref();
        if table(document, "plugins").is_some_and(|plugins| plugins.contains_key(self.name.as_str())) {
            return Err(format!("it has a plugin `{}` already", self.name));
        }
        let bots = table(document, "bots").ok_or("it has no bots")?;
        let (name, rules) = bots
            .iter()
            .find(|(name, _)| bot.is_none_or(|bot| bot == name.get_ref().as_ref()))
            .ok_or_else(|| format!("it has no bot `{}`", bot.unwrap_or_default()))?;
        let rules = match rules.get_ref() {
            DeValue::Table(bot) => bot.get("rules").map(Spanned::get_ref),
            _ => None,
        };
        let rule = self.rule_of(name.get_ref());
        let end = format!("{}\n", text.trim_end());
        let at = match catch_all(rules, text)? {
            Some(at) => Some(at),
            None => text.find("\n[plugins").map(|at| at + 1).filter(|at| last(rules) < *at),
        };
        let done = match at {
            Some(at) => format!("{}{rule}\n{}\n\n{}", &text[..at], text[at..].trim_end(), self.table),
            None => format!("{end}\n{rule}\n{}", self.table),
        };
        match DeTable::parse(&done) {
            Ok(_) => Ok(done),
            Err(_) => Err("its rules are not tables of their own lines".to_owned()),
        }
    }
}

/// Where the last rule begins.
fn last(rules: Option<&DeValue<'_>>) -> usize {
    match rules {
        Some(DeValue::Array(rules)) => rules.iter().last().map_or(0, |rule| rule.span().start),
        _ => 0,
    }
}

/// Where the lines of the last rule without a condition begin, with its comment; none if there is none.
fn catch_all(rules: Option<&DeValue<'_>>, text: &str) -> Result<Option<usize>, String> {
    let inline = "its rules are not written as `[[bots.NAME.rules]]`".to_owned();
    let rules = match rules {
        None => return Ok(None),
        Some(DeValue::Array(rules)) => rules,
        Some(_) => return Err(inline),
    };
    let Some(last) = rules.iter().last() else { return Err(inline) };
    let start = last.span().start;
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    if !text[line..].trim_start().starts_with("[[") {
        return Err(inline);
    }
    let DeValue::Table(last) = last.get_ref() else { return Err(inline) };
    if last.keys().any(|key| !matches!(key.get_ref().as_ref(), "plugin" | "reply")) {
        return Ok(None);
    }
    // Its comment belongs to it.
    let mut at = line;
    for above in text[..line].lines().rev() {
        if !above.starts_with('#') {
            break;
        }
        at -= above.len() + 1;
    }
    Ok(Some(at))
}

fn table<'a, 'i>(document: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    match document.get(key)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addition() -> Addition {
        Addition {
            name: "hello".into(),
            rule: "prefix = \"hello\"\nplugin = \"hello\"\n".into(),
            table: "[plugins.hello]\nwasm = \"hello.wasm\"\n".into(),
        }
    }

    #[test]
    fn the_rule_goes_above_the_one_that_answers_everything_and_the_table_to_the_end() {
        let text = "[bots.demo]\ntoken = \"x\"\n\n[[bots.demo.rules]]\nkeyword = \"a\"\nreply = \"b\"   # kept\n\n# The rest.\n\
                    [[bots.demo.rules]]\nplugin = \"echo\"\n\n[plugins.echo]\nwasm = \"echo.wasm\"\n";
        let expected = "[bots.demo]\ntoken = \"x\"\n\n[[bots.demo.rules]]\nkeyword = \"a\"\nreply = \"b\"   # kept\n\n\
                        [[bots.demo.rules]]\nprefix = \"hello\"\nplugin = \"hello\"\n\n# The rest.\n[[bots.demo.rules]]\n\
                        plugin = \"echo\"\n\n[plugins.echo]\nwasm = \"echo.wasm\"\n\n[plugins.hello]\nwasm = \"hello.wasm\"\n";
        assert_eq!(addition().put_into(text, None).as_deref(), Ok(expected));
    }

    #[test]
    fn without_such_a_rule_it_goes_to_the_end() {
        let text = "[bots.a]\n[bots.b]\n[[bots.b.rules]]\nkeyword = \"a\"\nreply = \"b\"";
        let done = addition().put_into(text, Some("b")).expect("added");
        assert_eq!(
            done,
            format!(
                "{text}\n\n[[bots.b.rules]]\nprefix = \"hello\"\nplugin = \"hello\"\n\n[plugins.hello]\nwasm = \"hello.wasm\"\n"
            )
        );
        let first = addition().put_into(EMPTY, None).expect("added");
        assert!(first.starts_with(EMPTY));
        // The rules stay together.
        let other =
            Addition { name: "other".into(), rule: "prefix = \"other\"\n".into(), table: "[plugins.other]\n".into() };
        let second = other.put_into(&first, None).expect("added");
        let at = |text: &str| second.find(text).unwrap_or_else(|| panic!("{second}"));
        assert!(
            at("prefix = \"hello\"") < at("prefix = \"other\"") && at("prefix = \"other\"") < at("[plugins.hello]")
        );
    }

    #[test]
    fn says_why_it_cannot_be_added() {
        let says = |text: &str, bot| addition().put_into(text, bot).expect_err("refused");
        assert_eq!(says("[bots.a]\n[plugins.hello]\n", None), "it has a plugin `hello` already");
        assert_eq!(says("[server]\n", None), "it has no bots");
        assert_eq!(says("[bots.a]\n", Some("b")), "it has no bot `b`");
        let inline = "its rules are not written as `[[bots.NAME.rules]]`";
        assert_eq!(says("[bots.a]\nrules = [{ keyword = \"a\", reply = \"b\" }]\n", None), inline);
        assert_eq!(says("[bots.a]\nrules = []\n", None), inline);
        assert!(!says("[bots", None).is_empty());
    }
}

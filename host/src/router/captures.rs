//! What a rule takes out of a message, and how a template is filled with it.

use std::borrow::Cow;

use super::entry::{self, Entry, Facts, TextCondition};
use crate::{
    config::{
        pattern::Pattern,
        rule::{Action, Events, Rule},
    },
    text::Text,
    wechat::document::Field,
};

/// The names of all that a rule, or a row of its table, could ever capture.
pub fn capture_names(rule: &Rule) -> Vec<String> {
    let rows = match &rule.action {
        Action::Replies(rows) => rows.as_slice(),
        Action::Plugin(_) | Action::Reply(_) | Action::TreatAs(_) => &[],
    };
    let entries = rows.iter().map(Some).chain([None]).map(|row| Entry { rule, row });
    let mut names = Vec::new();
    let mut add = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    for (_, condition) in entries.flat_map(Entry::text_conditions) {
        match condition {
            TextCondition::Prefix(_) => add(REST),
            TextCondition::Regex(patterns) => {
                for (number, name) in patterns.iter().flat_map(groups) {
                    if let Some(name) = name {
                        add(name);
                    }
                    add(&number.to_string());
                }
            }
            TextCondition::Keyword(_) | TextCondition::Contains(_) => {}
        }
    }
    if rule.event != Events::None {
        add(SCENE);
    }
    names
}

/// Puts captures into a template, each in the place of its `{name}`. Braces that name none stay as they are, and those
/// inside a capture are never looked at: a follower cannot ask for another capture.
pub fn fill<'t>(template: &'t str, captures: &[Field]) -> Cow<'t, str> {
    let mut filled = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(open) = template[from..].find('{').map(|at| from + at) {
        from = open + 1;
        let Some(close) = template[from..].find(['{', '}']).map(|at| from + at) else {
            break;
        };
        let name = &template[from..close];
        if template[close..].starts_with('}')
            && let Some(capture) = captures.iter().find(|capture| capture.name == name)
        {
            filled += &template[copied..open];
            filled += &capture.value;
            from = close + 1;
            copied = from;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(template);
    }
    filled += &template[copied..];
    Cow::Owned(filled)
}

/// The names in a template's braces that look like captures: letters, digits and `_`.
pub fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| {
        let name = &rest[..rest.find('}')?];
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        plain.then_some(name)
    })
}

/// What an entry captures from a message that it meets: every group of its patterns, what follows its longest prefix,
/// the scene. Of two captures with one name, the row's goes before the rule's, and a group before the rest.
pub(super) fn of(entry: Entry<'_>, facts: &Facts<'_>) -> Vec<Field> {
    let mut captures = Captures::default();
    if let Some(text) = &facts.text {
        let mut rest_from = None;
        for (_, condition) in entry.text_conditions() {
            match condition {
                TextCondition::Prefix(words) => {
                    let longest = words.iter().filter_map(|word| entry::prefix_len(text.folded(), word)).max();
                    rest_from = rest_from.max(longest);
                }
                TextCondition::Regex(patterns) => captures.add_groups(text, patterns),
                TextCondition::Keyword(_) | TextCondition::Contains(_) => {}
            }
        }
        if let Some(from) = rest_from {
            captures.add(REST, text.sent(from..text.folded().len()).trim());
        }
    }
    if let Some(scene) = facts.event.as_ref().and_then(|event| event.scene) {
        captures.add(SCENE, scene);
    }
    captures.taken
}

const REST: &str = "rest";
const SCENE: &str = "scene";

#[derive(Default)]
struct Captures {
    taken: Vec<Field>,
}

impl Captures {
    fn add(&mut self, name: &str, value: &str) {
        if !self.taken.iter().any(|taken| taken.name == name) {
            self.taken.push(Field { name: name.to_owned(), value: value.to_owned() });
        }
    }

    /// The groups of the first pattern that matches. Groups that took no part, and those of the other patterns, are
    /// empty, so that a template never shows the follower a name.
    fn add_groups(&mut self, text: &Text<'_>, patterns: &[Pattern]) {
        if patterns.iter().all(|pattern| pattern.groups().len() == 0) {
            return;
        }
        let matched = patterns.iter().find_map(|pattern| {
            let found = pattern.regex()?.captures(text.folded())?;
            Some((pattern, found))
        });
        if let Some((pattern, found)) = &matched {
            for (number, name) in groups(pattern) {
                let value = found.get(number).map_or("", |group| text.sent(group.range()));
                if let Some(name) = name {
                    self.add(name, value);
                }
                self.add(&number.to_string(), value);
            }
        }
        for (number, name) in patterns.iter().flat_map(groups) {
            if let Some(name) = name {
                self.add(name, "");
            }
            self.add(&number.to_string(), "");
        }
    }
}

/// The groups of a pattern with their numbers; the whole match, which is 0, is not one.
fn groups(pattern: &Pattern) -> impl Iterator<Item = (usize, Option<&str>)> {
    (1..).zip(pattern.groups())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captures(pairs: &[(&str, &str)]) -> Vec<Field> {
        pairs.iter().map(|&(name, value)| Field { name: name.to_owned(), value: value.to_owned() }).collect()
    }

    #[test]
    fn a_name_in_braces_is_filled() {
        let given = captures(&[("scene", "shop-1"), ("1", "甲")]);
        assert_eq!(fill("来自 {scene} 的{1}", &given), "来自 shop-1 的甲");
        assert!(matches!(fill("没有", &given), Cow::Borrowed("没有")));
    }

    #[test]
    fn other_braces_stay() {
        let given = captures(&[("a", "1")]);
        for (template, filled) in [
            ("{b}", "{b}"),
            ("{", "{"),
            ("}{a", "}{a"),
            ("{{a}}", "{1}"),
            ("{ a}", "{ a}"),
            ("{}", "{}"),
            ("{a}{a", "1{a"),
        ] {
            assert_eq!(fill(template, &given), filled);
        }
    }

    #[test]
    fn a_captures_own_braces_are_not_filled() {
        let given = captures(&[("rest", "{secret}{rest}"), ("secret", "no")]);
        assert_eq!(fill("{rest}!", &given), "{secret}{rest}!");
    }

    proptest! {
        #[test]
        fn without_captures_nothing_changes(template in "[{}a你]{0,12}") {
            prop_assert_eq!(&fill(&template, &[]), &template);
        }
    }
}

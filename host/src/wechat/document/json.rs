//! JSON with the keys that the XML has.
//!
//! Read straight into the tree: a `serde_json::Value` would let the last of two equal keys win, and hold the whole body before any
//! bound but its size applies.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::ParseError;
use super::tree::{NodeId, Tree};

pub(super) fn read(text: &str) -> Result<Tree<'static>, ParseError> {
    let mut target = Target { tree: Tree::new("xml")?, refused: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let outcome = Seed { target: &mut target, place: Place::Root }.deserialize(&mut json).and_then(|()| json.end());
    match (target.refused, outcome) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(ParseError::Json(error.to_string())),
        (None, Ok(())) => Ok(target.tree),
    }
}

struct Target {
    tree: Tree<'static>,
    /// Why the tree took no more; serde's own error could only carry the text.
    refused: Option<ParseError>,
}

impl Target {
    fn note<T, E: serde::de::Error>(&mut self, result: Result<T, ParseError>) -> Result<T, E> {
        result.map_err(|error| {
            self.refused = Some(error);
            E::custom("refused")
        })
    }
}

/// A value that has not been read yet.
struct Seed<'t, 'n> {
    target: &'t mut Target,
    place: Place<'n>,
}

/// Where a value belongs.
#[derive(Clone, Copy)]
enum Place<'n> {
    Root,
    /// Under a key.
    Member {
        parent: NodeId,
        key: &'n str,
    },
    /// In the array under a key: a sibling of the same name, as XML has it.
    Element {
        parent: NodeId,
        key: &'n str,
    },
    /// In an array within an array.
    Nameless {
        parent: NodeId,
    },
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Seed<'_, '_> {
    fn open<E: serde::de::Error>(&mut self) -> Result<NodeId, E> {
        let tree = &mut self.target.tree;
        let opened = match self.place {
            Place::Root => Ok(NodeId::ROOT),
            Place::Member { parent, key } => tree.open(parent, key, false),
            Place::Element { parent, key } => tree.open(parent, key, true),
            Place::Nameless { parent } => tree.open_nameless(parent),
        };
        self.target.note(opened)
    }

    fn leaf<E: serde::de::Error>(mut self, text: String) -> Result<(), E> {
        let node = self.open()?;
        let set = self.target.tree.set_text(node, text.into());
        self.target.note(set)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let node = self.open()?;
        let mut empty = true;
        while let Some(key) = map.next_key::<String>()? {
            empty = false;
            let place = Place::Member { parent: node, key: &key };
            map.next_value_seed(Seed { target: self.target, place })?;
        }
        if empty && node != NodeId::ROOT {
            let set = self.target.tree.set_text(node, "".into());
            self.target.note(set)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let place = match self.place {
            Place::Member { parent, key } => Place::Element { parent, key },
            _ => Place::Nameless { parent: self.open()? },
        };
        let mut empty = true;
        while list.next_element_seed(Seed { target: self.target, place })?.is_some() {
            empty = false;
        }
        match place {
            Place::Nameless { parent } if empty => {
                let set = self.target.tree.set_text(parent, "".into());
                self.target.note(set)
            }
            _ if empty => self.leaf(String::new()),
            _ => Ok(()),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.leaf(text.to_owned())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.leaf(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.leaf(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        // The shortest text that reads back as the same number, which is what WeChat's coordinates were.
        let text = serde_json::Number::from_f64(number).ok_or_else(|| E::custom("number out of range"))?;
        self.leaf(text.to_string())
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        self.leaf(truth.to_string())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.leaf(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, MAX_DEPTH, MAX_LEAVES};

    fn leaves(body: &str) -> Vec<(String, String)> {
        let document = Document::parse(body.as_bytes()).unwrap();
        document.into_leaves().into_iter().map(|leaf| (leaf.name.into(), leaf.value.into())).collect()
    }

    fn error(body: &str) -> String {
        Document::parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[track_caller]
    fn check(body: &str, expected: &[(&str, &str)]) {
        let found = leaves(body);
        let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_scalar_becomes_its_text() {
        check(
            r#" {"A": " x\n\u5fae", "b": true, "c": null, "d": -1, "E": 23.137466, "F": 0} "#,
            &[("A", " x\n微"), ("b", "true"), ("c", ""), ("d", "-1"), ("E", "23.137466"), ("F", "0")],
        );
    }

    #[test]
    fn ids_keep_all_their_digits() {
        check(r#"{"msgid": 18446744073709551615}"#, &[("MsgId", "18446744073709551615")]);
        check(r#"{"MsgId": 9223372036854775807}"#, &[("MsgId", "9223372036854775807")]);
    }

    #[test]
    fn arrays_become_indexed_siblings() {
        check(
            r#"{"A": [1, {"B": [2]}], "C": [], "D": {}, "List": {"e": 1}, "F": [[3, []], []]}"#,
            &[
                ("A.0", "1"),
                ("A.1.B.0", "2"),
                ("C", ""),
                ("D", ""),
                ("List.0.e", "1"),
                ("F.0.0", "3"),
                ("F.0.1", ""),
                ("F.1", ""),
            ],
        );
    }

    #[test]
    fn a_repeated_key_is_a_repeated_element() {
        check(r#"{"A": 1, "A": [2, 3]}"#, &[("A.0", "1"), ("A.1", "2"), ("A.2", "3")]);
        assert_eq!(error(r#"{"FromUserName": "a", "fromusername": "b"}"#), "`FromUserName` stands there twice");
        assert_eq!(error(r#"{"FromUserName": ["a", "b"]}"#), "`FromUserName` stands there twice");
    }

    #[test]
    fn refuses_what_is_not_json() {
        assert_eq!(error("{"), "malformed JSON: EOF while parsing an object at line 1 column 1");
        assert_eq!(error(r#"{"A": 1} {}"#), "malformed JSON: trailing characters at line 1 column 10");
        assert_eq!(error(r#"{"A": 1e999}"#), "malformed JSON: number out of range at line 1 column 11");
        assert!(error(r#"{"A": "\ud800"}"#).starts_with("malformed JSON: "));
        assert_eq!(error(r#"{"": 1}"#), "bad element name ``");
        assert_eq!(error(r#"{"a b": 1}"#), "bad element name `a b`");
    }

    #[test]
    fn the_bounds_are_those_of_xml() {
        let nested = |depth: usize| format!("{{{}1{}}}", "\"a\":{".repeat(depth - 1) + "\"a\":", "}".repeat(depth - 1));
        assert_eq!(leaves(&nested(MAX_DEPTH)).len(), 1);
        assert_eq!(error(&nested(MAX_DEPTH + 1)), "elements are nested more than 16 deep");
        assert_eq!(error(&format!("{{\"a\":{}", "[".repeat(100_000))), "elements are nested more than 16 deep");
        let flat = |count: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(count - 1));
        assert_eq!(leaves(&flat(MAX_LEAVES)).len(), 1024);
        assert_eq!(error(&flat(MAX_LEAVES + 1)), "there are more than 1024 values");
        assert!(error(&format!("{{\"{}\":1}}", "n".repeat(257))).ends_with("is longer than 256 bytes"));
    }
}

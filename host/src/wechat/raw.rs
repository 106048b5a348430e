//! A raw reply's fields as the tree that they name.

use std::collections::HashMap;

use super::chars;
use super::document::{Field, MAX_DEPTH, MAX_LEAVES, MAX_NAME};
use super::writer::Writer;

/// Why a raw reply's fields are no reply. Names are shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// `MsgType` is the kind of a reply, and shares the form of element names.
    #[error("`{0}` is no kind of reply")]
    Kind(String),
    /// Each name must begin with an ASCII letter or `_`, and go on with these, digits or `-`; an index must follow a name.
    #[error("`{0}` is no field name")]
    Name(String),
    /// The host sets the header.
    #[error("`{0}` is the host's to set")]
    Header(String),
    /// Over [`MAX_NAME`].
    #[error("the field name `{0}` is longer than {max} bytes", max = MAX_NAME)]
    NameTooLong(String),
    /// Over [`MAX_DEPTH`].
    #[error("the field `{0}` is nested more than {max} deep", max = MAX_DEPTH)]
    TooDeep(String),
    /// Over [`MAX_LEAVES`].
    #[error("there are {0} fields, more than {max}", max = MAX_LEAVES)]
    TooMany(usize),
    /// Set twice, or set and given fields of its own, or both with and without an index.
    #[error("the field `{0}` contradicts one before it")]
    Conflict(String),
    /// A list's elements must come in order, from 0 on and without a gap.
    #[error("the field `{0}` is out of order in its list")]
    Order(String),
}

/// The fields of one raw reply, checked.
#[derive(Debug)]
pub(super) struct RawTree<'r> {
    /// The first one is the root.
    nodes: Vec<Node<'r>>,
}

#[derive(Debug, Default)]
struct Node<'r> {
    name: &'r str,
    index: Option<usize>,
    value: Option<&'r str>,
    children: Vec<usize>,
}

/// A child's name below its parent, and its index if it has one.
type Key<'r> = (usize, &'r str, Option<usize>);

const HEADERS: [&str; 4] = ["ToUserName", "FromUserName", "CreateTime", "MsgType"];

/// Whether this can stand as an element's name, and as a kind.
pub(super) fn is_name(name: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(starts)
        && name.bytes().all(|byte| starts(byte) || byte.is_ascii_digit() || byte == b'-')
}

impl<'r> RawTree<'r> {
    pub(super) fn build(fields: &'r [Field]) -> Result<Self, RawError> {
        if fields.len() > MAX_LEAVES {
            return Err(RawError::TooMany(fields.len()));
        }
        let mut tree = Self { nodes: vec![Node::default()] };
        let mut ids = HashMap::new();
        for field in fields {
            tree.insert(&mut ids, field)?;
        }
        Ok(tree)
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        self.write_children(0, writer);
    }

    fn insert(&mut self, ids: &mut HashMap<Key<'r>, usize>, field: &'r Field) -> Result<(), RawError> {
        let name = || chars::excerpt(&field.name);
        if field.name.len() > MAX_NAME {
            return Err(RawError::NameTooLong(name()));
        }
        let mut at = 0;
        let mut depth = 0;
        let mut segments = field.name.split('.').peekable();
        while let Some(segment) = segments.next() {
            if !is_name(segment) {
                return Err(RawError::Name(name()));
            }
            if depth == 0 && HEADERS.iter().any(|header| header.eq_ignore_ascii_case(segment)) {
                return Err(RawError::Header(name()));
            }
            depth += 1;
            if depth > MAX_DEPTH {
                return Err(RawError::TooDeep(name()));
            }
            let index = match segments.next_if(|next| next.starts_with(|c: char| c.is_ascii_digit())) {
                Some(digits) => Some(index(digits).ok_or_else(|| RawError::Name(name()))?),
                None => None,
            };
            if self.nodes[at].value.is_some() {
                return Err(RawError::Conflict(name()));
            }
            at = match ids.get(&(at, segment, index)) {
                Some(&child) => child,
                None => self.add(ids, (at, segment, index)).map_err(|error| error(name()))?,
            };
        }
        let leaf = &mut self.nodes[at];
        if leaf.value.is_some() || !leaf.children.is_empty() {
            return Err(RawError::Conflict(name()));
        }
        leaf.value = Some(&field.value);
        Ok(())
    }

    fn add(&mut self, ids: &mut HashMap<Key<'r>, usize>, key: Key<'r>) -> Result<usize, fn(String) -> RawError> {
        let (parent, name, index) = key;
        let listed = ids.contains_key(&(parent, name, Some(0)));
        let clashes = match index {
            None => listed,
            Some(_) => ids.contains_key(&(parent, name, None)),
        };
        if clashes {
            return Err(RawError::Conflict);
        }
        if let Some(before) = index.and_then(|index| index.checked_sub(1))
            && !ids.contains_key(&(parent, name, Some(before)))
        {
            return Err(RawError::Order);
        }
        let id = self.nodes.len();
        self.nodes.push(Node { name, index, ..Node::default() });
        self.nodes[parent].children.push(id);
        ids.insert(key, id);
        Ok(id)
    }

    /// Recurses at most [`MAX_DEPTH`] times.
    fn write_children(&self, parent: usize, writer: &mut Writer<'_>) {
        let children = &self.nodes[parent].children;
        for (place, &child) in children.iter().enumerate() {
            let node = &self.nodes[child];
            match node.index {
                None => {
                    self.write_member(child, writer);
                }
                Some(0) => {
                    writer.open_list(node.name);
                    for &element in children[place..].iter().filter(|&&other| self.nodes[other].name == node.name) {
                        self.write_element(element, writer);
                    }
                    writer.close_list();
                }
                // Written with the first of its list.
                Some(_) => {}
            }
        }
    }

    fn write_member(&self, id: usize, writer: &mut Writer<'_>) {
        let node = &self.nodes[id];
        if let Some(value) = node.value {
            return writer.text(node.name, value);
        }
        writer.open(node.name);
        self.write_children(id, writer);
        writer.close(node.name);
    }

    fn write_element(&self, id: usize, writer: &mut Writer<'_>) {
        let node = &self.nodes[id];
        if let Some(value) = node.value {
            return writer.list_text(node.name, value);
        }
        writer.open_listed(node.name);
        self.write_children(id, writer);
        writer.close(node.name);
    }
}

/// A list has no more elements than a reply has fields.
fn index(digits: &str) -> Option<usize> {
    let index = digits.parse().ok().filter(|&index| index < MAX_LEAVES)?;
    // One element must not have two names.
    (digits == "0" || !digits.starts_with('0')).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::document::Format;

    fn fields(names: &[&str]) -> Vec<Field> {
        names.iter().map(|&name| Field { name: name.to_owned(), value: "v".to_owned() }).collect()
    }

    fn error(names: &[&str]) -> String {
        RawTree::build(&fields(names)).unwrap_err().to_string()
    }

    fn write(names: &[&str], format: Format) -> String {
        let fields = fields(names);
        let mut out = String::new();
        let mut writer = Writer::begin(&mut out, format);
        RawTree::build(&fields).unwrap().write(&mut writer);
        writer.end();
        out.replace("<![CDATA[v]]>", "v")
    }

    #[test]
    fn rebuilds_the_tree_in_order() {
        let names = ["B", "A.y", "A.x.0", "A.x.1", "L.item.0.p", "L.item.0.q", "L.item.1.p", "A.z"];
        assert_eq!(
            write(&names, Format::Xml),
            "<xml><B>v</B><A><y>v</y><x>v</x><x>v</x><z>v</z></A>\
             <L><item><p>v</p><q>v</q></item><item><p>v</p></item></L></xml>"
        );
        assert_eq!(
            write(&names, Format::Json),
            r#"{"B":"v","A":{"y":"v","x":["v","v"],"z":"v"},"L":{"item":[{"p":"v","q":"v"},{"p":"v"}]}}"#
        );
        assert_eq!(write(&[], Format::Xml), "<xml></xml>");
    }

    #[test]
    fn a_list_stands_where_it_begins() {
        assert_eq!(write(&["A.0", "B", "A.1"], Format::Json), r#"{"A":["v","v"],"B":"v"}"#);
    }

    #[test]
    fn refuses_what_no_element_can_be_called() {
        for name in [
            "", ".", "A.", ".A", "A..B", "0", "0.A", "A.0.0", "A.1a", "A.00", "A.01", "A.1024", "A b", "A/b", "A>",
            "微", "A:b", "-A",
        ] {
            assert_eq!(error(&[name]), format!("`{name}` is no field name"));
        }
        assert_eq!(error(&["A\n<"]), "`A\\n<` is no field name");
        assert_eq!(
            error(&["n".repeat(257).as_str()]),
            format!("the field name `{}…` is longer than 256 bytes", "n".repeat(32))
        );
    }

    #[test]
    fn refuses_to_set_a_header() {
        for name in ["ToUserName", "fromusername", "CREATETIME", "MsgType", "MsgType.A", "MsgType.0"] {
            assert_eq!(error(&[name]), format!("`{name}` is the host's to set"));
        }
        assert!(RawTree::build(&fields(&["A.MsgType"])).is_ok());
    }

    #[test]
    fn refuses_fields_that_contradict_each_other() {
        for (first, second) in
            [("A", "A"), ("A", "A.B"), ("A.B", "A"), ("A", "A.0"), ("A.0", "A"), ("A.0.B", "A.C"), ("A.0", "A.0.B")]
        {
            assert_eq!(error(&[first, second]), format!("the field `{second}` contradicts one before it"));
        }
    }

    #[test]
    fn refuses_a_list_out_of_order() {
        for names in [&["A.1"][..], &["A.0", "A.2"], &["A.1.B", "A.0.B"]] {
            assert!(error(names).ends_with("is out of order in its list"), "{names:?}");
        }
    }

    #[test]
    fn the_bounds_are_exact() {
        let deep = |depth: usize| vec!["a"; depth].join(".");
        assert!(RawTree::build(&fields(&[&deep(MAX_DEPTH)])).is_ok());
        assert!(error(&[&deep(MAX_DEPTH + 1)]).ends_with("is nested more than 16 deep"));
        let many = |count: usize| (0..count).map(|i| format!("a{i}")).collect::<Vec<_>>();
        let build = |count: usize| {
            let names = many(count);
            RawTree::build(&fields(&names.iter().map(String::as_str).collect::<Vec<_>>())).map(|_| ())
        };
        assert_eq!(build(MAX_LEAVES), Ok(()));
        assert_eq!(build(MAX_LEAVES + 1).unwrap_err().to_string(), "there are 1025 fields, more than 1024");
    }
}

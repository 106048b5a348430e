//! The document between its syntax and its flat list: which element carries an index is known only once its siblings are.

use std::borrow::Cow;

use super::{Leaf, MAX_DEPTH, MAX_LEAVES, MAX_NAME, ParseError, names};
use crate::wechat::chars;

/// Elements in the order in which they began.
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    leaves: usize,
    /// Which of [`UNIQUE`] have been there, a bit each.
    seen: u16,
}

/// An element's place in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

impl NodeId {
    pub(super) const ROOT: Self = Self(0);
}

struct Node<'a> {
    parent: NodeId,
    /// Levels below the root.
    depth: usize,
    name: Cow<'static, str>,
    /// An element of a JSON array, and so of a list, even if it is the only one.
    listed: bool,
    /// What makes it a leaf. An element with children has a text if something other than white space stands beside them.
    text: Option<Cow<'a, str>>,
}

/// The top-level names that decide who speaks to whom, about what, and whether it was said before. None has a second meaning further
/// down, so only the top level is watched.
const UNIQUE: [&str; 9] =
    ["ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "Event", "EventKey", "Content", "Encrypt"];

/// Elements that are few enough to be compared each with each.
const FEW: usize = 16;

impl<'a> Tree<'a> {
    /// A tree whose root has this name; only its own text can show it.
    pub(super) fn new(root: &str) -> Result<Self, ParseError> {
        let mut tree = Self { nodes: Vec::with_capacity(16), leaves: 0, seen: 0 };
        tree.push(NodeId::ROOT, 0, root, false)?;
        Ok(tree)
    }

    /// Begins an element, with WeChat's own spelling of its name.
    pub(super) fn open(&mut self, parent: NodeId, name: &str, listed: bool) -> Result<NodeId, ParseError> {
        if parent == NodeId::ROOT {
            self.claim(name)?;
        }
        let depth = self.nodes[parent.0].depth + 1;
        if depth > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        self.push(parent, depth, name, listed)
    }

    /// Begins an element of an array that is itself an element of an array: only its index names it.
    pub(super) fn open_nameless(&mut self, parent: NodeId) -> Result<NodeId, ParseError> {
        let depth = self.nodes[parent.0].depth + 1;
        if depth > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        self.nodes.push(Node { parent, depth, name: Cow::Borrowed(""), listed: true, text: None });
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Makes an element a leaf.
    pub(super) fn set_text(&mut self, node: NodeId, text: Cow<'a, str>) -> Result<(), ParseError> {
        // Every childless element becomes a leaf as it ends, so this bounds the whole tree.
        self.leaves += 1;
        if self.leaves > MAX_LEAVES {
            return Err(ParseError::TooManyLeaves);
        }
        self.nodes[node.0].text = Some(text);
        Ok(())
    }

    /// An element's name.
    pub(super) fn name(&self, node: NodeId) -> &str {
        &self.nodes[node.0].name
    }

    /// The leaves under their full names.
    pub(super) fn flatten(mut self) -> Result<Vec<Leaf<'a>>, ParseError> {
        if self.is_flat() {
            let leaf = |node: Node<'a>| Some(Leaf { name: node.name, value: node.text? });
            return Ok(self.nodes.into_iter().filter_map(leaf).collect());
        }
        let indices = self.indices();
        let mut leaves = Vec::with_capacity(self.leaves);
        for at in 0..self.nodes.len() {
            if let Some(value) = self.nodes[at].text.take() {
                leaves.push(Leaf { name: self.full_name(at, &indices)?.into(), value });
            }
        }
        Ok(leaves)
    }

    /// Whether every name is its element's full name, as in almost all messages.
    fn is_flat(&self) -> bool {
        let nodes = self.nodes.get(1..).unwrap_or_default();
        nodes.len() <= FEW
            && nodes.iter().enumerate().all(|(at, node)| {
                let name = &node.name;
                node.parent == NodeId::ROOT
                    && !node.listed
                    && !names::is_list(name)
                    && nodes[..at].iter().all(|before| before.name != *name)
            })
    }

    fn push(&mut self, parent: NodeId, depth: usize, name: &str, listed: bool) -> Result<NodeId, ParseError> {
        let name = match names::documented(name) {
            Some(documented) => Cow::Borrowed(documented),
            None if name.len() > MAX_NAME => {
                return Err(ParseError::NameTooLong(chars::excerpt(name)));
            }
            None if !names::is_name(name) => return Err(ParseError::Name(chars::excerpt(name))),
            None => Cow::Owned(name.to_owned()),
        };
        self.nodes.push(Node { parent, depth, name, listed, text: None });
        Ok(NodeId(self.nodes.len() - 1))
    }

    fn claim(&mut self, name: &str) -> Result<(), ParseError> {
        let Some(place) = UNIQUE.iter().position(|unique| unique.eq_ignore_ascii_case(name)) else {
            return Ok(());
        };
        if self.seen & 1 << place != 0 {
            return Err(ParseError::RepeatedHeader(UNIQUE[place]));
        }
        self.seen |= 1 << place;
        Ok(())
    }

    /// For each element, its index among the siblings of its name, if it carries one.
    fn indices(&self) -> Vec<Option<usize>> {
        let key = |&at: &usize| (self.nodes[at].parent, self.nodes[at].name.as_ref());
        // The root is its own parent and no one's sibling.
        let mut order: Vec<usize> = (1..self.nodes.len()).collect();
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut indices = vec![None; self.nodes.len()];
        for same in order.chunk_by(|a, b| key(a) == key(b)) {
            let first = &self.nodes[same[0]];
            if same.len() > 1 || first.listed || names::is_list(&first.name) {
                for (index, &at) in same.iter().enumerate() {
                    indices[at] = Some(index);
                }
            }
        }
        indices
    }

    fn full_name(&self, at: usize, indices: &[Option<usize>]) -> Result<String, ParseError> {
        let mut way = Vec::with_capacity(MAX_DEPTH);
        let mut step = at;
        while step != NodeId::ROOT.0 {
            way.push(step);
            step = self.nodes[step].parent.0;
        }
        if way.is_empty() {
            return Ok(self.nodes[at].name.to_string());
        }
        let mut full = String::with_capacity(32);
        for &step in way.iter().rev() {
            let name = self.nodes[step].name.as_ref();
            if !full.is_empty() && !name.is_empty() {
                full.push('.');
            }
            full.push_str(name);
            if let Some(index) = indices[step] {
                full.push('.');
                full.push_str(&index.to_string());
            }
        }
        if full.len() > MAX_NAME {
            return Err(ParseError::NameTooLong(chars::excerpt(&full)));
        }
        Ok(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(tree: &mut Tree<'_>, parent: NodeId, name: &str) {
        let node = tree.open(parent, name, false).unwrap();
        tree.set_text(node, "".into()).unwrap();
    }

    fn names(tree: Tree<'_>) -> Vec<String> {
        tree.flatten().unwrap().into_iter().map(|leaf| leaf.name.into_owned()).collect()
    }

    #[test]
    fn only_siblings_of_one_name_carry_an_index() {
        let mut tree = Tree::new("xml").unwrap();
        let a = tree.open(NodeId::ROOT, "A", false).unwrap();
        leaf(&mut tree, a, "X");
        leaf(&mut tree, NodeId::ROOT, "X");
        leaf(&mut tree, a, "Y");
        leaf(&mut tree, a, "X");
        assert_eq!(names(tree), ["A.X.0", "X", "A.Y", "A.X.1"]);
    }

    #[test]
    fn a_list_of_one_carries_an_index() {
        let mut tree = Tree::new("xml").unwrap();
        for name in ["item", "LIST", "listed"] {
            leaf(&mut tree, NodeId::ROOT, name);
        }
        let only = tree.open(NodeId::ROOT, "A", true).unwrap();
        tree.set_text(only, "".into()).unwrap();
        assert_eq!(names(tree), ["item.0", "List.0", "listed", "A.0"]);
    }

    #[test]
    fn a_header_may_repeat_below_the_top() {
        let mut tree = Tree::new("xml").unwrap();
        leaf(&mut tree, NodeId::ROOT, "MsgId");
        let list = tree.open(NodeId::ROOT, "List", false).unwrap();
        leaf(&mut tree, list, "MsgID");
        assert_eq!(tree.open(NodeId::ROOT, "MSGID", false), Err(ParseError::RepeatedHeader("MsgId")));
    }

    #[test]
    fn the_bound_on_a_full_name_is_exact() {
        for (last, fits) in [(126, true), (127, false)] {
            let mut tree = Tree::new("xml").unwrap();
            let a = tree.open(NodeId::ROOT, &"a".repeat(127), false).unwrap();
            leaf(&mut tree, a, &"b".repeat(last));
            leaf(&mut tree, a, "c");
            leaf(&mut tree, a, "c");
            assert!(tree.flatten().is_ok());

            let mut tree = Tree::new("xml").unwrap();
            let a = tree.open(NodeId::ROOT, &"a".repeat(127), false).unwrap();
            leaf(&mut tree, a, &"b".repeat(last));
            leaf(&mut tree, a, &"b".repeat(last));
            assert_eq!(tree.flatten().is_ok(), fits);
        }
    }
}

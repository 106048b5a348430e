//! XML as WeChat sends it, which its own samples do not always write correctly: white space turns up inside of tags and around
//! values, and control characters within text. Everything that could make a reader fetch, expand or grow is refused instead.

use std::{borrow::Cow, mem};

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::events::Event;

use super::ParseError;
use super::tree::{NodeId, Tree};
use crate::wechat::chars;

pub(super) fn read(text: &str) -> Result<Tree<'_>, ParseError> {
    let mut reader = Reader::from_str(text);
    // Names are matched below, where white space before them has been dropped.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;

    let mut tree = None;
    let mut open: Vec<Element<'_>> = Vec::with_capacity(4);
    loop {
        match reader.read_event().map_err(|error| malformed(&error, reader.error_position()))? {
            Event::Start(tag) => {
                let element = begin(&mut tree, &mut open, &tag)?;
                open.push(element);
            }
            Event::Empty(tag) => {
                let element = begin(&mut tree, &mut open, &tag)?;
                end(&mut tree, element)?;
            }
            Event::End(tag) => {
                let name = tag.trim_matches(chars::is_white);
                let element = open.pop().ok_or_else(|| outside(&format!("</{name}>")))?;
                let open = element.name(tree.as_ref());
                if open != name {
                    return Err(ParseError::Mismatched { open: chars::excerpt(open), close: chars::excerpt(name) });
                }
                end(&mut tree, element)?;
            }
            Event::Text(text) => match open.last_mut() {
                Some(element) => element.value.plain(text.into_inner()),
                None if text.trim_matches(chars::is_white).is_empty() => {}
                None => return Err(outside(text.trim_matches(chars::is_white))),
            },
            Event::GeneralRef(reference) => {
                let c = resolve(&reference)?;
                let element = open.last_mut().ok_or_else(|| outside(&format!("&{};", &*reference)))?;
                element.value.plain(c.to_string().into());
            }
            Event::CData(text) => {
                let element = open.last_mut().ok_or_else(|| outside("<![CDATA["))?;
                element.value.cdata(text.into_inner());
            }
            Event::DocType(_) => return Err(ParseError::DocType),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match open.pop() {
        Some(element) => Err(ParseError::Unclosed(chars::excerpt(element.name(tree.as_ref())))),
        None => tree.ok_or(ParseError::NoRoot),
    }
}

/// An element that has begun.
struct Element<'a> {
    node: NodeId,
    /// As received, since the end tag repeats it so, where that is not the name in the tree.
    received: Option<String>,
    value: Value<'a>,
    has_children: bool,
}

impl Element<'_> {
    fn name<'n>(&'n self, tree: Option<&'n Tree<'_>>) -> &'n str {
        match (&self.received, tree) {
            (Some(name), _) => name,
            (None, Some(tree)) => tree.name(self.node),
            (None, None) => "",
        }
    }
}

/// The text of an element as it comes in; most consist of one piece, which stays where it is.
#[derive(Default)]
struct Value<'a> {
    text: Cow<'a, str>,
    /// Plain text since the last CDATA section. What of it counts shows later.
    plain: Cow<'a, str>,
    has_cdata: bool,
}

impl<'a> Value<'a> {
    fn plain(&mut self, text: Cow<'a, str>) {
        append(&mut self.plain, text);
    }

    fn cdata(&mut self, text: Cow<'a, str>) {
        self.settle();
        append(&mut self.text, text);
        self.has_cdata = true;
    }

    /// Takes over the plain text, unless it is only the layout around CDATA sections.
    fn settle(&mut self) {
        let plain = mem::take(&mut self.plain);
        if plain.contains(|c| !chars::is_white(c)) {
            let inner = self.has_cdata;
            append(
                &mut self.text,
                if inner { plain } else { part(plain, |text| text.trim_start_matches(chars::is_white)) },
            );
        }
    }

    /// `None` if there was nothing but white space.
    fn finish(mut self) -> Option<Cow<'a, str>> {
        self.plain = part(self.plain, |text| text.trim_end_matches(chars::is_white));
        self.settle();
        (self.has_cdata || !self.text.is_empty()).then_some(self.text)
    }
}

/// Adds a piece to a text, by copying only if there is something before it.
fn append<'a>(text: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if text.is_empty() {
        *text = piece;
    } else if !piece.is_empty() {
        text.to_mut().push_str(&piece);
    }
}

/// A part of a text, by copying only if the text was made.
fn part<'a>(text: Cow<'a, str>, part: impl for<'t> Fn(&'t str) -> &'t str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}

fn begin<'a>(tree: &mut Option<Tree<'a>>, open: &mut [Element<'a>], tag: &str) -> Result<Element<'a>, ParseError> {
    let name = tag.trim_start_matches(chars::is_white);
    let name = name.split(chars::is_white).next().unwrap_or_default();
    let node = match (tree.as_mut(), open.last_mut()) {
        (Some(tree), Some(parent)) => {
            parent.has_children = true;
            tree.open(parent.node, name, false)?
        }
        (Some(_), None) => return Err(outside(&format!("<{name}>"))),
        (None, _) => {
            *tree = Some(Tree::new(name)?);
            NodeId::ROOT
        }
    };
    let known = tree.as_ref().is_some_and(|tree| tree.name(node) == name);
    let received = (!known).then(|| name.to_owned());
    Ok(Element { node, received, value: Value::default(), has_children: false })
}

fn end<'a>(tree: &mut Option<Tree<'a>>, element: Element<'a>) -> Result<(), ParseError> {
    let is_branch = element.has_children || element.node == NodeId::ROOT;
    let text = match element.value.finish() {
        None if is_branch => return Ok(()),
        text => text.unwrap_or_default(),
    };
    match tree {
        Some(tree) => tree.set_text(element.node, text),
        None => Ok(()),
    }
}

/// The character that a reference stands for.
fn resolve(reference: &str) -> Result<char, ParseError> {
    let Some(number) = reference.strip_prefix('#') else {
        return match reference {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(ParseError::UnknownEntity(chars::excerpt(reference))),
        };
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    Some(digits)
        // `from_str_radix` would take a sign.
        .filter(|digits| digits.chars().all(|c| c.is_digit(radix)))
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
        .and_then(char::from_u32)
        .filter(|&c| chars::is_allowed(c))
        .ok_or_else(|| ParseError::CharacterReference(chars::excerpt(reference)))
}

fn outside(what: &str) -> ParseError {
    ParseError::OutsideRoot(chars::excerpt(what))
}

/// The reader's own errors, less those that would repeat the input.
fn malformed(error: &Error, offset: u64) -> ParseError {
    let problem = match error {
        Error::Syntax(error) => error.to_string(),
        Error::IllFormed(IllFormedError::UnclosedReference) => "`&` without a reference after it".to_owned(),
        Error::IllFormed(IllFormedError::MissingDoctypeName) => return ParseError::DocType,
        _ => "not well-formed".to_owned(),
    };
    ParseError::Xml { offset, problem }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, MAX_DEPTH, MAX_LEAVES};

    fn leaves(body: &str) -> Vec<(String, String)> {
        let document = Document::parse(body.as_bytes()).unwrap();
        document.into_leaves().into_iter().map(|leaf| (leaf.name.into(), leaf.value.into())).collect()
    }

    fn value(content: &str) -> String {
        let leaves = leaves(&format!("<xml><A>{content}</A></xml>"));
        assert_eq!(leaves.len(), 1);
        assert_eq!(leaves[0].0, "A");
        leaves[0].1.clone()
    }

    fn error(body: &str) -> String {
        Document::parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn keeps_cdata_exactly_and_trims_plain_text() {
        assert_eq!(value("<![CDATA[ a\r\n ]]>"), " a\r\n ");
        assert_eq!(value("\n <![CDATA[ a ]]>\t"), " a ");
        assert_eq!(value("\n a b \r\n"), "a b");
        assert_eq!(value("\u{3000}a\u{3000}"), "\u{3000}a\u{3000}");
        assert_eq!(value("<![CDATA[]]>"), "");
        assert_eq!(value("  "), "");
    }

    #[test]
    fn joins_sections_of_cdata() {
        assert_eq!(value("<![CDATA[a]]]]><![CDATA[>b]]>"), "a]]>b");
        assert_eq!(value("<![CDATA[a]]>\n<![CDATA[b]]>"), "ab");
        assert_eq!(value(" x <![CDATA[ a ]]> y <![CDATA[b]]> z "), "x  a  y b z");
    }

    #[test]
    fn resolves_the_five_entities_and_character_references() {
        assert_eq!(value("&lt;&amp;&gt;&quot;&apos;&#65;&#x5fAe;&#10;b"), "<&>\"'A微\nb");
        assert_eq!(value("<![CDATA[&amp;]]>"), "&amp;");
    }

    #[test]
    fn tolerates_raw_control_characters() {
        assert_eq!(value("<![CDATA[a\u{0}\u{b}]]>"), "a\u{0}\u{b}");
        assert_eq!(value("a\u{1}b"), "a\u{1}b");
    }

    #[test]
    fn tolerates_white_space_inside_of_tags() {
        let body = "<xml ><MsgType >text</ MsgType>< Content\n>hi</\tContent ><Event /></ xml >";
        let expected = [("MsgType", "text"), ("Content", "hi"), ("Event", "")];
        assert_eq!(leaves(body), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn ignores_everything_that_is_no_element() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a --><XML a=\"1>2\" b>\n\
                    <A c='</A>'>x<!-- y -->z<?pi q?></A></XML>\n<!-- b --> ";
        assert_eq!(leaves(body), [("A".to_owned(), "xz".to_owned())]);
    }

    #[test]
    fn gives_documented_names_their_own_case() {
        let body = "<xml><msgid>1</msgid><LOCATION_x>2</LOCATION_x><unKnown>3</unKnown><L><MsgID>4</MsgID></L></xml>";
        let names: Vec<_> = leaves(body).into_iter().map(|leaf| leaf.0).collect();
        assert_eq!(names, ["MsgId", "Location_X", "unKnown", "L.MsgID"]);
    }

    #[test]
    fn keeps_text_beside_elements_under_their_parents_name() {
        let body = "<xml>stray<A>\n x<B>1</B> y\n</A><C> <D/> </C></xml>";
        let expected = [("xml", "stray"), ("A", "x y"), ("A.B", "1"), ("C.D", "")];
        assert_eq!(leaves(body), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(leaves("<xml> </xml>"), []);
    }

    #[test]
    fn refuses_a_document_type() {
        let expected = "a document type is not allowed";
        assert_eq!(error("<!DOCTYPE xml><xml/>"), expected);
        assert_eq!(error("<!doctype><xml/>"), expected);
        let external = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><xml><A>&e;</A></xml>";
        assert_eq!(error(external), expected);
        let laughs = "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">\
                      <!ENTITY c \"&b;&b;&b;\">]><xml><A>&c;</A></xml>";
        assert_eq!(error(laughs), expected);
        assert_eq!(error("<xml><!DOCTYPE xml></xml>"), expected);
    }

    #[test]
    fn refuses_references_that_mean_nothing() {
        let reference = |reference: &str| error(&format!("<xml><A>{reference}</A></xml>"));
        assert_eq!(reference("&nbsp;"), "unknown entity `&nbsp;`");
        assert_eq!(reference("&;"), "unknown entity `&;`");
        assert_eq!(reference("&AMP;"), "unknown entity `&AMP;`");
        for bad in ["#0", "#8", "#xB", "#xFFFE", "#xD800", "#x110000", "#99999999999", "#", "#x", "#+9", "#X41", "#1a"]
        {
            assert_eq!(reference(&format!("&{bad};")), format!("bad character reference `&{bad};`"));
        }
        assert_eq!(reference("a & b"), "malformed XML at byte 10: `&` without a reference after it");
    }

    #[test]
    fn refuses_elements_that_do_not_match() {
        assert_eq!(error("<xml><A>x</A>"), "`xml` is not closed");
        assert_eq!(error("<xml><A>x</xml>"), "`A` is closed as `xml`");
        assert_eq!(error("<xml><A>x</a></xml>"), "`A` is closed as `a`");
        assert_eq!(error("<xml></xml></xml>"), "`</xml>` stands outside of the root element");
        assert_eq!(error("<xml/><xml/>"), "`<xml>` stands outside of the root element");
        assert_eq!(error("<xml/> more "), "`more` stands outside of the root element");
        assert_eq!(error("<xml/>&lt;"), "`&lt;` stands outside of the root element");
        assert_eq!(error("<xml/><![CDATA[x]]>"), "`<![CDATA[` stands outside of the root element");
        assert_eq!(error("<!-- nothing -->"), "there is no root element");
        assert_eq!(error("<>x</>"), "bad element name ``");
        assert_eq!(error("<xml><1a/></xml>"), "bad element name `1a`");
        assert_eq!(
            error("<xml><a\"b/></xml>"),
            "malformed XML at byte 5: attribute value not closed: `\"` not found before end of input"
        );
        assert!(error("<xml><A").starts_with("malformed XML at byte 5: "));
        assert!(error("<xml><![CDATA[x").starts_with("malformed XML at byte 5: "));
    }

    #[test]
    fn refuses_a_repeated_header() {
        let body = |name: &str, again: &str| format!("<xml><{name}>a</{name}><{again}>b</{again}></xml>");
        assert_eq!(error(&body("FromUserName", "FromUserName")), "`FromUserName` stands there twice");
        assert_eq!(error(&body("MsgId", "MsgID")), "`MsgId` stands there twice");
        assert_eq!(error(&body("Encrypt", "ENCRYPT")), "`Encrypt` stands there twice");
        assert_eq!(leaves(&body("PicUrl", "PicUrl"))[1].0, "PicUrl.1");
    }

    #[test]
    fn the_bounds_on_depth_and_leaves_are_exact() {
        let nested = |depth: usize| format!("<xml>{}{}</xml>", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(leaves(&nested(MAX_DEPTH)).len(), 1);
        assert_eq!(error(&nested(MAX_DEPTH + 1)), "elements are nested more than 16 deep");
        assert_eq!(error(&"<a>".repeat(100_000)), "elements are nested more than 16 deep");
        let flat = |count: usize| format!("<xml>{}</xml>", "<a/>".repeat(count));
        assert_eq!(leaves(&flat(MAX_LEAVES))[1023].0, "a.1023");
        assert_eq!(error(&flat(MAX_LEAVES + 1)), "there are more than 1024 values");
        assert_eq!(error(&flat(2000)), "there are more than 1024 values");
        let long = "n".repeat(257);
        assert_eq!(
            error(&format!("<xml><{long}/></xml>")),
            format!("the name `{}…` is longer than 256 bytes", "n".repeat(32))
        );
    }
}

//! One writer for both formats, into a buffer that the caller owns.

use super::document::Format;

/// Writes named values within one root. Element names are trusted: they are constants here, or a raw reply's that have been checked.
pub(super) struct Writer<'o> {
    out: &'o mut String,
    format: Format,
    /// In JSON, whether the next value follows another one.
    comma: bool,
}

impl<'o> Writer<'o> {
    pub(super) fn begin(out: &'o mut String, format: Format) -> Self {
        out.push_str(match format {
            Format::Xml => "<xml>",
            Format::Json => "{",
        });
        Self { out, format, comma: false }
    }

    pub(super) fn end(self) {
        self.out.push_str(match self.format {
            Format::Xml => "</xml>",
            Format::Json => "}",
        });
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.value(value);
        self.end_name(name);
    }

    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.push_str(&value.to_string());
        self.end_name(name);
    }

    /// Begins an object under a name.
    pub(super) fn open(&mut self, name: &str) {
        self.name(name);
        self.open_object();
    }

    pub(super) fn close(&mut self, name: &str) {
        self.close_object();
        self.end_name(name);
    }

    /// Begins a list. In XML its name is that of every element, in JSON that of the array.
    pub(super) fn open_list(&mut self, name: &str) {
        if self.format == Format::Json {
            self.name(name);
            self.out.push('[');
            self.comma = false;
        }
    }

    pub(super) fn close_list(&mut self) {
        if self.format == Format::Json {
            self.out.push(']');
            self.comma = true;
        }
    }

    pub(super) fn list_text(&mut self, name: &str, value: &str) {
        self.list_name(name);
        self.value(value);
        self.end_name(name);
    }

    pub(super) fn open_listed(&mut self, name: &str) {
        self.list_name(name);
        self.open_object();
    }

    fn name(&mut self, name: &str) {
        match self.format {
            Format::Xml => self.tag("<", name),
            Format::Json => {
                self.separate();
                push_json(self.out, name);
                self.out.push(':');
            }
        }
    }

    fn list_name(&mut self, name: &str) {
        match self.format {
            Format::Xml => self.tag("<", name),
            Format::Json => self.separate(),
        }
    }

    fn end_name(&mut self, name: &str) {
        match self.format {
            Format::Xml => self.tag("</", name),
            Format::Json => self.comma = true,
        }
    }

    fn value(&mut self, value: &str) {
        match self.format {
            Format::Xml => push_cdata(self.out, value),
            Format::Json => push_json(self.out, value),
        }
    }

    fn open_object(&mut self) {
        if self.format == Format::Json {
            self.out.push('{');
            self.comma = false;
        }
    }

    fn close_object(&mut self) {
        if self.format == Format::Json {
            self.out.push('}');
        }
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(',');
        }
    }

    fn tag(&mut self, begin: &str, name: &str) {
        self.out.push_str(begin);
        self.out.push_str(name);
        self.out.push('>');
    }
}

/// The end of a section within a text would let the rest of it speak as elements, so it goes into two sections.
fn push_cdata(out: &mut String, text: &str) {
    out.push_str("<![CDATA[");
    let mut parts = text.split("]]>");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        out.push_str("]]]]><![CDATA[>");
        out.push_str(part);
    }
    out.push_str("]]>");
}

fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let code = c as usize;
                out.push_str("\\u00");
                out.push(char::from(HEX[code >> 4]));
                out.push(char::from(HEX[code & 15]));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cdata(text: &str) -> String {
        let mut out = String::new();
        push_cdata(&mut out, text);
        out
    }

    #[test]
    fn a_text_cannot_end_its_section() {
        assert_eq!(cdata("a]]>b"), "<![CDATA[a]]]]><![CDATA[>b]]>");
        assert_eq!(cdata("]]>]]>"), "<![CDATA[]]]]><![CDATA[>]]]]><![CDATA[>]]>");
        assert_eq!(cdata("]]]>"), "<![CDATA[]]]]]><![CDATA[>]]>");
        assert_eq!(cdata("a]]"), "<![CDATA[a]]]]>");
    }

    #[test]
    fn writes_the_same_values_in_both_formats() {
        for (format, expected) in [
            (Format::Xml, "<xml><A><B><![CDATA[x]]></B><L><C>1</C></L><L></L></A><L><![CDATA[y]]></L></xml>"),
            (Format::Json, r#"{"A":{"B":"x","L":[{"C":1},{}]},"L":["y"]}"#),
        ] {
            let mut out = String::new();
            let mut writer = Writer::begin(&mut out, format);
            writer.open("A");
            writer.text("B", "x");
            writer.open_list("L");
            writer.open_listed("L");
            writer.number("C", 1);
            writer.close("L");
            writer.open_listed("L");
            writer.close("L");
            writer.close_list();
            writer.close("A");
            writer.open_list("L");
            writer.list_text("L", "y");
            writer.close_list();
            writer.end();
            assert_eq!(out, expected);
        }
    }

    proptest! {
        #[test]
        fn any_string_survives_json(text: String) {
            let mut out = String::new();
            push_json(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}

//! A table of replies: inline in `bots.toml`, or a CSV file with the columns `match`, `text` and `reply`.

use std::sync::Arc;

use toml::de::DeValue;

use super::{
    pattern::Pattern,
    problems::{Problem, Problems, SourceId},
    rule::{Matching, Row},
    table::{Entry, Table, list},
    values::Origins,
};

/// The words of the `match` column, and those that WeChat's own console uses.
const MATCHINGS: [(&str, &str); 8] = [
    ("keyword", "keyword"),
    ("全匹配", "keyword"),
    ("contains", "contains"),
    ("半匹配", "contains"),
    ("prefix", "prefix"),
    ("前缀", "prefix"),
    ("regex", "regex"),
    ("正则", "regex"),
];

/// Reads the value of a rule's `replies`.
pub(super) fn rows(
    entry: Entry<'_>,
    source: SourceId,
    lines: &dyn Fn(usize) -> usize,
    origins: &mut Origins<'_>,
    problems: &mut Problems,
) -> Option<Vec<Row>> {
    let span = entry.value.span();
    let mut table = Table::from_value(entry.value, "`replies`", source, problems)?;
    if table.contains("file") && table.len() == 1 {
        let path = table.get::<String>("file", problems)?;
        return match origins.read_text(path.get_ref()) {
            Ok(text) => csv_rows(path.get_ref(), &text, problems),
            Err(why) => {
                let mut problem = Problem::error(why).at(source, path.span());
                if problem.message().contains("not UTF-8") {
                    problem = problem.hint("in Excel, save it as “CSV UTF-8”");
                }
                problems.push(problem);
                None
            }
        };
    }
    if table.len() == 0 {
        problems.push(
            Problem::error("`replies` is an empty table")
                .at(source, span)
                .hint("`{ \"营业时间\" = \"9:00–18:00\" }` or `{ file = \"faq.csv\" }`"),
        );
        return None;
    }
    let mut rows = Vec::with_capacity(table.len());
    for (text, reply) in table.into_entries() {
        let place = reply.span();
        match reply.into_inner() {
            DeValue::String(reply) if !text.get_ref().trim().is_empty() && !reply.trim().is_empty() => rows.push(Row {
                file: None,
                line: lines(text.span().start),
                matching: Matching::Keyword(text.into_inner()),
                reply: reply.into_owned(),
            }),
            DeValue::String(_) => {
                problems.push(Problem::error("neither the text nor the reply may be empty").at(source, text.span()));
            }
            _ => problems.push(
                Problem::error("a reply in a table must be a text")
                    .at(source, place)
                    .hint("for other kinds write a rule with `keyword` and `reply`"),
            ),
        }
    }
    Some(rows)
}

fn csv_rows(path: &str, text: &str, problems: &mut Problems) -> Option<Vec<Row>> {
    let source = problems.add_source(path, text, &[]);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Fields).flexible(true).from_reader(text.as_bytes());
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(error) => {
            problems.push(Problem::error(format!("`{path}`: {error}")));
            return None;
        }
    };
    let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let (Some(matching), Some(pattern), Some(reply)) = (column("match"), column("text"), column("reply")) else {
        let first_line = text.find('\n').unwrap_or(text.len());
        problems.push(
            Problem::error("the first line must name the columns `match`, `text` and `reply`")
                .at(source, 0..first_line)
                .hint("write `match,text,reply`"),
        );
        return None;
    };
    let file: Arc<str> = path.into();
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                problems.push(Problem::error(format!("`{path}`: {error}")));
                return None;
            }
        }
        let Some(position) = record.position() else { continue };
        let start = position.byte() as usize;
        // A reader of the file counts its lines, not its records: quoted fields may span several.
        let line = position.line() as usize;
        let span = start..text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| start + end);
        let field = |column: usize| record.get(column).unwrap_or_default();
        if record.iter().all(str::is_empty) {
            continue;
        }
        if field(pattern).is_empty() || field(reply).is_empty() {
            problems.push(Problem::error("this line needs a text and a reply").at(source, span));
            continue;
        }
        if record.len() > headers.len() {
            problems.push(
                Problem::error(format!("this line has {} columns instead of {}", record.len(), headers.len()))
                    .at(source, span)
                    .hint("put a text that contains a comma in double quotes"),
            );
            continue;
        }
        match parse_matching(field(matching), field(pattern)) {
            Ok(matching) => {
                rows.push(Row { matching, reply: field(reply).to_owned(), file: Some(file.clone()), line });
            }
            Err(why) => problems.push(Problem::error(why).at(source, span)),
        }
    }
    Some(rows)
}

fn parse_matching(word: &str, text: &str) -> Result<Matching, String> {
    let word = if word.is_empty() { "keyword" } else { word };
    let known = MATCHINGS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, matching)| *matching);
    Ok(match known {
        Some("keyword") => Matching::Keyword(text.to_owned()),
        Some("contains") => Matching::Contains(text.to_owned()),
        Some("prefix") => Matching::Prefix(text.to_owned()),
        Some("regex") => {
            Matching::Regex(Box::new(Pattern::parse(text).map_err(|error| format!("bad regular expression: {error}"))?))
        }
        _ => {
            let known = list(MATCHINGS.into_iter().map(|(name, _)| name));
            return Err(format!("`{word}` in column `match` is none of {known}"));
        }
    })
}

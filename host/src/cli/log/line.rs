//! Lines as `tracing-subscriber` writes them by default, written faster: the log's line is a good part of what a message costs.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// The default format without a target and without colours.
pub(super) struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write_time(&mut line)?;
        line.write_str(match *event.metadata().level() {
            Level::TRACE => " TRACE ",
            Level::DEBUG => " DEBUG ",
            Level::INFO => "  INFO ",
            Level::WARN => "  WARN ",
            Level::ERROR => " ERROR ",
        })?;
        let mut within = false;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            within = true;
            line.write_str(span.metadata().name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                line.write_char('{')?;
                line.write_str(fields)?;
                line.write_char('}')?;
            }
            line.write_char(':')?;
        }
        if within {
            line.write_char(' ')?;
        }
        context.format_fields(line.by_ref(), event)?;
        line.write_char('\n')
    }
}

impl<'writer> FormatFields<'writer> for Line {
    fn format_fields<R: RecordFields>(&self, line: Writer<'writer>, fields: R) -> fmt::Result {
        let mut values = Values { line, any: false, written: Ok(()) };
        fields.record(&mut values);
        values.written
    }
}

/// Writes `name=value`, and the message without its name.
struct Values<'writer> {
    line: Writer<'writer>,
    any: bool,
    written: fmt::Result,
}

impl Values<'_> {
    fn value(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_err() {
            return;
        }
        self.written = (|| {
            if std::mem::replace(&mut self.any, true) {
                self.line.write_char(' ')?;
            }
            if field.name() != "message" {
                self.line.write_str(field.name().strip_prefix("r#").unwrap_or(field.name()))?;
                self.line.write_char('=')?;
            }
            write(&mut self.line)
        })();
    }
}

impl Visit for Values<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field, |line| {
            if field.name() == "message" {
                line.write_str(value)
            } else if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
                // Nothing in it has to be escaped.
                line.write_char('"')?;
                line.write_str(value)?;
                line.write_char('"')
            } else {
                write!(line, "{value:?}")
            }
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.value(field, |line| write!(line, "{value:?}"));
    }
}

/// The time as RFC 3339 has it, in µs.
fn write_time(line: &mut impl fmt::Write) -> fmt::Result {
    thread_local! {
        /// A second and how it is written.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() {
            let time = i64::try_from(now.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
            *second = now.as_secs();
            text.clear();
            write!(text, "{}", time.unwrap_or_default())?;
            // Where the fraction goes.
            text.truncate(text.trim_end_matches('Z').len());
        }
        line.write_str(text)?;
        let mut digits = *b".000000Z";
        let mut rest = now.subsec_micros();
        for digit in digits[1..7].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        line.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The lines without their times.
    fn lines(kept: &Kept) -> Vec<String> {
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.split_inclusive('\n').map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
    }

    fn log() {
        let span =
            tracing::info_span!("message", bot = "demo", id = "7", sender = "o\"\\1", later = tracing::field::Empty);
        span.in_scope(|| {
            tracing::info!(rule = Some("line 3"), plugin = None::<&str>, ms = 0.1, failed = true, "answered");
            span.record("later", 5);
            tracing::warn!(target: "plugin", stream = "stderr", "{} lines\n\u{1b}[31m and 微信", 2);
            let inner = tracing::error_span!("inner");
            let _inside = inner.enter();
            tracing::error!(text = "微信\n", r#type = ?Some("x"), count = -3, "");
        });
        tracing::debug!("no span");
        tracing::trace!(only = 1);
    }

    #[test]
    fn lines_are_the_librarys_own() {
        let (theirs, ours) = (Kept::default(), Kept::default());
        let usual = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_target(false);
        tracing::subscriber::with_default(usual.with_writer(theirs.clone()).finish(), log);
        let fast = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        let fast = fast.event_format(Line).fmt_fields(Line).with_writer(ours.clone()).finish();
        tracing::subscriber::with_default(fast, log);
        assert_eq!(lines(&ours), lines(&theirs));
        assert_eq!(lines(&ours).len(), 6, "one of them has two lines");
    }

    #[test]
    fn the_time_is_now_in_microseconds() {
        let mut text = String::new();
        let before = Timestamp::now();
        write_time(&mut text).unwrap();
        let after = Timestamp::now();
        let time: Timestamp = text.parse().unwrap();
        let micros = |time: Timestamp| time.as_microsecond();
        assert!((micros(before)..=micros(after)).contains(&micros(time)), "{text}");
        assert_eq!(text.len(), "2026-11-21T03:12:25.000001Z".len());
    }
}

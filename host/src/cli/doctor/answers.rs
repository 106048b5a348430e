//! What an answer's head tells beside the answer: clocks, and hands between that change it.

use std::time::Duration;

use super::Report;
use crate::{
    caller::Exchange,
    clock::World,
    fault::{Fault, excerpt},
};

/// Seconds by which two clocks may differ: a `Date` has whole seconds, and an answer may have been on its way for some.
const SKEW: u64 = 10;

/// Half of what WeChat waits.
const SLOW: Duration = Duration::from_millis(2500);

/// Compares the clock of whoever answered with this machine's.
pub(super) fn check_clock(exchange: &Exchange, whose: &str, world: &World, report: &mut Report) {
    let Some(date) = exchange.header("date") else { return };
    let Ok(date) = jiff::fmt::rfc2822::parse(date) else { return };
    let Ok(there) = u64::try_from(date.timestamp().as_second()) else { return };
    let here = world.clock.now().as_secs();
    let apart = here.abs_diff(there);
    if apart < SKEW {
        return;
    }
    let direction = if there > here { "ahead of" } else { "behind" };
    report.problem(&Fault::new(
        format!("the clock of {whose} is {apart} s {direction} this machine's"),
        "set both by NTP (`timedatectl set-ntp true`): how long a message may still take is told by its time",
    ));
}

/// Whether something between makes other answers of mynah's.
pub(super) fn check_type(exchange: &Exchange, report: &mut Report) {
    let kind = exchange.header("content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("text/plain") {
        report.warning(&Fault::new(
            format!("the `echostr` comes as `{}`, not as the `text/plain` that mynah sends", excerpt(kind)),
            "something between changes answers; let it pass them on as they are",
        ));
    }
}

/// Whether an answer takes so long that plugins have little time left.
pub(super) fn check_time(time: Duration, report: &mut Report) {
    if time >= SLOW {
        report.warning(&Fault::new(
            format!("an answer takes {:.1} s, and WeChat waits 5", time.as_secs_f64()),
            "look at the proxy and the network between: mynah itself needs some ms",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> Exchange {
        Exchange {
            status: 200,
            headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            body: Vec::new(),
            time: Duration::ZERO,
            address: "127.0.0.1:80".parse().unwrap(),
            certificate: None,
        }
    }

    #[test]
    fn an_answer_that_takes_half_of_wechats_time_is_warned_of() {
        for (ms, warnings) in [(2_499, 0), (2_500, 1)] {
            let mut report = Report::new();
            check_time(Duration::from_millis(ms), &mut report);
            assert_eq!((report.warnings, report.problems), (warnings, 0));
        }
    }

    #[test]
    fn clocks_are_compared_where_there_is_a_date() {
        let world = World::system();
        let date = |seconds: i64| {
            let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        for (date, problems) in [
            (date(0), 0),
            (date(3600), 1),
            (date(-3600), 1),
            ("yesterday".to_owned(), 0),
            ("Thu, 01 Jan 1960 00:00:00 GMT".to_owned(), 0),
        ] {
            let mut report = Report::new();
            check_clock(&answer(&[("date", &date)]), "the server", &world, &mut report);
            assert_eq!(report.problems, problems, "{date}");
        }
        let mut report = Report::new();
        check_clock(&answer(&[]), "the server", &world, &mut report);
        assert_eq!(report.problems, 0);
    }
}

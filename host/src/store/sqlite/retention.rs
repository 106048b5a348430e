//! What is dropped again: a few old rows with each transaction, in proportion to the new ones, so that there is never a long pause.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{ANSWER_KEPT, ANSWER_KEPT_AT_LEAST, FOLLOWER_KEPT},
    millis,
};

/// Rows looked at for each commit. A commit makes one row at most, so that two catch up with any backlog.
const ROWS_FOR_EACH_COMMIT: usize = 2;

/// Rows looked at in one transaction, however many commits are in it: a few milliseconds.
const ROWS: usize = 1_000;

/// Where the search for old rows stands.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// The follower looked at last. The search goes round and round in order of the key: an index by time of expiry would cost
    /// every conversation's step two more pages to write.
    follower: (String, String),
}

impl Retention {
    /// Drops old rows on the occasion of `commits` commits at `now`. At most about `answers` answers stay.
    pub(super) fn drop_old(
        &mut self,
        transaction: &Connection,
        commits: usize,
        now: Duration,
        answers: u64,
    ) -> rusqlite::Result<()> {
        let rows = commits.saturating_mul(ROWS_FOR_EACH_COMMIT).min(ROWS) as i64;
        drop_answers(transaction, rows, now, answers)?;
        self.drop_followers(transaction, rows, now)
    }

    fn drop_followers(&mut self, transaction: &Connection, rows: i64, now: Duration) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(
            "SELECT bot, openid, expires FROM followers WHERE (bot, openid) > (?1, ?2) ORDER BY bot, openid LIMIT ?3",
        )?;
        let row = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?));
        let seen = statement.query_map(params![self.follower.0, self.follower.1, rows], row)?;
        let seen = seen.collect::<rusqlite::Result<Vec<((String, String), i64)>>>()?;
        let gone = millis(now.saturating_sub(FOLLOWER_KEPT));
        for ((bot, openid), _) in seen.iter().filter(|(_, expires)| *expires <= gone) {
            let mut statement = transaction.prepare_cached("DELETE FROM followers WHERE bot = ?1 AND openid = ?2")?;
            statement.execute(params![bot, openid])?;
        }
        // After the last row, from the beginning again.
        let more = seen.len() as i64 == rows;
        self.follower = seen.into_iter().next_back().filter(|_| more).map(|(follower, _)| follower).unwrap_or_default();
        Ok(())
    }
}

/// Answers go in the order in which they came, until one is met that has to stay.
fn drop_answers(transaction: &Connection, rows: i64, now: Duration, answers: u64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("SELECT max(id) FROM answers")?;
    let Some(newest) = statement.query_row([], |row| row.get::<_, Option<i64>>(0)).optional()?.flatten() else {
        return Ok(());
    };
    let mut statement = transaction.prepare_cached("SELECT id, recorded FROM answers ORDER BY id LIMIT ?1")?;
    let mut oldest = statement.query([rows])?;
    let mut last = None;
    while let Some(row) = oldest.next()? {
        let (id, recorded) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
        // Answers come and go at the ends only, so that their numbers have no gaps.
        let too_many = newest.abs_diff(id) >= answers;
        let old = recorded <= millis(now.saturating_sub(ANSWER_KEPT));
        // One from the future was recorded before the clock was set back, and its age is anybody's guess.
        let old_enough = recorded <= millis(now.saturating_sub(ANSWER_KEPT_AT_LEAST)) || recorded > millis(now);
        if !(old || too_many && old_enough) {
            break;
        }
        last = Some(id);
    }
    drop(oldest);
    if let Some(last) = last {
        transaction.prepare_cached("DELETE FROM answers WHERE id <= ?1")?.execute([last])?;
    }
    Ok(())
}

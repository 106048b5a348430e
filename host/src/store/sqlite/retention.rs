//! What is dropped again: a few old rows with each transaction, in proportion to the new ones, so that there is never a long pause.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{ANSWER_KEPT, ANSWER_KEPT_AT_LEAST, FOLLOWER_KEPT, MessageKey},
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

/// What is not there any more once the transaction is on disk.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Messages whose answers are gone.
    pub(super) answers: Vec<MessageKey>,
    /// Followers whose records are, by bot and OpenID.
    pub(super) followers: Vec<(String, String)>,
}

impl Retention {
    /// Drops old rows on the occasion of `commits` commits at `now`. At most about `answers` answers stay.
    pub(super) fn drop_old(
        &mut self,
        transaction: &Connection,
        commits: usize,
        now: Duration,
        answers: u64,
    ) -> rusqlite::Result<Dropped> {
        let rows = commits.saturating_mul(ROWS_FOR_EACH_COMMIT).min(ROWS) as i64;
        let answers = drop_answers(transaction, rows, now, answers)?;
        let followers = self.drop_followers(transaction, rows, now)?;
        Ok(Dropped { answers, followers })
    }

    fn drop_followers(
        &mut self,
        transaction: &Connection,
        rows: i64,
        now: Duration,
    ) -> rusqlite::Result<Vec<(String, String)>> {
        let mut statement = transaction.prepare_cached(
            "SELECT bot, openid, expires FROM followers WHERE (bot, openid) > (?1, ?2) ORDER BY bot, openid LIMIT ?3",
        )?;
        let row = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?));
        let seen = statement.query_map(params![self.follower.0, self.follower.1, rows], row)?;
        let seen = seen.collect::<rusqlite::Result<Vec<((String, String), i64)>>>()?;
        let gone = millis(now.saturating_sub(FOLLOWER_KEPT));
        let mut dropped = Vec::new();
        for ((bot, openid), _) in seen.iter().filter(|(_, expires)| *expires <= gone) {
            let mut statement = transaction.prepare_cached("DELETE FROM followers WHERE bot = ?1 AND openid = ?2")?;
            statement.execute(params![bot, openid])?;
            dropped.push((bot.clone(), openid.clone()));
        }
        // After the last row, from the beginning again.
        let more = seen.len() as i64 == rows;
        self.follower = seen.into_iter().next_back().filter(|_| more).map(|(follower, _)| follower).unwrap_or_default();
        Ok(dropped)
    }
}

/// Answers go in the order in which they came, until one is met that has to stay.
fn drop_answers(transaction: &Connection, rows: i64, now: Duration, answers: u64) -> rusqlite::Result<Vec<MessageKey>> {
    let mut statement = transaction.prepare_cached("SELECT max(id) FROM answers")?;
    let Some(newest) = statement.query_row([], |row| row.get::<_, Option<i64>>(0)).optional()?.flatten() else {
        return Ok(Vec::new());
    };
    let mut statement = transaction.prepare_cached("SELECT id, recorded, message FROM answers ORDER BY id LIMIT ?1")?;
    let mut oldest = statement.query([rows])?;
    let (mut last, mut dropped) = (None, Vec::new());
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
        dropped.push(MessageKey(row.get(2)?));
    }
    drop(oldest);
    if let Some(last) = last {
        transaction.prepare_cached("DELETE FROM answers WHERE id <= ?1")?.execute([last])?;
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::{
        super::format::{self, Mode},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);
    const START: Duration = Duration::from_secs(1_700_000_000);

    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let connection = format::connect(&folder.path().join("mynah.db"), Mode::Create).unwrap();
        (folder, connection)
    }

    /// An answer for each of `times`, in this order.
    fn record(connection: &Connection, times: impl IntoIterator<Item = Duration>) {
        for time in times {
            let mut statement = connection
                .prepare_cached("INSERT INTO answers (message, recorded, answer) VALUES (?1, ?2, x'')")
                .unwrap();
            statement.execute(params![[0_u8; 32], millis(time)]).unwrap();
        }
    }

    fn count(connection: &Connection, table: &str) -> u64 {
        connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
            .unwrap()
            .unsigned_abs()
    }

    #[test]
    fn answers_go_after_their_time_and_not_before() {
        let (_folder, connection) = database();
        record(&connection, (0..10).map(|second| START + second * SECOND));
        for (after, left) in
            [(ANSWER_KEPT - SECOND, 10), (ANSWER_KEPT, 9), (ANSWER_KEPT + 4 * SECOND, 5), (2 * ANSWER_KEPT, 0)]
        {
            Retention::default().drop_old(&connection, 100, START + after, 1_000).unwrap();
            assert_eq!(count(&connection, "answers"), left, "after {after:?}");
        }
        Retention::default().drop_old(&connection, 100, START + 2 * ANSWER_KEPT, 1_000).unwrap();
    }

    #[test]
    fn too_many_answers_go_sooner_but_never_within_the_time_of_retries() {
        let (_folder, connection) = database();
        record(&connection, (0..100).map(|second| START + second * SECOND));
        let now = START + 99 * SECOND;
        Retention::default().drop_old(&connection, 100, now, 70).unwrap();
        assert_eq!(count(&connection, "answers"), 70);
        Retention::default().drop_old(&connection, 100, now, 10).unwrap();
        // Those of the last 60 seconds, the one just 60 seconds old excepted.
        assert_eq!(count(&connection, "answers"), 60);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_answers_for_ever() {
        let (_folder, connection) = database();
        record(&connection, [START + 1_000_000 * SECOND; 50]);
        record(&connection, [START; 50]);
        let now = START + 2 * ANSWER_KEPT;
        Retention::default().drop_old(&connection, 100, now, 100).unwrap();
        assert_eq!(count(&connection, "answers"), 100);
        Retention::default().drop_old(&connection, 100, now, 60).unwrap();
        assert_eq!(count(&connection, "answers"), 60);
    }

    #[test]
    fn a_backlog_is_dropped_a_little_at_a_time() {
        let (_folder, connection) = database();
        record(&connection, [START; 5_000]);
        for left in [4_998, 4_996] {
            Retention::default().drop_old(&connection, 1, START + ANSWER_KEPT, 1_000).unwrap();
            assert_eq!(count(&connection, "answers"), left);
        }
        Retention::default().drop_old(&connection, 1_000_000, START + ANSWER_KEPT, 1_000).unwrap();
        assert_eq!(count(&connection, "answers"), 4_996 - ROWS as u64);
    }

    #[test]
    fn expired_followers_go_and_others_stay() {
        let (_folder, connection) = database();
        for bot in ["a", "b"] {
            for number in 0..50_i32 {
                let expires = START + if number % 2 == 0 { Duration::ZERO } else { FOLLOWER_KEPT };
                let mut statement =
                    connection.prepare_cached("INSERT INTO followers VALUES (?1, ?2, 1, ?3, x'')").unwrap();
                statement.execute(params![bot, format!("o{number}"), millis(expires)]).unwrap();
            }
        }
        let mut retention = Retention::default();
        let mut run = |now: Duration| {
            // Every row is looked at within so many commits, wherever the search began.
            for _ in 0..100 {
                retention.drop_old(&connection, 1, now, 1_000).unwrap();
            }
            count(&connection, "followers")
        };
        assert_eq!(run(START + FOLLOWER_KEPT - SECOND), 100);
        assert_eq!(run(START + FOLLOWER_KEPT), 50);
        assert_eq!(run(START + 2 * FOLLOWER_KEPT), 0);
    }
}

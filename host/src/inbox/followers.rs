//! One follower's messages take turns, in order of arrival; and who waits for a late answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// The followers whose messages are under way.
#[derive(Default)]
pub(super) struct Followers(Arc<Mutex<Lines>>);

type Lines = HashMap<Follower, Line>;
type Follower = (Arc<str>, Arc<str>);

/// A follower's line: a fair lock, how many messages hold or await it, and how many are late and so out of the line.
#[derive(Default)]
struct Line {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// For the late ones.
    lane: Arc<tokio::sync::Mutex<()>>,
    messages: usize,
    late: usize,
}

/// A message's turn, or its place in the line; the next one's comes when it is dropped.
pub(super) struct Turn {
    // Dropped before the place, so that a line is taken away only when nobody holds it.
    held: Option<OwnedMutexGuard<()>>,
    _place: Place,
}

struct Place {
    lines: Arc<Mutex<Lines>>,
    follower: Follower,
}

/// A late run; the follower waits for its answer until this is dropped.
pub(super) struct Late(Place);

impl Followers {
    /// Waits until all messages of the follower that arrived before are answered.
    pub(super) async fn turn(&self, bot: &Arc<str>, openid: &str) -> Turn {
        self.wait(bot, openid, |line| &line.lock).await
    }

    /// Waits until the follower's late messages that came to this point before are done.
    pub(super) async fn lane(&self, bot: &Arc<str>, openid: &str) -> Turn {
        self.wait(bot, openid, |line| &line.lane).await
    }

    async fn wait(&self, bot: &Arc<str>, openid: &str, which: impl Fn(&Line) -> &Arc<tokio::sync::Mutex<()>>) -> Turn {
        let follower: Follower = (bot.clone(), openid.into());
        let lock = {
            let mut lines = lock(&self.0);
            let line = lines.entry(follower.clone()).or_default();
            line.messages += 1;
            which(line).clone()
        };
        let mut turn = Turn { held: None, _place: Place { lines: self.0.clone(), follower } };
        turn.held = Some(lock.lock_owned().await);
        turn
    }

    /// Notes that the follower waits for a late answer.
    pub(super) fn late(&self, bot: &Arc<str>, openid: &str) -> Late {
        let follower: Follower = (bot.clone(), openid.into());
        let mut lines = lock(&self.0);
        let line = lines.entry(follower.clone()).or_default();
        line.messages += 1;
        line.late += 1;
        Late(Place { lines: self.0.clone(), follower })
    }

    /// Whether the follower waits for more than so many late answers.
    pub(super) fn awaits(&self, bot: &Arc<str>, openid: &str, known: usize) -> bool {
        lock(&self.0).get(&(bot.clone(), openid.into())).is_some_and(|line| line.late > known)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        if let Some(line) = lock(&self.0.lines).get_mut(&self.0.follower) {
            line.late -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.get_mut(&self.follower) {
            line.messages -= 1;
            if line.messages == 0 {
                lines.remove(&self.follower);
            }
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    // Nothing that holds the lock can panic half way through a change.
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_leave_nothing_behind() {
        let followers = Arc::new(Followers::default());
        let bot: Arc<str> = "b".into();
        let first = followers.turn(&bot, "o").await;
        let other = followers.turn(&bot, "p").await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for n in 0..3 {
            let (followers, bot, order) = (followers.clone(), bot.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let _turn = followers.turn(&bot, "o").await;
                order.lock().unwrap().push(n);
            }));
            // Lets it take its place.
            tokio::task::yield_now().await;
        }
        // One that gives up its place holds up nobody.
        waiting.remove(1).abort();
        assert!(order.lock().unwrap().is_empty());
        drop((first, other));
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 2]);
        assert!(lock(&followers.0).is_empty());
    }
}

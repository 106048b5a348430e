//! One follower's messages take turns, in order of arrival; and who waits for a late answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Parts of the lines, so that messages on different cores seldom wait for one another.
const SHARDS: usize = 16;

/// The followers whose messages are under way.
#[derive(Default)]
pub(super) struct Followers(Arc<[Mutex<Lines>; SHARDS]>);

type Lines = HashMap<Follower, Line>;
type Follower = (Arc<str>, Arc<str>);

/// A follower's messages; taken away when there are none.
#[derive(Default)]
struct Line {
    in_time: Queue,
    /// Those that are late, and so out of the other line.
    late: Queue,
    /// How many of them the follower was told of.
    awaited: usize,
}

/// One message has its turn, and the others wait for it.
#[derive(Default)]
struct Queue {
    taken: bool,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A message's turn; the next one's comes when it is dropped.
pub(super) struct Turn {
    place: Place,
    which: fn(&mut Line) -> &mut Queue,
    /// Whether it is somebody else's now.
    passed_on: bool,
}

#[derive(Clone)]
struct Place {
    lines: Arc<[Mutex<Lines>; SHARDS]>,
    follower: Follower,
}

/// A late run; the follower waits for its answer until this is dropped.
pub(super) struct Late(Place);

impl Followers {
    /// Waits until all messages of the follower that arrived before are answered.
    pub(super) async fn turn(&self, bot: &Arc<str>, openid: &str) -> Turn {
        self.wait(bot, openid, |line| &mut line.in_time).await
    }

    /// Waits until the follower's late messages that came to this point before are done.
    pub(super) async fn lane(&self, bot: &Arc<str>, openid: &str) -> Turn {
        self.wait(bot, openid, |line| &mut line.late).await
    }

    async fn wait(&self, bot: &Arc<str>, openid: &str, which: fn(&mut Line) -> &mut Queue) -> Turn {
        let place = self.place(bot, openid);
        let turn = {
            let mut lines = place.lock();
            let queue = which(lines.entry(place.follower.clone()).or_default());
            if !queue.taken {
                queue.taken = true;
                None
            } else {
                let (tell, turn) = oneshot::channel();
                queue.waiting.push_back(tell);
                Some(turn)
            }
        };
        match turn {
            // A turn is dropped only after it was passed on.
            Some(turn) => turn.await.unwrap_or(Turn { place, which, passed_on: true }),
            None => Turn { place, which, passed_on: false },
        }
    }

    /// Notes that the follower waits for a late answer.
    pub(super) fn late(&self, bot: &Arc<str>, openid: &str) -> Late {
        let place = self.place(bot, openid);
        place.lock().entry(place.follower.clone()).or_default().awaited += 1;
        Late(place)
    }

    /// Whether the follower waits for more than so many late answers.
    pub(super) fn awaits(&self, bot: &Arc<str>, openid: &str, known: usize) -> bool {
        self.place(bot, openid).awaits(known)
    }

    fn place(&self, bot: &Arc<str>, openid: &str) -> Place {
        Place { lines: self.0.clone(), follower: (bot.clone(), openid.into()) }
    }
}

impl Turn {
    /// Whether the follower waits for more than so many late answers.
    pub(super) fn awaits(&self, known: usize) -> bool {
        self.place.awaits(known)
    }
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        // An OpenID's last character is as good as random.
        let shard = usize::from(self.follower.1.bytes().next_back().unwrap_or_default()) % SHARDS;
        // Nothing that holds the lock can panic half way through a change.
        self.lines[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaits(&self, known: usize) -> bool {
        self.lock().get(&self.follower).is_some_and(|line| line.awaited > known)
    }

    /// Changes the line, and takes it away if nothing is left of it.
    fn change<T>(&self, change: impl FnOnce(&mut Line) -> Option<T>) -> Option<T> {
        let mut lines = self.lock();
        let line = lines.get_mut(&self.follower)?;
        let changed = change(line);
        if !line.in_time.taken && !line.late.taken && line.awaited == 0 {
            lines.remove(&self.follower);
        }
        changed
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.change(|line| {
            line.awaited -= 1;
            None::<()>
        });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        while !self.passed_on {
            let next = self.place.change(|line| {
                let queue = (self.which)(line);
                let next = queue.waiting.pop_front();
                queue.taken = next.is_some();
                next
            });
            let Some(next) = next else { return };
            let turn = Self { place: self.place.clone(), which: self.which, passed_on: false };
            match next.send(turn) {
                Ok(()) => self.passed_on = true,
                // That one has given up; the turn is still ours to pass on.
                Err(mut turn) => turn.passed_on = true,
            }
        }
    }
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
        assert!(followers.0.iter().all(|lines| lines.lock().unwrap().is_empty()));
    }
}

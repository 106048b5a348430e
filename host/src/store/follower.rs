//! What is recorded of a follower: the conversation under way, and replies that wait to be asked for.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::wechat::reply::Reply;

/// Replies kept for one follower; the oldest go first. A text of the largest size that a plugin may return has 32 pages.
pub const KEPT: usize = 64;

/// How long a kept reply waits to be asked for.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The first byte of a record: how the rest is encoded.
const FORMAT: u8 = 1;

/// One follower of one bot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    conversation: Option<Conversation>,
    /// Answers that came late.
    kept: VecDeque<Reply>,
    /// What is left of the last long text.
    pages: VecDeque<Reply>,
    /// When the kept replies are forgotten, in seconds since the Unix epoch.
    kept_until: u64,
}

/// A dialogue of a plugin with the follower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// Whose it is.
    pub plugin: String,
    /// What the plugin remembers, opaque here.
    pub state: Vec<u8>,
    /// When it ends by itself, in seconds since the Unix epoch.
    pub until: u64,
}

impl Follower {
    /// Reads a record; none when it is not one.
    pub fn decode(record: &[u8]) -> Option<Self> {
        match record {
            [FORMAT, rest @ ..] => postcard::from_bytes(rest).ok(),
            _ => None,
        }
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to be encoded into a growing vector.
        postcard::to_extend(self, vec![FORMAT]).unwrap_or_default()
    }

    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.conversation.is_none() && self.kept.is_empty() && self.pages.is_empty()
    }

    /// When there is nothing left of it.
    pub fn expires(&self) -> Duration {
        let conversation = self.conversation.as_ref().map_or(0, |conversation| conversation.until);
        let kept = if self.kept.is_empty() && self.pages.is_empty() { 0 } else { self.kept_until };
        Duration::from_secs(conversation.max(kept))
    }

    /// Drops what has expired.
    pub fn expire(&mut self, now: Duration) {
        if self.conversation.as_ref().is_some_and(|conversation| conversation.until <= now.as_secs()) {
            self.conversation = None;
        }
        if self.kept_until <= now.as_secs() {
            self.kept.clear();
            self.pages.clear();
        }
    }

    /// The conversation under way.
    pub fn conversation(&self) -> Option<&Conversation> {
        self.conversation.as_ref()
    }

    /// Begins, goes on with, or ends a conversation.
    pub fn set_conversation(&mut self, conversation: Option<Conversation>) {
        self.conversation = conversation;
    }

    /// Keeps the further pages of a text until they are asked for; those of an earlier one are given up.
    pub fn keep_pages(&mut self, pages: Vec<Reply>, now: Duration) {
        self.pages = pages.into();
        self.pages.truncate(KEPT);
        self.kept_until = (now + KEPT_FOR).as_secs();
    }

    /// Keeps answers that came late until they are asked for.
    pub fn keep(&mut self, replies: impl IntoIterator<Item = Reply>, now: Duration) {
        self.kept.extend(replies);
        while self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        self.kept_until = (now + KEPT_FOR).as_secs();
    }

    /// Takes the next kept reply: late answers first.
    pub fn take_kept(&mut self) -> Option<Reply> {
        self.kept.pop_front().or_else(|| self.pages.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_garbage_does_not() {
        let mut follower = Follower::default();
        follower.keep([Reply::Text("a".into()), Reply::Image { media_id: "m".into() }], Duration::from_secs(5));
        follower.set_conversation(Some(Conversation { plugin: "quiz".into(), state: vec![1, 2], until: 9 }));
        assert_eq!(Follower::decode(&follower.encode()), Some(follower));
        for garbage in [&b""[..], b"\x02", b"\x01\xff\xff\xff", b"{}"] {
            assert_eq!(Follower::decode(garbage), None);
        }
    }

    #[test]
    fn what_has_expired_is_gone() {
        let mut follower = Follower::default();
        follower.set_conversation(Some(Conversation { plugin: "quiz".into(), state: vec![], until: 9 }));
        follower.keep([Reply::Silence], Duration::ZERO);
        follower.expire(Duration::from_secs(8));
        assert!(follower.conversation().is_some());
        follower.expire(Duration::from_secs(9));
        assert!(follower.conversation().is_none() && !follower.is_empty());
        follower.expire(KEPT_FOR);
        assert!(follower.is_empty());
    }

    #[test]
    fn the_oldest_kept_replies_go_first() {
        let mut follower = Follower::default();
        follower.keep((0..KEPT + 2).map(|n| Reply::Text(n.to_string())), Duration::ZERO);
        assert_eq!(follower.take_kept(), Some(Reply::Text("2".into())));
    }
}

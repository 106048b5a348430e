//! Conversations as text: one way to write what a follower does and what they get, shared by transcripts, chat and send.
//!
//! `plugin-sdk/TESTING.md` describes it for those who write it. Nothing here runs anything.

pub mod acts;
pub mod answers;
mod bracket;
pub mod pattern;
pub mod replies;
pub mod script;

//! The callback protocol of WeChat Official Accounts: what WeChat posts, and what an account may answer.
//!
//! Everything here is pure. Bytes, the time and random bytes come in as arguments, values and errors come out; nothing blocks,
//! reads a clock or touches the network. Input is hostile until its signature has been verified, and after that it still carries
//! whatever a follower typed, so no input panics and every size has a bound.
//!
//! A delivery passes through in this order:
//!
//! 1. [`signature::verify`] over the query, and in safe mode over `Encrypt` as well;
//! 2. [`Document::parse`] reads the body, and in safe mode [`Cipher::decrypt`] the message within it;
//! 3. [`Message::try_from`] gives the message that a plugin sees;
//! 4. [`Reply::check`] turns what the plugin said into a [`CheckedReply`], the only thing that can be rendered;
//! 5. in safe mode [`Cipher::encrypt`] and [`render_envelope`] wrap the rendered reply.

pub mod callback;
pub mod cipher;
pub mod document;
pub mod envelope;
pub mod message;
pub mod pages;
pub mod reply;
pub mod signature;

mod chars;
mod raw;
#[cfg(test)]
mod samples;
mod writer;

pub use callback::Act;
pub use cipher::{AesKey, Cipher, DecryptError, Decrypted, KeyError, WhichKey};
pub use document::{Document, Field, Format, Leaf, ParseError};
pub use envelope::render_envelope;
pub use message::{Message, MessageError};
pub use reply::{Article, CheckedReply, Header, Music, Raw, Reply, ReplyError, Video, Warning};

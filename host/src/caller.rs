//! Calls an account's URL as WeChat does, and judges what comes back as WeChat would.
//!
//! WeChat's servers cannot be reached from a test, and say nothing of why they refuse an account. This module is their side of the
//! protocol: it signs, encrypts, connects as they do, waits as long as they do, and follows no redirect.

pub mod connection;
pub mod judge;
pub mod request;

pub use self::{
    connection::{Exchange, Failed, Stage, Way},
    judge::Verdict,
    request::{Account, Mode, Request},
};

/// How long WeChat waits for an answer, from the first packet on.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// How often WeChat sends a message whose answer did not come.
pub const DELIVERIES: usize = 3;

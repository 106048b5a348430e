//! What a plugin prints and logs while it answers one message, kept within bounds and passed on to the host's log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use crate::limits;

/// Bytes that a plugin may write in one go: what WASI's own streams allow.
const WRITE: usize = 64 << 10;

/// Collects a plugin's standard output or error; lines past the bound are counted, not kept.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Collected>>);

#[derive(Default)]
struct Collected {
    kept: Vec<u8>,
    cut: u64,
}

impl Output {
    /// What was printed, as lines of text, and how many bytes were cut.
    pub(super) fn take(&self) -> (String, u64) {
        let collected = std::mem::take(&mut *self.lock());
        (String::from_utf8_lossy(&collected.kept).into_owned(), collected.cut)
    }

    fn push(&self, bytes: &[u8]) {
        let mut collected = self.lock();
        let room = limits::PLUGIN_OUTPUT.saturating_sub(collected.kept.len()).min(bytes.len());
        collected.kept.extend_from_slice(&bytes[..room]);
        collected.cut += (bytes.len() - room) as u64;
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        // Nothing that holds the lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it, which is not linked.
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE {
            return Err(StreamError::trap("more was written than was permitted"));
        }
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_counts_the_rest() {
        let output = Output::default();
        output.push(&vec![b'a'; limits::PLUGIN_OUTPUT - 1]);
        output.push(b"bcd");
        let (text, cut) = output.take();
        assert!(text.ends_with("ab"));
        assert_eq!((text.len(), cut), (limits::PLUGIN_OUTPUT, 2));
    }
}

//! The pictures that a follower has sent and not yet had read.

use mynah_plugin::{Error, conversation};

/// Where WeChat keeps them, in the order in which they came.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) pictures: Vec<String>,
}

impl Batch {
    /// What is remembered; nothing where no conversation is going on.
    pub(crate) fn load() -> Result<Self, Error> {
        let state = conversation::recall()?.unwrap_or_default();
        // A state of another version is as good as none.
        Ok(Self { pictures: serde_json::from_slice(&state).unwrap_or_default() })
    }

    /// Remembers them for so many seconds; without any, the conversation is over.
    pub(crate) fn save(&self, seconds: u32) -> Result<(), Error> {
        if self.pictures.is_empty() {
            return conversation::end();
        }
        let state = serde_json::to_vec(&self.pictures).map_err(|error| Error::new("bad-state", error.to_string()))?;
        conversation::remember(state, seconds)
    }
}

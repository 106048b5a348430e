//! How many pictures a follower may still have read today, where bots.toml bounds it.

use mynah_plugin::{Error, Message, store};

use crate::settings::Settings;

/// Days begin at midnight in China, where WeChat's own quotas begin anew.
const ZONE: u64 = 8 * 60 * 60;

/// What is left of a day's pictures.
pub(crate) enum Allowance {
    Unbounded,
    Bounded { key: String, day: u64, used: u32, most: u32 },
}

impl Allowance {
    pub(crate) fn load(message: &Message, settings: &Settings) -> Result<Self, Error> {
        let Some(most) = settings.per_day else { return Ok(Self::Unbounded) };
        let day = (u64::from(message.created) + ZONE) / (24 * 60 * 60);
        let key = format!("used/{}", message.sender);
        let record = store::get(&key)?.unwrap_or_default();
        let record = String::from_utf8_lossy(&record);
        let used = match record.split_once(' ') {
            Some((then, used)) if then == day.to_string() => used.parse().unwrap_or(0),
            _ => 0,
        };
        Ok(Self::Bounded { key, day, used, most })
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        match self {
            Self::Unbounded => true,
            Self::Bounded { used, most, .. } if *used < *most => {
                *used += 1;
                true
            }
            Self::Bounded { .. } => false,
        }
    }

    /// Notes what was taken.
    pub(crate) fn save(&self) -> Result<(), Error> {
        match self {
            Self::Unbounded => Ok(()),
            Self::Bounded { key, day, used, .. } => store::set(key, format!("{day} {used}")),
        }
    }
}

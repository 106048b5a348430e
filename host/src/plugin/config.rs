//! `mynah:bot/config`: the values of `[plugins.NAME.config]`.

use super::{bindings::mynah::bot::config::Host, run::Run};

impl Host for Run {
    async fn get(&mut self, key: String) -> Option<String> {
        self.charter.settings.config.get(&key).cloned()
    }
}

//! `mynah:bot/log`: a plugin's own lines in the host's log.

use super::{
    bindings::mynah::bot::log::{Host, Level},
    run::{Run, bounded},
};

impl Host for Run {
    async fn log(&mut self, level: Level, text: String) {
        let (lines, bytes) = &mut self.log_room;
        if *lines == 0 || text.len() > *bytes {
            self.log_cut += 1;
            return;
        }
        *lines -= 1;
        *bytes -= text.len();
        let (plugin, text) = (&*self.charter.name, bounded(&text));
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{text}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{text}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{text}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{text}"),
        }
    }
}

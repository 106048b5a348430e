//! The host's log, where lines carry the plugin's, the bot's and the message's name.
//!
//! The macros take what [`format!`] takes:
//!
//! ```
//! use mynah_plugin::{log, testing};
//!
//! let city = "广州";
//! log::info!("asked for {city}");
//! log::warn!("no forecast for {city}: {}", "timeout");
//!
//! let lines = testing::log_lines();
//! assert_eq!(lines[0], (log::Level::Info, "asked for 广州".to_owned()));
//! assert_eq!(lines[1].0, log::Level::Warn);
//! ```
//!
//! There is no need to log an error that the handler returns: the host does.

/// How much a line matters.
#[doc(inline)]
pub use crate::bindings::mynah::bot::log::Level;

/// Writes one line, where the level is only known at run time.
///
/// ```
/// use mynah_plugin::log;
///
/// let patience = 0;
/// let level = if patience > 0 { log::Level::Info } else { log::Level::Error };
/// log::write(level, "still waiting");
/// ```
pub fn write(level: Level, text: impl AsRef<str>) {
    crate::host::log::log(level, text.as_ref());
}

/// Logs what only helps while developing: `debug!("{message:?}")`.
#[doc(inline)]
pub use crate::__debug as debug;
/// Logs that something failed: `error!("cannot read the questions: {error}")`.
#[doc(inline)]
pub use crate::__error as error;
/// Logs something worth knowing: `info!("{} joined", message.sender)`.
#[doc(inline)]
pub use crate::__info as info;
/// Logs something that should not be but can be lived with: `warn!("no key, using the demo's")`.
#[doc(inline)]
pub use crate::__warn as warn;

// `#[macro_export]` puts macros in the crate's root, whatever module they are in. There they have
// names that nobody types, and the re-exports above bring them where they belong.

#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, ::std::format!($($arguments)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Info, ::std::format!($($arguments)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, ::std::format!($($arguments)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($arguments:tt)+) => {
        $crate::log::write($crate::log::Level::Error, ::std::format!($($arguments)+))
    };
}

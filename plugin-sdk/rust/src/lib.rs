#![doc = include_str!("../README.md")]

pub mod config;
pub mod conversation;
pub mod http;
pub mod log;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod wechat;

mod error;
mod message;
mod reply;

/// Makes a function the plugin: the host calls it with each message that a rule in bots.toml
/// gives to this plugin, and sends the follower what it returns.
///
/// The function may have any name. It takes one [`Message`] and returns anything that is
/// [`IntoReply`]. There is one such function in a plugin.
///
/// ```
/// use mynah_plugin::{IntoReply, Message};
///
/// #[mynah_plugin::plugin]
/// fn handle(message: Message) -> impl IntoReply {
///     format!("你说的是：{}", message.text())
/// }
/// ```
///
/// `#[mynah_plugin::plugin(ask)]` is a plugin that may [`ask`](conversation::ask).
///
/// The function itself stays as it is written, so a unit test calls it like any other; see
/// [`testing`]. Every message meets a fresh instance of the plugin: a `static` starts anew each
/// time, and what is to last belongs in the [`store`] or a [`conversation`].
///
/// What the host could not call does not compile:
///
/// ```compile_fail
/// # use mynah_plugin::{IntoReply, Message};
/// #[mynah_plugin::plugin]
/// async fn handle(message: Message) -> impl IntoReply {} // cannot be `async`
/// ```
///
/// ```compile_fail
/// # use mynah_plugin::{IntoReply, Message};
/// #[mynah_plugin::plugin]
/// fn handle() -> impl IntoReply {} // takes the message
/// ```
///
/// ```compile_fail
/// # use mynah_plugin::Message;
/// #[mynah_plugin::plugin]
/// fn handle(message: Message) -> u32 { 42 } // `u32` is not a reply
/// ```
pub use mynah_plugin_macros::plugin;

/// What `#[plugin(ask)]` expands to: runs a handler that may [`ask`](conversation::ask).
#[doc(hidden)]
pub fn __ask(message: Message, handle: impl FnOnce(Message) -> Result<Reply, String>) -> Result<Reply, String> {
    conversation::run(message, handle)
}

// Listed by hand, because the generated modules also hold what only the export macro needs.
#[doc(inline)]
pub use bindings::mynah::bot::types::{Article, Field, Message, Music, Raw, Reply, Video};

pub use error::Error;
pub use message::{Content, Event};
pub use reply::IntoReply;

/// What `wit-bindgen` makes of the contract. Public only for the code that [`plugin`] expands to.
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "plugin",
        additional_derives: [PartialEq, Eq],
        // The generated `Display` would print the struct; ours is fit for a log.
        with: { "mynah:bot/types@0.1.0/error": crate::Error },
        // The export happens in the plugin's crate, which finds everything under this path.
        pub_export_macro: true,
        export_macro_name: "__export_plugin",
        default_bindings_module: "mynah_plugin::bindings",
    });
}

/// The other side of every call: the host, or in a native unit test its double.
#[cfg(target_family = "wasm")]
use bindings::mynah::bot as host;
#[cfg(not(target_family = "wasm"))]
use testing::host;

//! The host of Mynah: a server that speaks WeChat's callback protocol and gives each message to a sandboxed plugin.
//!
//! # The way of a message
//!
//! ```text
//! WeChat ──HTTP──▶ server ─▶ webhook ─▶ wechat (verify, decrypt, parse) ─▶ inbox (a retry joins the first delivery)
//!                                                                            │
//!        reply ◀── webhook ◀── wechat (render, encrypt) ◀── store (commit) ◀── bot ──▶ router ──▶ plugin ──▶ store (read)
//! ```
//!
//! One way through, no stage reached twice; each stage takes plain values and gives plain values.
//!
//! # Who may import whom
//!
//! | module | what it is | may import |
//! |---|---|---|
//! | [`cli`] | the command line, one file a verb | everything |
//! | [`server`] | accepts connections, bounds them, drains | – |
//! | [`admin`] | what operators ask a running server | `server`, `reload` |
//! | [`webhook`] | one HTTP request → one response | `server`, `reload`, `inbox`, `bot` |
//! | [`inbox`] | deliveries of one message share one run and one answer; late answers are sent | `bot`, `plugin`, `store`, `wechat_api` |
//! | [`rehearsal`] | the bots without a server, for chat and transcripts | `inbox`, `bot`, `plugin`, `store`, `http_client`, `transcript` |
//! | [`reload`] | swaps generations when files change, rolls plugins back | `generation`, `bot`, `router`, `plugin`, `versions`, `watch` |
//! | [`generation`] | `bots.toml` → bots with routes and plugins | `bot`, `router`, `plugin`, `versions`, `wechat_api` |
//! | [`bot`] | one account: message → reply | `router`, `plugin`, `store`, `wechat_api` |
//! | [`router`] | rules → who answers | – |
//! | [`plugin`] | runs components; the only one to name wasmtime | `store`, `wechat_api`, `http_client` |
//! | [`wechat_api`] | the API of an account: its token, calls, media, messages | `http_client` |
//! | [`http_client`] | the one way out: policy, addresses checked, bounds, pooled connections | – |
//! | [`store`] | durable state: one atomic commit of all that a message did; SQLite | – |
//! | [`versions`] | which versions of plugins worked and which did not, on disk | – |
//! | [`watch`] | tells when files change | – |
//! | [`config`] | `bots.toml` → values that are valid once built | – |
//! | [`transcript`] | conversations as text, for transcripts, chat and send | – |
//! | [`wechat`] | the protocol: bytes, time and randomness in, values out | nothing of ours, no I/O |
//! | [`caller`] | WeChat's side: calls an account's URL and judges what comes back | – |
//! | [`fault`] | what can be wrong between WeChat and an account, in words | – |
//! | [`secret`], [`limits`], [`clock`], [`called`], [`digest`], [`text`], [`throttle`] | leaves | – |
//!
//! Everyone may use `wechat`'s values, `fault`, `config` and the leaves. hyper is named only by `server`, `webhook`,
//! `admin`, `caller`, `http_client` and `plugin::wasi_http`, rustls only by `caller` and `http_client`, quick-xml only in `wechat`, toml
//! only in `config`, rusqlite only in `store`. Time and randomness come from [`clock::World`], handed in. `tests/map.rs` holds the code to this table.

pub mod admin;
pub mod bot;
pub mod called;
pub mod caller;
pub mod cli;
pub mod clock;
pub mod config;
pub mod digest;
pub mod fault;
pub mod generation;
pub mod http_client;
pub mod inbox;
pub mod limits;
pub mod plugin;
pub mod rehearsal;
pub mod reload;
pub mod router;
pub mod secret;
pub mod server;
pub mod store;
pub mod text;
pub mod throttle;
pub mod transcript;
pub mod versions;
pub mod watch;
pub mod webhook;
pub mod wechat;
pub mod wechat_api;

//! End to end: the real server on a real socket, with real plugins.

mod chat;
mod command_line;
mod demo;
mod dev;
mod doctor;
mod harness;
mod hostile;
mod http;
mod interop;
mod nginx;
mod ocr;
mod outside;
mod peer;
mod plugins;
mod proxy;
mod push;
mod readme;
mod reload;
mod rollback;
mod routing;
mod safe_mode;
mod send;
mod state;
mod swap;
mod transcripts;
mod wechat_api;

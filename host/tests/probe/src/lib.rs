//! A plugin that does what the message tells it to, most of it bad.

use std::{hint::black_box, time::Duration};

use mynah_plugin::{Article, Message, Music, Raw, Reply, Video, config, conversation, http, log, store, wechat};

#[mynah_plugin::plugin]
fn handle(message: Message) -> Result<Reply, String> {
    let text = message.text.clone().unwrap_or_default();
    let (command, rest) = text.split_once(' ').unwrap_or((&text, ""));
    Ok(match command {
        "say" => Reply::text(rest),
        "echo-all" => Reply::text(format!("{message:?}")),
        "empty" => Reply::text(""),
        "image" => Reply::image("media-1"),
        "voice" => Reply::voice("media-2"),
        "video" => Reply::Video(Video::new("media-3").title("t").description("d")),
        "music" => Reply::Music(Music::new("thumb").title("t").url("http://m").hq_url("http://hq")),
        "news" => Reply::news((1..=9).map(|n| Article::new(format!("title {n}"), format!("http://{n}")))),
        "transfer" => Reply::Transfer(Some("agent@x".into())),
        "transfer-to-ai" => Reply::TransferToAi,
        "raw" => Reply::Raw(Raw::new("future").field("A.item.0.B", "1").field("A.item.1.B", "2")),
        "raw-bad" => Reply::Raw(Raw::new("x><y").field("A", "1")),
        "silence" => Reply::Silence,
        "pass" => Reply::Pass,
        "error" => return Err(rest.to_owned()),
        "trap" => panic!("told to panic"),
        "loop" => loop {
            black_box(0);
        },
        "sleep" => {
            log::info!("going to sleep");
            std::thread::sleep(Duration::from_millis(rest.parse().map_err(|_| "not a number")?));
            Reply::text("slept")
        }
        "allocate" => {
            let mut kept = Vec::new();
            loop {
                kept.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "recurse" => Reply::text(recurse(0).to_string()),
        "print" => {
            for n in 0..rest.parse().map_err(|_| "not a number")? {
                println!("printed line {n}");
            }
            eprintln!("an error line\u{1b}[31m");
            Reply::text("printed")
        }
        "log" => {
            log::warn!("a warning from the plugin");
            log::info!("{rest}");
            Reply::text("logged")
        }
        "config" => Reply::text(config::get(rest).unwrap_or_else(|| "none".into())),
        "env" => Reply::text(std::env::vars().map(|(key, value)| format!("{key}={value};")).collect::<String>()),
        "files" => Reply::text(format!("{:?}", std::fs::read_dir("/").map(|_| ()).map_err(|error| error.kind()))),
        "random" => Reply::text(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0).to_string()),
        "connect" => {
            Reply::text(format!("{:?}", std::net::TcpStream::connect(rest).map(|_| ()).map_err(|error| error.kind())))
        }
        "imports" => {
            let codes = [
                store::get("k").err().map(|error| error.code),
                conversation::recall().err().map(|error| error.code),
                http::send(&http::Request::get("http://example.com")).err().map(|error| error.code),
                wechat::call("/cgi-bin/menu/get", None).err().map(|error| error.code),
            ];
            Reply::text(codes.map(|code| code.unwrap_or_else(|| "fine".into())).join(" "))
        }
        _ => Reply::Pass,
    })
}

fn recurse(depth: u64) -> u64 {
    let here = black_box([depth; 64]);
    if here[0] == u64::MAX { 0 } else { recurse(depth + 1) + here[1] }
}

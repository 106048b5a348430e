//! A plugin that does what the message tells it to, most of it bad.

mod outside;

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

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
        // What one message leaves to the next in the same instance.
        "again" => {
            static TIMES: AtomicU32 = AtomicU32::new(0);
            println!("counted");
            if let Ok(ms) = rest.parse() {
                std::thread::sleep(Duration::from_millis(ms));
            }
            Reply::text((TIMES.fetch_add(1, Ordering::Relaxed) + 1).to_string())
        }
        "open" => {
            std::mem::forget(wasip2::clocks::monotonic_clock::subscribe_duration(0));
            Reply::text("opened")
        }
        "recurse" => Reply::text(recurse(0).to_string()),
        "huge" => Reply::text("x".repeat(30 << 20)),
        "forbidden" => Reply::text("a\u{1}b\u{fffe}c"),
        "calls" => {
            let mut refused = 0;
            for _ in 0..rest.parse().map_err(|_| "not a number")? {
                refused += usize::from(store::get("k").is_err());
            }
            Reply::text(format!("{refused} refused"))
        }
        "logs" => {
            for _ in 0..rest.parse().map_err(|_| "not a number")? {
                log::info!("");
            }
            Reply::text("logged")
        }
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
        "long" => {
            let lines: usize = rest.parse().map_err(|_| "not a number")?;
            Reply::text((0..lines).map(|n| format!("line {n:04} {}\n", "x".repeat(90))).collect::<String>())
        }
        "count" => Reply::text(store::add(rest, 1).map_err(|error| error.code)?.to_string()),
        "count-slowly" => {
            let before = store::get(rest).map_err(|error| error.code)?.unwrap_or_default();
            let before: u64 = String::from_utf8_lossy(&before).parse().unwrap_or(0);
            std::thread::sleep(Duration::from_millis(5));
            store::set(rest, (before + 1).to_string()).map_err(|error| error.code)?;
            Reply::text((before + 1).to_string())
        }
        "set" => {
            let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
            match store::set(key, value) {
                Ok(()) => Reply::text("set"),
                Err(error) => Reply::text(error.code),
            }
        }
        "set-large" => match store::set("large", vec![0; rest.parse().map_err(|_| "not a number")?]) {
            Ok(()) => Reply::text("set"),
            Err(error) => Reply::text(error.code),
        },
        "set-and-pass" => {
            store::set("passed", "1").map_err(|error| error.code)?;
            conversation::remember("passed", 60).map_err(|error| error.code)?;
            Reply::Pass
        }
        "set-and-trap" => {
            store::set("trapped", "1").map_err(|error| error.code)?;
            panic!("after writing")
        }
        "set-and-sleep" => {
            let ms: u64 = rest.parse().map_err(|_| "not a number")?;
            let sum = store::add("slept", 1).map_err(|error| error.code)?;
            log::info!("going to sleep");
            std::thread::sleep(Duration::from_millis(ms));
            Reply::text(format!("slept {sum}"))
        }
        "get" => match store::get(rest).map_err(|error| error.code)? {
            Some(value) => Reply::text(format!("={}", String::from_utf8_lossy(&value))),
            None => Reply::text("none"),
        },
        "delete" => {
            store::delete(rest).map_err(|error| error.code)?;
            Reply::text(format!("{:?}", store::get(rest).map_err(|error| error.code)?))
        }
        "list" => Reply::text(format!("{:?}", store::list(rest, None, 100).map_err(|error| error.code)?)),
        "remember" => {
            let (seconds, state) = rest.split_once(' ').unwrap_or((rest, ""));
            conversation::remember(state, seconds.parse().map_err(|_| "not a number")?).map_err(|error| error.code)?;
            Reply::text("remembered")
        }
        "remember-slowly" => {
            std::thread::sleep(Duration::from_millis(rest.parse().map_err(|_| "not a number")?));
            conversation::remember("late", 600).map_err(|error| error.code)?;
            Reply::text("remembered")
        }
        "remember-large" => {
            let state = vec![0; rest.parse().map_err(|_| "not a number")?];
            Reply::text(conversation::remember(state, 60).map_or_else(|error| error.code, |()| "remembered".into()))
        }
        "recall" => match conversation::recall().map_err(|error| error.code)? {
            Some(state) => Reply::text(format!("={}", String::from_utf8_lossy(&state))),
            None => Reply::text("none"),
        },
        "forget" => {
            conversation::end().map_err(|error| error.code)?;
            Reply::text("forgotten")
        }
        "http" => Reply::text(outside::http(rest)),
        "wasi-http" => Reply::text(outside::wasi_http(rest)),
        "http-often" => {
            let (times, url) = rest.split_once(' ').ok_or("no URL")?;
            let times: u32 = times.parse().map_err(|_| "not a number")?;
            let codes = (0..times).filter_map(|_| http::send(&http::Request::get(url)).err()).map(|error| error.code);
            let refused = codes.filter(|code| code == "too-many").count();
            Reply::text(format!("{refused} refused"))
        }
        "count-outside" => {
            let (key, url) = rest.split_once(' ').ok_or("no URL")?;
            let before = store::get(key).map_err(|error| error.code)?.unwrap_or_default();
            let before: u64 = String::from_utf8_lossy(&before).parse().unwrap_or(0);
            http::send(&http::Request::get(url)).map_err(|error| error.to_string())?;
            store::set(key, (before + 1).to_string()).map_err(|error| error.code)?;
            Reply::text((before + 1).to_string())
        }
        "wechat-post" => {
            let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
            Reply::text(wechat::call(path, Some(body)).unwrap_or_else(|error| error.code))
        }
        "wechat-error" => match wechat::call(rest, None) {
            Ok(answer) => Reply::text(answer),
            Err(error) => Reply::text(format!("{}: {}", error.code, error.message)),
        },
        "count-and-call" => {
            let before = store::get("c").map_err(|error| error.code)?.unwrap_or_default();
            let called = wechat::call(rest, None).map_err(|error| error.code)?;
            store::set("c", [&before[..], b"x"].concat()).map_err(|error| error.code)?;
            Reply::text(called)
        }
        "upload" => {
            let (kind, file) = rest.split_once(' ').unwrap_or((rest, ""));
            let (name, data) = file.split_once(' ').unwrap_or((file, ""));
            Reply::text(wechat::upload(kind, name, data).unwrap_or_else(|error| error.code))
        }
        "download" => match wechat::download(rest) {
            Ok(data) => Reply::text(String::from_utf8_lossy(&data)),
            Err(error) => Reply::text(error.code),
        },
        "sleep-and" => {
            let (ms, reply) = rest.split_once(' ').unwrap_or((rest, ""));
            std::thread::sleep(Duration::from_millis(ms.parse().map_err(|_| "not a number")?));
            return handle(Message { text: Some(reply.to_owned()), ..message });
        }
        "wechat" => Reply::text(wechat::call(rest, None).unwrap_or_else(|error| error.code)),
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

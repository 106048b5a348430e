//! The load: connections that are kept alive, each with one message under way at a time.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use crate::{messages::Messages, process::Server};

/// Connections, unless a part says otherwise.
pub(crate) const CONNECTIONS: usize = 64;

/// What a server did in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// CPU time of the server's processes for each message, in µs.
    pub(crate) cpu_us: f64,
    /// Messages answered in a second.
    pub(crate) per_second: f64,
}

/// Sends `count` messages as fast as they are answered.
pub(crate) fn measure(server: &Server, messages: &Messages, connections: usize, count: usize) -> Round {
    let warm = messages.requests(connections);
    let requests = messages.requests(count);
    let address = server.address();
    let expected = messages.expected;
    let (cpu, elapsed) = on_client_core(move || {
        block_on(async move {
            let mut streams = Vec::with_capacity(connections);
            for _ in 0..connections {
                streams.push(connect(address).await);
            }
            let awake = stay_awake();
            // Nobody counts what a connection costs.
            for (stream, request) in streams.iter_mut().zip(&warm) {
                exchange(stream, request, expected).await;
            }
            settle();
            let before = server.cpu();
            let start = Instant::now();
            let (next, requests) = (Rc::new(AtomicUsize::new(0)), Rc::new(requests));
            let tasks: Vec<_> = streams
                .into_iter()
                .map(|mut stream| {
                    let (next, requests) = (next.clone(), requests.clone());
                    tokio::task::spawn_local(async move {
                        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                            exchange(&mut stream, request, expected).await;
                        }
                        stream
                    })
                })
                .collect();
            let mut kept = Vec::new();
            for task in tasks {
                kept.push(task.await.expect("no panic"));
            }
            let elapsed = start.elapsed();
            awake.abort();
            settle();
            (server.cpu().saturating_sub(before), elapsed)
        })
    });
    Round { cpu_us: cpu.as_secs_f64() * 1e6 / count as f64, per_second: count as f64 / elapsed.as_secs_f64() }
}

/// Keeps the client from ever going to sleep: a server that answers faster than it is asked would never have to wake it, and every
/// other one would pay for that with each answer, by what the kernel counts.
fn stay_awake() -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_local(async {
        loop {
            tokio::task::yield_now().await;
        }
    })
}

/// Sends messages at a steady pace for some time, whether they are answered or not, and returns how long each took from the moment
/// at which it was due: a server that stalls is charged for all who had to wait.
pub(crate) fn paced(server: &Server, messages: &Messages, per_second: f64, time: Duration) -> Vec<Duration> {
    let count = (per_second * time.as_secs_f64()) as usize;
    let requests = messages.requests(count.max(1));
    let address = server.address();
    let expected = messages.expected;
    let mut took = on_client_core(move || {
        block_on(async move {
            let requests = Rc::new(requests);
            let begin = Instant::now() + Duration::from_millis(50);
            let tasks: Vec<_> = (0..CONNECTIONS)
                .map(|lane| {
                    let requests = requests.clone();
                    tokio::task::spawn_local(async move {
                        let mut stream = connect(address).await;
                        let mut took = Vec::new();
                        for n in (lane..requests.len()).step_by(CONNECTIONS) {
                            let due = begin + Duration::from_secs_f64(n as f64 / per_second);
                            // Where the answer before came after this was due, the wait counts; where the timer is late, it does not.
                            let since = if Instant::now() > due {
                                due
                            } else {
                                tokio::time::sleep_until(due.into()).await;
                                Instant::now()
                            };
                            exchange(&mut stream, &requests[n], expected).await;
                            took.push(since.elapsed());
                        }
                        took
                    })
                })
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await.expect("no panic"));
            }
            all
        })
    });
    took.sort_unstable();
    took
}

/// One message on a connection of its own, to see when a server answers.
pub(crate) fn ask(address: SocketAddr, messages: &Messages) -> Option<String> {
    let request = messages.requests(1).remove(0);
    block_on(async move {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        try_exchange(&mut stream, &request).await
    })
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("set");
    stream
}

async fn exchange(stream: &mut TcpStream, request: &[u8], expected: &str) {
    let response = try_exchange(stream, request).await.expect("an answer");
    assert!(response.starts_with("HTTP/1.1 200") && response.contains(expected), "not the answer: {response}");
}

async fn try_exchange(stream: &mut TcpStream, request: &[u8]) -> Option<String> {
    stream.write_all(request).await.ok()?;
    let mut response = Vec::with_capacity(2048);
    loop {
        if stream.read_buf(&mut response).await.ok()? == 0 {
            return None;
        }
        if is_whole(&response) {
            return String::from_utf8(response).ok();
        }
    }
}

/// Whether head and body are there; every server here sends the length, or a body in chunks.
fn is_whole(response: &[u8]) -> bool {
    let Some(head) = response.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let length = std::str::from_utf8(&response[..head]).ok().and_then(|head| {
        head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        })
    });
    match length {
        Some(length) => response.len() >= head + 4 + length,
        None => response.ends_with(b"\r\n0\r\n\r\n"),
    }
}

/// Lets the server finish what it does after an answer, and the kernel account for it.
fn settle() {
    thread::sleep(Duration::from_millis(30));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, future)
}

/// Runs the client where no server runs, if there is such a core.
fn on_client_core<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            crate::process::move_to_client_core();
            run()
        });
        client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

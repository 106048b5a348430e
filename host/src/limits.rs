//! Bounds on what the network and plugins can make the host do. Bounds of the protocol itself stand in `wechat`.

use std::time::Duration;

/// Connections at one time, unless `server.connections` says otherwise. A connection costs some ten KiB.
pub const CONNECTIONS: usize = 4096;

/// The most that `server.connections` may say: more than one process can have file descriptors on common systems.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// Bytes of a request's line and headers. WeChat's take less than 1 KiB; the same bound as nginx's default.
pub const REQUEST_HEAD: usize = 8 * 1024;

/// Time for a request's line and headers to arrive, and so also how long an idle connection is kept. Short, since anybody can hold a
/// connection open for this long; a proxy opens one anew when it needs it.
pub const REQUEST_HEAD_TIME: Duration = Duration::from_secs(15);

/// Time for a request's body to arrive: WeChat itself gives up after 5 seconds.
pub const REQUEST_BODY_TIME: Duration = Duration::from_secs(5);

/// Time for a peer to take in a few KiB of response.
pub const WRITE_TIME: Duration = Duration::from_secs(10);

/// Time for the messages in flight to be answered once the server was told to stop: a little more than WeChat waits, all retries
/// together. Service managers kill after 30 seconds (Kubernetes) or 90 (systemd).
pub const DRAIN_TIME: Duration = Duration::from_secs(16);

/// Time for another host to let go of the state: one that was told to stop drains first.
pub const STATE_WAIT: Duration = Duration::from_secs(30);

/// Time for what is left when the server has stopped: the last lines of plugins, a reload under way.
pub const LAST_TASKS: Duration = Duration::from_secs(1);

/// Pause after an accept that failed, as when file descriptors have run out.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of `bots.toml`, and of each file that it names. 100,000 rules take some 5 MiB.
pub const CONFIG_FILE: u64 = 64 * 1024 * 1024;

/// Bytes of a compiled plugin: Python and JavaScript components take 13 to 40 MiB.
pub const COMPONENT_FILE: u64 = 256 * 1024 * 1024;

/// A plugin's time for one message, unless `limits.time` says otherwise: within WeChat's 5 seconds.
pub const PLUGIN_TIME: Duration = Duration::from_secs(4);

/// The most that `limits.time` may say.
pub const PLUGIN_TIME_MAX: Duration = Duration::from_secs(300);

/// A plugin's memory, unless `limits.memory` says otherwise, and the size of the pool's slots.
pub const PLUGIN_MEMORY: u64 = 64 * 1024 * 1024;

/// The most that `limits.memory` may say: what a 32-bit memory can address.
pub const PLUGIN_MEMORY_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Log lines about refused requests that one bot may cause at once; then it is one a second.
pub const REFUSALS_LOGGED: u32 = 50;

/// Bytes of all messages that are being read or answered. WeChat's take a few KiB each.
pub const BYTES_IN_FLIGHT: usize = 64 << 20;

/// Memories of one plugin: Python's and JavaScript's have up to two. Their bytes together are bounded by `limits.memory`.
pub const PLUGIN_MEMORIES: usize = 20;

/// Tables of one plugin: Python's and JavaScript's have up to two.
pub const PLUGIN_TABLES: usize = 20;

/// Elements of all tables of a plugin: components of the languages that need most of them, JavaScript's, have some 7,700.
pub const PLUGIN_TABLE_ELEMENTS: usize = 20_000;

/// Core instances of one plugin: Python's have some twenty.
pub const PLUGIN_INSTANCES: usize = 100;

/// Handles of WASI resources that a plugin may hold at one time: streams, clocks' pollables.
pub const PLUGIN_RESOURCES: usize = 1_000;

/// Bytes that a plugin may hand to the host in one call, and so the host may have to copy: a reply has at most 64 KiB, a stored value
/// 1 MiB, and the body of an HTTP request is the largest of all.
pub const PLUGIN_CALL: usize = HTTP_BODY + (1 << 20);

/// Bytes of the body of an HTTP request or response that is handled whole: WeChat's largest media have 10 MiB.
pub const HTTP_BODY: usize = 11 << 20;

/// Bytes of the body of an HTTP request or response that is streamed.
pub const HTTP_STREAM: usize = 64 << 20;

/// Bytes of all bodies that are read whole at one time.
pub const HTTP_BYTES_IN_FLIGHT: usize = 128 << 20;

/// Bytes of the head of an HTTP request or response.
pub const HTTP_HEAD: usize = 64 << 10;

/// Headers of an HTTP request or response: the bound of common servers.
pub const HTTP_HEADERS: usize = 100;

/// Bytes of a header that `allow.http` gives: the bound of common servers on one line.
pub const HTTP_GRANTED_HEADER: usize = 8 << 10;

/// Redirects of an HTTP request that are followed: browsers follow 20, sensible services one or two.
pub const HTTP_REDIRECTS: usize = 5;

/// Calls of the outside, by HTTP and of the WeChat API, that a plugin may make for one message: more than sensible ones make, and so few
/// that a message is no lever for flooding a peer, or the log.
pub const OUTSIDE_CALLS: u32 = 100;

/// HTTP requests at one time: each takes a file descriptor and up to some hundred KiB.
pub const HTTP_EXCHANGES: usize = 128;

/// The same of one plugin, so that a slow peer of one leaves room for the others'.
pub const HTTP_EXCHANGES_EACH: usize = 16;

/// Time for a connection to be made, TLS aside.
pub const HTTP_CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request to the same place. Common servers close theirs after 5 to 75 seconds.
pub const HTTP_IDLE_TIME: Duration = Duration::from_secs(30);

/// Messages that an instance answers, where `instances = "reuse"` does not say how many: enough that its start costs nothing beside them,
/// and few enough that memory which leaks goes in time.
pub const PLUGIN_REUSE: u32 = 1_000;

/// The most that `instances.reuse` may say.
pub const PLUGIN_REUSE_MAX: u32 = 1_000_000;

/// How long an instance is kept for the next message: as long as a conversation pauses, and no longer than it would take memory for
/// nothing.
pub const PLUGIN_IDLE: Duration = Duration::from_secs(60);

/// Random bytes that a plugin may ask for in one call: the host makes them without a pause.
pub const PLUGIN_RANDOM: u64 = 64 << 10;

/// How long a message waits when too many calls of its plugin are under way: WeChat waits 14 seconds in all.
pub const PLUGIN_QUEUE: Duration = Duration::from_secs(10);

/// The same for a message that was given an interim answer, and so has time.
pub const PLUGIN_QUEUE_LATE: Duration = Duration::from_secs(600);

/// Log lines and lines of output of a plugin that are passed on for one message.
pub const PLUGIN_LINES: usize = 100;

/// Calls of a plugin's stack that are shown when it traps.
pub const PLUGIN_FRAMES: usize = 20;

/// Bytes of a plugin's standard output and error, and of its log lines, kept for one message.
pub const PLUGIN_OUTPUT: usize = 16 * 1024;

/// Bytes of one log line of a plugin.
pub const PLUGIN_LOG_LINE: usize = 4 * 1024;

/// How often a running plugin hands its thread back, so that others' messages go on.
pub const EPOCH: Duration = Duration::from_millis(2);

/// Time for a new version of a plugin to be instantiated once before it is taken up: the slowest language, Python, takes some
/// milliseconds.
pub const PLUGIN_START: Duration = Duration::from_secs(5);

/// How many of the first calls of a plugin's new version must all trap or run out of time for it to be rolled back. Small, since each is a
/// follower's message; more than one, since a single message may be at fault.
pub const FIRST_CALLS: u32 = 3;

/// Rejected versions that are remembered of each plugin.
pub const REJECTED_VERSIONS: usize = 20;

/// Bytes of the record of versions: some hundred bytes for each plugin and rejected version.
pub const VERSIONS_FILE: u64 = 64 << 20;

/// Plugins that are read and checked at one time. Compiling has threads of its own; this bounds how many files are in memory.
pub const PLUGINS_LOADED_AT_ONCE: usize = 8;

/// Bytes of compiled code on disk; what was used longest ago goes first. A large plugin, of Python, takes 20 MiB as it is kept.
pub const COMPILED_CACHE: u64 = 1 << 30;

/// Bytes of an answer of a running server to the command line: some hundred for each plugin.
pub const ADMIN_ANSWER: usize = 64 << 20;

/// Time for it.
pub const ADMIN_TIME: Duration = Duration::from_secs(5);

/// How often the files that a generation was made of are looked at, beside what the system tells: network mounts tell nothing.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How long nothing may change before a changed file is read: editors and compilers write in several steps.
pub const WATCH_QUIET: Duration = Duration::from_millis(25);

/// The same while a file is being written, as far as the system tells: its writer may be slow.
pub const WATCH_WRITING: Duration = Duration::from_secs(1);

/// The longest that is waited for a file to come to rest.
pub const WATCH_PATIENCE: Duration = Duration::from_secs(10);

//! Starts servers and talks to them as WeChat does.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Condvar, Mutex, Once,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mynah::wechat::signature;

/// Long enough for a machine that is busy building, and a server that begins with compiling a Python plugin; nothing waits that long
/// unless it fails.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) const TOKEN: &str = "mynah";

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The file of a built plugin.
pub(crate) fn component(name: &str) -> String {
    target().join("wasm32-wasip2/release").join(format!("{name}.wasm")).display().to_string()
}

/// Builds the demo's plugins and the tests' own, once for all tests of the run, with the command that users have.
pub(crate) fn build_plugins() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        eprintln!("building the plugins (cargo build --release --target wasm32-wasip2)");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("bots.toml");
        let manifest = root().join("Cargo.toml");
        let text = format!(
            "[bots.a]\npath = '/'\ntoken = 'abc'\n[plugins.probe]\nwasm = 'x'\nbuild = '''cargo build --release --target \
             wasm32-wasip2 --manifest-path \"{}\" -p probe -p echo -p greet -p image-url -p ocr -p quiz'''\n",
            manifest.display()
        );
        std::fs::write(&config, text).expect("written");
        let built = mynah(&["build", "--config", &config.display().to_string()]);
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    });
}

/// Runs the command to its end.
pub(crate) fn mynah(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mynah")).args(arguments).current_dir(root()).output().expect("mynah starts")
}

/// A folder with a `bots.toml`.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new(config: &str) -> Self {
        let folder = Self { folder: tempfile::tempdir().expect("a folder") };
        folder.write("bots.toml", config);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as editors do: written beside it, then renamed.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let aside = self.path(&format!("{name}.new"));
        std::fs::write(&aside, text).expect("written");
        std::fs::rename(aside, self.path(name)).expect("renamed");
    }

    pub(crate) fn config(&self) -> String {
        self.path("bots.toml").display().to_string()
    }
}

/// A server of its own process; ends with the value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: Arc<(Mutex<String>, Condvar)>,
    folder: Option<Folder>,
}

/// A `[server]` table for a free port.
pub(crate) const LOOPBACK: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";

/// A bot with the token of the tests, without rules yet.
pub(crate) const BOT: &str = "[bots.test]\npath = \"/weixin/\"\ntoken = \"mynah\"\non_error = \"sorry\"\n";

impl Server {
    /// Starts a server with one bot and these rules; the plugins `probe`, `echo`, `greet` and `image-url` are there.
    pub(crate) fn with_rules(rules: &str) -> Self {
        build_plugins();
        let mut config = format!("{LOOPBACK}{BOT}{rules}\n");
        for (name, file) in [("probe", "probe"), ("echo", "echo"), ("greet", "greet"), ("image-url", "image_url")] {
            if config.contains(&format!("\"{name}\"")) && !config.contains(&format!("[plugins.{name}]")) {
                config += &format!("[plugins.{name}]\nwasm = '{}'\n", component(file));
            }
        }
        Self::with_config(&config)
    }

    pub(crate) fn with_config(config: &str) -> Self {
        let folder = Folder::new(config);
        let mut server = Self::start(&folder.config(), &["serve"], &[]);
        server.folder = Some(folder);
        server
    }

    /// Starts the command with a configuration and waits until it listens.
    pub(crate) fn start(config: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.args(arguments).args(["--config", config]).envs(variables.iter().copied());
        Self::spawn(command)
    }

    /// Starts the server from a shell that does something before.
    pub(crate) fn start_in_shell(before: &str, config: &str) -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{before} exec '{}' serve --config '{config}'", env!("CARGO_BIN_EXE_mynah"))]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mynah starts");
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let stderr = child.stderr.take().expect("piped");
        let shared = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let (text, changed) = &*shared;
                let mut text = text.lock().expect("not poisoned");
                text.push_str(&line);
                text.push('\n');
                changed.notify_all();
            }
        });
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log, folder: None };
        let log = server.wait_for_log("listening on http://");
        let address = log.split("listening on http://").nth(1).and_then(|rest| rest.split([' ', '"', '\n']).next());
        let address: SocketAddr = address.expect("an address").parse().expect("an address");
        server.address = SocketAddr::from(([127, 0, 0, 1], address.port()));
        server
    }

    /// Keeps the configuration's folder for as long as the server.
    pub(crate) fn own(&mut self, folder: Folder) {
        self.folder = Some(folder);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn folder(&self) -> &Folder {
        self.folder.as_ref().expect("a server with a folder of its own")
    }

    /// Ends the server and leaves its folder.
    pub(crate) fn into_folder(mut self) -> Folder {
        self.folder.take().expect("a server with a folder of its own")
    }

    /// What the server has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().expect("not poisoned").clone()
    }

    /// What the server has logged of everything until now: lines are written a moment after they are made, in order.
    pub(crate) fn settled_log(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("settled-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.message(&format!("<MsgType>text</MsgType><Content>settled</Content><MsgId>{id}</MsgId>"));
        self.wait_for_log(&format!("id=\"{id}\""))
    }

    /// Waits until the log contains `text`, and returns the log.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_log_times(text, 1)
    }

    pub(crate) fn wait_for_log_times(&self, text: &str, times: usize) -> String {
        let (log, changed) = &*self.log;
        let log = log.lock().expect("not poisoned");
        let (log, waited) =
            changed.wait_timeout_while(log, PATIENCE, |log| log.matches(text).count() < times).expect("not poisoned");
        // Let go before a failed assertion, which shows the log once more.
        let text_so_far = log.clone();
        drop(log);
        assert!(!waited.timed_out(), "`{text}` is not in the log");
        text_so_far
    }

    /// A URL with WeChat's signature.
    pub(crate) fn url(&self) -> String {
        self.url_of("/weixin/")
    }

    pub(crate) fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}?{}", self.address, signed_query(TOKEN))
    }

    /// Sends a text and returns the reply's body.
    pub(crate) fn text(&self, text: &str) -> String {
        self.message(&format!("<MsgType>text</MsgType><Content><![CDATA[{text}]]></Content><MsgId>1</MsgId>"))
    }

    /// Sends a text and returns the text of the reply, which must be one.
    pub(crate) fn answer(&self, text: &str) -> String {
        content(&self.text(text))
    }

    /// The same as another follower.
    pub(crate) fn answer_to(&self, follower: &str, text: &str) -> String {
        let body = envelope(&format!("<MsgType>text</MsgType><Content><![CDATA[{text}]]></Content><MsgId>1</MsgId>"));
        content(&post(&self.url(), &body.replace("o_1", follower)).1)
    }

    /// Sends an event with these elements and returns the reply's body.
    pub(crate) fn event(&self, elements: &str) -> String {
        self.message(&format!("<MsgType>event</MsgType>{elements}"))
    }

    /// Sends a message with these elements and returns the reply's body.
    pub(crate) fn message(&self, elements: &str) -> String {
        let (status, body) = post(&self.url(), &envelope(elements));
        assert_eq!(status, 200, "{body}");
        body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// A whole message, each one another to the server: of another second.
pub(crate) fn envelope(elements: &str) -> String {
    static SECOND: AtomicU32 = AtomicU32::new(1_700_000_000);
    let created = SECOND.fetch_add(1, Ordering::Relaxed);
    format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>o_1</FromUserName><CreateTime>{created}</CreateTime>{elements}</xml>"
    )
}

/// The parameters that WeChat signs.
pub(crate) fn signed_query(token: &str) -> String {
    let signature = signature::sign(&[token, "1700000000", "nonce"]);
    format!("signature={signature}&timestamp=1700000000&nonce=nonce")
}

/// The text of a text reply.
pub(crate) fn content(body: &str) -> String {
    let document =
        mynah::wechat::document::Document::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"));
    document.leaf("Content").unwrap_or_else(|| panic!("no text: {body}")).to_owned()
}

pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

pub(crate) fn get(url: &str) -> (u16, String) {
    let mut response = agent().get(url).call().expect("an answer");
    (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
}

pub(crate) fn post(url: &str, body: &str) -> (u16, String) {
    let mut response = agent().post(url).send(body).expect("an answer");
    (response.status().as_u16(), response.body_mut().read_to_string().expect("text"))
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A bare connection, for what no client library would send.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

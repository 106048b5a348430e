//! Servers as processes of their own, and what the kernel says of them.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::messages::{AES_KEY, APP_ID, TOKEN};

/// Long enough for a thousand plugins to be compiled on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The core of the servers; the client has the last one.
const SERVER_CORE: usize = 0;

/// A running server; ends with the value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    _folder: Option<tempfile::TempDir>,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The file of a built plugin.
pub(crate) fn component(name: &str) -> PathBuf {
    target().join("wasm32-wasip2/release").join(format!("{name}.wasm"))
}

/// Builds the plugins that are measured.
pub(crate) fn build_plugins() {
    static BUILT: std::sync::Once = std::sync::Once::new();
    BUILT.call_once(|| {
        let built = Command::new("cargo")
            .args(["build", "--release", "--target", "wasm32-wasip2"])
            .args(["-p", "probe", "-p", "echo", "-p", "greet", "-p", "image-url", "-p", "quiz"])
            .current_dir(root())
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the plugins do not build");
    });
}

/// `[server]` and one bot at `/weixin/`, in plaintext or safe mode, without rules yet.
pub(crate) fn bot(sealed: bool) -> String {
    let keys =
        if sealed { format!("encoding_aes_key = \"{AES_KEY}\"\napp_id = \"{APP_ID}\"\n") } else { String::new() };
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nconnections = 20000\nstate = \"data/mynah.db\"\n\
         [bots.b]\npath = \"/weixin/\"\ntoken = \"{TOKEN}\"\n{keys}"
    )
}

/// A plugin's table.
pub(crate) fn plugin(name: &str, file: &Path) -> String {
    format!("[plugins.{name}]\nwasm = '{}'\n", file.display())
}

impl Server {
    /// Mynah with this `bots.toml`. Its log goes where a service manager's would, into a file.
    pub(crate) fn mynah(config: &str) -> Self {
        Self::build(env!("CARGO_BIN_EXE_mynah"), config)
    }

    /// Another build of Mynah.
    pub(crate) fn build(program: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("bots.toml"), config).expect("written");
        Self::program(program, folder)
    }

    fn program(program: &str, folder: tempfile::TempDir) -> Self {
        let config = folder.path().join("bots.toml");
        let mut command = on_server_core(program);
        command.arg("serve").arg("--config").arg(&config);
        // Beside a file that the server watches, each line would wake the one who watches.
        fs::create_dir(folder.path().join("log")).expect("made");
        let log = folder.path().join("log/mynah.log");
        let mut server = Self::spawn(command, &log);
        server.address = server.listening(&log);
        server._folder = Some(folder);
        server
    }

    /// One of this program's own servers.
    pub(crate) fn native(which: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = on_server_core(&std::env::current_exe().expect("a path").display().to_string());
        command.args(["--serve", which]);
        let log = folder.path().join("log");
        let mut server = Self::spawn(command, &log);
        server.address = server.listening(&log);
        server._folder = Some(folder);
        server
    }

    /// Another program that listens at the port it is told.
    pub(crate) fn peer(command: impl FnOnce(u16) -> Command, log: &Path) -> Self {
        // Free a moment ago, which is the best there is for programs that do not say what they bound.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut server = Self::spawn(command(port), log);
        server.address = SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        while TcpStream::connect(server.address).is_err() {
            server.must_live(start, log);
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn spawn(mut command: Command, log: &Path) -> Self {
        let log = File::create(log).expect("a file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), _folder: None }
    }

    fn listening(&mut self, log: &Path) -> SocketAddr {
        let start = Instant::now();
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            let address = said.split("listening on http://").nth(1).filter(|rest| rest.contains('\n'));
            if let Some(address) = address.and_then(|rest| rest.split([' ', '"', '\n']).next()) {
                return address.parse().expect("an address");
            }
            self.must_live(start, log);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn must_live(&mut self, start: Instant, log: &Path) {
        let ended = self.child.try_wait().expect("a child");
        if ended.is_some() || start.elapsed() > PATIENCE {
            panic!("the server did not start: {}", fs::read_to_string(log).unwrap_or_default());
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of the process and those that it started, all threads together.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = self.processes().into_iter().flat_map(|id| {
            fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten().map(|task| task.path())
        });
        // In nanoseconds, where `stat` counts in ticks of 10 ms.
        let times = threads
            .filter_map(|task| fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok());
        Duration::from_nanos(times.sum())
    }

    /// Memory of the process alone, in MiB: what is resident, and of that what is not a file's.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("readable");
        let mib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
            let kib: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
            kib / 1024.0
        };
        (mib("VmRSS:"), mib("RssAnon:"))
    }

    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let id: u32 = entry.file_name().to_str()?.parse().ok()?;
                let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
                Some((id, stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?))
            })
            .collect();
        let mut at = 0;
        while let Some(&parent) = found.get(at) {
            found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            at += 1;
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // gunicorn's workers notice by themselves that their parent is gone, but not at once.
        for id in self.processes().into_iter().rev() {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

/// A command that runs on the servers' core, where cores can be chosen.
pub(crate) fn on_server_core(program: &str) -> Command {
    if cfg!(target_os = "linux") && cores() > 1 {
        let mut command = Command::new("taskset");
        command.args(["-c", &SERVER_CORE.to_string(), program]);
        return command;
    }
    Command::new(program)
}

/// Moves this thread to the client's core.
pub(crate) fn move_to_client_core() {
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return };
    let Some(thread) = thread.file_name().and_then(|id| id.to_str()) else { return };
    if cores() > 1 {
        // Where it may not choose, the figures are noisier, no more.
        let core = (cores() - 1).to_string();
        let _ = Command::new("taskset").args(["-pc", &core, thread]).stdout(Stdio::null()).status();
        // A client that something else keeps from asking would then ask everything at once.
        let _ = Command::new("renice")
            .args(["-n", "-10", "-p", thread])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// The machine's cores, not the ones left to this thread.
pub(crate) fn cores() -> usize {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpus.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

//! nginx from Debian, as the proxy that most operators have.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use super::harness::*;

/// A running nginx; ends with the value.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// The program; none where it is not installed and cannot be.
fn program() -> Option<&'static PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| {
        let folder = target().join("nginx");
        let ours = folder.join("root/usr/sbin/nginx");
        let runs = |path: &PathBuf| Command::new(path).arg("-v").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        for path in [PathBuf::from("/usr/sbin/nginx"), ours.clone()] {
            if runs(&path) {
                return Some(path);
            }
        }
        eprintln!("getting nginx from Debian (apt-get download nginx)");
        fs::create_dir_all(&folder).expect("made");
        // Unpacked beside the build, so that nobody has to be root. The lists may be as old as the machine, or not there.
        let script = "rm -f nginx_*.deb; apt-get download nginx || { apt-get update && apt-get download nginx; } || { \
                      mkdir -p lists/partial && apt-get -o Dir::State::lists=\"$PWD/lists\" -o Dir::Cache=\"$PWD\" update && \
                      apt-get -o Dir::State::lists=\"$PWD/lists\" -o Dir::Cache=\"$PWD\" download nginx; }; \
                      dpkg-deb -x nginx_*.deb root";
        let output = Command::new("sh").args(["-c", script]).current_dir(&folder).output().expect("sh");
        if runs(&ours) {
            return Some(ours);
        }
        assert!(std::env::var_os("CI").is_none(), "CI needs nginx: {}", String::from_utf8_lossy(&output.stderr));
        eprintln!("\n*** SKIPPED: nothing was tried behind nginx, because it is not installed and apt-get cannot get it ***\n");
        None
    });
    found.as_ref()
}

/// The server block that the README shows.
pub(crate) fn readme_block() -> String {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let block = readme.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block for nginx");
    block.to_owned()
}

impl Nginx {
    /// Starts it with a server block that listens on port 80 or 443 and passes to port 8080, both replaced; none where there is no nginx.
    pub(crate) fn start(block: &str, upstream: SocketAddr, certificate: Option<(&str, &str)>) -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let (listen, files) = match certificate {
            None => (format!("listen {address};"), String::new()),
            Some((certificate, key)) => {
                fs::write(path("certificate.pem"), certificate).expect("written");
                fs::write(path("key.pem"), key).expect("written");
                let files =
                    format!("ssl_certificate {}; ssl_certificate_key {};", path("certificate.pem"), path("key.pem"));
                (format!("listen {address} ssl;"), files)
            }
        };
        assert!(block.contains("listen 80;"), "{block}");
        let block = block.replace("listen 80;", &format!("{listen} {files}"));
        let block = block.replace("http://127.0.0.1:8080", &format!("http://{upstream}"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = temporary.iter().map(|name| format!("{name}_temp_path {};\n", path(name))).collect();
        let config = format!(
            "daemon off;\npid {};\nerror_log {};\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{block}\n}}\n",
            path("pid"),
            path("error.log")
        );
        fs::write(path("nginx.conf"), &config).expect("written");
        let mut command = Command::new(program);
        // Alone, so that ending it leaves no worker behind.
        command.args([
            "-p",
            &path(""),
            "-e",
            &path("error.log"),
            "-c",
            &path("nginx.conf"),
            "-g",
            "master_process off;",
        ]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("nginx");
        wait_until("nginx does not listen", || {
            let log = || fs::read_to_string(path("error.log")).unwrap_or_default();
            assert!(child.try_wait().expect("its state").is_none(), "nginx ended:\n{}\n{config}", log());
            TcpStream::connect(address).is_ok()
        });
        Some(Self { child, address, _folder: folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Safe mode against wechatpy's WeChatCrypto, an independent implementation.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use super::harness::*;

/// How many random accounts are tried.
const ACCOUNTS: usize = 24;

/// A Python with wechatpy, installed from PyPI into the target folder; none where there is no Python at all.
fn python() -> Option<PathBuf> {
    let folder = target().join("wechatpy");
    let python = folder.join("bin/python");
    let ready = || Command::new(&python).args(["-c", "import wechatpy.crypto"]).stderr(Stdio::null()).status();
    if ready().is_ok_and(|status| status.success()) {
        return Some(python);
    }
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs python3");
        eprintln!("\n*** SKIPPED: safe mode was not compared with wechatpy, because there is no python3 ***\n");
        return None;
    }
    eprintln!("installing wechatpy from PyPI");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect("started");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("python3", &["-m", "venv", &folder.display().to_string()]);
    run(&python.display().to_string(), &["-m", "pip", "install", "--quiet", "wechatpy==1.8.18", "cryptography"]);
    Some(python)
}

#[test]
fn wechatpy_and_the_host_read_each_other_for_random_keys() {
    let Some(python) = python() else { return };
    let script = root().join("host/tests/e2e/interop.py");
    // The accounts are the script's: random tokens, keys and app ids, as lines `token key app_id`.
    let output = Command::new(&python).arg(&script).args(["accounts", &ACCOUNTS.to_string()]).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let accounts = String::from_utf8(output.stdout).expect("text");
    assert_eq!(accounts.lines().count(), ACCOUNTS);
    build_plugins();
    let mut config = format!("{LOOPBACK}[plugins.echo]\nwasm = '{}'\n", component("echo"));
    for (n, line) in accounts.lines().enumerate() {
        let [token, key, app_id] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        config += &format!(
            "[bots.b{n}]\npath = \"/{n}\"\ntoken = \"{token}\"\nencoding_aes_key = \"{key}\"\napp_id = \"{app_id}\"\n\
             require_encryption = true\n[[bots.b{n}.rules]]\nplugin = \"echo\"\n"
        );
    }
    let server = Server::with_config(&config);
    let file = server.folder().path("accounts.txt");
    std::fs::write(&file, &accounts).expect("written");
    let base = format!("http://{}", server.address());
    let output = Command::new(&python).arg(&script).args(["talk", &base]).arg(&file).output().expect("python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), format!("{ACCOUNTS} accounts, {} messages", ACCOUNTS * 5));
}

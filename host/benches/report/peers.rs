//! What people use today, installed from the registries: echo bots on Python's and Node's frameworks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    messages::{Messages, TOKEN},
    parts::Contestant,
    process::{Server, on_server_core, target},
};

const FLASK: &str = r#"
import hashlib, time
import xmltodict
from flask import Flask, request

app = Flask(__name__)

@app.post("/weixin/")
def message():
    a = request.args
    parts = sorted([TOKEN, a["timestamp"], a["nonce"]])
    if hashlib.sha1("".join(parts).encode()).hexdigest() != a["signature"]:
        return "", 403
    m = xmltodict.parse(request.data)["xml"]
    reply = {"xml": {"ToUserName": m["FromUserName"], "FromUserName": m["ToUserName"], "CreateTime": int(time.time()),
                     "MsgType": "text", "Content": m["Content"]}}
    return xmltodict.unparse(reply), 200, {"Content-Type": "text/xml"}
"#;

const WECHATPY: &str = r#"
from flask import Flask, request
from wechatpy import parse_message, create_reply
from wechatpy.utils import check_signature

app = Flask(__name__)

@app.post("/weixin/")
def message():
    a = request.args
    check_signature(TOKEN, a["signature"], a["timestamp"], a["nonce"])
    m = parse_message(request.data)
    return create_reply(m.content, message=m).render(), 200, {"Content-Type": "text/xml"}
"#;

const WEROBOT: &str = r#"
import werobot
from werobot.contrib.flask import make_view
from flask import Flask

robot = werobot.WeRoBot(token=TOKEN, enable_session=False)

@robot.text
def echo(message):
    return message.content

app = Flask(__name__)
app.add_url_rule("/weixin/", endpoint="werobot", view_func=make_view(robot), methods=["GET", "POST"])
"#;

const NODE: &str = r#"
const express = require("express");
const wechat = require("wechat");
const app = express();
app.use("/weixin/", wechat({ token: TOKEN }, (req, res) => res.reply(req.weixin.Content)));
app.listen(Number(process.argv[2]), "127.0.0.1");
"#;

/// Echo bots on Python's and Node's frameworks; those that cannot be installed are left out, loudly.
pub(crate) fn frameworks() -> Vec<Contestant> {
    let folder = target().join("bench-peers");
    fs::create_dir_all(&folder).expect("made");
    let mut all = Vec::new();
    if let Some(bin) = python(&folder) {
        for (name, module, source) in [
            ("(g) Flask + xmltodict (gunicorn, gevent)", "peer_flask", FLASK),
            ("(g) wechatpy + Flask (gunicorn, gevent)", "peer_wechatpy", WECHATPY),
            ("(g) WeRoBot + Flask (gunicorn, gevent)", "peer_werobot", WEROBOT),
        ] {
            fs::write(folder.join(format!("{module}.py")), format!("TOKEN = {TOKEN:?}\n{source}")).expect("written");
            let start = |port: u16| {
                let mut command = on_server_core(&bin.join("gunicorn").display().to_string());
                command.args(["-k", "gevent", "-w", "1", "--keep-alive", "60", "-b", &format!("127.0.0.1:{port}")]);
                command.args(["--chdir", &folder.display().to_string(), &format!("{module}:app")]);
                command
            };
            all.push(Contestant::new(name, Server::peer(start, &folder.join("log")), Messages::echo()));
        }
    }
    if node(&folder) {
        let script = folder.join("peer.js");
        fs::write(&script, format!("const TOKEN = {TOKEN:?};\n{NODE}")).expect("written");
        let start = |port: u16| {
            let mut command = on_server_core("node");
            command.arg(&script).arg(port.to_string());
            command
        };
        all.push(Contestant::new(
            "(g) npm wechat + express",
            Server::peer(start, &folder.join("log")),
            Messages::echo(),
        ));
    }
    all
}

/// A Python with the frameworks: its folder of programs.
fn python(folder: &Path) -> Option<PathBuf> {
    let bin = folder.join("venv/bin");
    let ready =
        || succeeds(Command::new(bin.join("python")).args(["-c", "import flask, gunicorn, gevent, wechatpy, werobot"]));
    let install = || {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))
            && succeeds(Command::new(bin.join("pip")).args(["install", "--quiet"]).args([
                "flask==3.1.2",
                "gunicorn==23.0.0",
                "gevent",
                "xmltodict",
                "wechatpy==1.8.18",
                "werobot==1.13.1",
                "cryptography",
            ]))
    };
    if ready() || (install() && ready()) {
        return Some(bin);
    }
    eprintln!("\n*** LEFT OUT: Python's frameworks, which could not be installed ***\n");
    None
}

fn node(folder: &Path) -> bool {
    let ready = || folder.join("node_modules/wechat").exists() && folder.join("node_modules/express").exists();
    let install = || {
        let packages = ["wechat@2.1.0", "express@4.21.2"];
        succeeds(Command::new("npm").args(["install", "--silent", "--no-audit", "--prefix"]).arg(folder).args(packages))
    };
    if ready() || (install() && ready()) {
        return true;
    }
    eprintln!("\n*** LEFT OUT: npm's wechat, which could not be installed ***\n");
    false
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

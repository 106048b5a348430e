//! The plugin `ocr`: against a service that only looks like one, and against a real RapidOCR.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use wechat_api_double::WechatApi;

use super::{
    harness::*,
    peer::{Peer, ok},
};

/// What the rendered picture says.
const LINES: [&str; 2] = ["今天天气真好", "八哥会说话"];

/// Time for the service to load its models, on a machine that is busy.
const SERVICE_START: Duration = Duration::from_secs(300);

/// A server with the plugin; `pictures` is where WeChat would keep them.
fn server(pictures: &Peer, service: &str, config: &str) -> Server {
    Server::with_rules(&format!(
        "[[bots.test.rules]]\ntype = \"image\"\nplugin = \"ocr\"\n[[bots.test.rules]]\nkeyword = \"识别\"\nplugin = \"ocr\"\n\
         [plugins.ocr]\nwasm = '{}'\nlimits = {{ time = \"120s\" }}\nconfig = {{ url = \"{service}/ocr\"{config} }}\n\
         allow = {{ http = [\"{}\", \"{service}\"] }}\n",
        component("ocr"),
        pictures.url(),
    ))
}

fn picture(server: &Server, url: &str) -> String {
    content(&server.message(&format!(
        "<MsgType><![CDATA[image]]></MsgType><PicUrl><![CDATA[{url}]]></PicUrl><MediaId><![CDATA[media-1]]></MediaId>\
         <MsgId>1</MsgId>"
    )))
}

#[test]
fn pictures_are_collected_and_read_by_the_service() {
    let pictures = Peer::new(|request| ok([b"\xff\xd8\xff ", request.line.as_bytes()].concat()));
    let service = Peer::new(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(request.header("content-type")[0].starts_with("multipart/form-data; boundary="));
        let page = if body.contains("GET /1") { "第一页" } else { "第二页" };
        ok(format!("{{\"0\":{{\"rec_txt\":\"{page}\",\"score\":0.99,\"dt_boxes\":[]}}}}"))
    });
    let server = server(&pictures, &service.url(), "");
    assert!(server.answer("识别").starts_with("先发图片"));
    assert!(picture(&server, &format!("{}/1", pictures.url())).starts_with("收到。"));
    assert!(picture(&server, &format!("{}/2", pictures.url())).starts_with("收到 2 张。"));
    assert!(service.requests().is_empty());
    assert_eq!(server.answer("识别"), "【1/2】\n第一页\n【2/2】\n第二页");
    assert_eq!(service.requests().len(), 2);
    // A picture from elsewhere is not fetched, and the log says what to allow.
    picture(&server, "http://mmbiz.qpic.cn/x/0");
    assert!(server.answer("识别").contains("识别服务暂时用不了"));
    server.wait_for_log("add `allow = { http = [\"http://mmbiz.qpic.cn\"] }` to `[plugins.ocr]`");
}

#[test]
fn wechat_reads_pictures_by_itself() {
    build_plugins();
    let api = WechatApi::start();
    api.account("wxtest", "secret");
    api.set_text("http://mmbiz.qpic.cn/x/0?a=b&c=d", &["营业执照", "统一社会信用代码"]);
    let server = Server::with_config(&format!(
        "{LOOPBACK}{BOT}app_id = \"wxtest\"\napp_secret = \"secret\"\napi = \"{}\"\n\
         [[bots.test.rules]]\ntype = \"image\"\nplugin = \"ocr\"\n[plugins.ocr]\nwasm = '{}'\n\
         config = {{ backend = \"wechat\", mode = \"each\" }}\nallow = {{ wechat = [\"/cv/ocr/comm\"] }}\n",
        api.url(),
        component("ocr"),
    ));
    assert_eq!(picture(&server, "http://mmbiz.qpic.cn/x/0?a=b&c=d"), "营业执照\n统一社会信用代码");
    assert_eq!(picture(&server, "http://mmbiz.qpic.cn/unknown"), "图片取不到了，请重新发一次。");
    api.set_permitted("/cv/ocr/comm", false);
    assert_eq!(picture(&server, "http://mmbiz.qpic.cn/x/0?a=b&c=d"), "识别服务暂时用不了，请稍后再试。");
}

#[test]
fn a_service_that_is_away_is_said_so() {
    let pictures = Peer::new(|_| ok(b"\x89PNG\r\n\x1a\n"));
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let server = server(&pictures, &format!("http://{gone}"), ", mode = \"each\"");
    assert_eq!(picture(&server, &pictures.url()), "识别服务暂时用不了，请稍后再试。");
}

#[test]
fn the_real_service_reads_a_chinese_picture() {
    let Some(folder) = installed() else { return };
    let work = tempfile::tempdir().expect("a folder");
    let file = work.path().join("picture.png");
    let script = root().join("host/tests/e2e/ocr.py");
    let rendered = Command::new(folder.join("bin/python")).arg(script).arg(&file).args(LINES).output().expect("python");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let bytes = std::fs::read(file).expect("a picture");
    let service = Service::start(&folder);
    let pictures = Peer::new(move |_| ok(&bytes));
    let server = server(&pictures, &service.url(), "");
    let url = format!("{}/picture.png", pictures.url());
    picture(&server, &url);
    picture(&server, &url);
    let mut answer = server.answer("识别");
    // On a machine that is busy it may come late.
    let start = Instant::now();
    while answer.contains("还在想") {
        assert!(start.elapsed() < SERVICE_START, "{answer}");
        thread::sleep(Duration::from_millis(200));
        answer = server.answer("继续");
    }
    let page = LINES.join("\n");
    assert_eq!(answer, format!("【1/2】\n{page}\n【2/2】\n{page}"));
}

#[test]
fn the_block_in_the_demo_is_right_once_its_marks_are_taken_away() {
    build_plugins();
    let demo = std::fs::read_to_string(root().join("bots.toml")).expect("bots.toml");
    let (mut inside, mut uncommented) = (false, String::new());
    for line in demo.lines() {
        inside = line == "# [[bots.demo.rules]]" || line == "# [plugins.ocr]" || (inside && line.starts_with('#'));
        // Prose stays what it is.
        let bare = line.trim_start_matches(['#', ' ']);
        let setting = bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(key, _)| !key.trim().contains(' '));
        uncommented += if inside && setting { bare } else { line };
        uncommented.push('\n');
    }
    assert_eq!(uncommented.matches("\nplugin = \"ocr\"").count(), 2);
    let questions = root().join("plugins/quiz/questions.toml").display().to_string();
    let folder = Folder::new(
        &uncommented
            .replace("\"target/wasm32-wasip2", &format!("\"{}/wasm32-wasip2", target().display()))
            .replace("plugins/quiz/questions.toml", &questions),
    );
    let checked = mynah(&["check", "--config", &folder.config()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("5 plugins"), "{checked:?}");
}

/// A RapidOCR service; it stops with the value.
struct Service {
    child: Child,
    port: u16,
}

impl Service {
    fn start(folder: &std::path::Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port").port();
        let child = Command::new(folder.join("bin/rapidocr_api"))
            .args(["-ip", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the service starts");
        let mut service = Self { child, port };
        let start = Instant::now();
        while agent().get(service.url()).call().is_err() {
            assert!(start.elapsed() < SERVICE_START, "the service does not answer");
            assert!(service.child.try_wait().expect("a child").is_none(), "the service ended");
            thread::sleep(Duration::from_millis(100));
        }
        service
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python environment with RapidOCR, installed from PyPI into the target folder; none where that cannot be.
fn installed() -> Option<PathBuf> {
    let folder = target().join("rapidocr");
    let ready = folder.join("ready");
    if ready.exists() {
        return Some(folder);
    }
    eprintln!("installing RapidOCR from PyPI, some 450 MB");
    let run = |program: PathBuf, arguments: &[&str]| match Command::new(&program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("{}: {error}", program.display())),
    };
    let requirements =
        ["rapidocr_api==0.2.0", "rapidocr==3.10.0", "onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93"];
    let made = run("python3".into(), &["-m", "venv", &folder.display().to_string()]).and_then(|()| {
        run(folder.join("bin/python"), &[&["-m", "pip", "install", "--quiet"][..], &requirements].concat())
    });
    if let Err(why) = made {
        assert!(std::env::var_os("CI").is_none(), "CI needs RapidOCR: {why}");
        eprintln!("\n*** SKIPPED: no real OCR service has read a picture, because it cannot be installed: {why} ***\n");
        return None;
    }
    std::fs::write(&ready, "").expect("written");
    Some(folder)
}

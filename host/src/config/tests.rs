use std::fmt::Write as _;

use super::*;

fn load_text(text: &str, files: &[(&str, &[u8])]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let path = folder.path().join("bots.toml");
    std::fs::write(&path, text).unwrap();
    load(&path, &|name| (name == "SET").then(|| "fromtheenvironment".to_owned()), Secrets::Needed)
}

/// What the operator sees, with the temporary folder's name taken out.
fn shown(text: &str, files: &[(&str, &[u8])]) -> String {
    let loaded = load_text(text, files);
    let rendered = loaded.problems.to_string();
    let folder = loaded.files.keys().find_map(|path| path.parent()).unwrap().display().to_string();
    rendered.replace(&format!("{folder}/"), "")
}

const BOT: &str = "[bots.a]\npath = \"/a\"\ntoken = \"abc123\"\n";

fn rule(text: &str) -> String {
    format!(
        "{BOT}[[bots.a.rules]]\n{text}\n[plugins.echo]\nwasm = \"echo.wasm\"\n[[bots.a.rules]]\nplugin = \"echo\"\n"
    )
}

#[test]
fn every_problem_is_shown_with_its_place_and_what_to_do() {
    let mut all = String::new();
    let mut add = |name: &str, text: &str, files: &[(&str, &[u8])]| {
        writeln!(all, "==== {name}\n{}\n", shown(text, files)).unwrap();
    };
    add("not TOML", "[bots.a\npath = \"/a\"\n", &[]);
    add("nothing", "", &[]);
    add("unknown tables and keys", &format!("{BOT}tokne = \"x\"\n[bot.b]\n[server]\nport = 80\n"), &[]);
    add("wrong types", "[bots.a]\npath = 5\ntoken = []\nrules = {}\n[bots]\nb = 1\n[server]\nlisten = \"8080\"\n", &[]);
    add("missing keys", "[bots.a]\n[plugins.p]\n", &[]);
    add("server", &format!("{BOT}[server]\ntimezone = \"Shanghai\"\nconnections = 0\n"), &[]);
    add(
        "paths",
        "[bots.a]\npath = \"weixin\"\ntoken = \"abc\"\n[bots.b]\npath = \"/x/\"\ntoken = \"abc\"\n[bots.c]\npath = \"/x\"\ntoken = \"abc\"\n",
        &[],
    );
    add("names", "[bots.\"a b\"]\npath = \"/a\"\ntoken = \"abc\"\n", &[]);
    add("token", "[bots.a]\npath = \"/a\"\ntoken = \"my secret!\"\n", &[]);
    add("token from an unset variable", "[bots.a]\npath = \"/a\"\ntoken = { env = \"UNSET\" }\n", &[]);
    add("token from a file that is not there", "[bots.a]\npath = \"/a\"\ntoken = { file = \"token.txt\" }\n", &[]);
    add(
        "default token on a public address",
        "[bots.a]\npath = \"/a\"\ntoken = { env = \"UNSET\", default = \"abc\" }\n",
        &[],
    );
    add("key without app_id", &format!("{BOT}encoding_aes_key = \"{}\"\n", "A".repeat(43)), &[]);
    add("short key", &format!("{BOT}app_id = \"wx1\"\nencoding_aes_key = \"AAAA\"\n"), &[]);
    add(
        "key that is not base64",
        &format!("{BOT}app_id = \"wx1\"\nencoding_aes_key = \"AAAA!{}\"\n", "A".repeat(38)),
        &[],
    );
    add("previous key alone", &format!("{BOT}app_id = \"wx1\"\nprevious_aes_key = \"{}\"\n", "A".repeat(43)), &[]);
    add("app id", &format!("{BOT}app_id = \"my app\"\nencoding_aes_key = \"{}\"\n", "A".repeat(43)), &[]);
    add("encryption required without a key", &format!("{BOT}require_encryption = true\n"), &[]);
    add("rule without action", &rule("keyword = \"a\""), &[]);
    add("rule with two actions", &rule("reply = \"a\"\nplugin = \"echo\""), &[]);
    add("unknown plugin", &rule("plugin = \"ecko\""), &[]);
    add("unknown condition", &rule("keywrod = \"a\"\nreply = \"b\""), &[]);
    add("empty conditions", &rule("keyword = []\nprefix = \"\"\ncontains = [1]\nreply = \"b\""), &[]);
    add("bad regex", &rule("regex = '(a'\nreply = \"b\""), &[]);
    add(
        "conditions that never hold together",
        &rule("event = \"CLICK\"\nkeyword = \"a\"\ntype = \"text\"\nreply = \"b\""),
        &[],
    );
    add("key and scene without event", &rule("key = \"a\"\nscene = \"b\"\nreply = \"c\""), &[]);
    add("types", &rule("type = [\"imgae\", \"event\", \"subscribe\"]\nreply = \"c\""), &[]);
    add("events", &rule("event = \"subscirbe\"\nreply = \"c\""), &[]);
    add("reply without a kind", &rule("reply = {}"), &[]);
    add("reply of two kinds", &rule("reply = { text = \"a\", image = \"b\" }"), &[]);
    add("reply of a wrong type", &rule("reply = 5"), &[]);
    add(
        "incomplete replies",
        &rule(
            "reply = { random = [{ music = { title = \"a\" } }, { video = {} }, { news = [{ title = \"a\" }] }, { transfer = false }] }",
        ),
        &[],
    );
    add("replies that WeChat would refuse", &rule("reply = { image = \"\" }"), &[]);
    add("reply that WeChat changes", &rule("reply = \"  \""), &[]);
    add(
        "escape and late",
        &format!(
            "{BOT}escape = {{ words = [], reply = \"\" }}\nlate = {{ mode = \"push\", reply = \" \", word = \"a\" }}\n"
        ),
        &[],
    );
    add("late mode that is none", &format!("{BOT}late = {{ mode = \"later\" }}\n"), &[]);
    add("secret without app_id", &format!("{BOT}app_secret = \"abc\"\n"), &[]);
    add("secret that was copied badly", &format!("{BOT}app_id = \"wx1\"\napp_secret = \"my secret\"\n"), &[]);
    add("secret from an unset variable", &format!("{BOT}app_id = \"wx1\"\napp_secret = {{ env = \"UNSET\" }}\n"), &[]);
    let secret = format!("{BOT}app_id = \"wx1\"\napp_secret = \"abc\"\n");
    add("api that is no address", &format!("{secret}api = \"api.weixin.qq.com\"\n"), &[]);
    add("api without encryption", &format!("{secret}api = \"http://example.com\"\n"), &[]);
    add("api on loopback", &format!("{secret}api = \"http://127.0.0.1:9190\"\nlate = {{ mode = \"push\" }}\n"), &[]);
    add("api without a secret", &format!("{BOT}api = \"https://api2.weixin.qq.com\"\n"), &[]);
    let allow = |text: &str| {
        format!("{BOT}[[bots.a.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\nallow = {{ {text} }}\n")
    };
    add("allow", &allow("http = [\"https://api.example.com\"], wechat = \"/cv/ocr/comm\""), &[]);
    add(
        "allow what is nothing",
        &allow("http = [\"api.example.com\", \"https://a/b\"], wechat = \"cv\", tcp = \"x\""),
        &[],
    );
    let api = "https://api.example.com";
    let entry = |entry: &str| allow(&format!("http = [{entry}]"));
    add(
        "allow with headers",
        &entry(&format!(
            "{{ url = \"{api}\", headers = {{ Authorization = {{ file = \"key\" }}, x-a = \"b\" }} }}, {{ url = \"http://box.lan\", private = true }}"
        )),
        &[("key", b"Bearer hunter2\n")],
    );
    add(
        "allow with headers that are none",
        &entry(&format!(
            "{{ url = \"{api}\", headers = {{ Host = \"hunter2\", \"a b\" = \"hunter2\", x-a = \"hun\\nter2\", X-A = \"hunter2\", x-b = 5, x-c = {{ env = \"NO_SUCH\" }} }} }}"
        )),
        &[],
    );
    add(
        "allow with headers in the clear",
        &entry(
            "{ url = \"http://a.example:8080\", headers = { x-a = \"hunter2\" } }, { url = \"http://127.0.0.1\", headers = { x-a = \"hunter2\" } }",
        ),
        &[],
    );
    add(
        "allow with entries that are none",
        &entry(&format!(
            "{{ headers = {{}} }}, {{ url = \"{api}\", privat = true, header = {{ x-a = \"hunter2\" }} }}, \"{api}:443\", 5, \"https://user:hunter2@a.example\""
        )),
        &[],
    );
    add("state that is no file", &format!("{BOT}[server]\nstate = \"redis://localhost\"\n"), &[]);
    add("reply that is too long", &rule(&format!("reply = \"{}\"", "a".repeat(2049))), &[]);
    add("empty random", &rule("reply = { random = [] }"), &[]);
    add("empty table", &rule("replies = {}"), &[]);
    add("table file that is not there", &rule("replies = { file = \"faq.csv\" }"), &[]);
    add(
        "table file in GBK",
        &rule("replies = { file = \"faq.csv\" }"),
        &[("faq.csv", b"match,text,reply\nkeyword,\xc4\xe3\xba\xc3,a\n")],
    );
    add(
        "table file without columns",
        &rule("replies = { file = \"faq.csv\" }"),
        &[("faq.csv", "问,答\na,b\n".as_bytes())],
    );
    add(
        "table file with bad lines",
        &rule("replies = { file = \"faq.csv\" }"),
        &[("faq.csv", "match,text,reply\nexact,a,b\nkeyword,,b\nregex,(,b\n全匹配,c,d,e\n".as_bytes())],
    );
    add(
        "limits",
        &format!(
            "{BOT}[plugins.p]\nwasm = \"p.wasm\"\nsha256 = \"12\"\nlimits = {{ time = \"10m\", memory = \"5 GiB\", cpu = 1 }}\n"
        ),
        &[],
    );
    add(
        "units",
        &format!("{BOT}[plugins.p]\nwasm = \"p.wasm\"\nlimits = {{ time = \"4\", memory = \"lots\" }}\n"),
        &[],
    );
    let instances = |value: &str| {
        format!("{BOT}[[bots.a.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\ninstances = {value}\n")
    };
    add("instances that are neither", &instances("\"again\""), &[]);
    add("instances that are reused too often or seldom", &instances("{ reuse = 1, idle = \"1m\" }"), &[]);
    add("instances that are reused", &instances("{ reuse = 50 }"), &[]);
    add("unused plugin", &format!("{BOT}[plugins.p]\nwasm = \"p.wasm\"\n"), &[]);
    insta::assert_snapshot!(all);
}

#[test]
fn all_problems_are_reported_at_once() {
    let loaded =
        load_text("x = 1\n[bots.a]\npath = 1\ntoken = \"?\"\n[[bots.a.rules]]\n[plugins.p]\nlimits = 1\n", &[]);
    assert_eq!(loaded.problems.count(problems::Severity::Error), 6, "{}", loaded.problems);
    assert!(loaded.config.is_none());
}

#[test]
fn values_come_from_the_environment_from_files_and_from_defaults() {
    let loaded = load_text(
        "[server]\nlisten = \"127.0.0.1:1\"\n[bots.a]\npath = \"/a/\"\ntoken = { env = \"SET\", default = \"abc\" }\n\
         [bots.b]\npath = \"/b\"\ntoken = { file = \"token\" }\n[bots.c]\npath = \"/c\"\ntoken = { env = \"UNSET\", default = \"abc\" }\n\
         [[bots.c.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\n\
         config = { text = \"t\", number = 5, truth = true, file = { file = \"data\" }, env = { env = \"SET\" } }\n\
         limits = { time = \"1m 30s\", memory = \"1 MiB\" }\n",
        &[("token", b"fromthefile\n"), ("data", b"\xef\xbb\xbfline\n")],
    );
    assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    let config = loaded.config.unwrap();
    let tokens: Vec<_> = config.bots.iter().map(|bot| bot.token.expose()).collect();
    assert_eq!(tokens, ["fromtheenvironment", "fromthefile", "abc"]);
    assert_eq!(config.bots[0].path, "/a");
    let plugin = &config.plugins["p"];
    let values: Vec<_> = plugin.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(values, ["env=fromtheenvironment", "file=line\n", "number=5", "text=t", "truth=true"]);
    assert_eq!(plugin.limits, Limits { time: Duration::from_secs(90), memory: 1 << 20 });
    let files: Vec<_> = loaded.files.keys().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(files, ["bots.toml", "data", "token"]);
}

#[test]
fn bots_keep_the_order_of_the_file() {
    let config =
        load_text("[bots.z]\npath = \"/z\"\ntoken = \"abc\"\n[bots.a]\npath = \"/a\"\ntoken = \"abc\"\n", &[]).config;
    let names: Vec<_> = config.unwrap().bots.iter().map(|bot| bot.name.to_string()).collect();
    assert_eq!(names, ["z", "a"]);
}

#[test]
fn no_text_makes_the_reader_panic() {
    let pieces =
        ["[", "]", "bots", ".a", "=", "\"", "{", "}", "token", "\n", "'", "rules", "reply", "答", "1", ",", "#"];
    let mut state = 1_u64;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text += pieces[(state >> 33) as usize % pieces.len()];
        }
        load_text(&text, &[]).problems.to_string();
    }
}

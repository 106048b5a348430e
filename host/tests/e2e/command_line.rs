//! `check`, `explain`, `build` and every error of the configuration, as an operator sees them.

use std::process::Output;

use super::harness::*;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check(config: &str) -> Output {
    mynah(&["check", "--config", &Folder::new(config).config()])
}

#[test]
fn check_exits_0_for_a_sound_configuration_1_for_a_bad_plugin_64_for_a_bad_one() {
    build_plugins();
    let good = format!("{BOT}[[bots.test.rules]]\nplugin = \"echo\"\n[plugins.echo]\nwasm = '{}'\n", component("echo"));
    let output = check(&good);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("is fine: 1 bot, 1 rule, 1 plugin"), "{}", stdout(&output));
    let output = check(&good.replace("echo.wasm", "gone.wasm"));
    assert_eq!(output.status.code(), Some(1));
    let shown = stderr(&output);
    assert!(
        shown.contains("error: cannot read") && shown.contains("bots.toml:8:8") && shown.ends_with("1 error\n\n"),
        "{shown}"
    );
    let output = check("[bots]\n");
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("there is no bot"), "{}", stderr(&output));
}

#[test]
fn serve_refuses_a_bad_configuration_and_one_that_is_not_there() {
    let folder = Folder::new("x = 1\n");
    let output = mynah(&["serve", "--config", &folder.config()]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("unknown key `x`"), "{}", stderr(&output));
    let output = mynah(&["serve", "--config", "no/such/bots.toml"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("cannot read `no/such/bots.toml`"), "{}", stderr(&output));
    assert_eq!(mynah(&["no-such-verb"]).status.code(), Some(64));
    assert_eq!(mynah(&["--help"]).status.code(), Some(0));
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address");
    let folder = Folder::new(&format!("[server]\nlisten = \"{address}\"\n{BOT}"));
    let output = mynah(&["serve", "--config", &folder.config()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("cannot listen on {address}")), "{}", stderr(&output));
}

#[test]
fn no_secret_reaches_the_terminal() {
    let secret = "s3cretT0ken9";
    for config in [
        format!("[bots.a]\ntoken = \"{secret}\"\npath = 5\n"),
        format!("[bots.a]\ntoken = \"{secret}!\"\npath = \"/\"\n"),
        format!("[bots.a]\ntoken = \"{secret}\" path = \"/\"\n"),
        format!("[bots.a]\ntoken \"{secret}\"\n"),
        format!("[bots.a]\ntoken = \"{secret}\n"),
        format!("[bots.a]\npath = \"/\" token = \"{secret}\"\n"),
        format!("[bots.a]\npath = \"/\"\ntoken = [\"{secret}\"]\n"),
        format!("[bots.a]\npath = \"/\"\ntoken = {{ env = \"UNSET\", default = \"{secret}?\" }}\n"),
        format!("[bots.a]\npath = \"/\"\ntoken = {{ default = \"{secret}\" }}\n"),
        format!("[bots.a]\npath = \"/\"\ntoken = \"abc\"\napp_id = \"wx1\"\nencoding_aes_key = \"{secret}\"\n"),
        format!("[bots.a]\npath = \"/\"\ntoken = \"abc\"\nencoding_aes_key = \"{secret}\"\n"),
        format!("[bots.a]\npath = \"/\"\ntoken = \"abc\"\ntokne = \"{secret}\"\n"),
        format!(
            "[bots.a]\npath = \"/\"\ntoken = \"abc\"\n[plugins.p]\nconfig = {{ api_key = \"{secret}\", x = [] }}\n"
        ),
    ] {
        let output = check(&config);
        assert_eq!(output.status.code(), Some(64), "{config}");
        let shown = stderr(&output) + &stdout(&output);
        assert!(!shown.contains(secret), "{config}\n{shown}");
    }
}

#[test]
fn build_runs_each_command_once_and_names_what_failed() {
    let folder = Folder::new(&format!(
        "{BOT}[plugins.a]\nwasm = \"a.wasm\"\nbuild = \"echo built >> log.txt\"\n\
         [plugins.b]\nwasm = \"b.wasm\"\nbuild = \"echo built >> log.txt\"\n\
         [plugins.c]\nwasm = \"c.wasm\"\nbuild = \"exit 3\"\n[plugins.d]\nwasm = \"d.wasm\"\n"
    ));
    let output = mynah(&["build", "--config", &folder.config()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("building a, b: echo built"), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: c not built: `exit 3` ended with exit status: 3"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(folder.path("log.txt")).expect("in the folder of bots.toml"), "built\n");
    let output = mynah(&["build", "--config", &folder.config(), "a"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = mynah(&["build", "--config", &folder.config(), "e"]);
    assert!(stderr(&output).contains("there is no plugin `e`"), "{}", stderr(&output));
}

#[test]
fn explain_names_the_rule_its_captures_and_near_misses() {
    let folder = Folder::new(&format!(
        "{BOT}[[bots.test.rules]]\nkeyword = \"答题\"\nreply = \"quiz\"\n[[bots.test.rules]]\nprefix = \"天气\"\nreply = \"{{rest}}!\"\n\
         [[bots.test.rules]]\nevent = \"CLICK\"\ntreat_as = \"答题\"\n"
    ));
    let explain = |arguments: &[&str]| {
        let config = folder.config();
        let all: Vec<&str> = ["explain", "--config", &config].iter().chain(arguments).copied().collect();
        stdout(&mynah(&all)).replace(&config, "bots.toml")
    };
    assert_eq!(
        explain(&["天气 北京"]),
        "bot test\n  answered by    bots.toml:8 (prefix 天气)\n    captured     rest = 北京\n    with         北京!\n"
    );
    let missed = explain(&["我要答题"]);
    assert!(missed.contains("nobody answers"), "{missed}");
    assert!(
        missed.contains("near miss      bots.toml:5") && missed.contains("whole text only; `contains` would match"),
        "{missed}"
    );
    assert!(explain(&["ＡＢＣ"]).contains("compared as    abc"));
    let clicked = explain(&["--event", "click", "--key", "K"]);
    assert!(clicked.contains("treated as   答题") && clicked.contains("quiz"), "{clicked}");
    let output = mynah(&["explain", "x", "--bot", "nobody", "--config", &folder.config()]);
    assert!(stderr(&output).contains("there is no bot `nobody`; there are `test`"), "{}", stderr(&output));
}

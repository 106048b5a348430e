//! `mynah test`: the repository's own transcripts, and what it says of others.

use std::{
    fs,
    process::{Command, Output},
};

use super::harness::*;

/// The header of a transcript for the tests' plugin.
fn probe(more: &str) -> String {
    build_plugins();
    format!("+++\n[plugins.probe]\nwasm = '{}'\n{more}\n+++\n", component("probe"))
}

/// Runs the command in the folder.
fn test(folder: &Folder, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mynah"))
        .arg("test")
        .args(arguments)
        .current_dir(folder.path("."))
        .env_remove("RUST_LOG")
        .output()
        .expect("mynah starts")
}

/// What it says of one transcript, and whether all was as expected.
fn played(transcript: &str) -> (bool, String) {
    let folder = Folder::new("");
    folder.write("a.chat", transcript);
    let output = test(&folder, &["a.chat"]);
    (output.status.success(), stdout(&output))
}

fn passes(transcript: &str) {
    let (passed, shown) = played(transcript);
    assert!(passed, "{shown}");
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_repositorys_own_transcripts_pass() {
    build_plugins();
    let output = mynah(&["test"]);
    let shown = stdout(&output);
    assert!(output.status.success(), "{shown}");
    for name in [
        "plugins/demo",
        "plugins/echo/echo",
        "plugins/greet/greet",
        "plugins/image-url/image-url",
        "plugins/ocr/ocr",
        "plugins/quiz/quiz",
    ] {
        assert!(shown.contains(&format!("ok {name}.chat\n")), "{shown}");
    }
    assert!(shown.trim_end().ends_with(": all as expected"), "{shown}");
}

#[test]
fn the_examples_of_the_documentation_pass() {
    build_plugins();
    let text = fs::read_to_string(root().join("plugin-sdk/TESTING.md")).expect("TESTING.md");
    let mut examples = text.split("```chat\n").skip(1).map(|rest| rest.split("```").next().expect("closed"));
    let folder = Folder::new(
        "[bots.demo]\npath = \"/\"\ntoken = \"abc\"\nlate = { reply = \"还在想……稍后回复「继续」取答案。\" }\n\
         escape = { words = [\"退出\"], reply = \"已退出。\" }\n\
         [[bots.demo.rules]]\nkeyword = \"慢慢算\"\nplugin = \"slow\"\n\
         [[bots.demo.rules]]\nkeyword = \"骰子\"\nreply = { random = [\"⚀\", \"⚁\", \"⚂\", \"⚃\", \"⚄\", \"⚅\"] }\n\
         [[bots.demo.rules]]\nprefix = \"天气\"\nreply = \"「{rest}」的天气，我还不会看。\\n明天再来吧。\"\n\
         [[bots.demo.rules]]\nevent = \"subscribe\"\nreply = \"欢迎关注！\"\n\
         [[bots.demo.rules]]\nkeyword = \"图文\"\nreply = { news = [{ title = \"八哥\", url = \"https://example.com/\" }] }\n\
         [[bots.demo.rules]]\nplugin = \"echo\"\n",
    );
    let mut config = fs::read_to_string(folder.config()).expect("text");
    config += &format!("[plugins.echo]\nwasm = '{}'\n", component("echo"));
    config += &format!("[plugins.slow]\nwasm = '{}'\nlimits = {{ time = \"60s\" }}\n", component("probe"));
    folder.write(
        "bots.toml",
        &config.replace(
            "plugin = \"slow\"",
            "treat_as = \"sleep 20000\"\n[[bots.demo.rules]]\nprefix = \"sleep\"\nplugin = \"slow\"",
        ),
    );
    let mut count = 0;
    for example in examples.by_ref() {
        count += 1;
        let example = example
            .replace("\"target/wasm32-wasip2/release/echo.wasm\"", &format!("'{}'", component("echo")))
            .replace("\"target/wasm32-wasip2/release/probe.wasm\"", &format!("'{}'", component("probe")));
        folder.write(&format!("{count}.chat"), &example);
    }
    assert!(count >= 4, "{count} examples");
    let output = test(&folder, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn a_mismatch_is_shown_where_it_is_with_what_the_plugin_logged() {
    let (passed, shown) =
        played(&(probe("") + "# a comment\n> log x\n< logged\n\n> log y\n< locked\n> say a\n> pass\n< [silence]\n"));
    assert!(!passed);
    let expected = "a.chat:11: > log y\n  - < locked\n  + < logged\n    warn  probe: a warning from the plugin\n    info  probe: y\n\n\
                    a.chat:12: > say a\n    no reply is expected yet; `--update` writes the one that came\n  + < a\n\n\
                    FAIL a.chat\n1 transcript, 4 messages: 1 failed; if that is how it should be, `--update` writes it down\n";
    assert_eq!(shown, expected);
}

#[test]
fn an_update_writes_what_came_and_keeps_the_rest() {
    let folder = Folder::new("");
    let before = probe("") + "> say a\n< b\n# why\n\n> long 3\n< line 0000…\n< …\n> say x\n";
    folder.write("a.chat", &before);
    folder.write("b.chat", &(probe("") + "> say a\n< a\n"));
    let output = test(&folder, &["--update"]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(
        stdout(&output).ends_with("updated a.chat\nok b.chat\n2 transcripts, 4 messages: 1 updated\n"),
        "{}",
        stdout(&output)
    );
    let after = before.replace("< b\n", "< a\n") + "< x\n";
    assert_eq!(fs::read_to_string(folder.path("a.chat")).expect("text"), after);
    assert!(test(&folder, &[]).status.success());
}

#[test]
fn time_passes_only_where_the_transcript_says_so() {
    let transcript = "at 2026-02-17 08:00\n> remember 60 first\n< remembered\n~ 58s\n> recall\n< =first\n> remember 60 second\n< remembered\n~ 2m\n\
                      > recall\n< none\n";
    let start = std::time::Instant::now();
    passes(&(probe("") + transcript));
    assert!(start.elapsed().as_secs() < 30, "nobody waits two minutes");
}

#[test]
fn a_plugin_that_sleeps_takes_no_time_and_is_late_all_the_same() {
    let bot = "limits = { time = \"60s\" }\n[bots.a]\npath = \"/\"\ntoken = \"abc\"\nlate = { reply = \"wait for 继续\" }\non_error = \"sorry\"\n\
               [[bots.a.rules]]\nplugin = \"probe\"\n";
    let late = "< wait for <a href=\"weixin://bizmsgmenu?msgmenucontent=继续&msgmenuid=1\">继续</a>\n";
    // In time; then late, asked for too early, other messages meanwhile, and the answer.
    let transcript = format!(
        "> sleep 10000\n< slept\n> sleep 30000\n{late}> say meanwhile\n< meanwhile\n> 继续\n{late}> sleep 2000\n< slept\n~ 15s\n> 继续\n< slept\n\
         # Beyond what it may take.\n> sleep 70000\n{late}~ 50s\n> 继续\n< sorry\n"
    );
    passes(&(probe(bot) + &transcript));
    let short = "limits = { time = \"5s\" }\n[bots.a]\npath = \"/\"\ntoken = \"abc\"\non_error = \"sorry\"\n[[bots.a.rules]]\nplugin = \"probe\"\n";
    passes(&(probe(short) + "> sleep 4900\n< slept\n> sleep 5100\n< sorry\n"));
}

#[test]
fn what_is_random_is_the_same_each_time_and_in_each_place() {
    let folder = Folder::new("");
    let drawn = |transcript: &str| {
        folder.write("a.chat", &(probe("") + transcript));
        assert!(test(&folder, &["--update", "a.chat"]).status.success());
        let text = fs::read_to_string(folder.path("a.chat")).expect("text");
        text.lines().filter(|line| line.starts_with("< ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let two = drawn("> random\n> random\n");
    assert_ne!(two[0], two[1]);
    assert_eq!(drawn("> random\n> say x\n> random\n"), [&*two[0], "< x", &*two[1]]);
    assert_ne!(drawn("seed 7\n> random\n")[0], two[0]);
}

#[test]
fn files_are_apart_and_followers_too() {
    let folder = Folder::new("");
    let transcript = probe("")
        + "> count k\n< 1\n> remember 60 x\n< remembered\nas 小红:\n> recall\n< none\n> count k\n< 2\nas me:\n> recall\n< =x\n";
    folder.write("a.chat", &transcript);
    folder.write("b.chat", &transcript);
    let output = test(&folder, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn the_outside_says_what_the_transcript_says() {
    let allow = "allow = { http = [\"https://api.example.com\"] }";
    let transcript = "> http GET https://api.example.com/a\n< unavailable: …\nhttp GET https://api.example.com/*: 200 {}\n\
                      > http GET https://api.example.com/a\n< 200 … 2 bytes: {}\n> http GET https://other.example.com/\n< not-granted: …\n\
                      http GET https://api.example.com/slow: after 3s 503 x\n> http GET https://api.example.com/slow\n< 503 … 1 bytes: x\n\
                      http GET https://api.example.com/slow: after 5s 200 x\n> http GET https://api.example.com/slow\n< [silence]\n";
    passes(&(probe(allow) + transcript));
    let (_, shown) = played(&(probe(allow) + "> http GET https://api.example.com/a?key=secret\n< x\n"));
    assert!(shown.contains("the transcript does not say what GET https://api.example.com/a answers"), "{shown}");
    assert!(!shown.contains("key=secret*"), "{shown}");
}

#[test]
fn one_component_is_tested_without_any_configuration() {
    build_plugins();
    let folder = Folder::new("");
    fs::remove_file(folder.path("bots.toml")).expect("removed");
    folder.write("a.chat", "> hello\n< hello\n> [event subscribe]\n< [silence]\n");
    let output = test(&folder, &["--plugin", &component("echo"), "a.chat"]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert_eq!(fs::read_dir(folder.path(".")).expect("readable").count(), 1, "nothing is left behind");
    let output = test(&folder, &["a.chat"]);
    assert!(!output.status.success() && stdout(&output).contains("cannot read `bots.toml`"), "{}", stdout(&output));
}

#[test]
fn the_bots_are_those_of_the_nearest_configuration() {
    let bot = |name: &str| {
        format!("[bots.{name}]\npath = \"/{name}\"\ntoken = \"abc\"\n[[bots.{name}.rules]]\nreply = \"{name}\"\n")
    };
    let folder = Folder::new(&(bot("outer") + &bot("other")));
    for below in ["in/deep", "target", "node_modules", ".git"] {
        fs::create_dir_all(folder.path(below)).expect("made");
    }
    folder.write("in/bots.toml", &bot("inner"));
    folder.write("in/deep/a.chat", "> x\n< inner\n");
    folder.write("b.chat", "bot other:\n> x\n< other\nbot outer:\n> x\n< outer\n");
    for skipped in ["target", "node_modules", ".git"] {
        folder.write(&format!("{skipped}/c.chat"), "> x\n< never\n");
    }
    let output = test(&folder, &[]);
    assert_eq!(stdout(&output), "ok b.chat\nok in/deep/a.chat\n2 transcripts, 3 messages: all as expected\n");
    folder.write("b.chat", "> x\n< outer\n");
    let output = test(&folder, &["b.chat"]);
    assert!(
        stdout(&output).contains("there are several bots (`other`, `outer`): a line `bot NAME:` says which"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn what_is_no_transcript_is_said_with_its_place() {
    let (passed, shown) = played(&(probe("") + "> say a\n< a\nwhat\n"));
    assert!(
        !passed && shown.contains("a.chat:8: `what` means nothing here") && shown.contains("    what\n"),
        "{shown}"
    );
    let (passed, shown) = played("+++\n[plugins.probe]\nwsam = 'x'\n+++\n> a\n");
    assert!(!passed && shown.contains("a.chat:3:") && shown.contains("a.chat: its bots cannot be used"), "{shown}");
    let folder = Folder::new("");
    let output = test(&folder, &[]);
    assert!(
        !output.status.success() && stdout(&output).contains("there is no transcript (`*.chat`) here"),
        "{}",
        stdout(&output)
    );
    let output = test(&folder, &["gone.chat"]);
    assert!(stdout(&output).contains("there is no file `gone.chat`"), "{}", stdout(&output));
}

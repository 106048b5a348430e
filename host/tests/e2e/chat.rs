//! `mynah chat`, through a pipe and through a terminal.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use super::harness::*;

/// A folder with rules for the tests' plugins.
fn folder(rules: &str) -> Folder {
    build_plugins();
    let mut config = format!("{BOT}{rules}\n");
    for name in ["probe", "echo"] {
        if config.contains(&format!("\"{name}\"")) {
            config += &format!("[plugins.{name}]\nwasm = '{}'\n", component(name));
        }
    }
    Folder::new(&config)
}

/// Chats through a pipe.
fn chat(config: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["chat", "--config", config])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mynah starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    child.wait_with_output().expect("ended")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn through_a_pipe_a_chat_is_a_transcript() {
    let folder = folder(
        "[[bots.test.rules]]\nkeyword = \"菜单\"\nreply = '<a href=\"weixin://bizmsgmenu?msgmenucontent=早&msgmenuid=7\">早</a>'\n\
         [[bots.test.rules]]\nevent = \"CLICK\"\nkey = \"K\"\nreply = \"clicked\"\n\
         [[bots.test.rules]]\nprefix = \"say\"\nplugin = \"probe\"\n[[bots.test.rules]]\nplugin = \"echo\"\n",
    );
    let input = "你好\n\n/image http://h/1\n/click K\n/voice 天气\n菜单\n/1\n/as 小红\n/event unsubscribe\n/message hologram A=1\n/quit\nnever\n";
    let output = chat(&folder.config(), &[], input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = "> 你好\n< 你好\n> [image http://h/1]\n< [image media-id]\n> [event CLICK key=K]\n< clicked\n\
                    > [voice 天气]\n< 天气\n> 菜单\n\
                    < <a href=\"weixin://bizmsgmenu?msgmenucontent=早&msgmenuid=7\">早</a>\n\
                    > [text \"早\" bizmsgmenuid=7]\n< 早\nas 小红:\n> [event unsubscribe]\n< [silence]\n\
                    > [message hologram A=1]\n< [silence]\n";
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
}

#[test]
fn why_names_the_rule_the_plugin_the_time_and_what_was_logged() {
    let folder = folder("[[bots.test.rules]]\nprefix = [\"log\", \"trap\", \"remember\"]\nplugin = \"probe\"\n");
    let output =
        chat(&folder.config(), &[], "/why\nlog a line\n/why\ntrap\n/why\nremember 60 x\nlog y\n/why\nnobody\n/why\n");
    assert_eq!(output.status.code(), Some(1), "the first `/why` has nothing to tell");
    assert!(stderr(&output).contains("error: nothing was said yet"), "{}", stderr(&output));
    let shown = stdout(&output).replace(&folder.config(), "bots.toml");
    let answers: Vec<&str> = shown.split("> ").skip(1).collect();
    let has = |answer: usize, text: &str| assert!(answers[answer].contains(text), "`{text}` is not in\n{shown}");
    has(0, "< logged");
    has(0, "# rule    bots.toml:5 (prefix log | trap | remember)");
    has(0, "# plugin  probe\n");
    has(0, "ms of WeChat's 5 s");
    has(0, "# log     warn  probe: a warning from the plugin");
    has(0, "# log     info  probe: a line");
    has(1, "< sorry");
    has(1, "# plugin  probe, which failed: the reply is the bot's `on_error`");
    has(1, "told to panic");
    has(3, "# rule    none was asked: a conversation with the plugin is going on");
    has(4, "< [silence]");
    has(4, "# rule    none: nobody answered");
}

#[test]
fn a_late_answer_is_what_the_follower_would_get() {
    let folder = folder(
        "late = { reply = \"wait\" }\n[[bots.test.rules]]\nplugin = \"probe\"\n[plugins.probe]\nlimits = { time = \"60s\" }\n\
         wasm = 'WASM'\n",
    );
    let config = std::fs::read_to_string(folder.config()).expect("text").replace("WASM", &component("probe"));
    folder.write("bots.toml", config.split("[plugins.probe]\nwasm").next().expect("a part"));
    let shown = stdout(&chat(&folder.config(), &[], "sleep 40000\n/why\n"));
    assert!(shown.starts_with("> sleep 40000\n< wait\n"), "{shown}");
    assert!(shown.contains("# rule    not known yet: the answer is late, and this was the interim one"), "{shown}");
    assert!(shown.contains("delivered it again, three times in all, and the last one got the reply"), "{shown}");
}

#[test]
fn the_state_is_thrown_away_unless_the_real_one_is_asked_for() {
    let folder = folder("[[bots.test.rules]]\nplugin = \"probe\"\n");
    let counted = |arguments: &[&str]| {
        let output = chat(&folder.config(), arguments, "count k\n");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    for _ in 0..2 {
        assert_eq!(counted(&[]), "> count k\n< 1\n");
    }
    assert!(!folder.path("data/mynah.db").exists());
    for n in 1..=2 {
        assert_eq!(counted(&["--state"]), format!("> count k\n< {n}\n"));
    }
}

#[test]
fn the_state_of_a_running_server_is_refused_by_name() {
    build_plugins();
    let server = Server::with_rules("[[bots.test.rules]]\nplugin = \"probe\"\n");
    let output = chat(&server.folder().config(), &["--state"], "count k\n");
    assert_eq!(output.status.code(), Some(1));
    let shown = stderr(&output);
    assert!(shown.contains("cannot open the state") && shown.contains("process"), "{shown}");
    assert_eq!(stdout(&chat(&server.folder().config(), &[], "count k\n")), "> count k\n< 1\n");
}

#[test]
fn needs_no_secret_and_no_plugin_that_is_not_built() {
    let folder = Folder::new(
        "[bots.a]\npath = \"/\"\ntoken = { env = \"MYNAH_TEST_UNSET\" }\non_error = \"sorry\"\n[[bots.a.rules]]\nkeyword = \"a\"\n\
         reply = \"b\"\n[[bots.a.rules]]\nplugin = \"p\"\n[plugins.p]\nwasm = \"p.wasm\"\nbuild = \"true\"\n",
    );
    let output = chat(&folder.config(), &[], "a\nc\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("(`mynah build` makes it)"), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("> a\n< b\n> c\n< sorry\n# error p: the plugin cannot be called"));
}

#[test]
fn one_of_several_bots_is_chosen() {
    let bot = |name: &str| {
        format!(
            "[bots.{name}]\npath = \"/{name}\"\ntoken = \"abc\"\n[[bots.{name}.rules]]\nreply = \"this is {name}\"\n"
        )
    };
    let folder = Folder::new(&(bot("b") + &bot("a")));
    let output = chat(&folder.config(), &[], "x\n/bot b\nx\n/bot c\n");
    assert_eq!(stdout(&output), "bot a:\n> x\n< this is a\nbot b:\n> x\n< this is b\n");
    assert!(stderr(&output).contains("there is no bot `c`; there are a, b"), "{}", stderr(&output));
    assert!(stdout(&chat(&folder.config(), &["--bot", "b"], "x\n")).contains("this is b"));
}

#[test]
fn a_record_is_what_was_said_from_the_beginning() {
    let folder = folder("[[bots.test.rules]]\nplugin = \"echo\"\n");
    let file = folder.path("a.chat").display().to_string();
    let output = chat(&folder.config(), &[], &format!("a\n/record {file}\nb\n/record {file}\n"));
    assert_eq!(std::fs::read_to_string(&file).expect("recorded"), "> a\n< a\n> b\n< b\n");
    assert!(stderr(&output).contains("cannot make"), "{}", stderr(&output));
}

#[cfg(unix)]
mod terminal {
    use rexpect::session::{PtySession, spawn_command};

    use super::*;

    const PATIENCE_MS: u64 = 60_000;

    fn open(config: &str, no_color: bool) -> PtySession {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.args(["chat", "--config", config]).env("TERM", "xterm").env_remove("NO_COLOR").env_remove("RUST_LOG");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        spawn_command(command, Some(PATIENCE_MS)).expect("a terminal")
    }

    fn type_in(chat: &mut PtySession, text: &str) {
        chat.send(text).expect("typed");
        chat.flush().expect("typed");
    }

    #[test]
    fn at_a_terminal_lines_are_edited_and_links_are_tapped() {
        let folder = folder(
            "[[bots.test.rules]]\nkeyword = \"menu\"\nreply = '<a href=\"weixin://bizmsgmenu?msgmenucontent=go&msgmenuid=7\">Go!</a>'\n\
             [[bots.test.rules]]\nplugin = \"echo\"\n",
        );
        let mut chat = open(&folder.config(), true);
        chat.exp_string("you are a follower of the bot test").expect("a greeting");
        chat.exp_string("me> ").expect("a prompt");
        // Typed with a slip, which backspace takes back.
        type_in(&mut chat, "helloX\u{7f}\r");
        chat.exp_string("test: hello\r\n").expect("a reply");
        // The arrow up brings the line back.
        type_in(&mut chat, "\u{1b}[A!\r");
        chat.exp_string("test: hello!").expect("a reply");
        type_in(&mut chat, "menu\r");
        chat.exp_string("test: Go! [/1]").expect("a numbered link");
        type_in(&mut chat, "/1\r");
        chat.exp_string("test: go\r").expect("the link's text is answered");
        type_in(&mut chat, "/why\r");
        chat.exp_string("plugin  echo").expect("the plugin");
        type_in(&mut chat, "/nope\r");
        chat.exp_string("there is no command `/nope`").expect("a hint");
        chat.send_control('d').expect("typed");
        chat.exp_eof().expect("the end");
    }

    #[test]
    fn colours_are_for_terminals_and_a_change_is_taken_up_while_one_types() {
        let folder = folder("[[bots.test.rules]]\nreply = \"before\"\n");
        let mut chat = open(&folder.config(), false);
        chat.exp_string("me> ").expect("a prompt");
        type_in(&mut chat, "x\r");
        chat.exp_string("\u{1b}[1;32mtest:\u{1b}[0m before").expect("the name in colour");
        chat.exp_string("me> ").expect("a prompt");
        type_in(&mut chat, "half a li");
        let config = std::fs::read_to_string(folder.config()).expect("text").replace("before", "after");
        folder.write("bots.toml", &config);
        chat.exp_string("took up").expect("news");
        type_in(&mut chat, "ne\r");
        chat.exp_string("\u{1b}[1;32mtest:\u{1b}[0m after").expect("the new reply");
    }
}

//! The log never makes a message wait, and is written to the end.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
};

use super::harness::*;

#[cfg(unix)]
#[test]
fn a_log_that_nobody_reads_holds_up_no_message_and_says_what_it_lost() {
    let rule = "[[bots.test.rules]]\nkeyword = \"hi\"\nreply = \"hello\"\n";
    let folder = Folder::new(&format!("{LOOPBACK}{BOT}{rule}"));
    let mut server = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["serve", "--config", &folder.config()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("mynah starts");
    let mut log = BufReader::new(server.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("listening on http://") {
        line.clear();
        assert!(log.read_line(&mut line).expect("text") > 0, "it did not start");
    }
    let address = line.split("listening on http://").nth(1).and_then(|rest| rest.split_whitespace().next());
    let url = format!("http://{}/weixin/?{}", address.expect("an address"), signed_query(TOKEN));
    // Far more than a pipe holds, and than the server keeps.
    let sent = 12_000;
    let agent = agent();
    for _ in 0..sent {
        let body = envelope("<MsgType>text</MsgType><Content>hi</Content><MsgId>1</MsgId>");
        let answer = agent.post(&url).send(body.as_str()).expect("an answer").body_mut().read_to_string();
        assert!(answer.expect("text").contains("hello"));
    }
    let pid = server.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("text");
    assert!(server.wait().expect("ended").success());
    let lost = rest.lines().filter_map(|line| line.split_once(" lines of the log were lost")?.0.parse::<usize>().ok());
    let (lost, kept) = (lost.sum::<usize>(), rest.matches(": answered ").count());
    assert!(lost > 0 && kept > 1_000, "{lost} lost, {kept} kept");
    // The lines about the end may be among the lost, too.
    assert!((sent..sent + 10).contains(&(lost + kept)), "{lost} lost, {kept} kept");
}

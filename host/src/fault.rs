//! What can be wrong between WeChat and an account, and what to do about it, in words.
//!
//! One source of phrases: the server's log, `mynah doctor` and `mynah send` name the same mistake with the same line, so that whoever
//! reads the one finds the other.

use std::{borrow::Cow, fmt};

use crate::wechat::{cipher::DecryptError, signature};

/// Something that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in lower case and without a full stop.
    pub what: Cow<'static, str>,
    /// What to do about it.
    pub advice: Cow<'static, str>,
}

impl Fault {
    /// Puts the two together.
    pub fn new(what: impl Into<Cow<'static, str>>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// Characters of a stranger's words that are repeated.
const EXCERPT: usize = 40;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.advice)
    }
}

/// What the server answers a request whose signature does not fit.
pub const WRONG_SIGNATURE: &str = "wrong signature";

/// The signature that `mynah doctor` sends to see it refused: the server's log tells it from a mistake.
pub const PROBE: &str = "0000000000000000000000000000000000000000";

/// What the server answers a request whose path is no bot's.
pub const NO_BOT: &str = "no bot has this path";

/// What the server answers a message that it cannot decrypt, whatever the cause: told apart from outside, the causes are an oracle.
pub const UNDECIPHERABLE: &str = "this message cannot be decrypted";

/// What the server answers a plaintext message where `require_encryption` is set.
pub const ENCRYPTED_ONLY: &str = "this bot takes encrypted messages only";

/// What the server's answer to a body that it cannot read begins with.
pub const UNREADABLE: &str = "unreadable message";

/// The parameters that every request needs.
const PARAMETERS: [&str; 5] = ["signature", "timestamp", "nonce", "msg_signature", "echostr"];

/// What the server meant by the line that it answered a refused request with; none where the line is not the server's. `method` is
/// the request's.
pub fn told(line: &str, method: &str) -> Option<Fault> {
    if method == "POST" && line == missing_parameter("echostr", "x").what {
        return Some(Fault::new(
            "a POST arrives as a GET",
            "a proxy redirects it or drops the body; it must pass the request on as it is",
        ));
    }
    let read = line.strip_prefix(UNREADABLE).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(line);
    let missing = PARAMETERS.iter().map(|parameter| missing_parameter(parameter, "x"));
    let known = [missing_parameter("", ""), missing_parameter("", "&amp;"), encrypt_type_dropped(), no_body()];
    if let Some(fault) = missing.chain(known).find(|fault| fault.what == read) {
        return Some(fault);
    }
    match line {
        WRONG_SIGNATURE => Some(token_differs()),
        NO_BOT => Some(no_bot("", [])),
        UNDECIPHERABLE => Some(Fault::new(
            "the server cannot decrypt the message: the EncodingAESKey or the AppID differs",
            "its log says which; both must be those of the account's console (基本配置, 服务器配置)",
        )),
        ENCRYPTED_ONLY => Some(plaintext_refused()),
        line => line.strip_prefix(UNREADABLE).map(|why| {
            let what = format!("the message does not arrive as it was sent{why}");
            Fault::new(what, "a proxy changes the body; it must pass it on as it is")
        }),
    }
}

/// A parameter is not there. `query` is the query as it arrived.
pub fn missing_parameter(parameter: &str, query: &str) -> Fault {
    if query.is_empty() {
        return no_query();
    }
    if query.contains("&amp;") {
        return Fault::new(
            "the query arrives with `&amp;` where WeChat sent `&`",
            "something before mynah escapes it for HTML; pass the query on as it is",
        );
    }
    Fault::new(
        format!("the parameter `{parameter}` is missing"),
        "not WeChat, or a proxy drops a part of the query; it must pass all of it on",
    )
}

/// There is no query at all.
pub fn no_query() -> Fault {
    Fault::new(
        "the query is missing",
        "not WeChat, or a proxy drops it; in nginx write `proxy_pass http://127.0.0.1:8080;` without a path or variables, or add \
         `$is_args$args`",
    )
}

/// Paths of bots that are listed.
const PATHS: usize = 5;

/// A request to a path that is no bot's. `paths` are those that are bots'.
pub fn no_bot(arrived: &str, paths: impl IntoIterator<Item = String>) -> Fault {
    let mut paths: Vec<String> = paths.into_iter().map(|path| format!("`{path}/`")).collect();
    paths.sort();
    let more = if paths.len() > PATHS { ", …" } else { "" };
    paths.truncate(PATHS);
    let what = match arrived {
        "" => "the path is no bot's".to_owned(),
        path => format!("the path is no bot's: `{}` arrives, bots.toml has {}{more}", excerpt(path), paths.join(", ")),
    };
    Fault::new(what, "enter the `path` of the bot in the console, as it stands in bots.toml")
}

/// The signature was made with another token.
pub fn token_differs() -> Fault {
    Fault::new(
        "the token differs",
        "the `token` of bots.toml, or the environment variable that it names, is not the Token of the account's server configuration \
         (服务器配置); a server takes a changed variable up when it is started again",
    )
}

/// What a request that is to be signed says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The parameter `signature`.
    pub signature: &'a str,
    /// The parameter `timestamp`.
    pub timestamp: &'a str,
    /// The parameter `nonce`.
    pub nonce: &'a str,
}

/// Why a signature that does not fit does not: tries the usual slips. `others` are the other bots' names and tokens.
///
/// What it finds out is for the operator; whoever sent the request must not learn it.
pub fn wrong_signature<'a>(
    signed: Signed<'_>,
    token: &str,
    others: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Fault {
    let Signed { signature: given, timestamp, nonce } = signed;
    let fits = |token: &str, given: &str| signature::verify(&[token, timestamp, nonce], given);
    let plain = given.trim().to_ascii_lowercase();
    if plain != given && fits(token, &plain) {
        return Fault::new(
            "the signature is right, but for its case or white space around it",
            "something before mynah changes the query; pass it on as it is",
        );
    }
    if let Some((name, _)) = others.into_iter().find(|(_, other)| fits(other, given)) {
        return Fault::new(
            format!("the signature was made with the token of the bot `{name}`"),
            "the account's server configuration has this bot's URL and that bot's Token; correct one of the two",
        );
    }
    for (slip, other) in [("lower", token.to_ascii_lowercase()), ("upper", token.to_ascii_uppercase())] {
        if other != token && fits(&other, given) {
            return Fault::new(
                format!("the token differs in its case: the sender's is all {slip} case"),
                "capital and small letters count; copy the Token from the account's server configuration (服务器配置)",
            );
        }
    }
    let joined_unsorted = signature::sign(&[&[token, timestamp, nonce].concat()]);
    if joined_unsorted == given {
        return Fault::new(
            "the sender joined token, timestamp and nonce without sorting them",
            "not WeChat, which sorts the three by their bytes before it joins them",
        );
    }
    if [timestamp, nonce].iter().any(|value| *value != value.trim() || value.is_empty())
        && signature::verify(&[token, timestamp.trim(), nonce.trim()], given)
    {
        return Fault::new(
            "the signature is right, but for white space in `timestamp` or `nonce`",
            "something before mynah changes the query; pass it on as it is",
        );
    }
    token_differs()
}

/// An encrypted message to a bot that has no key.
pub fn no_key() -> Fault {
    Fault::new(
        "the bot has no `encoding_aes_key`",
        "add it and `app_id` to the bot, or choose plaintext mode (明文模式) in the account's server configuration",
    )
}

/// An encrypted message that cannot be read.
pub fn undecipherable(error: &DecryptError) -> Fault {
    match error {
        DecryptError::Padding | DecryptError::MessageLength { .. } => key_differs(),
        DecryptError::AppId(app_id) => Fault::new(
            format!("the message is for the AppID `{app_id}`"),
            "the bot's `app_id` is another one; both stand in the account's console (基本配置)",
        ),
        error => Fault::new(error.to_string(), "not WeChat, or something before mynah changes the body"),
    }
}

/// The EncodingAESKey is not the account's.
pub fn key_differs() -> Fault {
    Fault::new(
        "the EncodingAESKey differs",
        "copy it from the account's server configuration (服务器配置), and keep the one before it as `previous_aes_key` for a day",
    )
}

/// A plaintext message where `require_encryption` is set.
pub fn plaintext_refused() -> Fault {
    Fault::new(
        "a plaintext message was refused, because `require_encryption` is set",
        "choose safe mode (安全模式) in the account's server configuration, or take `require_encryption` out",
    )
}

/// An encrypted body, but the query does not say so.
pub fn encrypt_type_dropped() -> Fault {
    Fault::new(
        "the message is encrypted, but the URL lacks `encrypt_type=aes`",
        "a proxy drops a part of the query; it must pass all of it on",
    )
}

/// A POST without a body.
pub fn no_body() -> Fault {
    Fault::new(
        "the body is empty",
        "not WeChat, or a proxy drops it, as one does that redirects a POST; it must pass the body on as it is",
    )
}

/// The beginning of what a stranger says, fit for one line.
pub fn excerpt(text: &str) -> String {
    let mut escaped = text.chars().flat_map(char::escape_debug);
    let mut head: String = escaped.by_ref().take(EXCERPT).collect();
    if escaped.next().is_some() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Sesame42";

    fn guess(given: &str, timestamp: &str, nonce: &str) -> String {
        let others = [("shop", "shopToken"), ("club", "clubToken")];
        wrong_signature(Signed { signature: given, timestamp, nonce }, TOKEN, others).what.into_owned()
    }

    fn sign(token: &str) -> String {
        signature::sign(&[token, "1700000000", "77"])
    }

    #[test]
    fn a_signature_that_nothing_explains_is_another_tokens() {
        assert_eq!(guess(&sign("other"), "1700000000", "77"), "the token differs");
        assert_eq!(guess("", "", ""), "the token differs");
        assert_eq!(guess("微信", "1", "é"), "the token differs");
    }

    #[test]
    fn the_usual_slips_are_recognised() {
        let of = |given: &str| guess(given, "1700000000", "77");
        assert_eq!(of(&sign("clubToken")), "the signature was made with the token of the bot `club`");
        assert_eq!(of(&sign("sesame42")), "the token differs in its case: the sender's is all lower case");
        assert_eq!(of(&sign("SESAME42")), "the token differs in its case: the sender's is all upper case");
        let changed = "the signature is right, but for its case or white space around it";
        assert_eq!(of(&sign(TOKEN).to_uppercase()), changed);
        assert_eq!(of(&format!(" {}", sign(TOKEN))), changed);
        let unsorted = signature::sign(&[&format!("{TOKEN}170000000077")]);
        assert_eq!(of(&unsorted), "the sender joined token, timestamp and nonce without sorting them");
        let white = "the signature is right, but for white space in `timestamp` or `nonce`";
        assert_eq!(guess(&sign(TOKEN), "1700000000 ", "77"), white);
    }

    #[test]
    fn a_query_that_is_gone_is_told_from_one_that_lost_a_parameter() {
        assert_eq!(missing_parameter("signature", "").what, "the query is missing");
        assert_eq!(missing_parameter("nonce", "signature=1").what, "the parameter `nonce` is missing");
        let escaped = missing_parameter("timestamp", "signature=1&amp;timestamp=2");
        assert_eq!(escaped.what, "the query arrives with `&amp;` where WeChat sent `&`");
    }

    #[test]
    fn the_servers_own_lines_are_understood() {
        let what = |line: &str, method: &str| told(line, method).map(|fault| fault.what.into_owned());
        let of = |line: &str| what(line, "POST").unwrap();
        assert_eq!(of("the query is missing"), "the query is missing");
        assert_eq!(of("the parameter `nonce` is missing"), "the parameter `nonce` is missing");
        assert_eq!(of("the parameter `echostr` is missing"), "a POST arrives as a GET");
        assert_eq!(what("the parameter `echostr` is missing", "GET").unwrap(), "the parameter `echostr` is missing");
        assert_eq!(of("unreadable message: the body is empty"), "the body is empty");
        let dropped = encrypt_type_dropped().what;
        assert_eq!(of(&format!("unreadable message: {dropped}")), dropped);
        assert_eq!(
            of("unreadable message: `xml` is not closed"),
            "the message does not arrive as it was sent: `xml` is not closed"
        );
        assert_eq!(of(WRONG_SIGNATURE), "the token differs");
        assert_eq!(what("<html>", "GET"), None);
        assert_eq!(what("", "GET"), None);
    }

    #[test]
    fn a_path_that_is_no_bots_is_named_with_those_that_are() {
        let of = |path: &str, n: usize| no_bot(path, (0..n).map(|n| format!("/{n}"))).what.into_owned();
        assert_eq!(of("/wx\u{1b}", 1), "the path is no bot's: `/wx\\u{1b}` arrives, bots.toml has `/0/`");
        assert!(of("/wx", 9).ends_with("`/0/`, `/1/`, `/2/`, `/3/`, `/4/`, …"), "{}", of("/wx", 9));
        assert_eq!(excerpt(&"微".repeat(100)).chars().count(), EXCERPT + 1);
    }

    #[test]
    fn no_fault_repeats_a_token() {
        for given in [sign("other"), sign("sesame42"), sign("clubToken"), sign(TOKEN).to_uppercase()] {
            let signed = Signed { signature: &given, timestamp: "1700000000", nonce: "77" };
            let shown = wrong_signature(signed, TOKEN, [("club", "clubToken")]).to_string();
            assert!(!shown.contains("Sesame") && !shown.contains("clubToken"), "{shown}");
        }
    }
}

//! One account: a message in, a reply out, by the rules.

use std::{borrow::Cow, collections::HashMap, pin::Pin, sync::Arc, time::Instant};

use crate::{
    clock::{self, World},
    config::{
        self, Escape, Late,
        rule::{Action, FixedReply},
    },
    limits,
    plugin::{Answer, Failure, Plugin, SharedWork},
    router::{Router, fill},
    secret::Secret,
    text,
    throttle::Throttle,
    wechat::{
        cipher::Cipher,
        document::Field,
        message::Message,
        pages::{menu_link, pages, with_menu_link},
        reply::{Article, CheckedReply, MAX_REPLY, MAX_TEXT, Music, Raw, Reply, Video},
    },
    wechat_api::Account,
};

/// An account, ready to answer.
#[derive(Clone)]
pub struct Bot {
    /// Its name in `bots.toml`.
    pub name: Arc<str>,
    /// The token of the account's server configuration.
    pub token: Secret,
    /// Decrypts and encrypts where the account uses compatible or safe mode.
    pub cipher: Option<Cipher>,
    /// Whether plaintext messages are refused.
    pub require_encryption: bool,
    /// Bounds how often the log tells of requests that were refused.
    pub complaints: Arc<Throttle>,
    on_error: CheckedReply,
    escape: Escape,
    late: Late,
    late_reply: CheckedReply,
    /// The same where the answer is certain to be kept.
    kept_reply: CheckedReply,
    /// Calls of the WeChat API.
    account: Option<Arc<Account>>,
    router: Arc<Router>,
    plugins: HashMap<Arc<str>, Slot>,
}

/// A plugin's place in a generation.
#[derive(Clone)]
pub enum Slot {
    /// It can be called.
    Ready(Arc<Plugin>),
    /// It cannot, for this reason; whoever calls it gets the bot's `on_error`.
    Broken(Arc<str>),
}

/// A reply, and where it comes from.
#[derive(Debug)]
pub struct Answered {
    /// What goes to the follower, within the protocol's bounds.
    pub reply: CheckedReply,
    /// The further pages of a text that is longer than WeChat delivers, to be kept until they are asked for.
    pub pages: Vec<Reply>,
    /// The line of `bots.toml` with the rule that answered; none when nobody did, or no rule was asked.
    pub rule: Option<usize>,
    /// The plugin that answered, or failed to.
    pub plugin: Option<Arc<str>>,
    /// Why `reply` is an apology.
    pub failed: bool,
}

/// The plugin failed, which has been logged.
struct Failed;

impl Bot {
    /// Puts an account together: its configuration, its rules compiled, and the plugins that they name.
    pub fn new(
        config: config::Bot,
        router: Router,
        plugins: HashMap<Arc<str>, Slot>,
        account: Option<Arc<Account>>,
    ) -> Self {
        let Late { push, reply, kept_reply, .. } = &config.late;
        // Their bytes were counted with the configuration.
        let said = |text: String| Reply::Text(text).check("text").map_or(CheckedReply::SILENCE, |(reply, _)| reply);
        let word = config.late.word();
        let kept_reply = said(with_menu_link(kept_reply, word));
        // Of an answer that comes by itself, the word is no matter unless it is named.
        let late_reply = if *push && !reply.contains(word) { reply.clone() } else { with_menu_link(reply, word) };
        let late_reply = said(late_reply);
        Self {
            name: config.name,
            token: config.token,
            cipher: config.cipher,
            require_encryption: config.require_encryption,
            complaints: Arc::new(Throttle::new(limits::REFUSALS_LOGGED)),
            on_error: config.on_error,
            escape: config.escape,
            late_reply,
            kept_reply,
            account,
            late: config.late,
            router: Arc::new(router),
            plugins,
        }
    }

    /// The same account with another version of a plugin.
    pub fn with_plugin(&self, name: &Arc<str>, slot: Slot) -> Self {
        let mut bot = self.clone();
        bot.plugins.insert(name.clone(), slot);
        bot
    }

    /// Whether one of its rules calls this plugin.
    pub fn has(&self, plugin: &str) -> bool {
        self.plugins.contains_key(plugin)
    }

    /// Its rules.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Whether a message is a word to the host, which asks for a kept answer or leaves a conversation.
    pub fn is_word(&self, message: &Message) -> bool {
        let mut words = self.late.words.iter().chain(&self.escape.words);
        message.event().is_none()
            && message.text.as_deref().is_some_and(|said| words.any(|word| text::same(said, word)))
    }

    /// What is said in place of an answer that is not there in time, if the follower expects one at all; `pushed` says whether that
    /// will be sent, as far as is known.
    pub fn late_reply(&self, message: &Message, pushed: bool) -> &CheckedReply {
        match (expects_answer(message), pushed) {
            (false, _) => &CheckedReply::SILENCE,
            (true, true) => &self.late_reply,
            (true, false) => &self.kept_reply,
        }
    }

    /// The account that late answers are sent by, where that is how this bot is configured.
    pub fn pushes(&self) -> Option<&Arc<Account>> {
        self.account.as_ref().filter(|_| self.late.push)
    }

    /// Calls of the WeChat API, where it has an app secret.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.account.as_ref()
    }

    /// Answers a message, reading and writing through `work`. Never fails: what goes wrong is logged, and the follower gets `on_error`.
    pub async fn answer(&self, message: &Message, world: &World, work: &SharedWork) -> Answered {
        if message.event().is_none()
            && let Some(answered) = self.resume(message, work).await
        {
            return answered;
        }
        match self.route(message, message, world, work, false).await {
            Some(answered) => answered,
            None => Answered::by_nobody(CheckedReply::SILENCE),
        }
    }

    /// What goes before any rule: a word that asks for a kept answer, and the conversation under way.
    async fn resume(&self, message: &Message, work: &SharedWork) -> Option<Answered> {
        let said = |words: &[String]| {
            message.text.as_deref().is_some_and(|said| words.iter().any(|word| text::same(said, word)))
        };
        if said(&self.late.words) {
            let mut work = work.lock().await;
            if let Some(reply) = work.take_kept() {
                return Some(self.checked(reply, message, None, None));
            }
            if work.awaiting() {
                return Some(Answered::by_nobody(self.late_reply.clone()));
            }
        }
        let owner = {
            let mut work = work.lock().await;
            let owner = work.follower().conversation()?.plugin.clone();
            if said(&self.escape.words) {
                work.change_follower(|follower| follower.set_conversation(None));
                return Some(Answered::by_nobody(self.escape.reply.clone()));
            }
            owner
        };
        // A plugin that was taken out of the configuration leaves its conversations to the rules.
        let (name, _) = self.plugins.get_key_value(owner.as_str())?;
        match self.call(name, None, message, &[], work).await {
            Ok(Answer::Reply(reply)) => Some(self.checked(reply, message, None, Some(name.clone()))),
            Ok(Answer::Pass) => None,
            Err(Failed) => Some(self.failure(message, None, Some(name.clone()))),
        }
    }

    /// Tries the rules on `message`, which is `original` or the text that it is treated as.
    fn route<'a>(
        &'a self,
        message: &'a Message,
        original: &'a Message,
        world: &'a World,
        work: &'a SharedWork,
        treated: bool,
    ) -> Pin<Box<dyn Future<Output = Option<Answered>> + Send + 'a>> {
        Box::pin(async move {
            for matched in self.router.route(message) {
                let Some(rule) = self.router.rules().get(matched.rule) else { continue };
                let line = Some(rule.line);
                let captures: &[Field] = &matched.captures;
                match &rule.action {
                    Action::Reply(fixed) => {
                        let reply = filled(fixed.choose(world), captures);
                        return Some(self.checked(reply, original, line, None));
                    }
                    Action::Replies(rows) => {
                        let Some(row) = matched.row.and_then(|row| rows.get(row)) else { continue };
                        let reply = Reply::Text(fill(&row.reply, captures).into_owned());
                        return Some(self.checked(reply, original, line, None));
                    }
                    Action::TreatAs(_) if treated => {}
                    Action::TreatAs(text) => {
                        let text = fill(text, captures).into_owned();
                        let text = Message { kind: "text".into(), text: Some(text), ..message.clone() };
                        if let Some(answered) = self.route(&text, original, world, work, true).await {
                            return Some(answered);
                        }
                    }
                    Action::Plugin(name) => match self.call(name, line, message, captures, work).await {
                        Ok(Answer::Pass) => {}
                        Ok(Answer::Reply(reply)) => {
                            return Some(self.checked(reply, original, line, Some(name.clone())));
                        }
                        Err(Failed) => return Some(self.failure(original, line, Some(name.clone()))),
                    },
                }
            }
            None
        })
    }

    async fn call(
        &self,
        name: &Arc<str>,
        rule: Option<usize>,
        message: &Message,
        captures: &[Field],
        work: &SharedWork,
    ) -> Result<Answer, Failed> {
        // Of a conversation, no rule calls its plugin.
        let rule = || rule.map_or_else(|| "conversation".to_owned(), |line| format!("line {line}"));
        let plugin = match self.plugins.get(name) {
            Some(Slot::Ready(plugin)) => plugin,
            Some(Slot::Broken(why)) => {
                tracing::error!(plugin = &**name, rule = rule(), "the plugin cannot be called: {why}");
                return Err(Failed);
            }
            None => {
                tracing::error!(plugin = &**name, rule = rule(), "there is no such plugin");
                return Err(Failed);
            }
        };
        let start = Instant::now();
        plugin.call(&self.name, self.account.as_ref(), message, captures, work).await.map_err(|failure| {
            let ms = start.elapsed().as_millis() as u64;
            match &failure {
                Failure::Trap { backtrace, .. } if !backtrace.is_empty() => {
                    tracing::error!(
                        plugin = &**name,
                        rule = rule(),
                        ms,
                        "the plugin failed: {failure}\n{}",
                        backtrace.trim_end()
                    );
                }
                _ => tracing::error!(plugin = &**name, rule = rule(), ms, "the plugin failed: {failure}"),
            }
            Failed
        })
    }

    /// Holds a reply against the protocol's bounds; a text that is too long is divided into pages.
    fn checked(&self, reply: Reply, original: &Message, rule: Option<usize>, plugin: Option<Arc<str>>) -> Answered {
        let (reply, pages) = self.paged(reply);
        match reply.check(&original.kind) {
            Ok((reply, warnings)) => {
                for warning in warnings {
                    tracing::warn!(rule, plugin = plugin.as_deref(), "the reply was changed: {warning}");
                }
                Answered { reply, pages, rule, plugin, failed: false }
            }
            Err(error) => {
                tracing::error!(rule, plugin = plugin.as_deref(), "the reply cannot be sent: {error}");
                self.failure(original, rule, plugin)
            }
        }
    }

    fn paged(&self, reply: Reply) -> (Reply, Vec<Reply>) {
        match reply {
            // What is larger than any reply may be is refused as a whole.
            Reply::Text(text) if (MAX_TEXT + 1..=MAX_REPLY).contains(&text.len()) => {
                let more = format!("（回复「{}」看下一页）", menu_link(self.late.word()));
                let mut pages = pages(&text, &more).into_iter().map(Reply::Text);
                let first = pages.next().unwrap_or(Reply::Silence);
                (first, pages.collect())
            }
            other => (other, Vec::new()),
        }
    }

    fn failure(&self, original: &Message, rule: Option<usize>, plugin: Option<Arc<str>>) -> Answered {
        Answered { reply: self.apology(original), pages: Vec::new(), rule, plugin, failed: true }
    }

    /// What a follower gets in place of an answer. For events that nobody sent on purpose it is silence.
    pub fn apology(&self, message: &Message) -> CheckedReply {
        if expects_answer(message) { self.on_error.clone() } else { CheckedReply::SILENCE }
    }
}

impl Answered {
    fn by_nobody(reply: CheckedReply) -> Self {
        Self { reply, pages: Vec::new(), rule: None, plugin: None, failed: false }
    }
}

/// Whether the follower did something that an answer is expected to: not so with events such as LOCATION, which a phone sends.
fn expects_answer(message: &Message) -> bool {
    match message.event() {
        None => true,
        Some(event) => ["subscribe", "scan", "click"].iter().any(|name| event.eq_ignore_ascii_case(name)),
    }
}

impl FixedReply {
    fn choose(&self, world: &World) -> &Reply {
        match self {
            Self::One(reply) => reply,
            Self::Random(replies) => {
                let chosen = clock::index(&*world.randomness, replies.len());
                replies.get(chosen).unwrap_or(&Reply::Silence)
            }
        }
    }
}

/// A fixed reply with its captures filled in.
fn filled(reply: &Reply, captures: &[Field]) -> Reply {
    let text = |template: &String| fill(template, captures).into_owned();
    let maybe = |template: &Option<String>| template.as_ref().map(text);
    match reply {
        Reply::Text(template) => Reply::Text(text(template)),
        Reply::Video(video) => Reply::Video(Video {
            media_id: video.media_id.clone(),
            title: maybe(&video.title),
            description: maybe(&video.description),
        }),
        Reply::Music(music) => Reply::Music(Music {
            title: maybe(&music.title),
            description: maybe(&music.description),
            url: maybe(&music.url),
            hq_url: maybe(&music.hq_url),
            thumb_media_id: music.thumb_media_id.clone(),
        }),
        Reply::News(articles) => Reply::News(
            articles
                .iter()
                .map(|article| Article {
                    title: text(&article.title),
                    description: maybe(&article.description),
                    picture: maybe(&article.picture),
                    url: text(&article.url),
                })
                .collect(),
        ),
        Reply::Raw(raw) => Reply::Raw(Raw {
            kind: raw.kind.clone(),
            fields: raw
                .fields
                .iter()
                .map(|field| Field { name: field.name.clone(), value: text(&field.value) })
                .collect(),
        }),
        Reply::Image { .. } | Reply::Voice { .. } | Reply::Transfer(_) | Reply::TransferToAi | Reply::Silence => {
            reply.clone()
        }
    }
}

/// A fixed reply's texts, for whoever checks their templates.
pub fn templates(reply: &Reply) -> Vec<Cow<'_, str>> {
    let mut texts: Vec<Cow<'_, str>> = Vec::new();
    match reply {
        Reply::Text(text) => texts.push(text.into()),
        Reply::Video(video) => {
            texts.extend([&video.title, &video.description].into_iter().flatten().map(Cow::from));
        }
        Reply::Music(music) => {
            let parts = [&music.title, &music.description, &music.url, &music.hq_url];
            texts.extend(parts.into_iter().flatten().map(Cow::from));
        }
        Reply::News(articles) => {
            for article in articles {
                texts.extend([Cow::from(&article.title), Cow::from(&article.url)]);
                texts.extend([&article.description, &article.picture].into_iter().flatten().map(Cow::from));
            }
        }
        Reply::Raw(raw) => texts.extend(raw.fields.iter().map(|field| Cow::from(&field.value))),
        _ => {}
    }
    texts
}

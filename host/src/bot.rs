//! One account: a message in, a reply out, by the rules.

use std::{borrow::Cow, collections::HashMap, pin::Pin, sync::Arc, time::Instant};

use crate::{
    clock::{self, World},
    config::{
        self,
        rule::{Action, FixedReply},
    },
    plugin::{Answer, Failure, Plugin},
    router::{Router, fill},
    secret::Secret,
    wechat::{
        cipher::Cipher,
        document::Field,
        message::Message,
        reply::{Article, CheckedReply, Music, Raw, Reply, Video},
    },
};

/// An account, ready to answer.
pub struct Bot {
    /// Its name in `bots.toml`.
    pub name: Arc<str>,
    /// The token of the account's server configuration.
    pub token: Secret,
    /// Decrypts and encrypts where the account uses compatible or safe mode.
    pub cipher: Option<Cipher>,
    /// Whether plaintext messages are refused.
    pub require_encryption: bool,
    on_error: CheckedReply,
    router: Router,
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
    /// The line of `bots.toml` with the rule that answered; none when nobody did.
    pub rule: Option<usize>,
    /// The plugin that answered, or failed to.
    pub plugin: Option<Arc<str>>,
}

impl Bot {
    /// Puts an account together: its configuration, its rules compiled, and the plugins that they name.
    pub fn new(config: config::Bot, router: Router, plugins: HashMap<Arc<str>, Slot>) -> Self {
        Self {
            name: config.name,
            token: config.token,
            cipher: config.cipher,
            require_encryption: config.require_encryption,
            on_error: config.on_error,
            router,
            plugins,
        }
    }

    /// Its rules.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Answers a message. Never fails: what goes wrong is logged, and the follower gets `on_error`.
    pub async fn answer(&self, message: &Message, world: &World) -> Answered {
        match self.route(message, message, world, false).await {
            Some(answered) => answered,
            None => Answered { reply: CheckedReply::SILENCE, rule: None, plugin: None },
        }
    }

    /// Tries the rules on `message`, which is `original` or the text that it is treated as.
    fn route<'a>(
        &'a self,
        message: &'a Message,
        original: &'a Message,
        world: &'a World,
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
                        if let Some(answered) = self.route(&text, original, world, true).await {
                            return Some(answered);
                        }
                    }
                    Action::Plugin(name) => match self.call(name, message, captures).await {
                        Ok(Answer::Pass) => {}
                        Ok(Answer::Reply(reply)) => {
                            return Some(self.checked(reply, original, line, Some(name.clone())));
                        }
                        Err(()) => {
                            return Some(Answered {
                                reply: self.apology(original),
                                rule: line,
                                plugin: Some(name.clone()),
                            });
                        }
                    },
                }
            }
            None
        })
    }

    async fn call(&self, name: &Arc<str>, message: &Message, captures: &[Field]) -> Result<Answer, ()> {
        let plugin = match self.plugins.get(name) {
            Some(Slot::Ready(plugin)) => plugin,
            Some(Slot::Broken(why)) => {
                tracing::error!(plugin = &**name, "the plugin cannot be called: {why}");
                return Err(());
            }
            None => {
                tracing::error!(plugin = &**name, "there is no such plugin");
                return Err(());
            }
        };
        let start = Instant::now();
        plugin.call(&self.name, message, captures).await.map_err(|failure| {
            let ms = start.elapsed().as_millis();
            match &failure {
                Failure::Trap { backtrace, .. } if !backtrace.is_empty() => {
                    tracing::error!(plugin = &**name, ms, "the plugin failed: {failure}\n{}", backtrace.trim_end());
                }
                _ => tracing::error!(plugin = &**name, ms, "the plugin failed: {failure}"),
            }
        })
    }

    /// Holds a reply against the protocol's bounds.
    fn checked(&self, reply: Reply, original: &Message, rule: Option<usize>, plugin: Option<Arc<str>>) -> Answered {
        let reply = match reply.check(&original.kind) {
            Ok((reply, warnings)) => {
                for warning in warnings {
                    tracing::warn!(rule, plugin = plugin.as_deref(), "the reply was changed: {warning}");
                }
                reply
            }
            Err(error) => {
                tracing::error!(rule, plugin = plugin.as_deref(), "the reply cannot be sent: {error}");
                self.apology(original)
            }
        };
        Answered { reply, rule, plugin }
    }

    /// What a follower gets in place of an answer. For events that nobody sent on purpose it is silence.
    pub fn apology(&self, message: &Message) -> CheckedReply {
        let expected = match message.event() {
            None => true,
            Some(event) => ["subscribe", "scan", "click"].iter().any(|name| event.eq_ignore_ascii_case(name)),
        };
        if expected { self.on_error.clone() } else { CheckedReply::SILENCE }
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

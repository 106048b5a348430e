//! 识字: answers pictures with the text in them.
//!
//! Pictures that a follower sends in a row are collected, and read together when 「识别」 comes; or each is answered at once, where
//! bots.toml says so. Who reads them is configured as well: a RapidOCR service of one's own, or WeChat's. See the README beside this.

mod allowance;
mod backend;
mod batch;
mod settings;

use mynah_plugin::{Content, Error, Message, Reply, log};

use self::{
    allowance::Allowance,
    backend::{Backend, Trouble},
    batch::Batch,
    settings::{Mode, Settings},
};

#[mynah_plugin::plugin]
fn handle(message: Message) -> Result<Reply, String> {
    let settings = Settings::load()?;
    answer(&message, &settings).map_err(|error| error.to_string())
}

fn answer(message: &Message, settings: &Settings) -> Result<Reply, Error> {
    match message.content() {
        Content::Image { pic_url, .. } if !pic_url.is_empty() => match settings.mode {
            Mode::Each => read_one(pic_url, message, settings),
            Mode::Batch => collect(pic_url, settings),
        },
        Content::Text(text) if settings.mode == Mode::Batch && settings.is_word(text) => read_all(message, settings),
        _ => Ok(Reply::Pass),
    }
}

/// Answers a single picture at once.
fn read_one(url: &str, message: &Message, settings: &Settings) -> Result<Reply, Error> {
    let mut allowance = Allowance::load(message, settings)?;
    if !allowance.take() {
        return Ok(Reply::text(settings.used_up()));
    }
    let text = match settings.backend.read(url) {
        Ok(text) => text,
        Err(trouble) => trouble.to_string(),
    };
    allowance.save()?;
    Ok(Reply::text(text))
}

/// Puts a picture with those before it.
fn collect(url: &str, settings: &Settings) -> Result<Reply, Error> {
    let mut batch = Batch::load()?;
    let link = settings.link();
    if batch.pictures.len() >= settings.pages {
        return Ok(Reply::text(format!("一次最多 {} 张，这一张没有收下。先回复「{link}」吧。", settings.pages)));
    }
    batch.pictures.push(url.to_owned());
    batch.save(settings.wait)?;
    Ok(Reply::text(match batch.pictures.len() {
        1 => format!("收到。还可以接着发，发完回复「{link}」。"),
        n => format!("收到 {n} 张。发完回复「{link}」。"),
    }))
}

/// Reads the pictures that were collected.
fn read_all(message: &Message, settings: &Settings) -> Result<Reply, Error> {
    let batch = Batch::load()?;
    if batch.pictures.is_empty() {
        return Ok(Reply::text(format!("先发图片，再回复「{}」。", settings.words[0])));
    }
    let mut allowance = Allowance::load(message, settings)?;
    let mut parts = Vec::new();
    let mut left = Vec::new();
    let mut late = false;
    for url in &batch.pictures {
        // What is not asked for is not waited for either: the time is used up.
        let read = if late {
            Err(Trouble::Late)
        } else if allowance.take() {
            settings.backend.read(url)
        } else {
            Err(Trouble::UsedUp(settings.used_up()))
        };
        late = matches!(read, Err(Trouble::Late));
        parts.push(match read {
            Ok(text) => text,
            Err(trouble) => {
                if trouble.may_pass() {
                    left.push(url.clone());
                }
                trouble.to_string()
            }
        });
    }
    allowance.save()?;
    let mut text = match parts.as_slice() {
        [only] => only.clone(),
        parts => {
            let pages = parts.iter().enumerate().map(|(n, part)| format!("【{}/{}】\n{part}", n + 1, parts.len()));
            pages.collect::<Vec<_>>().join("\n")
        }
    };
    if !left.is_empty() {
        log::warn!("{} of {} pictures could not be read", left.len(), batch.pictures.len());
        text += &format!("\n没读成的 {} 张还留着，稍后回复「{}」再试。", left.len(), settings.link());
    }
    Batch { pictures: left }.save(settings.wait)?;
    Ok(Reply::text(text))
}

#[cfg(test)]
mod tests;

//! plugin-name: answers 「plugin-name …」.

use mynah_plugin::{Error, Message, conversation::ask, store};

#[mynah_plugin::plugin(ask)]
fn handle(message: Message) -> Result<String, Error> {
    if let Some(words) = message.capture("rest").filter(|words| !words.is_empty()) {
        let times = store::add(&format!("times/{}", message.sender), 1)?;
        return Ok(format!("第 {times} 次听你说：{words}"));
    }
    let answer = ask("你在哪里？打字，或者发个位置。")?;
    let place = answer.field("Label").unwrap_or(answer.text());
    Ok(format!("{place}，好地方！"))
}

#[cfg(test)]
mod tests {
    use mynah_plugin::{Reply, testing};

    use super::*;

    #[test]
    fn asks_where_the_follower_is() {
        let question = testing::deliver(handle, testing::text("plugin-name"));
        assert_eq!(question, Ok(Reply::text("你在哪里？打字，或者发个位置。")));
        let answer = testing::deliver(handle, testing::location(23.1, 113.3, "广州市"));
        assert_eq!(answer, Ok(Reply::text("广州市，好地方！")));
    }
}

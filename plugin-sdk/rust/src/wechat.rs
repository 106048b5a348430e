//! The WeChat API of the bot's account, for the paths that bots.toml allows this plugin:
//! `allow = { wechat = ["/cv/ocr/comm"] }`, a `*` at the end standing for anything. The bot needs its
//! `app_id` and `app_secret` there.
//!
//! The host holds the app secret and the access token and adds the token to each call; a plugin
//! sees neither. Paths that give out tokens are always refused.
//!
//! # Errors
//!
//! Every function here fails with WeChat's own `errcode` as the code (`"45015"`: the follower's
//! 48 hours are over), with `"not-granted"` for a path that bots.toml does not allow, with
//! `"unavailable"` where the bot has no app secret or the API cannot be reached, and with
//! `"timeout"` or `"unknown"` where nobody knows whether the call took effect. A call cannot be taken back: a message that made one is not run again, but after a
//! restart.

use crate::Error;

/// POSTs `body`, a JSON text, to `path`; GETs where there is no body. Returns WeChat's JSON.
///
/// `path` may have a query, percent-encoded: `/cv/ocr/comm?img_url=…`; bots.toml allows the path
/// without it. The host adds `access_token`, and refuses one of the plugin's own.
///
/// ```
/// use mynah_plugin::{wechat, testing};
///
/// testing::on_wechat_call(|path, body| {
///     assert_eq!((path, body), ("/cgi-bin/menu/get", None));
///     Ok(r#"{"menu":{}}"#.to_owned())
/// });
/// assert_eq!(wechat::call("/cgi-bin/menu/get", None)?, r#"{"menu":{}}"#);
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn call(path: &str, body: Option<&str>) -> Result<String, Error> {
    crate::host::wechat::call(path, body)
}

/// Uploads temporary media and returns its media id, good for three days. `kind` is `"image"`,
/// `"voice"`, `"video"` or `"thumb"`. bots.toml has to allow `/cgi-bin/media/upload`.
///
/// ```
/// use mynah_plugin::{Reply, testing, wechat};
///
/// testing::on_upload(|_kind, _file_name, _data| Ok("media-1".to_owned()));
/// let media_id = wechat::upload("image", "chart.png", b"\x89PNG")?;
/// assert_eq!(Reply::image(media_id), Reply::image("media-1"));
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn upload(kind: &str, file_name: &str, data: impl AsRef<[u8]>) -> Result<String, Error> {
    crate::host::wechat::upload(kind, file_name, data.as_ref())
}

/// Downloads temporary media, such as a picture that the follower sent. bots.toml has to allow
/// `/cgi-bin/media/get`.
///
/// ```
/// use mynah_plugin::{testing, wechat};
///
/// testing::on_download(|media_id| Ok(format!("bytes of {media_id}").into_bytes()));
/// assert_eq!(wechat::download("media-1")?, b"bytes of media-1");
/// # Ok::<(), mynah_plugin::Error>(())
/// ```
pub fn download(media_id: &str) -> Result<Vec<u8>, Error> {
    crate::host::wechat::download(media_id)
}

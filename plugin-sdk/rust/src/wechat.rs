//! The WeChat API of the bot's account, for the paths that bots.toml allows this plugin:
//! `allow = { wechat = ["/cv/ocr/comm"] }`. This version of the host decides what is allowed, but calls nothing yet:
//! what is allowed is answered with the code `unavailable`.
//!
//! The host holds the app secret and the access token and adds the token to each call; a plugin
//! sees neither.
//!
//! # Errors
//!
//! Every function here fails with WeChat's own `errcode` as the code (`"45015"`: the follower's
//! 48 hours are over), with `"not-granted"` for a path that bots.toml does not allow, and with
//! `"unavailable"` on a host that has no app secret for this bot. A call cannot be taken back:
//! where the message is run again, so is the call.

use crate::Error;

/// POSTs `body`, a JSON text, to `path`; GETs where there is no body. Returns WeChat's JSON.
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
/// `"voice"`, `"video"` or `"thumb"`.
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

/// Downloads temporary media, such as a picture that the follower sent.
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

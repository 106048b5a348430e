use std::sync::atomic::{AtomicU64, Ordering};

use wechat_api_double::{Then, WechatApi};

use super::*;
use crate::clock::{Clock, SystemRandomness};

const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const IPS: &str = "/cgi-bin/getcallbackip";

/// A clock that a test moves.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Duration {
        self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

struct Setup {
    api: WechatApi,
    account: Arc<Account>,
    clock: Arc<Hand>,
}

impl Setup {
    fn new() -> Self {
        Self::with_secret("secret")
    }

    fn with_secret(secret: &str) -> Self {
        let api = WechatApi::start();
        api.account("wx1", "secret");
        let clock = Arc::new(Hand::default());
        let world = World { clock: clock.clone(), randomness: Arc::new(SystemRandomness) };
        let config = config::Api { app_id: "wx1".into(), app_secret: Secret::new(secret), base: api.url() };
        let account = Account::new(&config, &Client::new(), world);
        Self { api, account, clock }
    }

    /// Lets time pass, here and there.
    fn pass(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
        self.api.advance(Duration::from_secs(seconds));
    }

    async fn get(&self, path: &str) -> Result<String, ApiError> {
        self.account.call(&Path::parse(path).unwrap(), None, &Terms::own()).await
    }

    /// A hundred calls at one time.
    async fn hundred(&self) -> Vec<Result<String, ApiError>> {
        let calls = (0..100).map(|_| {
            let account = self.account.clone();
            tokio::spawn(async move { account.call(&Path::parse(IPS).unwrap(), None, &Terms::own()).await })
        });
        let mut done = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            done.push(call.await.unwrap());
        }
        done
    }

    /// The `force_refresh` of each token that was asked for.
    fn tokens_asked(&self) -> Vec<bool> {
        self.api.calls(STABLE_TOKEN).iter().map(|call| call.json()["force_refresh"].as_bool().unwrap()).collect()
    }
}

fn refused(code: i64) -> impl Fn(&Result<String, ApiError>) -> bool {
    move |done| matches!(done, Err(ApiError::Refused { code: found, .. }) if *found == code)
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_and_replaced_before_it_expires() {
    let setup = Setup::new();
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked(), [false]);
    setup.pass(6_950);
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked(), [false]);
    setup.pass(20);
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked(), [false, false]);
    assert!(setup.api.calls(IPS).iter().all(|call| call.errcode.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_in_the_middle_of_a_hundred_calls_costs_one_refresh() {
    let setup = Setup::new();
    setup.get(IPS).await.unwrap();
    let hundred = setup.hundred();
    let expires = async {
        // In the middle, unless the machine is so slow that all have passed: then the hundred after these meet it.
        while setup.api.calls(IPS).len() < 50 {
            tokio::task::yield_now().await;
        }
        setup.api.expire_tokens();
    };
    let (done, ()) = tokio::join!(hundred, expires);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked(), [false, false]);
}

#[tokio::test]
async fn a_refresh_is_forced_only_for_the_very_token_that_is_given_out_and_refused() {
    let setup = Setup::new();
    setup.get(IPS).await.unwrap();
    setup.api.poison_tokens();
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked(), [false, false, true]);
    // So soon after, the platform would not refresh; the call fails with WeChat's own code.
    setup.api.poison_tokens();
    let failed = setup.get(IPS).await;
    assert!(refused(40001)(&failed), "{failed:?}");
    assert_eq!(setup.tokens_asked(), [false, false, true, false]);
}

#[tokio::test]
async fn what_wechat_refuses_is_not_asked_for_by_everyone() {
    let setup = Setup::with_secret("wrong");
    assert!(setup.hundred().await.iter().all(refused(40125)));
    assert_eq!(setup.tokens_asked().len(), 1);
    setup.pass(3);
    assert!(setup.hundred().await.iter().all(refused(40125)));
    assert_eq!(setup.tokens_asked().len(), 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_replaced_early_is_used_on() {
    let setup = Setup::new();
    setup.get(IPS).await.unwrap();
    setup.pass(6_970);
    setup.api.next(STABLE_TOKEN, Then::Error(-1, "system error"));
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked().len(), 2);
    setup.pass(30);
    assert!(setup.hundred().await.iter().all(Result::is_ok));
    assert_eq!(setup.tokens_asked().len(), 3);
}

#[tokio::test]
async fn a_token_that_comes_too_late_for_one_caller_is_there_for_the_next() {
    let setup = Setup::new();
    setup.api.next(STABLE_TOKEN, Then::Delay(Duration::from_millis(300)));
    let terms = Terms { called: Called::default(), deadline: Instant::now() + Duration::from_millis(50) };
    let hurried = setup.account.call(&Path::parse(IPS).unwrap(), None, &terms).await;
    assert!(matches!(hurried, Err(ApiError::Unreachable(_))), "{hurried:?}");
    assert!(!terms.called.is_noted());
    setup.get(IPS).await.unwrap();
    assert_eq!(setup.tokens_asked().len(), 1);
}

#[tokio::test]
async fn only_media_may_be_elsewhere() {
    let setup = Setup::new();
    let answer = setup.get("/double/echo").await.unwrap();
    assert!(answer.contains("wx1"), "{answer}");
    for path in [IPS, SEND] {
        setup.api.next(path, Then::Redirect(format!("{}/double/echo", setup.api.url())));
    }
    assert!(matches!(setup.get(IPS).await, Err(ApiError::Unknown(_))));
    assert!(matches!(setup.account.send("o", &Reply::Text("hi".into())).await, Err(ApiError::Unknown(_))));
    assert_eq!(setup.api.calls("/double/echo").len(), 1);

    let id = setup.account.upload("video", "a.mp4", b"moving".to_vec(), &Terms::own()).await.unwrap();
    let redirect = |url: String| setup.api.next("/cgi-bin/media/get", Then::Redirect(url));
    redirect(format!("{}/double/video/{id}", setup.api.url()));
    assert_eq!(setup.account.download("m", &Terms::own()).await.unwrap(), b"moving");
    // Another place has to be one where anybody could go.
    let other = WechatApi::start();
    redirect(format!("{}/double/video/{id}", other.url()));
    let error = setup.account.download("m", &Terms::own()).await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable(_)), "{error:?}");
    assert!(other.calls("").is_empty());
}

#[tokio::test]
async fn a_call_without_a_token_was_never_made() {
    let setup = Setup::new();
    setup.api.next(STABLE_TOKEN, Then::DropAfter);
    let text = Reply::Text("hi".into());
    assert!(matches!(setup.account.send("o", &text).await, Err(ApiError::Unreachable(_))));
    assert!(setup.api.sent().is_empty());
    setup.account.send("o", &text).await.unwrap();
    assert_eq!(setup.api.sent().len(), 1);
}

#[tokio::test]
async fn a_message_whose_fate_is_unknown_is_sent_once() {
    let setup = Setup::new();
    setup.account.prepare().await.unwrap();
    let text = Reply::Text("hi".into());
    for then in [Then::DropAfter, Then::DropBefore, Then::Response(502, "text/html", b"<html>".to_vec())] {
        setup.api.next(SEND, then.clone());
        let sent = setup.account.send("o", &text).await;
        assert!(matches!(sent, Err(ApiError::Unknown(_))), "{then:?}: {sent:?}");
    }
    setup.api.next(SEND, Then::Response(200, "application/json", b"{}".to_vec()));
    assert!(matches!(setup.account.send("o", &text).await, Err(ApiError::Unknown(_))));
    assert_eq!((setup.api.calls(SEND).len(), setup.api.sent().len()), (4, 1));
    assert_eq!(setup.account.send("o", &Reply::TransferToAi).await, Err(ApiError::NoForm));
}

#[tokio::test]
async fn media_go_up_and_come_down_as_they_were() {
    let setup = Setup::new();
    let data: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let id = setup.account.upload("image", "chart.png", data.clone(), &Terms::own()).await.unwrap();
    assert_eq!(setup.account.download(&id, &Terms::own()).await.unwrap(), data);
    let uploaded = &setup.api.uploads()[0];
    assert_eq!((uploaded.file_name.as_str(), uploaded.content_type.as_str()), ("chart.png", "image/png"));
    // A video's answer only says where it is.
    let id = setup.account.upload("video", "a.mp4", b"moving".to_vec(), &Terms::own()).await.unwrap();
    assert_eq!(setup.account.download(&id, &Terms::own()).await.unwrap(), b"moving");
    assert!(setup.api.calls(&format!("/double/video/{id}"))[0].parameter("access_token").is_none());
    let id = setup.account.upload("thumb", "t.jpg", b"small".to_vec(), &Terms::own()).await.unwrap();
    assert_eq!(setup.account.download(&id, &Terms::own()).await.unwrap(), b"small");
    let code = |error: ApiError| error.code();
    assert_eq!(setup.account.download("MEDIA-9", &Terms::own()).await.map_err(code), Err("40007".into()));
    assert_eq!(setup.account.upload("document", "a", vec![1], &Terms::own()).await.map_err(code), Err("40004".into()));
    assert_eq!(
        setup.account.upload("voice", "a.amr", vec![0; 3 << 20], &Terms::own()).await.map_err(code),
        Err("45001".into())
    );
    setup.api.next("/cgi-bin/media/get", Then::Response(200, "image/png", vec![0; MEDIA + 1]));
    assert_eq!(setup.account.download(&id, &Terms::own()).await, Err(ApiError::TooLarge(MEDIA)));
}

#[tokio::test]
async fn neither_token_nor_secret_comes_back() {
    let setup = Setup::new();
    // It answers with all that it got.
    let echo = setup.get("/double/echo?a=b").await.unwrap();
    assert!(echo.contains("[\"access_token\",\"…\"],[\"a\",\"b\"]"), "{echo}");
    let token = setup.api.tokens().remove(0);
    let leak = format!(r#"{{"errcode":40097,"errmsg":"invalid args {token}"}}"#);
    setup.api.next(IPS, Then::Response(200, "application/json", leak.into_bytes()));
    let mut told = vec![format!("{:?} {:?}", setup.account, setup.get(IPS).await)];
    for then in [Then::DropBefore, Then::DropAfter, Then::Response(500, "text/plain", token.clone().into_bytes())] {
        setup.api.next(IPS, then);
        let error = setup.get(IPS).await.unwrap_err();
        told.push(format!("{error} {error:?} {}", error.message()));
    }
    let gone = Setup::new();
    gone.account.prepare().await.unwrap();
    drop(gone.api);
    let error = gone.account.call(&Path::parse(IPS).unwrap(), None, &Terms::own()).await.unwrap_err();
    told.push(format!("{error} {error:?}"));
    for told in told {
        assert!(!told.contains(&token) && !told.contains("TOKEN_") && !told.contains("secret\""), "{told}");
    }
}

#[tokio::test]
async fn an_account_is_known_again_by_all_that_its_token_depends_on() {
    let setup = Setup::new();
    let config = |app_id: &str, secret: &str, base: &str| config::Api {
        app_id: app_id.into(),
        app_secret: Secret::new(secret),
        base: base.into(),
    };
    let url = setup.api.url();
    assert!(setup.account.is_for(&config("wx1", "secret", &url)));
    for other in [config("wx2", "secret", &url), config("wx1", "reset", &url), config("wx1", "secret", "https://a")] {
        assert!(!setup.account.is_for(&other));
    }
}

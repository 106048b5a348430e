//! Connections: reads each call, records it, and answers it as scripted.

use std::{convert::Infallible, fmt, net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue, LOCATION},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::{Call, Shared, Then, endpoints};

/// What a call is answered with.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) errcode: Option<i64>,
    pub(crate) location: Option<String>,
}

/// Why a connection is dropped.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped, as scripted")
    }
}

impl std::error::Error for Dropped {}

/// Serves until `stopped` is let go.
pub(crate) fn run(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        loop {
            let accepted = tokio::select! {
                _ = stopped.changed() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let shared = shared.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, shared.clone()));
                // A connection that breaks is the caller's to notice.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let then = {
        let mut state = shared.state();
        state.scripts.get_mut(&path).and_then(|script| script.pop_front()).unwrap_or(Then::Usual)
    };
    let body = match then {
        Then::DropBefore => Bytes::new(),
        _ => body.collect().await.map_err(|_| Dropped)?.to_bytes(),
    };
    let query = head.uri.query().unwrap_or_default();
    let mut call = Call {
        method: head.method.to_string(),
        path,
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        content_type: head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned),
        body: body.to_vec(),
        errcode: None,
    };
    if let Then::Delay(time) = then {
        tokio::time::sleep(time).await;
    }
    let answer = match &then {
        Then::Error(code, message) => Some(endpoints::error(*code, message)),
        Then::Response(status, content_type, body) => Some(Answer {
            status: *status,
            content_type: (*content_type).to_owned(),
            body: body.clone(),
            errcode: None,
            location: None,
        }),
        Then::Redirect(url) => Some(Answer {
            status: 302,
            content_type: "text/html".to_owned(),
            body: Vec::new(),
            errcode: None,
            location: Some(url.clone()),
        }),
        Then::DropBefore => None,
        Then::Delay(_) | Then::DropAfter | Then::Hang | Then::Usual => {
            Some(endpoints::answer(&mut shared.state(), &call, shared.address))
        }
    };
    call.errcode = answer.as_ref().and_then(|answer| answer.errcode);
    shared.state().calls.push(call);
    shared.changed.notify_all();
    match (then, answer) {
        (Then::Hang, _) => {
            std::future::pending::<Infallible>().await;
            Err(Dropped)
        }
        (Then::DropAfter, _) | (_, None) => Err(Dropped),
        (_, Some(answer)) => Ok(response(answer)),
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    if let Some(location) = answer.location.and_then(|location| HeaderValue::try_from(location).ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

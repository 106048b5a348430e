//! The bare floor: what a message costs with nothing but the protocol. hyper, the signature, the document, the reply.

use std::{convert::Infallible, process::ExitCode};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mynah::{
    clock::World,
    wechat::{
        document::Document,
        message::Message,
        reply::{Header, Reply},
        signature,
    },
};
use tokio::net::TcpListener;

use crate::messages::TOKEN;

/// Serves until it is killed.
pub(crate) fn serve(which: &str) -> ExitCode {
    if which != "floor" {
        eprintln!("there is no server `{which}`");
        return ExitCode::FAILURE;
    }
    // As many threads as Mynah has: as many as there are cores.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        println!("listening on http://{}", listener.local_addr().expect("an address"));
        let world = World::system();
        loop {
            let (stream, _) = listener.accept().await.expect("accepted");
            stream.set_nodelay(true).expect("set");
            let world = world.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let world = world.clone();
                    async move { Ok::<_, Infallible>(answer(request, &world).await) }
                });
                // The client hangs up when it is done.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>, world: &World) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let (mut given, mut timestamp, mut nonce) = Default::default();
    for (name, value) in form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "signature" => given = value,
            "timestamp" => timestamp = value,
            "nonce" => nonce = value,
            _ => {}
        }
    }
    let refused = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if !signature::verify(&[TOKEN, &timestamp, &nonce], &given) {
        return refused(StatusCode::FORBIDDEN);
    }
    let Ok(body) = body.collect().await else { return refused(StatusCode::BAD_REQUEST) };
    let body = body.to_bytes();
    let Ok(document) = Document::parse(&body) else { return refused(StatusCode::BAD_REQUEST) };
    let format = document.format;
    let Ok(message) = Message::try_from(document) else { return refused(StatusCode::BAD_REQUEST) };
    let reply = Reply::Text(message.text.clone().unwrap_or_default());
    let Ok((reply, _)) = reply.check(&message.kind) else { return refused(StatusCode::INTERNAL_SERVER_ERROR) };
    let header = Header { to: &message.sender, from: &message.account, created: world.clock.now().as_secs() };
    let mut rendered = String::new();
    reply.render(&header, format, &mut rendered);
    Response::new(Full::new(rendered.into()))
}

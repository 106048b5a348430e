//! Accepts connections and speaks HTTP/1.1 on them, within bounds, until told to stop.

use std::{convert::Infallible, future::Future, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_io_timeout::TimeoutStream;

use crate::{limits, throttle::Throttle};

/// Something that answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one.
    fn respond(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// How many connections the system lets us have. The soft bound on file descriptors, often 1,024, is raised to the hard one first;
/// some are left for files and plugins' calls.
fn descriptors() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where it cannot be raised, the bound stays what it was.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(current.saturating_sub(64).max(16)).unwrap_or(usize::MAX).min(limits::CONNECTIONS_MAX)
    }
    #[cfg(not(unix))]
    limits::CONNECTIONS_MAX
}

/// Serves `listener` until `shutdown` is done; then lets the requests under way finish, for a bounded time. Says whether all of them did.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    connections: usize,
    shutdown: impl Future<Output = ()>,
) -> bool {
    let permits = Arc::new(Semaphore::new(connections.min(descriptors())));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits::REQUEST_HEAD_TIME)
        .max_buf_size(limits::REQUEST_HEAD)
        .half_close(false);

    let complaints = Throttle::new(1);
    let accept = async {
        loop {
            // Taken before the connection is, so that those beyond the bound wait in the kernel's queue.
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if let Some(more) = complaints.admit() {
                        tracing::warn!(more, "cannot accept a connection: {error}");
                    }
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Replies are small and whole: waiting to fill a packet would only delay them.
            let _ = stream.set_nodelay(true);
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(limits::WRITE_TIME));
            let service = service.clone();
            let connection = http.serve_connection(
                TokioIo::new(Box::pin(stream)),
                service_fn(move |request| {
                    let service = service.clone();
                    async move { Ok::<_, Infallible>(service.respond(request).await) }
                }),
            );
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!("a connection ended: {error}");
                }
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => true,
        () = tokio::time::sleep(limits::DRAIN_TIME) => false,
    }
}

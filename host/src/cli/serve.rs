//! `mynah serve`: the server.

use std::{io::IsTerminal as _, path::Path, pin::Pin, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{Refused, load_config, log, routed, tokio_runtime};
use crate::{
    admin::{self, Admin},
    clock::World,
    inbox::Inbox,
    limits,
    plugin::Runtime,
    reload::Reloader,
    server,
    store::{Store, sqlite::SqliteStore},
    versions::Versions,
    webhook::Webhook,
};

pub(super) fn serve(path: &Path) -> Result<(), Refused> {
    serve_beside(path, |_| Box::pin(std::future::pending()))
}

/// Serves, and does something else beside it for as long.
pub(super) fn serve_beside(
    path: &Path,
    beside: impl FnOnce(Arc<Reloader>) -> Pin<Box<dyn Future<Output = ()> + Send>>,
) -> Result<(), Refused> {
    let checked = load_config(path)?;
    let warned = checked.problems.iter().map(|problem| problem.message().to_owned()).collect();
    let (config, routers, files) = routed(checked)?;
    let settings = config.server.clone();
    let world = World::system();
    let runtime =
        Runtime::with_cache(world.clone(), &settings.timezone, Some(&settings.state.with_file_name("cache")))?;
    let tokio = tokio_runtime()?;
    let all_done = tokio.block_on(async {
        let store = SqliteStore::open_waiting(&settings.state, limits::STATE_WAIT)
            .await
            .context("cannot open the state (`server.state`)")?;
        let store: Arc<dyn Store> = Arc::new(store);
        // Only who has the state writes to what is beside it.
        let versions = Versions::open(&Versions::folder_of(&settings.state));
        let configuration = (config, routers, files);
        let reloader = Arc::new(Reloader::start(path.to_owned(), configuration, warned, runtime, versions).await);
        let generation = reloader.current();
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {} (`server.listen`)", settings.listen))?;
        let address = listener.local_addr().context("cannot tell the address that was bound")?;
        let admin = match settings.admin {
            Some(address) => {
                let listener = TcpListener::bind(address)
                    .await
                    .with_context(|| format!("cannot listen on {address} (`server.admin`)"))?;
                let address = listener.local_addr().context("cannot tell the address that was bound")?;
                tracing::info!("operators are answered on http://{address}");
                let admin = Arc::new(Admin::new(reloader.clone()));
                Some(tokio::spawn(server::serve(listener, admin, admin::CONNECTIONS, std::future::pending())))
            }
            None => None,
        };
        let stop = stop_signal()?;
        let hangups = reload_on_hangup(reloader.clone())?;
        let mut bots: Vec<String> = generation.bots().map(|(path, bot)| format!("{} at {path}/", bot.name)).collect();
        bots.sort();
        tracing::info!(bots = bots.join(", "), "listening on http://{address}");
        let watch = tokio::spawn(reloader.clone().watch());
        let beside = tokio::spawn(beside(reloader.clone()));
        let hangups = tokio::spawn(hangups);
        let inbox = Arc::new(Inbox::new(store, world.clone()));
        let bot = |name: &str| generation.bots().find(|(_, bot)| *bot.name == *name).map(|(_, bot)| bot.clone());
        inbox.resume(bot).await;
        drop(generation);
        let webhook = Arc::new(Webhook::new(reloader, inbox.clone(), world));
        let all_done = server::serve(listener, webhook, settings.connections, stop).await;
        inbox.settle().await;
        watch.abort();
        beside.abort();
        hangups.abort();
        admin.inspect(tokio::task::JoinHandle::abort);
        anyhow::Ok(all_done)
    })?;
    // A file that is being read on a dead network mount must not keep the process.
    tokio.shutdown_timeout(limits::LAST_TASKS);
    if all_done {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped before every message was answered: the time to drain was over");
    }
    Ok(())
}

/// Reads everything again at each SIGHUP, the custom of daemons, for as long as it is polled. On a terminal it says that the terminal is gone,
/// and ends the process as it always does. From the call on, not only once it is polled, a SIGHUP is heard.
fn reload_on_hangup(reloader: Arc<Reloader>) -> anyhow::Result<impl Future<Output = ()> + Send> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let hangups = if std::io::stdin().is_terminal() {
            None
        } else {
            Some(signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?)
        };
        Ok(async move {
            let Some(mut hangups) = hangups else { return };
            while hangups.recv().await.is_some() {
                tracing::info!("SIGHUP: reading everything again");
                reloader.reload();
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async move { drop(reloader) })
}

/// Resolves at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: no new connections; finishing the messages under way"),
                _ = interrupt.recv() => tracing::info!("SIGINT: no new connections; finishing the messages under way"),
            }
            tokio::spawn(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::warn!("stopped at once");
                log::flush();
                std::process::exit(1);
            });
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        tracing::info!("no new connections; finishing the messages under way");
    })
}

//! `mynah serve`: the server.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{Refused, first_generation, load_config, tokio_runtime};
use crate::{
    clock::World,
    generation::BadPlugin,
    inbox::Inbox,
    limits,
    reload::Reloader,
    server,
    store::{Store, sqlite::SqliteStore},
    webhook::Webhook,
};

pub(super) fn serve(path: &Path) -> Result<(), Refused> {
    let checked = load_config(path)?;
    let warned = checked.problems.iter().map(|problem| problem.message().to_owned()).collect();
    let world = World::system();
    let (runtime, generation, bad) = first_generation(checked, &world)?;
    bad.iter().for_each(BadPlugin::log);
    let settings = generation.server.clone();
    let mut bots: Vec<String> = generation.bots().map(|(path, bot)| format!("{} at {path}/", bot.name)).collect();
    bots.sort();
    let reloader = Arc::new(Reloader::new(path.to_owned(), runtime, generation, warned));
    let tokio = tokio_runtime()?;
    let all_done = tokio.block_on(async {
        let store = SqliteStore::open_waiting(&settings.state, limits::STATE_WAIT)
            .await
            .context("cannot open the state (`server.state`)")?;
        let store: Arc<dyn Store> = Arc::new(store);
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {} (`server.listen`)", settings.listen))?;
        let address = listener.local_addr().context("cannot tell the address that was bound")?;
        let stop = stop_signal()?;
        tracing::info!(bots = bots.join(", "), "listening on http://{address}");
        let watch = tokio::spawn(reloader.clone().watch());
        let inbox = Arc::new(Inbox::new(store, world.clone()));
        let generation = reloader.current();
        let bot = |name: &str| generation.bots().find(|(_, bot)| *bot.name == *name).map(|(_, bot)| bot.clone());
        inbox.resume(bot).await;
        let webhook = Arc::new(Webhook::new(reloader, inbox, world));
        let all_done = server::serve(listener, webhook, settings.connections, stop).await;
        watch.abort();
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

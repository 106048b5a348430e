//! `mynah check`: what is wrong with the configuration and its plugins.

use std::path::Path;

use super::{Refused, read_config, routed, show, tokio_runtime};
use crate::{
    clock::World,
    config::problems::Problem,
    generation::{Generation, Trouble},
    plugin::Runtime,
    versions::Versions,
};

pub(super) fn check(path: &Path) -> Result<(), Refused> {
    let mut checked = read_config(path);
    let mut problems = std::mem::take(&mut checked.problems);
    if checked.routed.is_none() {
        show(&problems);
        return Err(Refused::Config);
    }
    let source = checked.source;
    let (config, routers, files) = routed(checked)?;
    let runtime = Runtime::new(World::system(), &config.server.timezone)?;
    let versions = Versions::nowhere();
    let load = Generation::load(config, routers, files, &runtime, &versions, None);
    let generation = tokio_runtime()?.block_on(load);
    for (_, loaded) in generation.troubles() {
        let problem = Problem::error(loaded.trouble.as_ref().map_or("", Trouble::why));
        problems.push(match source {
            Some(source) => problem.at(source, loaded.config.span.clone()),
            None => problem,
        });
    }
    if !problems.is_empty() {
        show(&problems);
    }
    if problems.has_errors() {
        return Err(Refused::Failed);
    }
    let rules: usize = generation.bots().map(|(_, bot)| bot.router().rules().len()).sum();
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    println!(
        "`{}` is fine: {}, {}, {}",
        path.display(),
        count(generation.bots().count(), "bot"),
        count(rules, "rule"),
        count(generation.plugins.len(), "plugin")
    );
    Ok(())
}

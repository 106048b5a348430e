//! `mynah check`: what is wrong with the configuration and its plugins.

use std::path::Path;

use super::{Refused, first_generation, load_config, tokio_runtime};
use crate::{bot::Slot, clock::World};

pub(super) fn check(path: &Path) -> Result<(), Refused> {
    let checked = load_config(path)?;
    let (_runtime, generation) = first_generation(checked, &World::system())?;
    let mut sound = true;
    let tokio = tokio_runtime()?;
    for (name, slot) in &generation.plugins {
        match slot {
            // Loading has said why.
            Slot::Broken(_) => sound = false,
            Slot::Ready(plugin) => {
                if let Err(failure) = tokio.block_on(plugin.try_start()) {
                    eprintln!("error: the plugin `{name}` does not start: {failure}");
                    sound = false;
                }
            }
        }
    }
    if !sound {
        return Err(Refused::Failed);
    }
    let rules: usize = generation.bots().map(|(_, bot)| bot.router().rules().len()).sum();
    let (bots, plugins) = (generation.bots().count(), generation.plugins.len());
    println!("`{}` is fine: {bots} bots, {rules} rules, {plugins} plugins", path.display());
    Ok(())
}

//! `mynah check`: what is wrong with the configuration and its plugins.

use std::path::Path;

use super::{Refused, first_generation, read_config, show, tokio_runtime};
use crate::{
    bot::Slot,
    clock::World,
    config::problems::{Problem, Problems},
};

pub(super) fn check(path: &Path) -> Result<(), Refused> {
    let mut checked = read_config(path);
    let mut problems = std::mem::take(&mut checked.problems);
    if checked.routed.is_none() {
        show(&problems);
        return Err(Refused::Config);
    }
    let source = checked.source;
    let add = |problems: &mut Problems, span, message: String| {
        let problem = Problem::error(message);
        problems.push(match source {
            Some(source) => problem.at(source, span),
            None => problem,
        });
    };
    let spans: Vec<_> = checked.routed.iter().flat_map(|(config, _)| &config.plugins).collect();
    let spans: Vec<_> = spans.into_iter().map(|(name, plugin)| (name.clone(), plugin.span.clone())).collect();
    let (_runtime, generation, bad) = first_generation(checked, &World::system())?;
    for plugin in bad {
        add(&mut problems, plugin.span, plugin.why);
    }
    let tokio = tokio_runtime()?;
    for (name, span) in spans {
        if let Some(Slot::Ready(plugin)) = generation.plugins.get(&name)
            && let Err(failure) = tokio.block_on(plugin.try_start())
        {
            add(&mut problems, span, format!("the plugin `{name}` does not start: {failure}"));
        }
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

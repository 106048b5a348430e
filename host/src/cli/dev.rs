//! `mynah dev`: builds the plugins, then serves.

use std::path::Path;

use super::{Refused, build, serve};

pub(super) fn dev(path: &Path) -> Result<(), Refused> {
    match build::build(path, &[]) {
        // A plugin that does not build answers `on_error`, or as it was built before; the others need not wait for it.
        Ok(()) | Err(Refused::Failed) => serve::serve(path),
        Err(Refused::Config) => Err(Refused::Config),
    }
}

//! `mynah componentize`: a core WebAssembly module → a component that keeps the contract.
//!
//! Toolchains that know nothing of components (C, C++, Zig, Go, AssemblyScript) so need no other tool after their compiler.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::Refused;
use crate::{config, limits};

/// The contract, as this host speaks it.
pub(super) const CONTRACT: &str = include_str!("../../../plugin-sdk/wit/bot.wit");

/// The contract's world, which every plugin is one of.
pub(super) const WORLD: &str = "plugin";

/// What C libraries import, made of WASI 0.2.
const WASI_PREVIEW_1: &str = "wasi_snapshot_preview1";

/// Where a module's own type is, if its compiler put it there.
const TYPE_SECTION: &str = "component-type";

#[derive(clap::Args)]
pub(super) struct Module {
    /// The core module, compiled as a library (a WASI reactor)
    #[arg(value_name = "CORE.wasm")]
    core: PathBuf,
    /// Where the component goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn componentize(module: &Module) -> Result<(), Refused> {
    let core = &module.core;
    let bytes = config::read_bounded(core, limits::COMPONENT_FILE)
        .with_context(|| format!("`{}` cannot be read", core.display()))?;
    let component = component(bytes).with_context(|| format!("`{}` does not become a component", core.display()))?;
    write_whole(&module.output, &component)
        .with_context(|| format!("`{}` cannot be written", module.output.display()))?;
    Ok(())
}

/// The contract and its world, for generators.
pub(super) fn contract() -> anyhow::Result<(Resolve, wit_parser::WorldId)> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("bot.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    Ok((resolve, world))
}

/// Wraps a module.
fn component(mut bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !has_type(&bytes)? {
        let (resolve, world) = contract()?;
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8, false)?;
    }
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    ComponentEncoder::default().validate(true).module(&bytes)?.adapter(WASI_PREVIEW_1, adapter)?.encode()
}

/// Whether the compiler has said what component this is to be.
fn has_type(bytes: &[u8]) -> anyhow::Result<bool> {
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload? {
            wasmparser::Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                anyhow::bail!("it is a component already");
            }
            wasmparser::Payload::CustomSection(section) if section.name().starts_with(TYPE_SECTION) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// Writes a file so that a server which watches it never meets half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    std::fs::write(&aside, bytes)?;
    std::fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that answers silence.
    const SILENT: &str = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "mynah:bot/handler@0.1.0#handle") (param i32) (result i32)
            (i32.store8 (i32.const 8) (i32.const 0))
            (i32.store8 (i32.const 12) (i32.const 9))
            (i32.const 8)))"#;

    #[test]
    fn a_module_with_a_handler_becomes_a_component() {
        let component = component(wat::parse_str(SILENT).expect("text")).expect("a component");
        let error = super::component(component).expect_err("no module");
        assert_eq!(error.to_string(), "it is a component already");
    }

    #[test]
    fn a_module_without_a_handler_is_told_what_is_missing() {
        let error =
            component(wat::parse_str("(module (memory (export \"memory\") 1))").expect("text")).expect_err("unfit");
        assert!(format!("{error:#}").contains("mynah:bot/handler@0.1.0"), "{error:#}");
    }
}

//! The contract's types, generated from the same WIT file that plugins are built against.

#![allow(missing_docs, unreachable_pub, reason = "generated; the WIT file is the documentation")]

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit",
    world: "plugin",
    imports: {
        default: async,
    },
    exports: { default: async },
});

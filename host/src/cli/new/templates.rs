//! The templates, which are part of the program, so that `mynah new` needs nothing beside it.

use super::Language;

/// The folder within a plugin's that is not the author's but the SDK's.
pub(super) const SDK: &str = "mynah/";

/// Where a Rust plugin's manifest begins to speak of its own workspace.
pub(super) const RUST_WORKSPACE: &str = "# Its own workspace";

/// The conversation that a new plugin's author begins with, for `mynah test`.
pub(super) const TRANSCRIPT: &str = include_str!("../../../../plugin-sdk/templates/plugin.chat.template");

/// A file of a new plugin.
pub(super) struct Source {
    /// Where it goes, relative to the plugin's folder.
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// Files by where they go and where they are, relative to `plugin-sdk`.
macro_rules! sources {
    ($($path:literal = $file:literal),* $(,)?) => {
        &[$(Source { path: $path, text: include_str!(concat!("../../../../plugin-sdk/", $file)) }),*]
    };
}

/// The files of a language.
pub(super) fn of(lang: Language, starlingmonkey: bool) -> impl Iterator<Item = &'static Source> {
    let lists: &[&[Source]] = match (lang, starlingmonkey) {
        (Language::Rust, _) => &[RUST],
        (Language::Python, _) => &[PYTHON],
        (Language::Javascript, false) => &[SCRIPT, JAVASCRIPT, QUICKJS, JAVASCRIPT_QUICKJS],
        (Language::Javascript, true) => &[SCRIPT, JAVASCRIPT, STARLINGMONKEY, JAVASCRIPT_STARLINGMONKEY],
        (Language::Typescript, false) => &[SCRIPT, TYPESCRIPT, QUICKJS, TYPESCRIPT_QUICKJS],
        (Language::Typescript, true) => &[SCRIPT, TYPESCRIPT, STARLINGMONKEY, TYPESCRIPT_STARLINGMONKEY],
        (Language::Go, _) => &[GO],
        (Language::C, _) => &[C_LAYER, C],
        (Language::Cpp, _) => &[C_LAYER, CPP],
        (Language::Zig, _) => &[C_LAYER, ZIG],
        (Language::Assemblyscript, _) => &[ASSEMBLYSCRIPT],
    };
    lists.iter().copied().flatten()
}

const RUST: &[Source] = sources! {
    "Cargo.toml" = "templates/rust/Cargo.toml.template",
    "build.rs" = "templates/rust/build.rs",
    "src/lib.rs" = "templates/rust/lib.rs",
    "README.md" = "templates/rust/README.md",
    ".gitignore" = "templates/rust/gitignore",
    "mynah/wit/bot.wit" = "wit/bot.wit",
    "mynah/rust/Cargo.toml" = "rust/Cargo.toml",
    "mynah/rust/README.md" = "rust/README.md",
    "mynah/rust/src/lib.rs" = "rust/src/lib.rs",
    "mynah/rust/src/config.rs" = "rust/src/config.rs",
    "mynah/rust/src/conversation.rs" = "rust/src/conversation.rs",
    "mynah/rust/src/conversation/dialogue.rs" = "rust/src/conversation/dialogue.rs",
    "mynah/rust/src/error.rs" = "rust/src/error.rs",
    "mynah/rust/src/http.rs" = "rust/src/http.rs",
    "mynah/rust/src/log.rs" = "rust/src/log.rs",
    "mynah/rust/src/message.rs" = "rust/src/message.rs",
    "mynah/rust/src/reply.rs" = "rust/src/reply.rs",
    "mynah/rust/src/store.rs" = "rust/src/store.rs",
    "mynah/rust/src/testing.rs" = "rust/src/testing.rs",
    "mynah/rust/src/testing/host.rs" = "rust/src/testing/host.rs",
    "mynah/rust/src/wechat.rs" = "rust/src/wechat.rs",
    "mynah/rust/macros/Cargo.toml" = "rust/macros/Cargo.toml",
    "mynah/rust/macros/src/lib.rs" = "rust/macros/src/lib.rs",
};

const PYTHON: &[Source] = sources! {
    "plugin.py" = "templates/python/plugin.py",
    "requirements.txt" = "templates/python/requirements.txt",
    "build.sh" = "templates/python/build.sh",
    "README.md" = "templates/python/README.md",
    ".gitignore" = "templates/python/gitignore",
    "mynah/wit/bot.wit" = "wit/bot.wit",
    "mynah/__init__.py" = "python/mynah/__init__.py",
    "mynah/_ask.py" = "python/mynah/_ask.py",
    "mynah/_component.py" = "python/mynah/_component.py",
    "mynah/_message.py" = "python/mynah/_message.py",
    "mynah/_plugin.py" = "python/mynah/_plugin.py",
    "mynah/config.py" = "python/mynah/config.py",
    "mynah/conversation.py" = "python/mynah/conversation.py",
    "mynah/errors.py" = "python/mynah/errors.py",
    "mynah/http.py" = "python/mynah/http.py",
    "mynah/reply.py" = "python/mynah/reply.py",
    "mynah/store.py" = "python/mynah/store.py",
    "mynah/wechat.py" = "python/mynah/wechat.py",
};

/// What JavaScript and TypeScript share, whatever the engine.
const SCRIPT: &[Source] = sources! {
    "build.sh" = "templates/javascript/build.sh",
    ".gitignore" = "templates/javascript/gitignore",
    "mynah/package.json" = "javascript/mynah/package.json",
    "mynah/component.ts" = "javascript/mynah/component.ts",
    "mynah/contract.d.ts" = "javascript/mynah/contract.d.ts",
    "mynah/globals.ts" = "javascript/mynah/globals.ts",
    "mynah/index.ts" = "javascript/mynah/index.ts",
    "mynah/wit/javascript.wit" = "javascript/mynah/wit/javascript.wit",
    "mynah/wit/deps/bot.wit" = "wit/bot.wit",
    "mynah/wit/deps/random.wit" = "javascript/mynah/wit/deps/random.wit",
};

const JAVASCRIPT: &[Source] = sources! {
    "src/plugin.js" = "templates/javascript/plugin.js",
    "jsconfig.json" = "templates/javascript/jsconfig.json",
    "README.md" = "templates/javascript/README.md",
};

const TYPESCRIPT: &[Source] = sources! {
    "src/plugin.ts" = "templates/typescript/plugin.ts",
    "tsconfig.json" = "templates/typescript/tsconfig.json",
    "README.md" = "templates/typescript/README.md",
};

const QUICKJS: &[Source] = sources! {
    "build.mjs" = "templates/javascript/build.mjs",
    "mynah/quickjs.d.ts" = "javascript/mynah/quickjs.d.ts",
};

const STARLINGMONKEY: &[Source] = sources! {
    "build.mjs" = "templates/javascript/build-starlingmonkey.mjs",
    "mynah/starlingmonkey.d.ts" = "javascript/mynah/starlingmonkey.d.ts",
};

const JAVASCRIPT_QUICKJS: &[Source] = sources! { "package.json" = "templates/javascript/package.json" };

const JAVASCRIPT_STARLINGMONKEY: &[Source] =
    sources! { "package.json" = "templates/javascript/package-starlingmonkey.json" };

const TYPESCRIPT_QUICKJS: &[Source] = sources! { "package.json" = "templates/typescript/package.json" };

const TYPESCRIPT_STARLINGMONKEY: &[Source] =
    sources! { "package.json" = "templates/typescript/package-starlingmonkey.json" };

const GO: &[Source] = sources! {
    "plugin.go" = "templates/go/plugin.go",
    "go.mod" = "templates/go/go.mod.template",
    "build.sh" = "templates/go/build.sh",
    "README.md" = "templates/go/README.md",
    ".gitignore" = "templates/go/gitignore",
    "mynah/abi.go" = "go/abi.go",
    "mynah/ask.go" = "go/ask.go",
    "mynah/mynah.go" = "go/mynah.go",
    "mynah/reply.go" = "go/reply.go",
};

/// What C++ and Zig are built on; what wit-bindgen makes is beside it, in `mynah/contract`.
const C_LAYER: &[Source] = sources! {
    "mynah/json.c" = "c/json.c",
    "mynah/mynah.c" = "c/mynah.c",
    "mynah/mynah.h" = "c/mynah.h",
};

const C: &[Source] = sources! {
    "src/plugin.c" = "templates/c/plugin.c",
    "build.sh" = "templates/c/build.sh",
    "compile_flags.txt" = "templates/c/compile_flags.txt",
    "README.md" = "templates/c/README.md",
    ".gitignore" = "templates/c/gitignore",
};

const CPP: &[Source] = sources! {
    "src/plugin.cpp" = "templates/cpp/plugin.cpp",
    "build.sh" = "templates/cpp/build.sh",
    "compile_flags.txt" = "templates/cpp/compile_flags.txt",
    "README.md" = "templates/cpp/README.md",
    ".gitignore" = "templates/cpp/gitignore",
    "mynah/handle.cpp" = "cpp/handle.cpp",
    "mynah/mynah.hpp" = "cpp/mynah.hpp",
};

const ZIG: &[Source] = sources! {
    "src/plugin.zig" = "templates/zig/plugin.zig",
    "build.sh" = "templates/zig/build.sh",
    "README.md" = "templates/zig/README.md",
    ".gitignore" = "templates/zig/gitignore",
    "mynah/mynah.zig" = "zig/mynah.zig",
    "mynah/root.zig" = "zig/root.zig",
};

const ASSEMBLYSCRIPT: &[Source] = sources! {
    "src/plugin.ts" = "templates/assemblyscript/plugin.ts",
    "build.sh" = "templates/assemblyscript/build.sh",
    "package.json" = "templates/assemblyscript/package.json",
    "transform.mjs" = "templates/assemblyscript/transform.mjs",
    "tsconfig.json" = "templates/assemblyscript/tsconfig.json",
    "README.md" = "templates/assemblyscript/README.md",
    ".gitignore" = "templates/assemblyscript/gitignore",
    "mynah/component.ts" = "assemblyscript/component.ts",
    "mynah/host.ts" = "assemblyscript/host.ts",
    "mynah/index.ts" = "assemblyscript/index.ts",
};

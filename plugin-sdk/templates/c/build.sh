#!/bin/sh
# Builds build/plugin.wasm; `mynah build` runs it.
set -eu
cd "$(dirname "$0")"
mynah="${MYNAH:-mynah}"
zig="$("$mynah" tool ziglang==0.17.0)/ziglang/zig"
mkdir -p build
"$zig" cc -target wasm32-wasi -mexec-model=reactor -std=c23 -Os -Wall -Wextra -Imynah \
    -s -o build/core.wasm src/*.c mynah/*.c mynah/contract/plugin.c
"$mynah" componentize build/core.wasm --output build/plugin.wasm

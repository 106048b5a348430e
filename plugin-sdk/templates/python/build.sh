#!/bin/sh
# Builds build/plugin.wasm; `mynah build` runs it.
set -eu
cd "$(dirname "$0")"
tool="$("${MYNAH:-mynah}" tool componentize-py==0.25.0)"

# Libraries of PyPI, if there are any in requirements.txt: those that are pure Python.
if [ requirements.txt -nt build/libraries ]; then
    rm -rf build/libraries
    python3 -m pip install --quiet --disable-pip-version-check --target build/libraries --requirement requirements.txt
fi
mkdir -p build/libraries

PYTHONPATH="$tool" python3 "$tool/bin/componentize-py" --quiet --wit-path mynah/wit --world plugin \
    componentize --python-path . --python-path build/libraries --output build/plugin.wasm.new mynah._component
mv build/plugin.wasm.new build/plugin.wasm

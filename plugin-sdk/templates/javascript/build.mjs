// Bundles the plugin, with the npm libraries that it imports, and makes a component of it.

import { mkdir, rename, writeFile } from "node:fs/promises";
import { componentize } from "componentize-qjs";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: ["mynah/component.ts"],
  bundle: true,
  write: false,
  format: "esm",
  target: "es2023",
  platform: "neutral",
  mainFields: ["module", "main"],
  external: ["mynah:*", "wasi:*"],
  define: { MYNAH_ENGINE: '"quickjs"' },
});
const { component } = await componentize({
  jsSource: outputFiles[0].text,
  witPath: "mynah/wit",
  world: "javascript",
  sync: true,
});
await mkdir("build", { recursive: true });
// Renamed, so that a server that watches never meets half a file.
await writeFile("build/plugin.wasm.new", component);
await rename("build/plugin.wasm.new", "build/plugin.wasm");

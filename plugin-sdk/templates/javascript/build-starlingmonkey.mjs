// Bundles the plugin, with the npm libraries that it imports, and makes a component of it.

import { mkdir, rename, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: ["mynah/component.ts"],
  bundle: true,
  write: false,
  format: "esm",
  target: "es2023",
  platform: "browser",
  external: ["mynah:*", "wasi:*"],
  define: { MYNAH_ENGINE: '"starlingmonkey"' },
});
const { component } = await componentize(outputFiles[0].text, { witPath: "mynah/wit", worldName: "javascript" });
await mkdir("build", { recursive: true });
// Renamed, so that a server that watches never meets half a file.
await writeFile("build/plugin.wasm.new", component);
await rename("build/plugin.wasm.new", "build/plugin.wasm");

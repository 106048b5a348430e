// The contract's side of the plugin.

import type { HostMessage, HostReply } from "mynah:bot/types@0.1.0";
// First, so that the plugin finds its globals.
import "./globals.ts";
import { run } from "./index.ts";
// @ts-ignore: the author's module, in JavaScript or TypeScript
import handle from "../src/plugin";

if (typeof handle !== "function") throw new TypeError("src/plugin must `export default` a function that takes a message");

export const handler = {
  handle: (message: HostMessage): HostReply | Promise<HostReply> => run(handle, message),
};

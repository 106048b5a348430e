// The contract's side of the plugin. build.mjs gives these exports their names.

import { plugin } from "../src/plugin";
import { host } from "./host";
import { Message } from "./index";

export function handle(at: usize): usize {
  const message = new Message();
  message.bot = host.textAt(at);
  message.account = host.textAt(at + 8);
  message.sender = host.textAt(at + 16);
  message.id = host.textAt(at + 24);
  message.created = load<u32>(at, 32);
  message.kind = host.textAt(at + 36);
  if (load<u8>(at, 44) != 0) message.text = host.textAt(at + 48).trim();
  message.captures = host.fieldsAt(at + 56);
  message.fields = host.fieldsAt(at + 64);
  return plugin(message).area;
}

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  return heap.alloc(size + 1);
}

/** What `throw` and failed checks come to. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = file === null ? "" : ` (${file}:${line.toString()}:${column.toString()})`;
  host.log(3, (message === null ? "aborted" : message) + where);
  unreachable();
}

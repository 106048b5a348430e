// The contract, mynah:bot@0.1.0, as the component model's canonical ABI lays it out.

import { Field } from "./index";

// @ts-ignore: decorator
@external("mynah:bot/log@0.1.0", "log")
declare function hostLog(level: i32, text: usize, size: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/config@0.1.0", "get")
declare function hostConfigGet(key: usize, size: usize, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/conversation@0.1.0", "recall")
declare function hostRecall(result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/conversation@0.1.0", "remember")
declare function hostRemember(state: usize, size: usize, seconds: u32, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/conversation@0.1.0", "end")
declare function hostEnd(result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/store@0.1.0", "get")
declare function hostStoreGet(key: usize, size: usize, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/store@0.1.0", "set")
declare function hostStoreSet(key: usize, keySize: usize, value: usize, valueSize: usize, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/store@0.1.0", "delete")
declare function hostStoreDelete(key: usize, size: usize, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/store@0.1.0", "list")
declare function hostStoreList(
  prefix: usize,
  prefixSize: usize,
  hasAfter: i32,
  after: usize,
  afterSize: usize,
  limit: u32,
  result: usize,
): void;
// @ts-ignore: decorator
@external("mynah:bot/store@0.1.0", "add")
declare function hostStoreAdd(key: usize, size: usize, delta: i64, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/http@0.1.0", "send")
declare function hostSend(
  method: usize,
  methodSize: usize,
  url: usize,
  urlSize: usize,
  headers: usize,
  headerCount: usize,
  body: usize,
  bodySize: usize,
  result: usize,
): void;
// @ts-ignore: decorator
@external("mynah:bot/wechat@0.1.0", "call")
declare function hostCall(path: usize, pathSize: usize, hasBody: i32, body: usize, bodySize: usize, result: usize): void;
// @ts-ignore: decorator
@external("mynah:bot/wechat@0.1.0", "upload")
declare function hostUpload(
  kind: usize,
  kindSize: usize,
  name: usize,
  nameSize: usize,
  data: usize,
  size: usize,
  result: usize,
): void;
// @ts-ignore: decorator
@external("mynah:bot/wechat@0.1.0", "download")
declare function hostDownload(mediaId: usize, size: usize, result: usize): void;

/** Bytes that the host is shown; memory is never freed, for the instance ends with the message. */
class Lent {
  constructor(
    public pointer: usize,
    public size: usize,
  ) {}
}

export namespace host {
  export function lend(text: string): Lent {
    const bytes = String.UTF8.encode(text);
    return new Lent(changetype<usize>(bytes), bytes.byteLength);
  }

  export function put(at: usize, text: string): void {
    const lent = lend(text);
    store<usize>(at, lent.pointer);
    store<usize>(at, lent.size, 4);
  }

  export function maybe(at: usize, text: string | null): void {
    if (text === null) return;
    store<u8>(at, 1);
    put(at + 4, text);
  }

  export function fields(list: Field[]): usize {
    const at = heap.alloc(list.length * 16 + 1);
    for (let i = 0; i < list.length; i++) {
      put(at + i * 16, list[i].name);
      put(at + i * 16 + 8, list[i].value);
    }
    return at;
  }

  export function textAt(at: usize): string {
    return String.UTF8.decodeUnsafe(load<usize>(at), load<usize>(at, 4));
  }

  export function fieldsAt(at: usize): Field[] {
    const list: Field[] = [];
    const first = load<usize>(at);
    const count = load<usize>(at, 4);
    for (let i: usize = 0; i < count; i++) list.push(new Field(textAt(first + i * 16), textAt(first + i * 16 + 8)));
    return list;
  }

  function area(): usize {
    return heap.alloc(32);
  }

  /** Ends the plugin where the host refused; `from` is where the error's texts begin. */
  function checked(at: usize, from: usize = 4): usize {
    if (load<u8>(at) != 0) throw new Error(textAt(at + from) + ": " + textAt(at + from + 8));
    return at;
  }

  function maybeText(at: usize): string | null {
    return load<u8>(at) == 0 ? null : textAt(at + 4);
  }

  export function log(level: i32, text: string): void {
    const line = lend(text);
    hostLog(level, line.pointer, line.size);
  }

  export function config(key: string): string | null {
    const name = lend(key);
    const at = area();
    hostConfigGet(name.pointer, name.size, at);
    return maybeText(at);
  }

  export function recall(): string | null {
    const at = area();
    hostRecall(at);
    return maybeText(checked(at) + 4);
  }

  export function remember(state: string, seconds: u32): void {
    const bytes = lend(state);
    const at = area();
    hostRemember(bytes.pointer, bytes.size, seconds, at);
    checked(at);
  }

  export function end(): void {
    const at = area();
    hostEnd(at);
    checked(at);
  }

  export function storeGet(key: string): string | null {
    const name = lend(key);
    const at = area();
    hostStoreGet(name.pointer, name.size, at);
    return maybeText(checked(at) + 4);
  }

  export function storeSet(key: string, value: string): void {
    const name = lend(key);
    const bytes = lend(value);
    const at = area();
    hostStoreSet(name.pointer, name.size, bytes.pointer, bytes.size, at);
    checked(at);
  }

  export function storeDelete(key: string): void {
    const name = lend(key);
    const at = area();
    hostStoreDelete(name.pointer, name.size, at);
    checked(at);
  }

  export function storeList(prefix: string, after: string | null, limit: u32): string[] {
    const begin = lend(prefix);
    const last = lend(after === null ? "" : after);
    const at = area();
    hostStoreList(begin.pointer, begin.size, after === null ? 0 : 1, last.pointer, last.size, limit, at);
    checked(at);
    const keys: string[] = [];
    const first = load<usize>(at, 4);
    const count = load<usize>(at, 8);
    for (let i: usize = 0; i < count; i++) keys.push(textAt(first + i * 8));
    return keys;
  }

  export function storeAdd(key: string, delta: i64): i64 {
    const name = lend(key);
    const at = area();
    hostStoreAdd(name.pointer, name.size, delta, at);
    return load<i64>(checked(at, 8), 8);
  }

  export function send(method: string, url: string, headers: usize, count: usize, body: string): usize {
    const verb = lend(method);
    const where = lend(url);
    const bytes = lend(body);
    const at = area();
    hostSend(verb.pointer, verb.size, where.pointer, where.size, headers, count, bytes.pointer, bytes.size, at);
    return checked(at);
  }

  export function call(path: string, body: string | null): string {
    const where = lend(path);
    const json = lend(body === null ? "" : body);
    const at = area();
    hostCall(where.pointer, where.size, body === null ? 0 : 1, json.pointer, json.size, at);
    return textAt(checked(at) + 4);
  }

  export function upload(kind: string, fileName: string, data: ArrayBuffer): string {
    const what = lend(kind);
    const name = lend(fileName);
    const at = area();
    hostUpload(what.pointer, what.size, name.pointer, name.size, changetype<usize>(data), data.byteLength, at);
    return textAt(checked(at) + 4);
  }

  export function download(mediaId: string): ArrayBuffer {
    const id = lend(mediaId);
    const at = area();
    hostDownload(id.pointer, id.size, at);
    checked(at);
    const data = new ArrayBuffer(load<i32>(at, 8));
    memory.copy(changetype<usize>(data), load<usize>(at, 4), data.byteLength);
    return data;
  }
}

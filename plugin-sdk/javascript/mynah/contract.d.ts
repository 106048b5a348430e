// The contract as the JavaScript engines show it; `index.ts` is what plugins use.

declare module "mynah:bot/types@0.1.0" {
  export interface Field {
    name: string;
    value: string;
  }
  export interface HostError {
    code: string;
    message: string;
  }
  export interface HostMessage {
    bot: string;
    account: string;
    sender: string;
    id: string;
    created: number;
    kind: string;
    text?: string | null;
    captures: Field[];
    fields: Field[];
  }
  export interface HostArticle {
    title: string;
    description?: string;
    picture?: string;
    url: string;
  }
  export type HostReply =
    | { tag: "text" | "image" | "voice"; val: string }
    | { tag: "video"; val: { mediaId: string; title?: string; description?: string } }
    | {
        tag: "music";
        val: { title?: string; description?: string; url?: string; hqUrl?: string; thumbMediaId: string };
      }
    | { tag: "news"; val: HostArticle[] }
    | { tag: "transfer"; val?: string }
    | { tag: "raw"; val: { kind: string; fields: Field[] } }
    | { tag: "transfer-to-ai" | "silence" | "pass" };
}

declare module "mynah:bot/log@0.1.0" {
  export function log(level: "debug" | "info" | "warn" | "error", text: string): void;
}

declare module "mynah:bot/config@0.1.0" {
  export function get(key: string): string | null | undefined;
}

declare module "mynah:bot/conversation@0.1.0" {
  export function recall(): Uint8Array | null | undefined;
  export function remember(state: Uint8Array, seconds: number): void;
  export function end(): void;
}

declare module "mynah:bot/store@0.1.0" {
  export function get(key: string): Uint8Array | null | undefined;
  export function set(key: string, value: Uint8Array): void;
  function remove(key: string): void;
  export { remove as delete };
  export function list(prefix: string, after: string | undefined, limit: number): string[];
  export function add(key: string, delta: number | bigint): number | bigint;
}

declare module "mynah:bot/http@0.1.0" {
  import type { Field } from "mynah:bot/types@0.1.0";
  export function send(request: { method: string; url: string; headers: Field[]; body: Uint8Array }): {
    status: number;
    headers: Field[];
    body: Uint8Array;
  };
}

declare module "mynah:bot/wechat@0.1.0" {
  export function call(path: string, body: string | undefined): string;
  export function upload(kind: string, fileName: string, data: Uint8Array): string;
  export function download(mediaId: string): Uint8Array;
}

declare module "wasi:random/random@0.2.6" {
  export function getRandomBytes(length: number | bigint): Uint8Array;
}

/** Which engine the plugin is built for; set by build.mjs. */
declare const MYNAH_ENGINE: "quickjs" | "starlingmonkey";

// What a JavaScript program expects of its world and QuickJS does not have. Evaluated before the plugin.

/// <reference path="./contract.d.ts" />
import { log } from "mynah:bot/log@0.1.0";
import { getRandomBytes } from "wasi:random/random@0.2.6";

// `any`, because these are the globals that TypeScript's own libraries describe.
const world = globalThis as any;

/** Text as UTF-8. */
export function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let length = 0;
  for (const character of text) {
    let code = character.codePointAt(0)!;
    // Half of a surrogate pair is no character.
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) {
      bytes[length++] = code;
    } else if (code < 0x800) {
      bytes[length++] = 0xc0 | (code >> 6);
      bytes[length++] = 0x80 | (code & 63);
    } else if (code < 0x10000) {
      bytes[length++] = 0xe0 | (code >> 12);
      bytes[length++] = 0x80 | ((code >> 6) & 63);
      bytes[length++] = 0x80 | (code & 63);
    } else {
      bytes[length++] = 0xf0 | (code >> 18);
      bytes[length++] = 0x80 | ((code >> 12) & 63);
      bytes[length++] = 0x80 | ((code >> 6) & 63);
      bytes[length++] = 0x80 | (code & 63);
    }
  }
  return bytes.slice(0, length);
}

/** UTF-8 as text; what is none becomes �. */
export function decode(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++]!;
    const more = first < 0x80 ? 0 : first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : -1;
    let code = more <= 0 ? first : first & (0x3f >> more);
    let left = more;
    while (left > 0 && at < bytes.length && (bytes[at]! & 0xc0) === 0x80) {
      code = (code << 6) | (bytes[at++]! & 63);
      left--;
    }
    const shortest = [0, 0x80, 0x800, 0x10000][Math.max(more, 0)]!;
    const fit = more >= 0 && left === 0 && code >= shortest && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    text += fit ? String.fromCodePoint(code) : "\ufffd";
  }
  return text;
}

world.TextEncoder ??= class TextEncoder {
  readonly encoding = "utf-8";
  encode(text = ""): Uint8Array {
    return encode(String(text));
  }
};

world.TextDecoder ??= class TextDecoder {
  readonly encoding = "utf-8";
  constructor(label = "utf-8") {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`only UTF-8 is known here, not ${label}`);
  }
  decode(data: ArrayBuffer | ArrayBufferView = new Uint8Array()): string {
    return decode(ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data));
  }
};

function shown(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack.trimEnd()}` : String(value);
  if (typeof value !== "object" || value === null) return typeof value === "bigint" ? `${value}n` : String(value);
  try {
    return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part)) ?? String(value);
  } catch {
    return String(value);
  }
}

const printer =
  (level: "debug" | "info" | "warn" | "error") =>
  (...values: unknown[]): void =>
    log(level, values.map(shown).join(" "));

world.console = {
  ...world.console,
  debug: printer("debug"),
  trace: printer("debug"),
  log: printer("info"),
  info: printer("info"),
  warn: printer("warn"),
  error: printer("error"),
  assert: (condition: unknown, ...values: unknown[]) => {
    if (!condition) printer("error")("assertion failed:", ...values);
  },
};

world.crypto ??= {
  getRandomValues<T extends ArrayBufferView>(array: T): T {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    bytes.set(randomBytes(bytes.length));
    return array;
  },
  randomUUID(): string {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  },
};

/** Random bytes of the host. */
export function randomBytes(length: number): Uint8Array {
  return getRandomBytes(MYNAH_ENGINE === "quickjs" ? length : BigInt(length));
}

/** The state of Math.random, four words. */
let state = [1, 2, 3, 4];

/** Makes Math.random go on from here: the engine's own starts alike for every message. */
export function seed(words: number[]): void {
  state = words;
}

// sfc32: small, fast, passes the usual statistical tests.
Math.random = () => {
  let [a, b, c, d] = state as [number, number, number, number];
  const sum = (a + b + d) | 0;
  d = (d + 1) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (c << 21) | (c >>> 11);
  c = (c + sum) | 0;
  state = [a, b, c, d];
  return (sum >>> 0) / 4294967296;
};

// Write a reply plugin for the Mynah chatbot host in JavaScript or TypeScript: `export default` a function that takes a `Message`
// and returns an `Answer`.
//
// Every message meets a fresh copy of the program, as it was after its modules were evaluated when it was built: a global is new
// each time, and what is to last belongs in `store` or in a dialogue.

/// <reference path="./contract.d.ts" />
import * as hostConfig from "mynah:bot/config@0.1.0";
import * as hostConversation from "mynah:bot/conversation@0.1.0";
import * as hostHttp from "mynah:bot/http@0.1.0";
import * as hostStore from "mynah:bot/store@0.1.0";
import type { HostMessage, HostReply } from "mynah:bot/types@0.1.0";
import * as hostWechat from "mynah:bot/wechat@0.1.0";
import { decode, encode, randomBytes, seed } from "./globals.ts";

/** The host's refusal, with a code to branch on: "not-granted", "too-large", "quota", "unavailable", "timeout", … */
export class HostError extends Error {
  override readonly name = "HostError";
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

/** What one follower sent to one account. */
export class Message {
  /** The bot's name in bots.toml. */
  readonly bot: string;
  /** The account's original id (ToUserName). */
  readonly account: string;
  /** The follower's OpenID (FromUserName). */
  readonly sender: string;
  /** MsgId; empty where WeChat gives none. */
  readonly id: string;
  /** CreateTime, in seconds since 1970. */
  readonly created: number;
  /** MsgType in lower case: "text", "image", "voice", "video", "shortvideo", "location", "link", "event", … */
  readonly kind: string;
  /** What was typed, or heard in a voice message, without white space around it; empty where there is none. */
  readonly text: string;
  /** What the rule captured: `rest` after a prefix, a regex's groups by name and number, `scene` of a QR code. */
  readonly captures: Readonly<Record<string, string>>;
  /** Everything else, under WeChat's own names: `PicUrl`, `MediaId`, `Label`, `Event`, `EventKey`, … */
  readonly fields: Readonly<Record<string, string>>;

  constructor(parts: Omit<Message, "capture" | "field" | "event">) {
    this.bot = parts.bot;
    this.account = parts.account;
    this.sender = parts.sender;
    this.id = parts.id;
    this.created = parts.created;
    this.kind = parts.kind;
    this.text = parts.text;
    this.captures = parts.captures;
    this.fields = parts.fields;
  }

  /** What the rule captured under this name; empty where it captured nothing. */
  capture(name: string): string {
    return Object.hasOwn(this.captures, name) ? this.captures[name]! : "";
  }

  /** A field by WeChat's own name for it, nested ones joined with dots; empty where there is none. */
  field(name: string): string {
    return Object.hasOwn(this.fields, name) ? this.fields[name]! : "";
  }

  /** The event's name in lower case, such as "subscribe"; empty for what is no event. */
  get event(): string {
    return this.kind === "event" ? this.field("Event").toLowerCase() : "";
  }
}

/** One article of `reply.news`; `picture` and `url` are URLs. */
export interface Article {
  title: string;
  url: string;
  description?: string;
  picture?: string;
}

/** An answer of any kind; made by the functions of `reply`. */
export interface Reply {
  readonly reply: HostReply;
}

/** What a plugin may return: a text, articles, a `Reply`, or nothing, so that the next rule that matches answers. */
export type Answer = string | Reply | Article | Article[] | null | undefined | void;

/** Every kind of answer. */
export const reply = {
  /** A text, as a plain string is. */
  text: (text: string): Reply => ({ reply: { tag: "text", val: String(text) } }),
  /** A picture: one that a follower sent, or that `wechat.upload` gave. */
  image: (mediaId: string): Reply => ({ reply: { tag: "image", val: String(mediaId) } }),
  /** A voice message. */
  voice: (mediaId: string): Reply => ({ reply: { tag: "voice", val: String(mediaId) } }),
  /** A video. */
  video: (mediaId: string, about: { title?: string; description?: string } = {}): Reply => ({
    reply: { tag: "video", val: { mediaId, ...about } },
  }),
  /** A piece of music. */
  music: (
    thumbMediaId: string,
    about: { title?: string; description?: string; url?: string; hqUrl?: string } = {},
  ): Reply => ({ reply: { tag: "music", val: { thumbMediaId, ...about } } }),
  /** Articles. WeChat shows one in answer to a message, up to eight in answer to an event. */
  news: (...articles: Article[]): Reply => ({ reply: { tag: "news", val: articles } }),
  /** Hand over to human customer service: to one agent's account, or to whoever is free. */
  transfer: (agent?: string): Reply => ({ reply: { tag: "transfer", val: agent } }),
  /** Hand over to the account's own AI answer. */
  transferToAi: (): Reply => ({ reply: { tag: "transfer-to-ai" } }),
  /** A reply of a kind that is not listed here: MsgType, and its leaves, named as in `Message.fields`. */
  raw: (kind: string, fields: Record<string, string>): Reply => ({
    reply: { tag: "raw", val: { kind, fields: Object.entries(fields).map(([name, value]) => ({ name, value: String(value) })) } },
  }),
  /** Acknowledge, say nothing. */
  silence: (): Reply => ({ reply: { tag: "silence" } }),
  /** Not mine: the next rule that matches gets the message. Returning nothing is the same. */
  pass: (): Reply => ({ reply: { tag: "pass" } }),
};

/**
 * Durable keys and values of this plugin for this bot.
 *
 * A message takes effect as a whole: its writes are committed together with its reply, or not at all. Two messages at once never
 * mix: read, compute and write as if nobody else were there. All followers share the keys; put `message.sender` in a key that
 * belongs to one of them.
 */
export const store = {
  /** The value under `key`. */
  get: (key: string): Uint8Array | undefined => host(() => hostStore.get(String(key))) ?? undefined,
  /** The value under `key` as a text. */
  getText(key: string): string | undefined {
    const value = store.get(key);
    return value && decode(value);
  },
  /** The value under `key`, as `setJson` took it. */
  getJson<T = any>(key: string): T | undefined {
    const value = store.get(key);
    return value && JSON.parse(decode(value));
  },
  /** Puts `value` under `key`. */
  set(key: string, value: string | Uint8Array): void {
    wrote("store.set");
    host(() => hostStore.set(String(key), bytes(value)));
  },
  /** Puts anything that JSON can hold under `key`. */
  setJson: (key: string, value: unknown): void => store.set(key, JSON.stringify(value)),
  /** Removes `key` and its value. */
  delete(key: string): void {
    wrote("store.delete");
    host(() => hostStore.delete(String(key)));
  },
  /** Keys that begin with `prefix`, in order, those after `after`, at most `limit`. */
  list: (prefix = "", { after, limit = 1000 }: { after?: string; limit?: number } = {}): string[] =>
    host(() => hostStore.list(prefix, after, whole(limit))),
  /** Adds to the counter under `key`, which begins at 0, and returns the sum. */
  add(key: string, delta = 1): number {
    wrote("store.add");
    const by = whole(delta);
    return Number(host(() => hostStore.add(String(key), MYNAH_ENGINE === "quickjs" ? by : BigInt(by))));
  },
};

/** The plugin's own settings: `config = { … }` of its table in bots.toml. */
export const config = {
  /** A setting; one given as { file } or { env } arrives as its content. */
  get: (key: string): string | undefined => hostConfig.get(String(key)) ?? undefined,
};

/**
 * A dialogue with one follower that spans messages, in the host's own terms; `ask` is the friendlier way.
 *
 * From `remember` on, everything that this follower says comes to this plugin before any rule is looked at, until `end`, until the
 * time is over, or until the follower says one of the bot's `escape` words. Events never come this way.
 */
export const conversation = {
  /** What `remember` stored, while the conversation lasts. */
  recall: (): Uint8Array | undefined => host(() => hostConversation.recall()) ?? undefined,
  /** Begins the conversation, or goes on with it, for `seconds` from now. */
  remember: (state: string | Uint8Array, seconds = 600): void =>
    host(() => hostConversation.remember(bytes(state), whole(seconds))),
  /** Ends the conversation; without one it does nothing. */
  end: (): void => host(() => hostConversation.end()),
};

/** What another host answered, whatever its status. */
export class Response {
  constructor(
    readonly status: number,
    /** With names in lower case. */
    readonly headers: Readonly<Record<string, string>>,
    readonly body: Uint8Array,
  ) {}
  /** The body as UTF-8. */
  text(): string {
    return decode(this.body);
  }
  /** The body as JSON. */
  json<T = any>(): T {
    return JSON.parse(this.text());
  }
}

/** HTTP with the hosts that `allow.http` of the plugin's table names. The calls return when the answer is there. */
export const http = {
  /** Sends a GET request. */
  get: (url: string, headers: Record<string, string> = {}): Response => http.send({ url, headers }),
  /** Sends a POST request; a body that is neither text nor bytes goes as JSON. */
  post(url: string, body: unknown, headers: Record<string, string> = {}): Response {
    if (typeof body === "string" || body instanceof Uint8Array) return http.send({ method: "POST", url, headers, body });
    return http.send({
      method: "POST",
      url,
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  },
  /** Sends a request of any kind. */
  send(request: { url: string; method?: string; headers?: Record<string, string>; body?: string | Uint8Array }): Response {
    const method = request.method ?? "GET";
    if (method !== "GET" && method !== "HEAD") wrote(`http ${method}`);
    const headers = Object.entries(request.headers ?? {}).map(([name, value]) => ({ name, value: String(value) }));
    const answer = host(() => hostHttp.send({ method, url: String(request.url), headers, body: bytes(request.body ?? "") }));
    const received = answer.headers.map(({ name, value }) => [name.toLowerCase(), value]);
    return new Response(answer.status, Object.fromEntries(received), answer.body);
  },
};

/** The WeChat API of the bot's account, where `allow.wechat` allows it. The host holds the app secret and the access token. */
export const wechat = {
  /** POSTs `body` as JSON to a path such as "/cgi-bin/message/custom/send", or GETs it without one; an errcode is a `HostError`. */
  call<T = any>(path: string, body?: unknown): T {
    if (body !== undefined) wrote("wechat.call");
    return JSON.parse(host(() => hostWechat.call(path, body === undefined ? undefined : JSON.stringify(body))));
  },
  /** Uploads temporary media and returns its media id. */
  upload(kind: "image" | "voice" | "video" | "thumb", fileName: string, data: Uint8Array): string {
    wrote("wechat.upload");
    return host(() => hostWechat.upload(kind, fileName, bytes(data)));
  },
  /** Downloads temporary media. */
  download: (mediaId: string): Uint8Array => host(() => hostWechat.download(String(mediaId))),
};

/** What was said in a dialogue so far, and how far this run has come in it. */
interface Dialogue {
  first: Parts;
  seed: number[];
  /** What was asked or done, and its answer or result. */
  journal: [kind: "ask" | "once", name: string, value: any][];
  at: number;
  written: string;
  pure: number;
}

type Parts = ConstructorParameters<typeof Message>[0];

/** Leaves the handler; the question is its answer. */
class Asked {
  constructor(readonly question: string) {}
}

let dialogue: Dialogue;

/**
 * Sends the follower a question and returns the message that answers it; they have `seconds` for that.
 *
 * The function runs again from its beginning with each answer, so write after the last question, or within `once`. `Math.random` is
 * the same in all of these runs. A question leaves the function by `throw`: do not catch it.
 */
export function ask(question: string, seconds = 600): Message {
  const known = next("ask", question);
  if (known) return new Message(known);
  if (dialogue.written) {
    throw new Error(
      `${dialogue.written} before ask(${JSON.stringify(question)}): what comes before a question runs again with each answer; ` +
        "write after the last question, or within once(…)",
    );
  }
  dialogue.journal.push(["ask", question, null]);
  const { first, journal } = dialogue;
  conversation.remember(JSON.stringify({ is: MARK, first, seed: dialogue.seed, journal }), seconds);
  throw new Asked(question);
}

/** Does something once in a dialogue, however many questions follow, and returns its result, which JSON must be able to hold. */
export function once<T>(work: () => T): T {
  if (dialogue.at < dialogue.journal.length) return next("once", work.name);
  dialogue.pure++;
  try {
    const value = work();
    dialogue.journal.push(["once", work.name, value]);
    dialogue.at++;
    return value;
  } finally {
    dialogue.pure--;
  }
}

const MARK = "mynah.ask";

/** Something was changed that a second run would change again. */
function wrote(what: string): void {
  if (!dialogue.pure) dialogue.written ||= what;
}

/** What the journal says came next. A dialogue that went another way, such as in a newer version of the plugin, goes on from here. */
function next(kind: "ask" | "once", name: string): any {
  const entry = dialogue.journal[dialogue.at];
  if (!entry) return undefined;
  if (entry[0] !== kind || entry[1] !== name) {
    dialogue.journal.length = dialogue.at;
    return undefined;
  }
  dialogue.at++;
  return entry[2];
}

/** Runs the plugin for a message of the host. For `component.ts`. */
export function run(handle: (message: Message) => Answer | Promise<Answer>, received: HostMessage): HostReply | Promise<HostReply> {
  let parts: Parts = {
    bot: received.bot,
    account: received.account,
    sender: received.sender,
    id: received.id,
    created: received.created,
    kind: received.kind,
    text: (received.text ?? "").trim(),
    captures: Object.fromEntries(received.captures.map(({ name, value }) => [name, value])),
    fields: Object.fromEntries(received.fields.map(({ name, value }) => [name, value])),
  };
  // An event is never an answer: it comes by a rule, whatever dialogue is under way.
  const state = received.kind === "event" ? undefined : underWay();
  const words = state?.seed ?? Array.from(new Uint32Array(randomBytes(16).slice().buffer));
  dialogue = { first: state?.first ?? parts, seed: words, journal: state?.journal ?? [], at: 0, written: "", pure: 0 };
  if (state) {
    state.journal[state.journal.length - 1]![2] = parts;
    parts = state.first;
  }
  seed([...words]);
  const done = (answer: Answer): HostReply => {
    if (state) conversation.end();
    return toHost(answer);
  };
  const failed = (error: unknown): HostReply => {
    if (error instanceof Asked) return { tag: "text", val: error.question };
    // The contract's error is a text, and engines lose what is thrown as anything else.
    throw error instanceof Error ? `${error}\n${error.stack ?? ""}`.trimEnd() : String(error);
  };
  try {
    const answer = handle(new Message(parts));
    if (!(answer instanceof Promise)) return done(answer);
    if (MYNAH_ENGINE === "quickjs") {
      throw new TypeError("on QuickJS a plugin cannot be async, nor need be: the host's calls return when they are done");
    }
    return answer.then(done).catch(failed);
  } catch (error) {
    return failed(error);
  }
}

/** The dialogue that is under way; none if the conversation is the plugin's own. */
function underWay(): Pick<Dialogue, "first" | "seed" | "journal"> | undefined {
  const state = conversation.recall();
  if (!state) return undefined;
  try {
    const parsed = JSON.parse(decode(state));
    return parsed?.is === MARK ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function toHost(answer: Answer): HostReply {
  if (answer === null || answer === undefined) return { tag: "pass" };
  if (typeof answer === "string") return { tag: "text", val: answer };
  if (typeof answer === "object") {
    if ("reply" in answer) return answer.reply;
    const articles = Array.isArray(answer) ? answer : [answer];
    const fit = ({ title, url }: Article) => typeof title === "string" && typeof url === "string";
    if (articles.length > 0 && articles.every(fit)) return reply.news(...articles).reply;
  }
  throw new TypeError(`a plugin cannot answer with ${JSON.stringify(answer)}: return a string, an Article, a reply, or nothing`);
}

/** Calls the host, and turns what the engine throws for an error into `HostError`. */
function host<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const refusal = (error as { payload?: { code: string; message: string } }).payload;
    throw refusal ? new HostError(refusal.code, refusal.message) : error;
  }
}

function bytes(data: string | Uint8Array): Uint8Array {
  return data instanceof Uint8Array ? data : encode(String(data));
}

/** A whole number: the engines trap on anything else. */
function whole(number: number): number {
  if (!Number.isSafeInteger(number)) throw new TypeError(`${number} is not a whole number`);
  return number;
}

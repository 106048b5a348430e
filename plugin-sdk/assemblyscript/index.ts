// Write a reply plugin for the Mynah chatbot host in AssemblyScript: export a function `plugin(message: Message): Reply`.
//
// Every message meets a fresh instance of the program: a global is new each time, and what is to last belongs in the store or in a
// conversation. There are no exceptions to catch here: what the host refuses ends the plugin, with the refusal in the log.

import { host } from "./host";

/** A name and its value. */
export class Field {
  constructor(
    public name: string,
    public value: string,
  ) {}
}

/** What one follower sent to one account. What is not there is empty. */
export class Message {
  /** The bot's name in bots.toml. */
  bot: string = "";
  /** The account's original id (ToUserName). */
  account: string = "";
  /** The follower's OpenID (FromUserName). */
  sender: string = "";
  /** MsgId. */
  id: string = "";
  /** CreateTime, in seconds since 1970. */
  created: u32 = 0;
  /** MsgType in lower case: "text", "image", "voice", "location", "event", … */
  kind: string = "";
  /** What was typed, or heard in a voice message, without white space around it. */
  text: string = "";
  /** What the rule captured. */
  captures: Field[] = [];
  /** Everything else, under WeChat's own names. */
  fields: Field[] = [];

  /** What the rule captured under this name: "rest" after a prefix, a regex's groups by name and number. */
  capture(name: string): string {
    return value(this.captures, name);
  }

  /** A field by WeChat's own name for it: "PicUrl", "MediaId", "Label", "Event", "EventKey", … */
  field(name: string): string {
    return value(this.fields, name);
  }
}

function value(fields: Field[], name: string): string {
  for (let i = 0; i < fields.length; i++) if (fields[i].name == name) return fields[i].value;
  return "";
}

/** One article of `Reply.news`; `picture` and `url` are URLs. */
export class Article {
  description: string | null = null;
  picture: string | null = null;
  constructor(
    public title: string,
    public url: string,
  ) {}
}

/** An answer of any kind. */
export class Reply {
  /** The result as the host reads it: a tag at 0, the reply's own at 4, its content from 8. */
  area: usize = heap.alloc(64);

  private constructor(tag: u8) {
    memory.fill(this.area, 0, 64);
    store<u8>(this.area, tag, 4);
  }

  private put(at: usize, text: string): Reply {
    const lent = host.lend(text);
    store<usize>(this.area + at, lent.pointer);
    store<usize>(this.area + at + 4, lent.size);
    return this;
  }

  private maybe(at: usize, text: string | null): Reply {
    if (text === null) return this;
    store<u8>(this.area + at, 1);
    return this.put(at + 4, text);
  }

  static text(text: string): Reply {
    return new Reply(0).put(8, text);
  }
  /** A picture, by its media id. */
  static image(mediaId: string): Reply {
    return new Reply(1).put(8, mediaId);
  }
  /** A voice message, by its media id. */
  static voice(mediaId: string): Reply {
    return new Reply(2).put(8, mediaId);
  }
  /** A video, by its media id. */
  static video(mediaId: string, title: string | null = null, description: string | null = null): Reply {
    return new Reply(3).put(8, mediaId).maybe(16, title).maybe(28, description);
  }
  /** A piece of music. */
  static music(
    thumbMediaId: string,
    title: string | null = null,
    description: string | null = null,
    url: string | null = null,
    hqUrl: string | null = null,
  ): Reply {
    return new Reply(4).maybe(8, title).maybe(20, description).maybe(32, url).maybe(44, hqUrl).put(56, thumbMediaId);
  }
  /** Articles. WeChat shows one in answer to a message, up to eight in answer to an event. */
  static news(articles: Article[]): Reply {
    const reply = new Reply(5);
    const list = heap.alloc(articles.length * 40);
    memory.fill(list, 0, articles.length * 40);
    for (let i = 0; i < articles.length; i++) {
      const at = list + i * 40;
      const one = articles[i];
      host.put(at, one.title);
      host.maybe(at + 8, one.description);
      host.maybe(at + 20, one.picture);
      host.put(at + 32, one.url);
    }
    store<usize>(reply.area, list, 8);
    store<usize>(reply.area, articles.length, 12);
    return reply;
  }
  /** Hand over to human customer service: to one agent's account, or to whoever is free. */
  static transfer(agent: string | null = null): Reply {
    return new Reply(6).maybe(8, agent);
  }
  /** Hand over to the account's own AI answer. */
  static transferToAi(): Reply {
    return new Reply(7);
  }
  /** A reply of a kind that is not listed here: MsgType and its leaves. */
  static raw(kind: string, fields: Field[]): Reply {
    const reply = new Reply(8).put(8, kind);
    store<usize>(reply.area, host.fields(fields), 16);
    store<usize>(reply.area, fields.length, 20);
    return reply;
  }
  /** Acknowledge, say nothing. */
  static silence(): Reply {
    return new Reply(9);
  }
  /** Not mine: the next rule that matches gets the message. */
  static pass(): Reply {
    return new Reply(10);
  }
  /** The plugin failed: the text goes to the log, and the follower gets the bot's `on_error`. */
  static fail(why: string): Reply {
    const reply = new Reply(0).put(4, why);
    store<u8>(reply.area, 1);
    return reply;
  }
}

/** A line in the host's log. */
export function log(text: string): void {
  host.log(1, text);
}

/** A setting of the plugin's table in bots.toml. */
export function config(key: string): string | null {
  return host.config(key);
}

/** Durable keys and values, committed together with the reply. */
export namespace storage {
  /** The value under `key` as a text. */
  export function get(key: string): string | null {
    return host.storeGet(key);
  }
  export function set(key: string, value: string): void {
    host.storeSet(key, value);
  }
  export function remove(key: string): void {
    host.storeDelete(key);
  }
  /** Keys with this prefix in order, those after `after`, at most `limit`. */
  export function list(prefix: string, after: string | null = null, limit: u32 = 1000): string[] {
    return host.storeList(prefix, after, limit);
  }
  /** Adds to a counter, which begins at 0, and returns the sum. */
  export function add(key: string, delta: i64 = 1): i64 {
    return host.storeAdd(key, delta);
  }
}

/** A dialogue: this follower's messages come here before any rule. */
export namespace conversation {
  /** What `remember` stored, while the conversation lasts. */
  export function recall(): string | null {
    return host.recall();
  }
  /** Begins the conversation, or goes on with it, for so many seconds from now. */
  export function remember(state: string, seconds: u32 = 600): void {
    host.remember(state, seconds);
  }
  export function end(): void {
    host.end();
  }
}

/** What another host answered, whatever its status. */
export class Response {
  constructor(
    public status: u16,
    public headers: Field[],
    public body: string,
  ) {}
}

/** Sends an HTTP request to a host that the plugin's `allow.http` names. */
export function http(url: string, method: string = "GET", body: string = "", headers: Field[] = []): Response {
  const at = host.send(method, url, host.fields(headers), headers.length, body);
  return new Response(load<u16>(at, 4), host.fieldsAt(at + 8), host.textAt(at + 16));
}

/** The WeChat API of the bot's account, where the plugin's `allow.wechat` allows it. */
export namespace wechat {
  /** POSTs `body` (JSON) to a path, or GETs it without one; returns JSON. */
  export function call(path: string, body: string | null = null): string {
    return host.call(path, body);
  }
  /** Uploads temporary media ("image", "voice", "video", "thumb") and returns its media id. */
  export function upload(kind: string, fileName: string, data: ArrayBuffer): string {
    return host.upload(kind, fileName, data);
  }
  /** Downloads temporary media. */
  export function download(mediaId: string): ArrayBuffer {
    return host.download(mediaId);
  }
}

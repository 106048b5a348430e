import { Article, Field, Message, Reply, config, http, log, storage, wechat } from "../mynah/index";

function orDash(text: string | null): string {
  return text === null ? "-" : text;
}

export function plugin(m: Message): Reply {
  const word = m.capture("rest");
  if (word == "image") return Reply.image("m");
  if (word == "voice") return Reply.voice("m");
  if (word == "video") return Reply.video("m", "标题", "描述");
  if (word == "video-") return Reply.video("m");
  if (word == "music") return Reply.music("m", "t", "d", "http://a/", "http://b/");
  if (word == "music-") return Reply.music("m");
  if (word == "news") {
    const first = new Article("一", "http://a/");
    first.description = "d";
    first.picture = "http://p/";
    return Reply.news([first, new Article("二", "http://b/")]);
  }
  if (word == "transfer") return Reply.transfer();
  if (word == "agent") return Reply.transfer("a@b");
  if (word == "ai") return Reply.transferToAi();
  if (word == "raw") return Reply.raw("transfer_customer_service", [new Field("TransInfo.KfAccount", "c@d")]);
  if (word == "silence") return Reply.silence();
  if (word == "pass") return Reply.pass();
  if (word == "fail") return Reply.fail("on purpose");
  if (word == "store") {
    storage.set("k/a", "甲");
    storage.set("k/b", "乙");
    const first = storage.list("k/", null, 1).join(" ");
    const second = storage.list("k/", "k/a").join(" ");
    const value = orDash(storage.get("k/a"));
    storage.remove("k/a");
    const gone = orDash(storage.get("k/a"));
    const sum = storage.add("n", 9007199254740000) + storage.add("n", -9007199254739990);
    return Reply.text(`${first}, ${second}, ${value}, ${gone}, ${sum.toString()}`);
  }
  if (word == "config") return Reply.text(`${orDash(config("greeting"))} ${orDash(config("none"))}`);
  if (word == "log") {
    log("noted 记下了");
    return Reply.text("logged");
  }
  if (word == "http") {
    const answer = http(orDash(config("url")), "POST", "ping 乒", [new Field("X-Ping", "1")]);
    let header = "-";
    for (let i = 0; i < answer.headers.length; i++) {
      if (answer.headers[i].name.toLowerCase() == "x-pong") header = answer.headers[i].value;
    }
    return Reply.text(`${answer.status.toString()} ${header} ${answer.body}`);
  }
  // What is refused ends the plugin.
  if (word == "refused") storage.get("");
  if (word == "elsewhere") http("http://example.com/");
  if (word == "wechat") wechat.call("/cgi-bin/x", "{}");
  if (word == "upload") wechat.upload("image", "a.png", new ArrayBuffer(1));
  if (word == "download") wechat.download("m");
  const recent = m.created > 1600000000;
  return Reply.text(`${m.bot}|${m.account}|${m.sender}|${m.id}|${m.kind}|${m.text}|${word}|${recent.toString()}`);
}

import { HostError, config, http, reply, store, wechat } from "mynah";

function code(call) {
  try {
    call();
    return "fine";
  } catch (error) {
    return error instanceof HostError ? error.code : String(error);
  }
}

const bytes = Uint8Array.of(120);

export default function handle(m) {
  const word = m.capture("rest");
  switch (word) {
    case "image":
      return reply.image("m");
    case "voice":
      return reply.voice("m");
    case "video":
      return reply.video("m", { title: "标题", description: "描述" });
    case "video-":
      return reply.video("m");
    case "music":
      return reply.music("m", { title: "t", description: "d", url: "http://a/", hqUrl: "http://b/" });
    case "music-":
      return reply.music("m");
    case "news":
      return [
        { title: "一", url: "http://a/", description: "d", picture: "http://p/" },
        { title: "二", url: "http://b/" },
      ];
    case "transfer":
      return reply.transfer();
    case "agent":
      return reply.transfer("a@b");
    case "ai":
      return reply.transferToAi();
    case "raw":
      return reply.raw("transfer_customer_service", { "TransInfo.KfAccount": "c@d" });
    case "silence":
      return reply.silence();
    case "pass":
      return;
    case "fail":
      throw new Error("on purpose");
    case "store": {
      store.set("k/a", "甲");
      store.set("k/b", new TextEncoder().encode("乙"));
      const first = store.list("k/", { limit: 1 }).join(" ");
      const second = store.list("k/", { after: "k/a" }).join(" ");
      const value = store.getText("k/a") ?? "-";
      store.delete("k/a");
      const gone = store.getText("k/a") ?? "-";
      const sum = store.add("n", 9007199254740000) + store.add("n", -9007199254739990);
      return `${first}, ${second}, ${value}, ${gone}, ${sum}`;
    }
    case "refused":
      return code(() => store.get(""));
    case "config":
      return `${config.get("greeting") ?? "-"} ${config.get("none") ?? "-"}`;
    case "log":
      console.warn("noted", "记下了");
      return "logged";
    case "http": {
      const answer = http.post(config.get("url"), "ping 乒", { "X-Ping": "1" });
      return `${answer.status} ${answer.headers["x-pong"] ?? "-"} ${answer.text()}`;
    }
    case "elsewhere":
      return code(() => http.get("http://example.com/"));
    case "wechat":
      return code(() => wechat.call("/cgi-bin/x", {}));
    case "upload":
      return code(() => wechat.upload("image", "a.png", bytes));
    case "download":
      return code(() => wechat.download("m"));
    default:
      return [m.bot, m.account, m.sender, m.id, m.kind, m.text, word, m.created > 1_600_000_000].join("|");
  }
}

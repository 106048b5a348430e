from mynah import Article, Error, Message, config, http, plugin, reply, store, wechat
import logging


def code(call):
    try:
        call()
        return "fine"
    except Error as error:
        return error.code


@plugin
def handle(m: Message):
    match m.capture("rest"):
        case "image":
            return reply.image("m")
        case "voice":
            return reply.voice("m")
        case "video":
            return reply.video("m", "标题", "描述")
        case "video-":
            return reply.video("m")
        case "music":
            return reply.music("m", "t", "d", "http://a/", "http://b/")
        case "music-":
            return reply.music("m")
        case "news":
            return [Article("一", "http://a/", "d", "http://p/"), Article("二", "http://b/")]
        case "transfer":
            return reply.transfer()
        case "agent":
            return reply.transfer("a@b")
        case "ai":
            return reply.transfer_to_ai()
        case "raw":
            return reply.raw("transfer_customer_service", {"TransInfo.KfAccount": "c@d"})
        case "silence":
            return reply.silence()
        case "pass":
            return None
        case "fail":
            raise ValueError("on purpose")
        case "store":
            store.set("k/a", "甲")
            store.set("k/b", "乙")
            first = " ".join(store.keys("k/", limit=1))
            second = " ".join(store.keys("k/", after="k/a"))
            value = store.get_text("k/a", "-")
            store.delete("k/a")
            gone = store.get_text("k/a", "-")
            total = store.add("n", 9007199254740000) + store.add("n", -9007199254739990)
            return f"{first}, {second}, {value}, {gone}, {total}"
        case "refused":
            return code(lambda: store.get(""))
        case "config":
            return config.get("greeting", "-") + " " + config.get("none", "-")
        case "log":
            logging.warning("noted 记下了")
            return "logged"
        case "http":
            answer = http.post(config.get("url"), "ping 乒", headers={"X-Ping": "1"})
            return f"{answer.status} {answer.headers.get('x-pong', '-')} {answer.text}"
        case "elsewhere":
            return code(lambda: http.get("http://example.com/"))
        case "wechat":
            return code(lambda: wechat.call("/cgi-bin/x", {}))
        case "upload":
            return code(lambda: wechat.upload("image", "a.png", b"x"))
        case "download":
            return code(lambda: wechat.download("m"))
        case other:
            recent = str(m.created > 1_600_000_000).lower()
            return f"{m.bot}|{m.account}|{m.sender}|{m.id}|{m.kind}|{m.text}|{other}|{recent}"

#include <mynah.h>
#include <string.h>
#include <strings.h>

static mynah_reply code(bool fine) { return mynah_text("%s", fine ? "fine" : mynah_error_code()); }

static const char *or_dash(const char *text) { return text && *text ? text : "-"; }

mynah_reply handle(const mynah_message *m) {
    const char *word = mynah_get_capture(m, "rest");
    mynah_bytes bytes, gone;
#define IS(name) (!strcmp(word, name))
    if (IS("image")) return mynah_image("m");
    if (IS("voice")) return mynah_voice("m");
    if (IS("video")) return mynah_video("m", "标题", "描述");
    if (IS("video-")) return mynah_video("m", NULL, NULL);
    if (IS("music"))
        return mynah_play((mynah_music){
            .thumb_media_id = "m", .title = "t", .description = "d", .url = "http://a/", .hq_url = "http://b/"});
    if (IS("music-")) return mynah_play((mynah_music){.thumb_media_id = "m"});
    if (IS("news"))
        return mynah_news((mynah_article[]){{"一", "http://a/", "d", "http://p/"}, {"二", "http://b/", NULL, NULL}}, 2);
    if (IS("transfer")) return mynah_transfer(NULL);
    if (IS("agent")) return mynah_transfer("a@b");
    if (IS("ai")) return mynah_transfer_to_ai();
    if (IS("raw")) return mynah_raw("transfer_customer_service", (mynah_field[]){{"TransInfo.KfAccount", "c@d"}}, 1);
    if (IS("silence")) return mynah_silence();
    if (IS("pass")) return mynah_pass();
    if (IS("fail")) return mynah_fail("on %s", "purpose");
    if (IS("store")) {
        char **first, **second;
        size_t count;
        int64_t one, two;
        bool fine = mynah_store_set_text("k/a", "甲") && mynah_store_set("k/b", "乙", strlen("乙")) &&
                    mynah_store_list("k/", NULL, 1, &first, &count) && count == 1 &&
                    mynah_store_list("k/", "k/a", 9, &second, &count) && count == 1 && mynah_store_get("k/a", &bytes) &&
                    mynah_store_delete("k/a") && mynah_store_get("k/a", &gone) &&
                    mynah_store_add("n", 9007199254740000, &one) && mynah_store_add("n", -9007199254739990, &two);
        if (!fine) return mynah_fail_refused();
        return mynah_text("%s, %s, %s, %s, %lld", *first, *second, or_dash(bytes.data), or_dash(gone.data),
                          (long long)(one + two));
    }
    if (IS("refused")) return code(mynah_store_get("", &bytes));
    if (IS("config")) return mynah_text("%s %s", or_dash(mynah_config("greeting")), or_dash(mynah_config("none")));
    if (IS("log")) {
        mynah_log(MYNAH_WARN, "noted %s", "记下了");
        return mynah_text("logged");
    }
    if (IS("http")) {
        mynah_response answer;
        mynah_field ping = {"X-Ping", "1"};
        mynah_request request = {"POST", mynah_config("url"), &ping, 1, "ping 乒", strlen("ping 乒")};
        if (!mynah_http(request, &answer)) return mynah_fail_refused();
        const char *header = "-";
        for (size_t i = 0; i < answer.headers_count; i++)
            if (!strcasecmp(answer.headers[i].name, "x-pong")) header = answer.headers[i].value;
        return mynah_text("%d %s %s", answer.status, header, answer.body.data);
    }
    if (IS("elsewhere")) return code(mynah_http((mynah_request){.url = "http://example.com/"}, &(mynah_response){0}));
    if (IS("wechat")) return code(mynah_wechat_call("/cgi-bin/x", "{}"));
    if (IS("upload")) return code(mynah_wechat_upload("image", "a.png", "x", 1));
    if (IS("download")) return code(mynah_wechat_download("m", &bytes));
    if (IS("json")) {
        const char *json = "{ \"a\": [1, { \"b.c\": true, \"text\": \"\\u4f60\\ud83d\\ude00\\n\\\"\" }], \"n\": null }";
        return mynah_text("%s|%s|%s|%s|%s", mynah_json_get(json, "a.0"), or_dash(mynah_json_get(json, "a.2")),
                          mynah_json_get(json, "n"), mynah_json_quote(mynah_json_get(json, "a.1.text")),
                          or_dash(mynah_json_get("{\"a\": [1, 2", "a.0")));
    }
    return mynah_text("%s|%s|%s|%s|%s|%s|%s|%s", m->bot, m->account, m->sender, m->id, m->kind, m->text, word,
                      m->created > 1600000000 ? "true" : "false");
}

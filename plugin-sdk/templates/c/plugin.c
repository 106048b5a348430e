/* plugin-name: answers 「plugin-name …」. */

#include <mynah.h>

mynah_reply handle(const mynah_message *message) {
    mynah_bytes state;
    if (!mynah_recall(&state)) return mynah_fail_refused();
    if (state.data) {
        const char *label = mynah_get_field(message, "Label");
        mynah_end();
        return mynah_text("%s，好地方！", *label ? label : message->text);
    }
    const char *words = mynah_get_capture(message, "rest");
    if (*words) {
        int64_t times;
        if (!mynah_store_add(mynah_format("times/%s", message->sender), 1, &times)) return mynah_fail_refused();
        return mynah_text("第 %lld 次听你说：%s", (long long)times, words);
    }
    if (!mynah_remember("where", 600)) return mynah_fail_refused();
    return mynah_text("你在哪里？打字，或者发个位置。");
}

/* The contract's side of a C plugin. */

#include "mynah.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract/plugin.h"

static const char *error_code = "";
static const char *error_message = "";

static void *need(size_t size) {
    void *memory = calloc(1, size ? size : 1);
    if (!memory) abort();
    return memory;
}

static char *copied(const void *data, size_t size) {
    char *text = need(size + 1);
    if (size) memcpy(text, data, size);
    return text;
}

static const char *text_of(plugin_string_t text) { return copied(text.ptr, text.len); }

static mynah_bytes bytes_of(plugin_list_u8_t bytes) {
    return (mynah_bytes){copied(bytes.ptr, bytes.len), bytes.len};
}

/* What the host is lent for the time of a call. */
static plugin_string_t lent(const char *text) { return (plugin_string_t){(uint8_t *)text, strlen(text)}; }

static plugin_list_u8_t lent_bytes(const void *data, size_t size) { return (plugin_list_u8_t){(uint8_t *)data, size}; }

/* What the host is given: the generated code frees it. */
static plugin_string_t given(const char *text) {
    plugin_string_t owned;
    plugin_string_dup(&owned, text ? text : "");
    return owned;
}

static plugin_option_string_t given_if(const char *text) {
    plugin_option_string_t option = {text != NULL, {NULL, 0}};
    if (text) option.val = given(text);
    return option;
}

static bool refused(mynah_bot_types_error_t error) {
    error_code = text_of(error.code);
    error_message = text_of(error.message);
    return false;
}

const char *mynah_error_code(void) { return error_code; }
const char *mynah_error_message(void) { return error_message; }

static char *formatted(const char *format, va_list values) {
    va_list again;
    va_copy(again, values);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (size < 0) abort();
    char *text = need((size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, values);
    return text;
}

#define FORMATTED(name)                  \
    va_list values;                      \
    va_start(values, format);            \
    char *name = formatted(format, values); \
    va_end(values)

char *mynah_format(const char *format, ...) {
    FORMATTED(text);
    return text;
}

/* ---- The message ---- */

static const mynah_field *fields_of(mynah_bot_types_list_field_t list) {
    mynah_field *fields = need(list.len * sizeof *fields);
    for (size_t i = 0; i < list.len; i++)
        fields[i] = (mynah_field){text_of(list.ptr[i].name), text_of(list.ptr[i].value)};
    return fields;
}

static const char *value_of(const mynah_field *fields, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(fields[i].name, name)) return fields[i].value;
    return "";
}

const char *mynah_get_capture(const mynah_message *message, const char *name) {
    return value_of(message->captures, message->captures_count, name);
}

const char *mynah_get_field(const mynah_message *message, const char *name) {
    return value_of(message->fields, message->fields_count, name);
}

static const char *trimmed(plugin_option_string_t text) {
    if (!text.is_some) return "";
    const uint8_t *from = text.val.ptr, *to = from + text.val.len;
    while (from < to && strchr(" \t\r\n", *from)) from++;
    while (from < to && strchr(" \t\r\n", to[-1])) to--;
    return copied(from, (size_t)(to - from));
}

bool exports_mynah_bot_handler_handle(exports_mynah_bot_handler_message_t *received,
                                      exports_mynah_bot_handler_reply_t *reply, plugin_string_t *error) {
    mynah_message message = {
        .bot = text_of(received->bot),
        .account = text_of(received->account),
        .sender = text_of(received->sender),
        .id = text_of(received->id),
        .created = received->created,
        .kind = text_of(received->kind),
        .text = trimmed(received->text),
        .captures = fields_of(received->captures),
        .captures_count = received->captures.len,
        .fields = fields_of(received->fields),
        .fields_count = received->fields.len,
    };
    mynah_reply answer = handle(&message);
    /* Lines without an end would be lost with the instance. */
    fflush(NULL);
    if (answer.error || !answer.reply) {
        *error = given(answer.error ? answer.error : "the plugin returned no reply");
        return false;
    }
    memcpy(reply, answer.reply, sizeof *reply);
    return true;
}

/* ---- Answers ---- */

static mynah_reply answer(mynah_bot_types_reply_t reply) {
    return (mynah_reply){copied(&reply, sizeof reply), NULL};
}

mynah_reply mynah_text(const char *format, ...) {
    FORMATTED(text);
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_TEXT, {.text = given(text)}});
}

mynah_reply mynah_image(const char *media_id) {
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_IMAGE, {.image = given(media_id)}});
}

mynah_reply mynah_voice(const char *media_id) {
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_VOICE, {.voice = given(media_id)}});
}

mynah_reply mynah_video(const char *media_id, const char *title, const char *description) {
    mynah_bot_types_video_t video = {given(media_id), given_if(title), given_if(description)};
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_VIDEO, {.video = video}});
}

mynah_reply mynah_play(mynah_music music) {
    mynah_bot_types_music_t given_music = {given_if(music.title), given_if(music.description), given_if(music.url),
                                           given_if(music.hq_url), given(music.thumb_media_id)};
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_MUSIC, {.music = given_music}});
}

mynah_reply mynah_news(const mynah_article *articles, size_t count) {
    mynah_bot_types_article_t *news = need(count * sizeof *news);
    for (size_t i = 0; i < count; i++)
        news[i] = (mynah_bot_types_article_t){given(articles[i].title), given_if(articles[i].description),
                                              given_if(articles[i].picture), given(articles[i].url)};
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_NEWS, {.news = {news, count}}});
}

mynah_reply mynah_transfer(const char *agent) {
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_TRANSFER, {.transfer = given_if(agent)}});
}

mynah_reply mynah_transfer_to_ai(void) {
    return answer((mynah_bot_types_reply_t){.tag = MYNAH_BOT_TYPES_REPLY_TRANSFER_TO_AI});
}

mynah_reply mynah_raw(const char *kind, const mynah_field *fields, size_t count) {
    mynah_bot_types_field_t *leaves = need(count * sizeof *leaves);
    for (size_t i = 0; i < count; i++)
        leaves[i] = (mynah_bot_types_field_t){given(fields[i].name), given(fields[i].value)};
    mynah_bot_types_raw_t raw = {given(kind), {leaves, count}};
    return answer((mynah_bot_types_reply_t){MYNAH_BOT_TYPES_REPLY_RAW, {.raw = raw}});
}

mynah_reply mynah_silence(void) { return answer((mynah_bot_types_reply_t){.tag = MYNAH_BOT_TYPES_REPLY_SILENCE}); }

mynah_reply mynah_pass(void) { return answer((mynah_bot_types_reply_t){.tag = MYNAH_BOT_TYPES_REPLY_PASS}); }

mynah_reply mynah_fail(const char *format, ...) {
    FORMATTED(text);
    return (mynah_reply){NULL, text};
}

mynah_reply mynah_fail_refused(void) { return mynah_fail("%s: %s", error_code, error_message); }

/* ---- The host's functions ---- */

void mynah_log(mynah_level level, const char *format, ...) {
    FORMATTED(text);
    plugin_string_t line = lent(text);
    mynah_bot_log_log((mynah_bot_log_level_t)level, &line);
}

const char *mynah_config(const char *key) {
    plugin_string_t name = lent(key), value;
    return mynah_bot_config_get(&name, &value) ? text_of(value) : NULL;
}

static void take(plugin_option_list_u8_t found, mynah_bytes *value) {
    *value = found.is_some ? bytes_of(found.val) : (mynah_bytes){NULL, 0};
}

bool mynah_store_get(const char *key, mynah_bytes *value) {
    plugin_string_t name = lent(key);
    plugin_option_list_u8_t found;
    mynah_bot_types_error_t error;
    if (!mynah_bot_store_get(&name, &found, &error)) return refused(error);
    take(found, value);
    return true;
}

bool mynah_store_set(const char *key, const void *value, size_t size) {
    plugin_string_t name = lent(key);
    plugin_list_u8_t bytes = lent_bytes(value, size);
    mynah_bot_types_error_t error;
    return mynah_bot_store_set(&name, &bytes, &error) || refused(error);
}

bool mynah_store_set_text(const char *key, const char *value) { return mynah_store_set(key, value, strlen(value)); }

bool mynah_store_delete(const char *key) {
    plugin_string_t name = lent(key);
    mynah_bot_types_error_t error;
    return mynah_bot_store_delete(&name, &error) || refused(error);
}

bool mynah_store_list(const char *prefix, const char *after, uint32_t limit, char ***keys, size_t *count) {
    plugin_string_t begin = lent(prefix), last = lent(after ? after : "");
    plugin_list_string_t found;
    mynah_bot_types_error_t error;
    if (!mynah_bot_store_list(&begin, after ? &last : NULL, limit, &found, &error)) return refused(error);
    *keys = need(found.len * sizeof **keys);
    *count = found.len;
    for (size_t i = 0; i < found.len; i++) (*keys)[i] = copied(found.ptr[i].ptr, found.ptr[i].len);
    return true;
}

bool mynah_store_add(const char *key, int64_t delta, int64_t *sum) {
    plugin_string_t name = lent(key);
    int64_t result;
    mynah_bot_types_error_t error;
    if (!mynah_bot_store_add(&name, delta, &result, &error)) return refused(error);
    if (sum) *sum = result;
    return true;
}

bool mynah_recall(mynah_bytes *state) {
    plugin_option_list_u8_t found;
    mynah_bot_types_error_t error;
    if (!mynah_bot_conversation_recall(&found, &error)) return refused(error);
    take(found, state);
    return true;
}

bool mynah_remember(const char *state, uint32_t seconds) {
    plugin_list_u8_t bytes = lent_bytes(state, strlen(state));
    mynah_bot_types_error_t error;
    return mynah_bot_conversation_remember(&bytes, seconds, &error) || refused(error);
}

bool mynah_end(void) {
    mynah_bot_types_error_t error;
    return mynah_bot_conversation_end(&error) || refused(error);
}

bool mynah_http(mynah_request request, mynah_response *response) {
    mynah_bot_types_field_t *headers = need(request.headers_count * sizeof *headers);
    for (size_t i = 0; i < request.headers_count; i++)
        headers[i] = (mynah_bot_types_field_t){lent(request.headers[i].name), lent(request.headers[i].value)};
    mynah_bot_http_request_t sent = {lent(request.method ? request.method : "GET"), lent(request.url),
                                     {headers, request.headers_count}, lent_bytes(request.body, request.body_size)};
    mynah_bot_http_response_t received;
    mynah_bot_types_error_t error;
    if (!mynah_bot_http_send(&sent, &received, &error)) return refused(error);
    mynah_bot_types_list_field_t fields = {received.headers.ptr, received.headers.len};
    *response = (mynah_response){received.status, fields_of(fields), fields.len, bytes_of(received.body)};
    return true;
}

char *mynah_wechat_call(const char *path, const char *body) {
    plugin_string_t where = lent(path), json = lent(body ? body : ""), answered;
    mynah_bot_types_error_t error;
    if (mynah_bot_wechat_call(&where, body ? &json : NULL, &answered, &error)) return copied(answered.ptr, answered.len);
    refused(error);
    return NULL;
}

char *mynah_wechat_upload(const char *kind, const char *file_name, const void *data, size_t size) {
    plugin_string_t what = lent(kind), name = lent(file_name), media_id;
    plugin_list_u8_t bytes = lent_bytes(data, size);
    mynah_bot_types_error_t error;
    if (mynah_bot_wechat_upload(&what, &name, &bytes, &media_id, &error)) return copied(media_id.ptr, media_id.len);
    refused(error);
    return NULL;
}

bool mynah_wechat_download(const char *media_id, mynah_bytes *data) {
    plugin_string_t id = lent(media_id);
    plugin_list_u8_t bytes;
    mynah_bot_types_error_t error;
    if (!mynah_bot_wechat_download(&id, &bytes, &error)) return refused(error);
    *data = bytes_of(bytes);
    return true;
}

/* The generated code asks for an object file with the component's type; `mynah componentize` puts the type in instead. */
void __component_type_object_force_link_plugin(void) {}

/* Write a reply plugin for the Mynah chatbot host in C: define `handle`.
 *
 * Every message meets a fresh instance of the program: a global is new each time, and what is to last belongs in the store or in a
 * conversation. All memory is given back after the message, so nothing here has to be freed.
 *
 * Texts are UTF-8 and end with NUL. A function that can be refused returns false, or NULL; `mynah_error_code` then says why. */
#ifndef MYNAH_H
#define MYNAH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A name and its value. */
typedef struct mynah_field {
    const char *name;
    const char *value;
} mynah_field;

/* What one follower sent to one account. No text is NULL; what is not there is empty. */
typedef struct mynah_message {
    const char *bot;      /* the bot's name in bots.toml */
    const char *account;  /* the account's original id (ToUserName) */
    const char *sender;   /* the follower's OpenID (FromUserName) */
    const char *id;       /* MsgId */
    uint32_t created;     /* CreateTime, in seconds since 1970 */
    const char *kind;     /* MsgType in lower case: "text", "image", "voice", "location", "event", … */
    const char *text;     /* what was typed, or heard in a voice message, without white space around it */
    const mynah_field *captures; /* what the rule captured */
    size_t captures_count;
    const mynah_field *fields; /* everything else, under WeChat's own names */
    size_t fields_count;
} mynah_message;

/* An answer; made by the functions below. */
typedef struct mynah_reply {
    const void *reply;
    const char *error;
} mynah_reply;

/* The plugin: called with each message that a rule gives to it. */
mynah_reply handle(const mynah_message *message);

/* What the rule captured under this name: "rest" after a prefix, a regex's groups by name and number. */
const char *mynah_get_capture(const mynah_message *message, const char *name);

/* A field by WeChat's own name for it: "PicUrl", "MediaId", "Label", "Event", "EventKey", … */
const char *mynah_get_field(const mynah_message *message, const char *name);

/* A text, as printf makes it. */
char *mynah_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Answers ---- */

/* A text, as printf makes it. */
mynah_reply mynah_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A picture, by its media id. */
mynah_reply mynah_image(const char *media_id);
/* A voice message, by its media id. */
mynah_reply mynah_voice(const char *media_id);
/* A video; title and description may be NULL. */
mynah_reply mynah_video(const char *media_id, const char *title, const char *description);

typedef struct mynah_music {
    const char *thumb_media_id; /* all others may be NULL */
    const char *title;
    const char *description;
    const char *url;
    const char *hq_url;
} mynah_music;
/* A piece of music. */
mynah_reply mynah_play(mynah_music music);

typedef struct mynah_article {
    const char *title;
    const char *url;
    const char *description; /* may be NULL */
    const char *picture;     /* a URL; may be NULL */
} mynah_article;
/* Articles. WeChat shows one in answer to a message, up to eight in answer to an event. */
mynah_reply mynah_news(const mynah_article *articles, size_t count);

/* Hand over to human customer service: to one agent's account, or to whoever is free (NULL). */
mynah_reply mynah_transfer(const char *agent);
/* Hand over to the account's own AI answer. */
mynah_reply mynah_transfer_to_ai(void);
/* A reply of a kind that is not listed here: MsgType and its leaves. */
mynah_reply mynah_raw(const char *kind, const mynah_field *fields, size_t count);
/* Acknowledge, say nothing. */
mynah_reply mynah_silence(void);
/* Not mine: the next rule that matches gets the message. */
mynah_reply mynah_pass(void);
/* The plugin failed: the text goes to the log, and the follower gets the bot's `on_error`. */
mynah_reply mynah_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The plugin failed because of what the host refused last. */
mynah_reply mynah_fail_refused(void);

/* ---- What the host refused last ---- */

/* "not-granted", "too-large", "quota", "unavailable", "timeout", …; "" if nothing was refused. */
const char *mynah_error_code(void);
const char *mynah_error_message(void);

/* ---- The log ---- */

typedef enum mynah_level { MYNAH_DEBUG, MYNAH_INFO, MYNAH_WARN, MYNAH_ERROR } mynah_level;
/* A line in the host's log; printf is one too. */
void mynah_log(mynah_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- Settings: `config` of the plugin's table in bots.toml ---- */

/* A setting, or NULL. */
const char *mynah_config(const char *key);

/* ---- The store: durable keys and values, committed together with the reply ---- */

/* Bytes, with a NUL after them that `size` does not count. */
typedef struct mynah_bytes {
    char *data; /* NULL if there is no value */
    size_t size;
} mynah_bytes;

/* The value under `key`; its data is NULL if there is none. */
bool mynah_store_get(const char *key, mynah_bytes *value);
bool mynah_store_set(const char *key, const void *value, size_t size);
bool mynah_store_set_text(const char *key, const char *value);
bool mynah_store_delete(const char *key);
/* Keys with this prefix in order, those after `after` (or NULL), at most `limit`. */
bool mynah_store_list(const char *prefix, const char *after, uint32_t limit, char ***keys, size_t *count);
/* Adds to a counter, which begins at 0; `sum` may be NULL. */
bool mynah_store_add(const char *key, int64_t delta, int64_t *sum);

/* ---- A conversation: this follower's messages come here before any rule ---- */

/* What `mynah_remember` stored; its data is NULL outside a conversation. */
bool mynah_recall(mynah_bytes *state);
/* Begins the conversation, or goes on with it, for so many seconds from now. */
bool mynah_remember(const char *state, uint32_t seconds);
bool mynah_end(void);

/* ---- The outside, where the plugin's `allow` names it ---- */

typedef struct mynah_request {
    const char *method; /* NULL is GET */
    const char *url;
    const mynah_field *headers;
    size_t headers_count;
    const void *body;
    size_t body_size;
} mynah_request;

typedef struct mynah_response {
    uint16_t status;
    const mynah_field *headers;
    size_t headers_count;
    mynah_bytes body;
} mynah_response;

bool mynah_http(mynah_request request, mynah_response *response);

/* POSTs `body` (JSON) to a path of the WeChat API, or GETs it if `body` is NULL; returns JSON, or NULL. */
char *mynah_wechat_call(const char *path, const char *body);
/* Uploads temporary media ("image", "voice", "video", "thumb") and returns its media id, or NULL. */
char *mynah_wechat_upload(const char *kind, const char *file_name, const void *data, size_t size);
/* Downloads temporary media. */
bool mynah_wechat_download(const char *media_id, mynah_bytes *data);

/* ---- JSON ---- */

/* What stands in a JSON text at a path such as "data.0.name": a string's content, anything else as it is written; NULL if there is
 * nothing. */
char *mynah_json_get(const char *json, const char *path);
/* A text as a JSON string, with its quotes. */
char *mynah_json_quote(const char *text);

#ifdef __cplusplus
}
#endif
#endif

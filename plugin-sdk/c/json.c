/* As much of JSON as a plugin needs to read an answer and to write a request. */

#include <stdlib.h>
#include <string.h>

#include "mynah.h"

/* Deeper texts are refused, so that the stack is enough. */
enum { DEPTH = 64 };

static const char *value_end(const char *at, int depth);

static const char *blank(const char *at) { return at + strspn(at, " \t\r\n"); }

/* After a string that begins here; NULL if none does. */
static const char *string_end(const char *at) {
    if (*at != '"') return NULL;
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && !*++at) return NULL;
    return *at ? at + 1 : NULL;
}

/* After an object or array that begins here; where `key` or the element `index` is found, `found` is its value. */
static const char *members_end(const char *at, int depth, const char *key, size_t key_size, const char **found) {
    if (depth > DEPTH) return NULL;
    bool object = *at == '{';
    char close = object ? '}' : ']';
    size_t index = 0, wanted = key && !object ? strtoul(key, NULL, 10) : 0;
    if (key && !object && (key_size == 0 || strspn(key, "0123456789") < key_size)) key = NULL;
    at = blank(at + 1);
    if (*at == close) return at + 1;
    for (;; index++) {
        bool is_it = key && !object && index == wanted;
        if (object) {
            const char *name = at + 1;
            at = string_end(at);
            if (!at) return NULL;
            is_it = key && (size_t)(at - 1 - name) == key_size && !strncmp(name, key, key_size);
            at = blank(at);
            if (*at++ != ':') return NULL;
            at = blank(at);
        }
        if (is_it && !*found) *found = at;
        at = value_end(at, depth);
        if (!at) return NULL;
        at = blank(at);
        if (*at == close) return at + 1;
        if (*at++ != ',') return NULL;
        at = blank(at);
    }
}

static const char *value_end(const char *at, int depth) {
    const char *ignored = NULL;
    if (*at == '"') return string_end(at);
    if (*at == '{' || *at == '[') return members_end(at, depth + 1, NULL, 0, &ignored);
    size_t size = strcspn(at, ",]} \t\r\n");
    return size ? at + size : NULL;
}

static unsigned hex4(const char *at) {
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *digit = at[i] ? strchr(digits, at[i] | 0x20) : NULL;
        if (!digit) return 0xfffd;
        code = code << 4 | (unsigned)(digit - digits);
    }
    return code;
}

static char *put_utf8(char *out, unsigned code) {
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 63));
        *out++ = (char)(0x80 | (code >> 6 & 63));
        *out++ = (char)(0x80 | (code & 63));
    }
    return out;
}

/* A string's content; what an escape says takes no more bytes than the escape. */
static char *unquoted(const char *at, const char *end) {
    char *text = calloc(1, (size_t)(end - at) + 1), *out;
    if (!text) abort();
    out = text;
    for (at++; at < end - 1; at++) {
        if (*at != '\\') {
            *out++ = *at;
            continue;
        }
        at++;
        const char *plain = "\"\"\\\\//b\bf\fn\nr\rt\t";
        if (*at == 'u' && end - at > 5) {
            unsigned code = hex4(at + 1);
            at += 4;
            if (code >= 0xd800 && code < 0xdc00 && at[1] == '\\' && at[2] == 'u' && end - at > 7) {
                unsigned low = hex4(at + 3);
                if (low >= 0xdc00 && low < 0xe000) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
            }
            if ((code >= 0xd800 && code < 0xe000) || code == 0) code = 0xfffd;
            out = put_utf8(out, code);
            continue;
        }
        for (; *plain && *plain != *at; plain += 2) continue;
        *out++ = *plain ? plain[1] : *at;
    }
    return text;
}

char *mynah_json_get(const char *json, const char *path) {
    const char *at = blank(json);
    while (*path) {
        size_t size = strcspn(path, ".");
        const char *found = NULL;
        if (*at != '{' && *at != '[') return NULL;
        if (!members_end(at, 0, path, size, &found) || !found) return NULL;
        at = found;
        path += size + (path[size] == '.');
    }
    const char *end = value_end(at, 0);
    if (!end) return NULL;
    return *at == '"' ? unquoted(at, end) : mynah_format("%.*s", (int)(end - at), at);
}

char *mynah_json_quote(const char *text) {
    /* A control character becomes six. */
    char *quoted = malloc(strlen(text) * 6 + 3), *out = quoted;
    if (!quoted) abort();
    *out++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20) {
            const char *digits = "0123456789abcdef";
            memcpy(out, "\\u00", 4);
            out[4] = digits[c >> 4];
            out[5] = digits[c & 15];
            out += 6;
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    *out = 0;
    return quoted;
}

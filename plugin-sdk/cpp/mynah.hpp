// Write a reply plugin for the Mynah chatbot host in C++: define `handle`.
//
// Every message meets a fresh instance of the program: a global is new each time, and what is to last belongs in the store or in a
// conversation. There are no exceptions here: what can be refused returns `std::expected`, whose `value()` fails the plugin, with the
// refusal in the log.
#pragma once

#include <mynah.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mynah {

/// What the host refuses, with a code to branch on: "not-granted", "too-large", "quota", "unavailable", "timeout", …
struct error {
    std::string code;
    std::string message;

    static error last() { return {mynah_error_code(), mynah_error_message()}; }
};

template <class T>
class result : public std::expected<T, error> {
  public:
    using std::expected<T, error>::expected;

    /// The value; without one the plugin fails, and the log says why.
    decltype(auto) value() {
        if (!this->has_value()) {
            std::fprintf(stderr, "%s: %s\n", this->error().code.c_str(), this->error().message.c_str());
            std::abort();
        }
        if constexpr (!std::is_void_v<T>) return **this;
    }
};

/// What one follower sent to one account. What is not there is empty.
struct message {
    std::string bot;            ///< the bot's name in bots.toml
    std::string account;        ///< the account's original id (ToUserName)
    std::string sender;         ///< the follower's OpenID (FromUserName)
    std::string id;             ///< MsgId
    std::uint32_t created = 0;  ///< CreateTime, in seconds since 1970
    std::string kind;           ///< MsgType in lower case: "text", "image", "voice", "location", "event", …
    std::string text;           ///< what was typed, or heard in a voice message, without white space around it
    std::map<std::string, std::string, std::less<>> captures;  ///< what the rule captured
    std::map<std::string, std::string, std::less<>> fields;    ///< everything else, under WeChat's own names

    /// What the rule captured under this name: "rest" after a prefix, a regex's groups by name and number.
    std::string capture(std::string_view name) const { return value(captures, name); }
    /// A field by WeChat's own name for it: "PicUrl", "MediaId", "Label", "Event", "EventKey", …
    std::string field(std::string_view name) const { return value(fields, name); }

  private:
    static std::string value(const std::map<std::string, std::string, std::less<>> &values, std::string_view name) {
        auto found = values.find(name);
        return found == values.end() ? std::string() : found->second;
    }
};

/// One article of `reply::news`; `picture` and `url` are URLs.
struct article {
    std::string title;
    std::string url;
    std::optional<std::string> description = {};
    std::optional<std::string> picture = {};
};

/// An answer of any kind; a text is one.
class reply {
  public:
    reply(const std::string &text) : made(mynah_text("%s", text.c_str())) {}
    reply(const char *text) : made(mynah_text("%s", text)) {}
    reply(mynah_reply made) : made(made) {}

    /// A picture, by its media id.
    static reply image(const std::string &media_id) { return mynah_image(media_id.c_str()); }
    /// A voice message, by its media id.
    static reply voice(const std::string &media_id) { return mynah_voice(media_id.c_str()); }
    /// A video, by its media id.
    static reply video(const std::string &media_id, const char *title = nullptr, const char *description = nullptr) {
        return mynah_video(media_id.c_str(), title, description);
    }
    /// A piece of music.
    static reply music(const mynah_music &music) { return mynah_play(music); }
    /// Articles. WeChat shows one in answer to a message, up to eight in answer to an event.
    static reply news(const std::vector<article> &articles) {
        std::vector<mynah_article> list;
        auto maybe = [](const std::optional<std::string> &text) { return text ? text->c_str() : nullptr; };
        for (const auto &one : articles)
            list.push_back({one.title.c_str(), one.url.c_str(), maybe(one.description), maybe(one.picture)});
        return mynah_news(list.data(), list.size());
    }
    /// Hand over to human customer service: to one agent's account, or to whoever is free.
    static reply transfer(const char *agent = nullptr) { return mynah_transfer(agent); }
    /// Hand over to the account's own AI answer.
    static reply transfer_to_ai() { return mynah_transfer_to_ai(); }
    /// A reply of a kind that is not listed here: MsgType and its leaves.
    static reply raw(const std::string &kind, const std::map<std::string, std::string> &fields) {
        std::vector<mynah_field> list;
        for (const auto &[name, value] : fields) list.push_back({name.c_str(), value.c_str()});
        return mynah_raw(kind.c_str(), list.data(), list.size());
    }
    /// Acknowledge, say nothing.
    static reply silence() { return mynah_silence(); }
    /// Not mine: the next rule that matches gets the message.
    static reply pass() { return mynah_pass(); }
    /// The plugin failed: the text goes to the log, and the follower gets the bot's `on_error`.
    static reply fail(const std::string &why) { return mynah_fail("%s", why.c_str()); }

    mynah_reply made;
};

/// The plugin: called with each message that a rule gives to it.
reply handle(const message &message);

namespace detail {
inline result<void> done(bool fine) {
    if (fine) return {};
    return std::unexpected(error::last());
}

inline result<std::optional<std::string>> found(bool fine, const mynah_bytes &bytes) {
    if (!fine) return std::unexpected(error::last());
    if (!bytes.data) return std::optional<std::string>();
    return std::optional<std::string>(std::in_place, bytes.data, bytes.size);
}
}  // namespace detail

/// A line in the host's log; stdout and stderr go there too.
inline void log(mynah_level level, const std::string &text) { mynah_log(level, "%s", text.c_str()); }

/// A setting of the plugin's table in bots.toml.
inline std::optional<std::string> config(const std::string &key) {
    const char *value = mynah_config(key.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
}

/// Durable keys and values, committed together with the reply.
namespace store {
/// The value under `key`.
inline result<std::optional<std::string>> get(const std::string &key) {
    mynah_bytes value = {};
    bool fine = mynah_store_get(key.c_str(), &value);
    return detail::found(fine, value);
}
inline result<void> set(const std::string &key, std::string_view value) {
    return detail::done(mynah_store_set(key.c_str(), value.data(), value.size()));
}
inline result<void> remove(const std::string &key) { return detail::done(mynah_store_delete(key.c_str())); }
/// Keys with this prefix in order, those after `after`, at most `limit`.
inline result<std::vector<std::string>> list(const std::string &prefix, const char *after = nullptr,
                                             std::uint32_t limit = 1000) {
    char **keys = nullptr;
    std::size_t count = 0;
    if (!mynah_store_list(prefix.c_str(), after, limit, &keys, &count)) return std::unexpected(error::last());
    return std::vector<std::string>(keys, keys + count);
}
/// Adds to a counter, which begins at 0, and returns the sum.
inline result<std::int64_t> add(const std::string &key, std::int64_t delta = 1) {
    std::int64_t sum = 0;
    if (!mynah_store_add(key.c_str(), delta, &sum)) return std::unexpected(error::last());
    return sum;
}
}  // namespace store

/// A dialogue: this follower's messages come here before any rule.
namespace conversation {
/// What `remember` stored, while the conversation lasts.
inline result<std::optional<std::string>> recall() {
    mynah_bytes state = {};
    bool fine = mynah_recall(&state);
    return detail::found(fine, state);
}
/// Begins the conversation, or goes on with it, for so many seconds from now.
inline result<void> remember(const std::string &state, std::uint32_t seconds = 600) {
    return detail::done(mynah_remember(state.c_str(), seconds));
}
inline result<void> end() { return detail::done(mynah_end()); }
}  // namespace conversation

/// What another host answered, whatever its status.
struct response {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string body;
};

/// Sends an HTTP request to a host that the plugin's `allow.http` names.
inline result<response> http(const std::string &url, const std::string &method = "GET", const std::string &body = "",
                             const std::map<std::string, std::string> &headers = {}) {
    std::vector<mynah_field> fields;
    for (const auto &[name, value] : headers) fields.push_back({name.c_str(), value.c_str()});
    mynah_response received = {};
    mynah_request request = {method.c_str(), url.c_str(), fields.data(), fields.size(), body.data(), body.size()};
    if (!mynah_http(request, &received)) return std::unexpected(error::last());
    response answer{received.status, {}, std::string(received.body.data, received.body.size)};
    for (std::size_t i = 0; i < received.headers_count; i++)
        answer.headers.emplace(received.headers[i].name, received.headers[i].value);
    return answer;
}

/// The WeChat API of the bot's account, where the plugin's `allow.wechat` allows it.
namespace wechat {
/// POSTs `body` (JSON) to a path, or GETs it without one; returns JSON.
inline result<std::string> call(const std::string &path, const std::optional<std::string> &body = {}) {
    const char *answer = mynah_wechat_call(path.c_str(), body ? body->c_str() : nullptr);
    if (!answer) return std::unexpected(error::last());
    return std::string(answer);
}
/// Uploads temporary media ("image", "voice", "video", "thumb") and returns its media id.
inline result<std::string> upload(const std::string &kind, const std::string &file_name, std::string_view data) {
    const char *id = mynah_wechat_upload(kind.c_str(), file_name.c_str(), data.data(), data.size());
    if (!id) return std::unexpected(error::last());
    return std::string(id);
}
/// Downloads temporary media.
inline result<std::string> download(const std::string &media_id) {
    mynah_bytes data = {};
    if (!mynah_wechat_download(media_id.c_str(), &data)) return std::unexpected(error::last());
    return std::string(data.data, data.size);
}
}  // namespace wechat

namespace json {
/// What stands in a JSON text at a path such as "data.0.name": a string's content, anything else as it is written.
inline std::optional<std::string> get(const std::string &json, const std::string &path) {
    const char *value = mynah_json_get(json.c_str(), path.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
}
/// A text as a JSON string, with its quotes.
inline std::string quote(const std::string &text) { return mynah_json_quote(text.c_str()); }
}  // namespace json

}  // namespace mynah

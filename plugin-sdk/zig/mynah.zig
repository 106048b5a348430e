//! Write a reply plugin for the Mynah chatbot host in Zig: a `pub fn handle(message: mynah.Message) !mynah.Reply`.
//!
//! Every message meets a fresh instance of the program: a global is new each time, and what is to last belongs in the store or in a
//! conversation. All memory is given back after the message, so nothing has to be freed.

const std = @import("std");
const c = @import("c");

/// Memory that lasts as long as the message.
pub const allocator = std.heap.c_allocator;

/// The host refused; `refusal` says what. Memory may also be short.
pub const Error = error{ Refused, OutOfMemory };

/// What the host refused last.
pub const Refusal = struct {
    /// "not-granted", "too-large", "quota", "unavailable", "timeout", …
    code: []const u8,
    message: []const u8,
};

pub fn refusal() Refusal {
    return .{ .code = std.mem.span(c.mynah_error_code()), .message = std.mem.span(c.mynah_error_message()) };
}

/// A name and its value.
pub const Field = struct { name: []const u8, value: []const u8 };

/// What one follower sent to one account. What is not there is empty.
pub const Message = struct {
    /// The bot's name in bots.toml.
    bot: []const u8,
    /// The account's original id (ToUserName).
    account: []const u8,
    /// The follower's OpenID (FromUserName).
    sender: []const u8,
    /// MsgId.
    id: []const u8,
    /// CreateTime, in seconds since 1970.
    created: u32,
    /// MsgType in lower case: "text", "image", "voice", "location", "event", …
    kind: []const u8,
    /// What was typed, or heard in a voice message, without white space around it.
    text: []const u8,
    raw: *const c.mynah_message,

    /// What the rule captured under this name: "rest" after a prefix, a regex's groups by name and number.
    pub fn capture(message: Message, name: [:0]const u8) []const u8 {
        return std.mem.span(c.mynah_get_capture(message.raw, name));
    }

    /// A field by WeChat's own name for it: "PicUrl", "MediaId", "Label", "Event", "EventKey", …
    pub fn field(message: Message, name: [:0]const u8) []const u8 {
        return std.mem.span(c.mynah_get_field(message.raw, name));
    }

    pub fn of(received: *const c.mynah_message) Message {
        return .{
            .bot = std.mem.span(received.bot),
            .account = std.mem.span(received.account),
            .sender = std.mem.span(received.sender),
            .id = std.mem.span(received.id),
            .created = received.created,
            .kind = std.mem.span(received.kind),
            .text = std.mem.span(received.text),
            .raw = received,
        };
    }
};

/// One article of `news`; `picture` and `url` are URLs.
pub const Article = struct {
    title: []const u8,
    url: []const u8,
    description: ?[]const u8 = null,
    picture: ?[]const u8 = null,
};

/// An answer; made by the functions below.
pub const Reply = c.mynah_reply;

/// A text, as std.fmt makes it.
pub fn text(comptime format: []const u8, values: anytype) Error!Reply {
    return c.mynah_text("%s", (try print(format, values)).ptr);
}

/// A picture, by its media id.
pub fn image(media_id: []const u8) Error!Reply {
    return c.mynah_image(try terminated(media_id));
}

/// A voice message, by its media id.
pub fn voice(media_id: []const u8) Error!Reply {
    return c.mynah_voice(try terminated(media_id));
}

/// A video, by its media id.
pub fn video(media_id: []const u8, title: ?[]const u8, description: ?[]const u8) Error!Reply {
    return c.mynah_video(try terminated(media_id), try maybe(title), try maybe(description));
}

/// A piece of music.
pub const Music = struct {
    thumb_media_id: []const u8,
    title: ?[]const u8 = null,
    description: ?[]const u8 = null,
    url: ?[]const u8 = null,
    hq_url: ?[]const u8 = null,
};

/// A piece of music.
pub fn play(music: Music) Error!Reply {
    return c.mynah_play(.{
        .thumb_media_id = try terminated(music.thumb_media_id),
        .title = try maybe(music.title),
        .description = try maybe(music.description),
        .url = try maybe(music.url),
        .hq_url = try maybe(music.hq_url),
    });
}

/// Articles. WeChat shows one in answer to a message, up to eight in answer to an event.
pub fn news(articles: []const Article) Error!Reply {
    const list = try allocator.alloc(c.mynah_article, articles.len);
    for (articles, list) |article, *one| one.* = .{
        .title = try terminated(article.title),
        .url = try terminated(article.url),
        .description = try maybe(article.description),
        .picture = try maybe(article.picture),
    };
    return c.mynah_news(list.ptr, list.len);
}

/// Hand over to human customer service: to one agent's account, or to whoever is free.
pub fn transfer(agent: ?[]const u8) Error!Reply {
    return c.mynah_transfer(try maybe(agent));
}

/// Hand over to the account's own AI answer.
pub fn transferToAi() Reply {
    return c.mynah_transfer_to_ai();
}

/// A reply of a kind that is not listed here: MsgType and its leaves.
pub fn raw(kind: []const u8, leaves: []const Field) Error!Reply {
    const list = try fields(leaves);
    return c.mynah_raw(try terminated(kind), list.ptr, list.len);
}

/// Acknowledge, say nothing.
pub fn silence() Reply {
    return c.mynah_silence();
}

/// Not mine: the next rule that matches gets the message.
pub fn pass() Reply {
    return c.mynah_pass();
}

/// A line in the host's log; std.debug.print is one too.
pub fn log(level: enum(c_uint) { debug, info, warn, err }, comptime format: []const u8, values: anytype) void {
    const line = print(format, values) catch return;
    c.mynah_log(@intCast(@intFromEnum(level)), "%s", line.ptr);
}

/// A setting of the plugin's table in bots.toml.
pub fn config(key: []const u8) Error!?[]const u8 {
    const value = c.mynah_config(try terminated(key));
    return if (value == null) null else std.mem.span(value);
}

/// Durable keys and values, committed together with the reply.
pub const store = struct {
    /// The value under `key`.
    pub fn get(key: []const u8) Error!?[]const u8 {
        var value: c.mynah_bytes = undefined;
        try done(c.mynah_store_get(try terminated(key), &value));
        return bytes(value);
    }

    pub fn set(key: []const u8, value: []const u8) Error!void {
        try done(c.mynah_store_set(try terminated(key), value.ptr, value.len));
    }

    pub fn delete(key: []const u8) Error!void {
        try done(c.mynah_store_delete(try terminated(key)));
    }

    /// Keys with this prefix in order, those after `after`, at most `limit`.
    pub fn list(prefix: []const u8, after: ?[]const u8, limit: u32) Error![][]const u8 {
        var found: [*c][*c]u8 = null;
        var count: usize = 0;
        try done(c.mynah_store_list(try terminated(prefix), try maybe(after), limit, &found, &count));
        const keys = try allocator.alloc([]const u8, count);
        for (keys, 0..) |*key, i| key.* = std.mem.span(found[i]);
        return keys;
    }

    /// Adds to a counter, which begins at 0, and returns the sum.
    pub fn add(key: []const u8, delta: i64) Error!i64 {
        var sum: i64 = 0;
        try done(c.mynah_store_add(try terminated(key), delta, &sum));
        return sum;
    }
};

/// A dialogue: this follower's messages come here before any rule.
pub const conversation = struct {
    /// What `remember` stored, while the conversation lasts.
    pub fn recall() Error!?[]const u8 {
        var state: c.mynah_bytes = undefined;
        try done(c.mynah_recall(&state));
        return bytes(state);
    }

    /// Begins the conversation, or goes on with it, for so many seconds from now.
    pub fn remember(state: []const u8, seconds: u32) Error!void {
        try done(c.mynah_remember(try terminated(state), seconds));
    }

    pub fn end() Error!void {
        try done(c.mynah_end());
    }
};

/// What another host is asked.
pub const Request = struct {
    method: []const u8 = "GET",
    url: []const u8,
    headers: []const Field = &.{},
    body: []const u8 = "",
};

/// What it answered, whatever its status.
pub const Response = struct { status: u16, headers: []const Field, body: []const u8 };

/// Sends an HTTP request to a host that the plugin's `allow.http` names.
pub fn http(request: Request) Error!Response {
    const headers = try fields(request.headers);
    var received: c.mynah_response = undefined;
    try done(c.mynah_http(.{
        .method = try terminated(request.method),
        .url = try terminated(request.url),
        .headers = headers.ptr,
        .headers_count = headers.len,
        .body = request.body.ptr,
        .body_size = request.body.len,
    }, &received));
    const list = try allocator.alloc(Field, received.headers_count);
    for (list, 0..) |*field, i| field.* = .{
        .name = std.mem.span(received.headers[i].name),
        .value = std.mem.span(received.headers[i].value),
    };
    return .{ .status = received.status, .headers = list, .body = bytes(received.body) orelse "" };
}

/// The WeChat API of the bot's account, where the plugin's `allow.wechat` allows it.
pub const wechat = struct {
    /// POSTs `body` (JSON) to a path, or GETs it without one; returns JSON.
    pub fn call(path: []const u8, body: ?[]const u8) Error![]const u8 {
        return some(c.mynah_wechat_call(try terminated(path), try maybe(body)));
    }

    /// Uploads temporary media ("image", "voice", "video", "thumb") and returns its media id.
    pub fn upload(kind: []const u8, file_name: []const u8, data: []const u8) Error![]const u8 {
        return some(c.mynah_wechat_upload(try terminated(kind), try terminated(file_name), data.ptr, data.len));
    }

    /// Downloads temporary media.
    pub fn download(media_id: []const u8) Error![]const u8 {
        var data: c.mynah_bytes = undefined;
        try done(c.mynah_wechat_download(try terminated(media_id), &data));
        return bytes(data) orelse "";
    }
};

/// A text, as std.fmt makes it.
pub fn print(comptime format: []const u8, values: anytype) Error![:0]const u8 {
    return terminated(try std.fmt.allocPrint(allocator, format, values));
}

fn terminated(string: []const u8) Error![:0]const u8 {
    const copy = try allocator.allocSentinel(u8, string.len, 0);
    @memcpy(copy, string);
    return copy;
}

fn maybe(string: ?[]const u8) Error![*c]const u8 {
    return if (string) |some_string| (try terminated(some_string)).ptr else null;
}

fn fields(list: []const Field) Error![]c.mynah_field {
    const copies = try allocator.alloc(c.mynah_field, list.len);
    for (list, copies) |field, *copy| copy.* = .{
        .name = try terminated(field.name),
        .value = try terminated(field.value),
    };
    return copies;
}

fn done(fine: bool) Error!void {
    if (!fine) return error.Refused;
}

fn some(string: [*c]u8) Error![]const u8 {
    return if (string == null) error.Refused else std.mem.span(string);
}

fn bytes(value: c.mynah_bytes) ?[]const u8 {
    return if (value.data == null) null else value.data[0..value.size];
}

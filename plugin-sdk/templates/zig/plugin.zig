//! plugin-name: answers 「plugin-name …」.

const mynah = @import("mynah");

pub fn handle(message: mynah.Message) !mynah.Reply {
    if (try mynah.conversation.recall()) |_| {
        try mynah.conversation.end();
        const label = message.field("Label");
        return mynah.text("{s}，好地方！", .{if (label.len > 0) label else message.text});
    }
    const words = message.capture("rest");
    if (words.len > 0) {
        const times = try mynah.store.add(try mynah.print("times/{s}", .{message.sender}), 1);
        return mynah.text("第 {d} 次听你说：{s}", .{ times, words });
    }
    try mynah.conversation.remember("where", 600);
    return mynah.text("你在哪里？打字，或者发个位置。", .{});
}

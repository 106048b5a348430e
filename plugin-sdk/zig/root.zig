//! The C side's `handle`, which calls the plugin's.

const c = @import("c");
const mynah = @import("mynah");
const plugin = @import("plugin");

export fn handle(message: *const c.mynah_message) c.mynah_reply {
    return plugin.handle(mynah.Message.of(message)) catch |problem| {
        if (problem == error.Refused) return c.mynah_fail_refused();
        return c.mynah_fail("%s", @as([*:0]const u8, @errorName(problem)));
    };
}

// The C side's `handle`, which calls the C++ one.

#include "mynah.hpp"

extern "C" mynah_reply handle(const mynah_message *received) {
    mynah::message message{received->bot, received->account, received->sender, received->id, received->created,
                           received->kind, received->text, {}, {}};
    for (std::size_t i = 0; i < received->captures_count; i++)
        message.captures.emplace(received->captures[i].name, received->captures[i].value);
    for (std::size_t i = 0; i < received->fields_count; i++)
        message.fields.emplace(received->fields[i].name, received->fields[i].value);
    return mynah::handle(message).made;
}

// plugin-name: answers 「plugin-name …」.

#include <mynah.hpp>

mynah::reply mynah::handle(const message &message) {
    if (conversation::recall().value()) {
        conversation::end().value();
        std::string place = message.field("Label");
        return (place.empty() ? message.text : place) + "，好地方！";
    }
    if (std::string words = message.capture("rest"); !words.empty()) {
        auto times = store::add("times/" + message.sender).value();
        return "第 " + std::to_string(times) + " 次听你说：" + words;
    }
    conversation::remember("where").value();
    return "你在哪里？打字，或者发个位置。";
}

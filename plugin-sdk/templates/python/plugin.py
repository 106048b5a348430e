"""plugin-name: answers 「plugin-name …」."""

from mynah import Message, ask, plugin, store


@plugin
def handle(message: Message) -> str:
    if words := message.capture("rest"):
        times = store.add(f"times/{message.sender}", 1)
        return f"第 {times} 次听你说：{words}"
    answer = ask("你在哪里？打字，或者发个位置。")
    place = answer.field("Label") or answer.text
    return f"{place}，好地方！"

// plugin-name: answers 「plugin-name …」.

import { Message, Reply, conversation, storage } from "../mynah/index";

export function plugin(message: Message): Reply {
  if (conversation.recall() !== null) {
    conversation.end();
    const label = message.field("Label");
    return Reply.text(`${label.length > 0 ? label : message.text}，好地方！`);
  }
  const words = message.capture("rest");
  if (words.length > 0) {
    const times = storage.add(`times/${message.sender}`);
    return Reply.text(`第 ${times.toString()} 次听你说：${words}`);
  }
  conversation.remember("where");
  return Reply.text("你在哪里？打字，或者发个位置。");
}

// plugin-name: answers 「plugin-name …」.

import { type Answer, type Message, ask, store } from "mynah";

export default function handle(message: Message): Answer {
  const words = message.capture("rest");
  if (words) {
    const times = store.add(`times/${message.sender}`);
    return `第 ${times} 次听你说：${words}`;
  }
  const answer = ask("你在哪里？打字，或者发个位置。");
  const place = answer.field("Label") || answer.text;
  return `${place}，好地方！`;
}

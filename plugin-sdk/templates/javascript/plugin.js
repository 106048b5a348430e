// plugin-name: answers 「plugin-name …」.

import { ask, store } from "mynah";

/** @param {import("mynah").Message} message */
export default function handle(message) {
  const words = message.capture("rest");
  if (words) {
    const times = store.add(`times/${message.sender}`);
    return `第 ${times} 次听你说：${words}`;
  }
  const answer = ask("你在哪里？打字，或者发个位置。");
  const place = answer.field("Label") || answer.text;
  return `${place}，好地方！`;
}

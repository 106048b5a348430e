import { type Answer, type Message, config } from "mynah";

export default async function handle(message: Message): Promise<Answer> {
  if (message.capture("rest") === "fail") throw new Error("on purpose");
  const answer = await fetch(config.get("url")!, { method: "POST", headers: { "X-Ping": "1" }, body: "ping 乒" });
  console.log("fetched from", new URL(answer.url || config.get("url")!).hostname);
  return `${answer.status} ${answer.headers.get("x-pong")} ${await answer.text()}`;
}

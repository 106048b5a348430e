// plugin-name: answers 「plugin-name …」.
package main

import "bot.example/plugin-name/mynah"

func init() { mynah.Handle(handle) }

func handle(message mynah.Message) (mynah.Reply, error) {
	if words := message.Capture("rest"); words != "" {
		times, err := mynah.Store.Add("times/"+message.Sender, 1)
		return mynah.Textf("第 %d 次听你说：%s", times, words), err
	}
	answer := mynah.Ask("你在哪里？打字，或者发个位置。")
	place := answer.Field("Label")
	if place == "" {
		place = answer.Text
	}
	return mynah.Textf("%s，好地方！", place), nil
}

func main() {}

package main

import (
	"errors"
	"log/slog"
	"strings"

	"bot.example/everything-go/mynah"
)

func init() { mynah.Handle(handle) }

func code(err error) mynah.Reply {
	var refused *mynah.Error
	if errors.As(err, &refused) {
		return mynah.Text(refused.Code)
	}
	return mynah.Text("fine")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func handle(m mynah.Message) (mynah.Reply, error) {
	word := m.Capture("rest")
	switch word {
	case "image":
		return mynah.Image("m"), nil
	case "voice":
		return mynah.Voice("m"), nil
	case "video":
		return mynah.Video{MediaID: "m", Title: "标题", Description: "描述"}, nil
	case "video-":
		return mynah.Video{MediaID: "m"}, nil
	case "music":
		return mynah.Music{ThumbMediaID: "m", Title: "t", Description: "d", URL: "http://a/", HQURL: "http://b/"}, nil
	case "music-":
		return mynah.Music{ThumbMediaID: "m"}, nil
	case "news":
		return mynah.News(
			mynah.Article{Title: "一", URL: "http://a/", Description: "d", Picture: "http://p/"},
			mynah.Article{Title: "二", URL: "http://b/"},
		), nil
	case "transfer":
		return mynah.Transfer(""), nil
	case "agent":
		return mynah.Transfer("a@b"), nil
	case "ai":
		return mynah.TransferToAI(), nil
	case "raw":
		return mynah.Raw("transfer_customer_service", mynah.Field{Name: "TransInfo.KfAccount", Value: "c@d"}), nil
	case "silence":
		return mynah.Silence(), nil
	case "pass":
		return nil, nil
	case "fail":
		panic("on purpose")
	case "store":
		must := func(err error) {
			if err != nil {
				panic(err)
			}
		}
		must(mynah.Store.Set("k/a", []byte("甲")))
		must(mynah.Store.Set("k/b", []byte("乙")))
		first, err := mynah.Store.List("k/", "", 1)
		must(err)
		second, err := mynah.Store.List("k/", "k/a", 9)
		must(err)
		value, err := mynah.Store.Get("k/a")
		must(err)
		must(mynah.Store.Delete("k/a"))
		gone, err := mynah.Store.Get("k/a")
		must(err)
		one, err := mynah.Store.Add("n", 9007199254740000)
		must(err)
		two, err := mynah.Store.Add("n", -9007199254739990)
		return mynah.Textf("%s, %s, %s, %s, %d", strings.Join(first, " "), strings.Join(second, " "),
			orDash(string(value)), orDash(string(gone)), one+two), err
	case "refused":
		_, err := mynah.Store.Get("")
		return code(err), nil
	case "config":
		return mynah.Text(orDash(mynah.Config("greeting")) + " " + orDash(mynah.Config("none"))), nil
	case "log":
		slog.Warn("noted 记下了")
		return mynah.Text("logged"), nil
	case "http":
		answer, err := mynah.Send(mynah.Request{
			Method: "POST",
			URL:    mynah.Config("url"),
			Header: []mynah.Field{{Name: "X-Ping", Value: "1"}},
			Body:   []byte("ping 乒"),
		})
		if err != nil {
			return nil, err
		}
		header := "-"
		for _, field := range answer.Header {
			if strings.EqualFold(field.Name, "x-pong") {
				header = field.Value
			}
		}
		return mynah.Textf("%d %s %s", answer.Status, header, answer.Body), nil
	case "elsewhere":
		_, err := mynah.Send(mynah.Request{URL: "http://example.com/"})
		return code(err), nil
	case "wechat":
		return code(mynah.WeChat.Call("/cgi-bin/x", map[string]string{}, nil)), nil
	case "upload":
		_, err := mynah.WeChat.Upload("image", "a.png", []byte("x"))
		return code(err), nil
	case "download":
		_, err := mynah.WeChat.Download("m")
		return code(err), nil
	}
	return mynah.Textf("%s|%s|%s|%s|%s|%s|%s|%t", m.Bot, m.Account, m.Sender, m.ID, m.Kind, m.Text, word,
		m.Created > 1_600_000_000), nil
}

func main() {}

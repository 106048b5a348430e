package mynah

import "fmt"

// Reply is an answer of any kind. Nil is Pass.
type Reply interface{ isReply() }

type (
	textReply         string
	imageReply        string
	voiceReply        string
	newsReply         []Article
	transferReply     string
	transferToAIReply struct{}
	silenceReply      struct{}
	passReply         struct{}
	rawReply          struct {
		kind   string
		fields []Field
	}
)

// Video is a reply; only MediaID is needed.
type Video struct {
	MediaID     string
	Title       string
	Description string
}

// Music is a reply; only ThumbMediaID is needed.
type Music struct {
	ThumbMediaID string
	Title        string
	Description  string
	URL          string
	HQURL        string
}

// Article is one article of News; Picture and URL are URLs.
type Article struct {
	Title       string
	URL         string
	Description string
	Picture     string
}

func (textReply) isReply()         {}
func (imageReply) isReply()        {}
func (voiceReply) isReply()        {}
func (newsReply) isReply()         {}
func (transferReply) isReply()     {}
func (transferToAIReply) isReply() {}
func (silenceReply) isReply()      {}
func (passReply) isReply()         {}
func (rawReply) isReply()          {}
func (Video) isReply()             {}
func (Music) isReply()             {}

// Text is a text.
func Text(text string) Reply { return textReply(text) }

// Textf is a text as fmt makes it.
func Textf(format string, values ...any) Reply { return textReply(fmt.Sprintf(format, values...)) }

// Image is a picture, by its media id: one that a follower sent, or that WeChat.Upload gave.
func Image(mediaID string) Reply { return imageReply(mediaID) }

// Voice is a voice message, by its media id.
func Voice(mediaID string) Reply { return voiceReply(mediaID) }

// News is articles. WeChat shows one in answer to a message, up to eight in answer to an event.
func News(articles ...Article) Reply { return newsReply(articles) }

// Transfer hands over to human customer service: to one agent's account, or with "" to whoever is free.
func Transfer(agent string) Reply { return transferReply(agent) }

// TransferToAI hands over to the account's own AI answer.
func TransferToAI() Reply { return transferToAIReply{} }

// Raw is a reply of a kind that is not listed here: MsgType, and its leaves, named as in Message.Fields.
func Raw(kind string, fields ...Field) Reply { return rawReply{kind, fields} }

// Silence acknowledges and says nothing.
func Silence() Reply { return silenceReply{} }

// Pass lets the next rule that matches answer.
func Pass() Reply { return passReply{} }

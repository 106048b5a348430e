// Package mynah is for writing a reply plugin for the Mynah chatbot host:
//
//	func init() { mynah.Handle(handle) }
//
//	func handle(message mynah.Message) (mynah.Reply, error) {
//		return mynah.Text("你说的是：" + message.Text), nil
//	}
//
//	func main() {}
//
// Every message meets a fresh instance of the program: a global is new each time, and what is to last belongs in Store, or in a
// dialogue.
package mynah

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
)

// Handler answers a message. A nil reply lets the next rule answer; an error goes to the log, and the follower gets the bot's
// on_error.
type Handler func(message Message) (Reply, error)

var handler Handler

// Handle makes a function the plugin; called once, in func init.
func Handle(function Handler) { handler = function }

// Error is what the host refuses, with a code to branch on: "not-granted", "too-large", "quota", "unavailable", "timeout", …
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Field is a name and its value.
type Field struct {
	Name  string
	Value string
}

// Message is what one follower sent to one account.
type Message struct {
	// Bot is the bot's name in bots.toml.
	Bot string
	// Account is the account's original id (ToUserName).
	Account string
	// Sender is the follower's OpenID (FromUserName).
	Sender string
	// ID is MsgId; empty where WeChat gives none.
	ID string
	// Created is CreateTime, in seconds since 1970.
	Created uint32
	// Kind is MsgType in lower case: "text", "image", "voice", "video", "location", "link", "event", …
	Kind string
	// Text is what was typed, or heard in a voice message, without white space around it.
	Text string
	// Captures is what the rule captured; see Capture.
	Captures []Field
	// Fields is everything else, under WeChat's own names; see Field.
	Fields []Field
}

// Capture is what the rule captured under this name: "rest" after a prefix, a regex's groups by name and number.
func (m Message) Capture(name string) string { return value(m.Captures, name) }

// Field is a field by WeChat's own name for it: "PicUrl", "MediaId", "Label", "Event", "EventKey", …
func (m Message) Field(name string) string { return value(m.Fields, name) }

// Event is the event's name in lower case, such as "subscribe"; empty for what is no event.
func (m Message) Event() string {
	if m.Kind != "event" {
		return ""
	}
	return strings.ToLower(m.Field("Event"))
}

// Time is when the message was sent, in China's time zone.
func (m Message) Time() time.Time {
	return time.Unix(int64(m.Created), 0).In(time.FixedZone("Asia/Shanghai", 8*60*60))
}

func value(fields []Field, name string) string {
	for _, field := range fields {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}

func stack() string { return strings.TrimSpace(string(debug.Stack())) }

// Config is a setting of the plugin's table in bots.toml; empty if it has none of that name.
func Config(key string) string {
	name, size := lendText(key)
	hostConfigGet(name, size, area())
	if returned[0]&0xff == 0 {
		return ""
	}
	return textAt(returned[1], returned[2])
}

// Store holds durable keys and values of this plugin for this bot. They are committed together with the reply, or not at all; two
// messages at once never mix. All followers share the keys: put Message.Sender in a key that belongs to one of them.
var Store storage

type storage struct{}

// Get is the value under a key; nil if there is none.
func (storage) Get(key string) ([]byte, error) {
	name, size := lendText(key)
	hostStoreGet(name, size, area())
	return maybeBytes()
}

// GetJSON reads what SetJSON took; it says whether there was something.
func (s storage) GetJSON(key string, into any) (bool, error) {
	data, err := s.Get(key)
	if err != nil || data == nil {
		return false, err
	}
	return true, json.Unmarshal(data, into)
}

// Set puts a value under a key.
func (storage) Set(key string, value []byte) error {
	wrote("Store.Set")
	name, nameSize := lendText(key)
	data, size := lend(value)
	hostStoreSet(name, nameSize, data, size, area())
	return refused(1)
}

// SetJSON puts anything that JSON can hold under a key.
func (s storage) SetJSON(key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.Set(key, data)
}

// Delete removes a key and its value.
func (storage) Delete(key string) error {
	wrote("Store.Delete")
	name, size := lendText(key)
	hostStoreDelete(name, size, area())
	return refused(1)
}

// List is the keys with this prefix in order, those after `after` (which may be empty), at most `limit`.
func (storage) List(prefix, after string, limit int) ([]string, error) {
	begin, beginSize := lendText(prefix)
	last, lastSize := lendText(after)
	has := uint32(0)
	if after != "" {
		has = 1
	}
	hostStoreList(begin, beginSize, has, last, lastSize, uint32(max(limit, 0)), area())
	if err := refused(1); err != nil {
		return nil, err
	}
	list := wordsAt(returned[1], returned[2]*2)
	keys := make([]string, 0, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		keys = append(keys, textAt(list[i], list[i+1]))
	}
	return keys, nil
}

// Add adds to the counter under a key, which begins at 0, and returns the sum.
func (storage) Add(key string, delta int64) (int64, error) {
	wrote("Store.Add")
	name, size := lendText(key)
	hostStoreAdd(name, size, delta, area())
	// The sum is eight bytes, so it begins at word 2.
	if err := refused(2); err != nil {
		return 0, err
	}
	return int64(uint64(returned[2]) | uint64(returned[3])<<32), nil
}

// Conversation is a dialogue with one follower in the host's own terms; Ask is the friendlier way. From Remember on, everything that
// this follower says comes to this plugin before any rule is looked at. Events never come this way.
var Conversation conversation

type conversation struct{}

// Recall is what Remember stored, while the conversation lasts; nil outside one.
func (conversation) Recall() ([]byte, error) {
	hostRecall(area())
	return maybeBytes()
}

// Remember begins the conversation, or goes on with it, for so long from now.
func (conversation) Remember(state []byte, lasting time.Duration) error {
	data, size := lend(state)
	hostRemember(data, size, uint32(lasting/time.Second), area())
	return refused(1)
}

// End ends the conversation; without one it does nothing.
func (conversation) End() error {
	hostEnd(area())
	return refused(1)
}

func maybeBytes() ([]byte, error) {
	if err := refused(1); err != nil || returned[1]&0xff == 0 {
		return nil, err
	}
	return bytesAt(returned[2], returned[3]), nil
}

// Request is an HTTP request; an empty Method is GET.
type Request struct {
	Method string
	URL    string
	Header []Field
	Body   []byte
}

// Response is what the other side answered, whatever its status.
type Response struct {
	Status int
	Header []Field
	Body   []byte
}

// Send sends an HTTP request to a host that the plugin's allow.http names, and returns when the answer is there.
func Send(request Request) (*Response, error) {
	if request.Method == "" {
		request.Method = "GET"
	}
	if request.Method != "GET" && request.Method != "HEAD" {
		wrote("Send")
	}
	method, methodSize := lendText(request.Method)
	url, urlSize := lendText(request.URL)
	headers, headerCount := lendFields(request.Header)
	body, bodySize := lend(request.Body)
	hostSend(method, methodSize, url, urlSize, headers, headerCount, body, bodySize, area())
	if err := refused(1); err != nil {
		return nil, err
	}
	return &Response{
		Status: int(returned[1] & 0xffff),
		Header: fieldsAt(returned[2], returned[3]),
		Body:   bytesAt(returned[4], returned[5]),
	}, nil
}

// WeChat is the WeChat API of the bot's account, where allow.wechat allows it. The host holds the app secret and the access token.
var WeChat weChat

type weChat struct{}

// Call POSTs `body` as JSON to a path such as "/cgi-bin/message/custom/send", or GETs it if `body` is nil, and reads the answer into
// `into`, which may be nil. An errcode is an *Error.
func (weChat) Call(path string, body, into any) error {
	where, whereSize := lendText(path)
	has, text := uint32(0), []byte(nil)
	if body != nil {
		wrote("WeChat.Call")
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
		has = 1
	}
	data, size := lend(text)
	hostCall(where, whereSize, has, data, size, area())
	if err := refused(1); err != nil || into == nil {
		return err
	}
	return json.Unmarshal(bytesAt(returned[1], returned[2]), into)
}

// Upload uploads temporary media ("image", "voice", "video", "thumb") and returns its media id.
func (weChat) Upload(kind, fileName string, content []byte) (string, error) {
	wrote("WeChat.Upload")
	what, whatSize := lendText(kind)
	name, nameSize := lendText(fileName)
	data, size := lend(content)
	hostUpload(what, whatSize, name, nameSize, data, size, area())
	if err := refused(1); err != nil {
		return "", err
	}
	return textAt(returned[1], returned[2]), nil
}

// Download downloads temporary media.
func (weChat) Download(mediaID string) ([]byte, error) {
	id, size := lendText(mediaID)
	hostDownload(id, size, area())
	if err := refused(1); err != nil {
		return nil, err
	}
	return bytesAt(returned[1], returned[2]), nil
}

// hostHandler brings the lines of log/slog to the host's log; those of fmt and log go there as they are.
type hostHandler struct{ attributes string }

func (hostHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h hostHandler) Handle(_ context.Context, record slog.Record) error {
	level := uint32(0)
	switch {
	case record.Level >= slog.LevelError:
		level = 3
	case record.Level >= slog.LevelWarn:
		level = 2
	case record.Level >= slog.LevelInfo:
		level = 1
	}
	line := record.Message + h.attributes
	record.Attrs(func(attribute slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", attribute.Key, attribute.Value)
		return true
	})
	text, size := lendText(line)
	hostLog(level, text, size)
	return nil
}

func (h hostHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	for _, attribute := range attributes {
		h.attributes += fmt.Sprintf(" %s=%v", attribute.Key, attribute.Value)
	}
	return h
}

func (h hostHandler) WithGroup(string) slog.Handler { return h }

func init() { slog.SetDefault(slog.New(hostHandler{})) }

package mynah

import (
	"encoding/json"
	"fmt"
	"time"
)

// A dialogue written as if the follower answered at once. Each answer runs the handler again, from its beginning and with its first
// message; Ask then returns what was answered before, and the question that has no answer yet goes out. What was asked and answered
// is the conversation's state.

const mark = "mynah.ask"

// asked leaves the handler; the question is its answer.
type asked string

type entry struct {
	Name   string          `json:"name"`
	Answer *Message        `json:"answer,omitempty"`
	Done   json.RawMessage `json:"done,omitempty"`
}

type dialogue struct {
	Is      string  `json:"is"`
	First   Message `json:"first"`
	Journal []entry `json:"journal"`

	at      int
	written string
	within  int
}

var current dialogue

// Ask sends the follower a question and returns the message that answers it; they have ten minutes for that.
//
// The handler runs again from its beginning with each answer, so write after the last question, or within Once. A question leaves
// the handler by a panic: do not recover from it.
func Ask(question string) Message { return AskWithin(question, 10*time.Minute) }

// AskWithin is Ask with so much time for the answer.
func AskWithin(question string, lasting time.Duration) Message {
	if known := next(question); known != nil && known.Answer != nil {
		return *known.Answer
	}
	if current.written != "" {
		panic(fmt.Sprintf("%s before Ask(%q): what comes before a question runs again with each answer; "+
			"write after the last question, or within Once", current.written, question))
	}
	current.Journal = append(current.Journal[:current.at], entry{Name: question})
	state, err := json.Marshal(current)
	if err == nil {
		err = Conversation.Remember(state, lasting)
	}
	if err != nil {
		panic(err)
	}
	panic(asked(question))
}

// Once does something once in a dialogue, however many questions follow, and returns what it returned, which JSON must be able to
// hold.
func Once[T any](work func() (T, error)) (T, error) {
	const name = "once"
	var value T
	if known := next(name); known != nil && known.Done != nil {
		return value, json.Unmarshal(known.Done, &value)
	}
	current.within++
	value, err := work()
	current.within--
	if err != nil {
		return value, err
	}
	done, err := json.Marshal(value)
	current.Journal = append(current.Journal[:current.at], entry{Name: name, Done: done})
	current.at++
	return value, err
}

// next is what the journal says came next. A dialogue that went another way, such as in a newer version of the plugin, goes on from
// here.
func next(name string) *entry {
	if current.at >= len(current.Journal) || current.Journal[current.at].Name != name {
		current.Journal = current.Journal[:min(current.at, len(current.Journal))]
		return nil
	}
	current.at++
	return &current.Journal[current.at-1]
}

// wrote is told of what a second run would change again.
func wrote(what string) {
	if current.within == 0 && current.written == "" {
		current.written = what
	}
}

// dialogueRun calls the handler with the dialogue's first message, or with this one if there is none.
func dialogueRun(message Message) (Reply, error) {
	current = dialogue{Is: mark, First: message}
	underWay := false
	// An event is never an answer: it comes by a rule, whatever dialogue is under way.
	if message.Kind != "event" {
		state, err := Conversation.Recall()
		if err != nil {
			return nil, err
		}
		var known dialogue
		if json.Unmarshal(state, &known) == nil && known.Is == mark && len(known.Journal) > 0 {
			known.Journal[len(known.Journal)-1].Answer = &message
			current, underWay = known, true
		}
	}
	reply, err := handler(current.First)
	if err == nil && underWay {
		err = Conversation.End()
	}
	return reply, err
}

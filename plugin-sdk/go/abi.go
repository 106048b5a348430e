package mynah

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// The contract, mynah:bot@0.1.0, as the component model's canonical ABI lays it out. Records and variants are frozen once released,
// so that what stands here by hand stays true; a test calls each function and makes each reply.

// words is memory as the host sees it: pointers and lengths take four bytes there, and eight in Go.
type words [16]uint32

var (
	// The host writes results here. One at a time: a call of the host does not come back before it is done.
	returned words
	// Where the export's result is.
	result words
	// The host holds pointers that the collector does not see.
	held [][]byte
)

// arena serves what the host allocates for its texts: a collection within such a call would ask the host for the time, which is not
// allowed there.
var arena [256 << 10]byte
var arenaUsed uintptr

//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused bool)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	at := (arenaUsed + uintptr(align) - 1) &^ (uintptr(align) - 1)
	if at+uintptr(size) <= uintptr(len(arena)) {
		arenaUsed = at + uintptr(size)
		return unsafe.Pointer(&arena[min(at, uintptr(len(arena)-1))])
	}
	pauseClock(true)
	memory := make([]uint64, size/8+1)
	held = append(held, unsafe.Slice((*byte)(unsafe.Pointer(&memory[0])), size))
	pauseClock(false)
	return unsafe.Pointer(&memory[0])
}

// lend copies bytes to where they stay until the message is over.
func lend(data []byte) (uint32, uint32) {
	if len(data) == 0 {
		return 1, 0
	}
	copied := append([]byte(nil), data...)
	held = append(held, copied)
	return uint32(uintptr(unsafe.Pointer(&copied[0]))), uint32(len(copied))
}

func lendText(text string) (uint32, uint32) { return lend([]byte(text)) }

// lendWords is an array of records.
func lendWords(list []uint32) uint32 {
	if len(list) == 0 {
		return 4
	}
	copied := append([]uint32(nil), list...)
	held = append(held, unsafe.Slice((*byte)(unsafe.Pointer(&copied[0])), len(copied)*4))
	return uint32(uintptr(unsafe.Pointer(&copied[0])))
}

func lendFields(fields []Field) (uint32, uint32) {
	var list []uint32
	for _, field := range fields {
		name, nameSize := lendText(field.Name)
		value, valueSize := lendText(field.Value)
		list = append(list, name, nameSize, value, valueSize)
	}
	return lendWords(list), uint32(len(fields))
}

func at(pointer uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(pointer)) }

func bytesAt(pointer, size uint32) []byte {
	if size == 0 {
		return []byte{}
	}
	return append([]byte{}, unsafe.Slice((*byte)(at(pointer)), size)...)
}

func textAt(pointer, size uint32) string { return string(bytesAt(pointer, size)) }

func wordsAt(pointer, count uint32) []uint32 {
	if count == 0 {
		return nil
	}
	return unsafe.Slice((*uint32)(at(pointer)), count)
}

func fieldsAt(pointer, count uint32) []Field {
	list := wordsAt(pointer, count*4)
	fields := make([]Field, count)
	for i := range fields {
		one := list[i*4 : i*4+4]
		fields[i] = Field{textAt(one[0], one[1]), textAt(one[2], one[3])}
	}
	return fields
}

// refused reads a result's error, whose texts begin at this word; nil if it is none.
func refused(from int) error {
	if returned[0]&0xff == 0 {
		return nil
	}
	return &Error{textAt(returned[from], returned[from+1]), textAt(returned[from+2], returned[from+3])}
}

func area() unsafe.Pointer { return unsafe.Pointer(&returned) }

//go:wasmimport mynah:bot/log@0.1.0 log
func hostLog(level, text, size uint32)

//go:wasmimport mynah:bot/config@0.1.0 get
func hostConfigGet(key, size uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/conversation@0.1.0 recall
func hostRecall(result unsafe.Pointer)

//go:wasmimport mynah:bot/conversation@0.1.0 remember
func hostRemember(state, size, seconds uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/conversation@0.1.0 end
func hostEnd(result unsafe.Pointer)

//go:wasmimport mynah:bot/store@0.1.0 get
func hostStoreGet(key, size uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/store@0.1.0 set
func hostStoreSet(key, keySize, value, valueSize uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/store@0.1.0 delete
func hostStoreDelete(key, size uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/store@0.1.0 list
func hostStoreList(prefix, prefixSize, hasAfter, after, afterSize, limit uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/store@0.1.0 add
func hostStoreAdd(key, size uint32, delta int64, result unsafe.Pointer)

//go:wasmimport mynah:bot/http@0.1.0 send
func hostSend(method, methodSize, url, urlSize, headers, headerCount, body, bodySize uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/wechat@0.1.0 call
func hostCall(path, pathSize, hasBody, body, bodySize uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/wechat@0.1.0 upload
func hostUpload(kind, kindSize, name, nameSize, data, dataSize uint32, result unsafe.Pointer)

//go:wasmimport mynah:bot/wechat@0.1.0 download
func hostDownload(mediaID, size uint32, result unsafe.Pointer)

//go:wasmexport mynah:bot/handler@0.1.0#handle
func export(received unsafe.Pointer) unsafe.Pointer {
	parts := unsafe.Slice((*uint32)(received), 18)
	message := Message{
		Bot:      textAt(parts[0], parts[1]),
		Account:  textAt(parts[2], parts[3]),
		Sender:   textAt(parts[4], parts[5]),
		ID:       textAt(parts[6], parts[7]),
		Created:  parts[8],
		Kind:     textAt(parts[9], parts[10]),
		Captures: fieldsAt(parts[14], parts[15]),
		Fields:   fieldsAt(parts[16], parts[17]),
	}
	if parts[11]&0xff == 1 {
		message.Text = strings.TrimSpace(textAt(parts[12], parts[13]))
	}
	reply, err := run(message)
	result = words{}
	if err != nil {
		result[0] = 1
		result[1], result[2] = lendText(err.Error())
		return unsafe.Pointer(&result)
	}
	lower(reply)
	return unsafe.Pointer(&result)
}

// run calls the plugin; its panics are errors, with where they happened.
func run(message Message) (reply Reply, err error) {
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case asked:
			reply, err = Text(string(caught)), nil
		default:
			err = fmt.Errorf("panic: %v\n%s", caught, stack())
		}
	}()
	if handler == nil {
		return nil, errors.New("no handler: call mynah.Handle in func init")
	}
	return dialogueRun(message)
}

// lower writes a reply into `result`: the tag of the variant at word 1, its content from word 2.
func lower(reply Reply) {
	put := func(word int, text string) { result[word], result[word+1] = lendText(text) }
	maybe := func(word int, text string) {
		if text != "" {
			result[word] = 1
			put(word+1, text)
		}
	}
	switch reply := reply.(type) {
	case textReply:
		result[1] = 0
		put(2, string(reply))
	case imageReply:
		result[1] = 1
		put(2, string(reply))
	case voiceReply:
		result[1] = 2
		put(2, string(reply))
	case Video:
		result[1] = 3
		put(2, reply.MediaID)
		maybe(4, reply.Title)
		maybe(7, reply.Description)
	case Music:
		result[1] = 4
		maybe(2, reply.Title)
		maybe(5, reply.Description)
		maybe(8, reply.URL)
		maybe(11, reply.HQURL)
		put(14, reply.ThumbMediaID)
	case newsReply:
		result[1] = 5
		var list []uint32
		for _, article := range reply {
			var one [10]uint32
			one[0], one[1] = lendText(article.Title)
			if article.Description != "" {
				one[2] = 1
				one[3], one[4] = lendText(article.Description)
			}
			if article.Picture != "" {
				one[5] = 1
				one[6], one[7] = lendText(article.Picture)
			}
			one[8], one[9] = lendText(article.URL)
			list = append(list, one[:]...)
		}
		result[2], result[3] = lendWords(list), uint32(len(reply))
	case transferReply:
		result[1] = 6
		maybe(2, string(reply))
	case transferToAIReply:
		result[1] = 7
	case rawReply:
		result[1] = 8
		put(2, reply.kind)
		result[4], result[5] = lendFields(reply.fields)
	case silenceReply:
		result[1] = 9
	default:
		// Nil, and Pass.
		result[1] = 10
	}
}

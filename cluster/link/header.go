package link

import "strconv"

// header travels in the reply subject of a message: its kind and two numbers.
type header struct {
	kind kind
	a, b uint64
}

type kind byte

const (
	chunkKind  kind = 'c' // part of a message: its number in the stream, and the bytes left of the message, itself included
	awaitKind  kind = 'w' // a chunk at whose arrival a status is wanted: Send waits for it
	statusKind kind = 's' // of the stream in the other direction: chunks that arrived, chunks that were taken
	askKind    kind = 'q' // asks for a status
	answerKind kind = 'a' // the status asked for
	pingKind   kind = 'p' // asks whether the rank is alive
	pongKind   kind = 'o' // it is; a is 1 + the rank it misses, or 0
	inviteKind kind = 'i' // asks a rank to hear one of the sender's sets, a
	joinedKind kind = 'j' // it hears that set
)

func (h header) String() string {
	text := make([]byte, 1, 34)
	text[0] = byte(h.kind)
	text = strconv.AppendUint(text, h.a, 16)
	return string(strconv.AppendUint(append(text, '-'), h.b, 16))
}

// parseHeader takes only what String writes.
func parseHeader(text string) (h header, ok bool) {
	if len(text) < 4 || len(text) > 34 {
		return h, false
	}
	switch h.kind = kind(text[0]); h.kind {
	case chunkKind, awaitKind, statusKind, askKind, answerKind, pingKind, pongKind, inviteKind, joinedKind:
	default:
		return h, false
	}
	for i := 1; i < len(text); i++ {
		if text[i] == '-' {
			a, errA := strconv.ParseUint(text[1:i], 16, 64)
			b, errB := strconv.ParseUint(text[i+1:], 16, 64)
			h.a, h.b = a, b
			return h, errA == nil && errB == nil && h.String() == text
		}
	}
	return h, false
}

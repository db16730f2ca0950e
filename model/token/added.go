package token

import (
	"slices"
	"strings"
)

// foreign is what a tokenizer that was not made here has besides.
type foreign struct {
	raw      []byte   // its tokenizer.json
	rest     []byte   // of that, all but vocabulary and merges, compact
	before   []uint32 // each document
	ends     []uint32 // of a document or of a turn
	unknown  uint32   // noToken: there is none
	fallback bool     // characters that the vocabulary does not have are their bytes
	fuse     bool     // unknown characters side by side are one token
	inText   bool     // there are tokens that are found in any text
	raws     matcher  // added tokens that are found before a text is normalized
	normals  matcher  // and after
}

// matcher finds added tokens in text, at each place the longest.
type matcher [256][]marked // by first byte, longest first

type marked struct {
	text    string
	id      uint32
	special bool
}

func (m *matcher) add(text string, id uint32, special bool) {
	if text == "" {
		return
	}
	list := append(m[text[0]], marked{text, id, special})
	slices.SortStableFunc(list, func(a, b marked) int { return len(b.text) - len(a.text) })
	m[text[0]] = list
}

// next is the first place of an added token in text, its length and its id; special ones are looked for where specials is true. Length
// 0: there is none.
func (m *matcher) next(text []byte, specials bool) (at, length int, id uint32) {
	for i, b := range text {
		for _, x := range m[b] {
			if (specials || !x.special) && len(text)-i >= len(x.text) && string(text[i:i+len(x.text)]) == x.text {
				return i, len(x.text), x.id
			}
		}
	}
	return len(text), 0, 0
}

// encode appends the ids of a text, with its added tokens; of special ones only where specials is true.
func (f *foreign) encode(t *Tokenizer, dst []uint32, text []byte, specials bool) []uint32 {
	if !specials && !f.inText {
		return t.pieces(dst, t.spaces.apply(t.normal.apply(text, true), true))
	}
	for first := true; len(text) > 0; first = false {
		at, n, id := f.raws.next(text, specials)
		dst = f.encodeNormal(t, dst, t.normal.apply(text[:at], first), first, specials)
		if n > 0 {
			dst = append(dst, id)
		}
		text = text[at+n:]
	}
	return dst
}

func (f *foreign) encodeNormal(t *Tokenizer, dst []uint32, text []byte, first, specials bool) []uint32 {
	for ; len(text) > 0; first = false {
		at, n, id := f.normals.next(text, specials)
		dst = t.pieces(dst, t.spaces.apply(text[:at], first))
		if n > 0 {
			dst = append(dst, id)
		}
		text = text[at+n:]
	}
	return dst
}

// endings are the spellings of tokens that end a document, in order of preference, and then a turn.
var endings = []string{EndOfText, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>"}

// findEnd chooses the token that ends a document.
func (f *foreign) findEnd(added []addedToken) (end uint32, ok bool) {
	for _, text := range endings {
		for _, a := range added {
			if a.Content == text {
				f.ends = append(f.ends, a.ID)
			}
		}
	}
	if len(f.ends) == 0 {
		return 0, false
	}
	return f.ends[0], true
}

// Frame is what stands before a document and after it: the end-of-text token before it, unless its tokenizer has a token for the
// beginning that it puts there.
func (t *Tokenizer) Frame() (before, after []uint32) {
	if t.foreign == nil || len(t.foreign.before) == 0 {
		return []uint32{t.end}, nil
	}
	return t.foreign.before, []uint32{t.end}
}

// DocumentStart is the id that each document begins with: the first of Frame.
func (t *Tokenizer) DocumentStart() uint32 {
	before, _ := t.Frame()
	return before[0]
}

// Ends lists the ids at which a text that is being written ends.
func (t *Tokenizer) Ends() []uint32 {
	if t.foreign == nil {
		return []uint32{t.end}
	}
	return t.foreign.ends
}

// endingNames words them for a message.
func endingNames() string { return strings.Join(endings, ", ") }

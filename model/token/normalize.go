package token

import (
	"bytes"

	"golang.org/x/text/unicode/norm"
)

// normalizer is what becomes of a text before it is cut into pieces.
type normalizer struct {
	nfc    bool   // characters are composed
	marks  bool   // spaces become ▁
	prefix prefix // whether a ▁ is put before it
}

// prefix says which texts get a ▁ before them. A text is cut into several where special tokens are found in it.
type prefix uint8

const (
	never     prefix = iota
	first            // the first, unless it has one
	always           // each, unless it has one
	alwaysOne        // each, also one that has one
)

// apply returns the normalized text, which may be text itself; whole is false where it is not the first of a longer one.
func (n normalizer) apply(text []byte, whole bool) []byte {
	if n.nfc {
		text = norm.NFC.Bytes(text)
	}
	if !n.marks || len(text) == 0 {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/4+len(mark))
	has := text[0] == ' ' || bytes.HasPrefix(text, []byte(mark))
	if n.prefix == alwaysOne || n.prefix != never && !has && (whole || n.prefix == always) {
		out = append(out, mark...)
	}
	for {
		i := bytes.IndexByte(text, ' ')
		if i < 0 {
			return append(out, text...)
		}
		out = append(append(out, text[:i]...), mark...)
		text = text[i+1:]
	}
}

package token

import (
	"encoding/json"
	"fmt"
)

// Description is a tokenizer's parts as its file spells them, for writing it in another format.
type Description struct {
	Characters bool     // it is of characters with ▁ for spaces; else of bytes
	Pattern    string   // by which text is cut, of one of bytes
	Digits     bool     // each digit was cut out before
	Prefix     bool     // a space is put before a text
	Tokens     []string // by id
	Merges     []string // by rank, with a space between
	Special    []uint32 // that are found where text is marked
	Added      []uint32 // that are found in any text
	Unknown    uint32   // if HasUnknown
	HasUnknown bool
	Before     []uint32 // each text, if it is not the end of text of the one before
}

// Describe takes a tokenizer to pieces.
func (t *Tokenizer) Describe() (Description, error) {
	data, err := t.marshal()
	if err != nil {
		return Description{}, err
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return Description{}, err
	}
	d := Description{Characters: t.runes != nil, Pattern: t.split.pattern, Digits: t.split.single, Tokens: make([]string, len(t.tokens)), Prefix: t.normal.prefix != never || t.spaces.prefix != never}
	var ids map[string]uint32
	if err := json.Unmarshal(f.Model.Vocab, &ids); err != nil {
		return d, err
	}
	for text, id := range ids {
		d.Tokens[id] = text
	}
	for _, a := range f.AddedTokens {
		d.Tokens[a.ID] = a.Content
		if a.Special {
			d.Special = append(d.Special, a.ID)
		} else {
			d.Added = append(d.Added, a.ID)
		}
	}
	for _, m := range t.merges {
		d.Merges = append(d.Merges, fmt.Sprintf("%s %s", d.Tokens[m.left], d.Tokens[m.right]))
	}
	if t.foreign != nil {
		d.Unknown, d.HasUnknown, d.Before = t.foreign.unknown, t.foreign.unknown != noToken, t.foreign.before
	}
	return d, nil
}

// KnownPattern says which of the known patterns cuts text like a description's: "saltern", "llama3", "qwen2" or "gpt2".
func (d Description) KnownPattern() string {
	for i, r := range known() {
		if r.pattern == d.Pattern {
			return [...]string{"saltern", "llama3", "qwen2", "gpt2"}[i]
		}
	}
	return ""
}

package token

import (
	"fmt"
	"slices"
)

// Sentinels is how many tokens stand for spans that were taken out of a text, as many as T5 has (Raffel et al. 2019, arXiv
// 1910.10683).
const Sentinels = 100

// denoisingTokens is how many ids a Denoising takes.
const denoisingTokens = 2 + Sentinels

// Denoising holds the ids of the special tokens that the UL2 objective writes into its sequences: side by side, the two that name
// the task, then Sentinels ids from Sentinel on. No text has them.
type Denoising struct {
	Prefix   uint32 // before a text whose end is to be written
	Infill   uint32 // before a text whose gaps are to be filled
	Sentinel uint32 // the first
}

// denoisingAt is the Denoising whose ids begin with first.
func denoisingAt(first uint32) Denoising { return Denoising{first, first + 1, first + 2} }

// spellings lists the tokens of a Denoising in the order of their ids.
func spellings() []string {
	list := []string{"<|prefix|>", "<|infill|>"}
	for i := range Sentinels {
		list = append(list, fmt.Sprintf("<|sentinel_%d|>", i))
	}
	return list
}

// Denoising gives the ids for denoising; false where the tokenizer has none.
func (t *Tokenizer) Denoising() (Denoising, bool) {
	if t.denoising == 0 {
		return Denoising{}, false
	}
	return denoisingAt(t.denoising), true
}

// WithDenoising returns the tokenizer with ids for denoising, appended to its vocabulary unless it has them. Text has the same ids as before.
func (t *Tokenizer) WithDenoising() (*Tokenizer, error) {
	if t.denoising > 0 {
		return t, nil
	}
	if t.foreign != nil {
		return nil, fmt.Errorf("unsupported: special tokens for objective \"ul2\" beside those of a tokenizer that was not made here; use objective \"causal\"")
	}
	tokens, first := slices.Clone(t.tokens), uint32(len(t.tokens))
	for _, s := range spellings() {
		tokens = append(tokens, []byte(s))
	}
	return build(t.split.rules, tokens, t.merges, t.end, first)
}

// Unwritten lists the ids that no text has and nobody should see generated: those for denoising.
func (t *Tokenizer) Unwritten() []uint32 {
	if t.denoising == 0 {
		return nil
	}
	ids := make([]uint32, denoisingTokens)
	for i := range ids {
		ids[i] = t.denoising + uint32(i)
	}
	return ids
}

// special says that an id is no text: its spelling is for people, and may be a text token's as well.
func special(id, end, denoising uint32) bool {
	return id == end || denoising > 0 && id-denoising < denoisingTokens
}

// reserved is how many ids of the vocabulary are kept for denoising.
func (c Config) reserved() int {
	if c.Denoising {
		return denoisingTokens
	}
	return 0
}

// Load reads the tokenizer File, with the ids for denoising if they are wanted.
func (c Config) Load() (*Tokenizer, error) {
	t, err := Load(c.File)
	if err == nil && c.Denoising {
		t, err = t.WithDenoising()
	}
	return t, err
}

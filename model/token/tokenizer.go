package token

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"sync/atomic"
)

// EndOfText is the spelling of the special token that stands between documents.
const EndOfText = "<|endoftext|>"

// Tokenizer is a byte-level BPE tokenizer. It does not change after Train or Load; all methods may be called at the same time.
type Tokenizer struct {
	split  splitter
	tokens [][]byte // by id
	merges []pair   // by rank
	table  pairTable
	bytes  [256]uint32 // id of each single byte
	end    uint32      // id of the end-of-text token
	hash   string

	denoising uint32 // first id of a Denoising; 0: none

	seed  maphash.Seed
	cache []atomic.Pointer[cached]
}

// pair is two neighbouring token ids, the left one first.
type pair struct{ left, right uint32 }

// cached is one piece of text and its ids. The cache is direct-mapped: a collision overwrites, so memory stays bounded.
type cached struct {
	piece string
	ids   []uint32
}

const (
	cacheSlots = 1 << 16
	cachePiece = 32 // longest piece kept, in bytes
)

// build makes a tokenizer from its parts; tokens are by id, and every merge's result must be among them. denoising is the first id
// of a Denoising, 0 for none.
func build(r rules, tokens [][]byte, merges []pair, end, denoising uint32) (*Tokenizer, error) {
	t := &Tokenizer{
		split: newSplitter(r), tokens: tokens, merges: merges, end: end, denoising: denoising,
		table: newPairTable(len(merges)),
		seed:  maphash.MakeSeed(), cache: make([]atomic.Pointer[cached], cacheSlots),
	}
	ids := make(map[string]uint32, len(tokens))
	for id, text := range tokens {
		if special(uint32(id), end, denoising) {
			continue
		}
		if first, twice := ids[string(text)]; twice {
			return nil, fmt.Errorf("tokens %d and %d are the same bytes %q", first, id, text)
		}
		ids[string(text)] = uint32(id)
	}
	for b := range t.bytes {
		id, ok := ids[string([]byte{byte(b)})]
		if !ok {
			return nil, fmt.Errorf("the vocabulary has no token for byte 0x%02x, so some text could not be encoded", b)
		}
		t.bytes[b] = id
	}
	for rank, m := range merges {
		text := string(tokens[m.left]) + string(tokens[m.right])
		id, ok := ids[text]
		if !ok {
			return nil, fmt.Errorf("merge %d makes %q, which is not in the vocabulary", rank, text)
		}
		if !t.table.add(m, uint32(rank), id) {
			return nil, fmt.Errorf("merge %d (%q, %q) is there twice", rank, tokens[m.left], tokens[m.right])
		}
	}
	t.hash = t.sum()
	return t, nil
}

// VocabSize is the number of ids: 256 bytes, the merges' results, the end-of-text token and those for denoising.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// EndOfText is the id of the token that stands between documents; of a tokenizer trained here the last, but for those for denoising.
func (t *Tokenizer) EndOfText() uint32 { return t.end }

// Hash identifies the tokenizer by what it does: SHA-256, in hex, of pattern, vocabulary and merges. Two tokenizers with
// equal hashes give equal ids, however their files are laid out.
func (t *Tokenizer) Hash() string { return t.hash }

func (t *Tokenizer) sum() string {
	h := sha256.New()
	field := func(b []byte) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	field([]byte(t.split.pattern))
	field(binary.LittleEndian.AppendUint32(nil, t.end))
	if t.denoising > 0 {
		field(binary.LittleEndian.AppendUint32([]byte("denoising"), t.denoising))
	}
	for _, text := range t.tokens {
		field(text)
	}
	for _, m := range t.merges {
		field(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, m.left), m.right))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Token returns the bytes that id stands for, which the caller must not change; nil when there is no such id.
func (t *Tokenizer) Token(id uint32) []byte {
	if int(id) >= len(t.tokens) {
		return nil
	}
	return t.tokens[id]
}

// Decode returns the bytes that ids stand for. Special tokens are spelled out; ids outside the vocabulary, which only a
// broken model or file can contain, become U+FFFD.
func (t *Tokenizer) Decode(ids []uint32) []byte {
	var text []byte
	for _, id := range ids {
		if int(id) < len(t.tokens) {
			text = append(text, t.tokens[id]...)
		} else {
			text = append(text, "\uFFFD"...)
		}
	}
	return text
}

// Encode appends the ids of text to dst and returns it. Text is only text: the spelling of a special token inside it is
// encoded like any other punctuation.
func (t *Tokenizer) Encode(dst []uint32, text []byte) []uint32 {
	for len(text) > 0 {
		n := t.split.next(text)
		dst = t.piece(dst, text[:n])
		text = text[n:]
	}
	return dst
}

// piece appends the ids of one piece, by way of the cache.
func (t *Tokenizer) piece(dst []uint32, piece []byte) []uint32 {
	if len(piece) == 1 {
		return append(dst, t.bytes[piece[0]])
	}
	if len(piece) > cachePiece {
		return t.mergeLong(dst, piece)
	}
	slot := &t.cache[maphash.Bytes(t.seed, piece)%cacheSlots]
	if hit := slot.Load(); hit != nil && hit.piece == string(piece) {
		return append(dst, hit.ids...)
	}
	from := len(dst)
	dst = t.mergeShort(dst, piece)
	slot.Store(&cached{string(piece), append([]uint32(nil), dst[from:]...)})
	return dst
}

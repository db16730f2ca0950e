package token

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"unicode/utf8"
)

// EndOfText is the spelling of the special token that stands between documents.
const EndOfText = "<|endoftext|>"

// Tokenizer is a BPE tokenizer. It does not change after Train or Load; all methods may be called at the same time.
type Tokenizer struct {
	normal normalizer
	spaces normalizer // once more, after added tokens were found
	split  splitter
	tokens [][]byte // by id: what it stands for
	merges []pair   // by rank
	table  pairTable
	end    uint32 // id of the end-of-text token
	hash   string

	bytes [256]uint32       // id of each single byte, or noToken
	runes map[rune]uint32   // id of each character, of a vocabulary that is not spelled in bytes; nil: it is
	whole map[string]uint32 // pieces that are a token whatever the merges say; nil: none are

	denoising uint32 // first id of a Denoising; 0: none
	foreign   *foreign

	seed  maphash.Seed
	cache []atomic.Pointer[cached]
}

// noToken is the id of what the vocabulary has no token for.
const noToken = ^uint32(0)

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

// build makes a tokenizer of bytes from its parts; tokens are by id, and every merge's result must be among them. denoising is the
// first id of a Denoising, 0 for none.
func build(r rules, tokens [][]byte, merges []pair, end, denoising uint32) (*Tokenizer, error) {
	t := &Tokenizer{split: newSplitter(r), tokens: tokens, end: end, denoising: denoising}
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
	results := make([]uint32, len(merges))
	for rank, m := range merges {
		text := string(tokens[m.left]) + string(tokens[m.right])
		id, ok := ids[text]
		if !ok {
			return nil, fmt.Errorf("merge %d makes %q, which is not in the vocabulary", rank, text)
		}
		results[rank] = id
	}
	return t, t.finish(merges, results)
}

// finish takes the merges by rank, with what each makes, and gets ready to encode.
func (t *Tokenizer) finish(merges []pair, results []uint32) error {
	t.merges, t.table = merges, newPairTable(len(merges))
	for rank, m := range merges {
		if !t.table.add(m, uint32(rank), results[rank]) {
			return fmt.Errorf("merge %d (%q, %q) is there twice", rank, t.tokens[m.left], t.tokens[m.right])
		}
	}
	t.seed, t.cache = maphash.MakeSeed(), make([]atomic.Pointer[cached], cacheSlots)
	t.hash = t.sum()
	return nil
}

// VocabSize is the number of ids; of a tokenizer trained here 256 bytes, the merges' results, the end-of-text token and those for denoising.
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
	if t.foreign != nil {
		field(t.foreign.rest)
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
// broken model or file can contain, become U+FFFD. The space that some tokenizers put before a text is left out again.
func (t *Tokenizer) Decode(ids []uint32) []byte {
	var text []byte
	for _, id := range ids {
		if int(id) < len(t.tokens) {
			text = append(text, t.tokens[id]...)
		} else {
			text = append(text, "\uFFFD"...)
		}
	}
	if (t.normal.prefix != never || t.spaces.prefix != never) && len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	return text
}

// Encode appends the ids of text to dst and returns it. Text is only text: the spelling of a special token inside it is
// encoded like any other punctuation. Bytes that are not UTF-8 are kept as they are.
func (t *Tokenizer) Encode(dst []uint32, text []byte) []uint32 {
	if t.foreign == nil {
		return t.pieces(dst, text)
	}
	return t.foreign.encode(t, dst, text, false)
}

// EncodeMarked is Encode of a text in which special tokens are spelled out, such as a prompt; as Hugging Face's tokenizers has it.
func (t *Tokenizer) EncodeMarked(dst []uint32, text []byte) []uint32 {
	if t.foreign == nil {
		return t.pieces(dst, text)
	}
	return t.foreign.encode(t, dst, text, true)
}

// pieces appends the ids of normalized text.
func (t *Tokenizer) pieces(dst []uint32, text []byte) []uint32 {
	for len(text) > 0 {
		n := t.split.next(text)
		dst = t.piece(dst, text[:n])
		text = text[n:]
	}
	return dst
}

// piece appends the ids of one piece, by way of the cache.
func (t *Tokenizer) piece(dst []uint32, piece []byte) []uint32 {
	if len(piece) == 1 && t.bytes[piece[0]] != noToken && t.runes == nil {
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

// symbols appends the ids that merging a piece begins with: its bytes, or its characters where the vocabulary is of characters, a
// character that it does not have as bytes; what it has not even for a byte as the unknown token, if there is one.
func (t *Tokenizer) symbols(dst []uint32, piece []byte) []uint32 {
	if t.runes == nil {
		for _, b := range piece {
			dst = t.byteSymbol(dst, b)
		}
		return dst
	}
	fused := false // the last symbol is an unknown token that takes in others
	for len(piece) > 0 {
		r, n := utf8.DecodeRune(piece)
		if id, ok := t.runes[r]; ok && !(r == utf8.RuneError && n == 1) {
			dst, fused = append(dst, id), false
		} else if f := t.foreign; f.fallback && t.hasBytes(piece[:n]) {
			for _, b := range piece[:n] {
				dst = append(dst, t.bytes[b])
			}
			fused = false
		} else if f.unknown != noToken && !(fused && f.fuse) {
			dst, fused = append(dst, f.unknown), true
		}
		piece = piece[n:]
	}
	return dst
}

func (t *Tokenizer) byteSymbol(dst []uint32, b byte) []uint32 {
	if id := t.bytes[b]; id != noToken {
		return append(dst, id)
	}
	if t.foreign.unknown != noToken {
		return append(dst, t.foreign.unknown)
	}
	return dst
}

func (t *Tokenizer) hasBytes(text []byte) bool {
	for _, b := range text {
		if t.bytes[b] == noToken {
			return false
		}
	}
	return true
}

package token

import (
	"container/heap"
	"context"
	"fmt"
	"iter"
	"slices"
)

// byteTokens is the number of tokens that are there before the first merge.
const byteTokens = 256

// MinVocab and MaxVocab bound the size of a vocabulary: the bytes and the end-of-text token at least; at most what the
// published tokenizers of the largest models need, four times over.
const (
	MinVocab = byteTokens + 1
	MaxVocab = 1 << 20
)

// Train learns a tokenizer of exactly vocabSize ids from documents, byte-level BPE: the most frequent pair of neighbouring
// tokens becomes a token, again and again; of equally frequent pairs the one with the smaller (left id, right id). The order of
// documents does not matter. Memory grows with the number of distinct pieces, not with the length of the text.
//
// progress, when not nil, is called now and then with the number of merges learned and wanted; it is first called, with 0, when the documents
// have been read. An error from documents ends training and is returned as it is, as is ctx's. When the text has too few
// repeated pairs for vocabSize, the error says which size it can give.
func Train(ctx context.Context, documents iter.Seq2[[]byte, error], vocabSize int, progress func(done, total int)) (*Tokenizer, error) {
	return Config{VocabSize: vocabSize}.Train(ctx, documents, progress)
}

// Train learns a tokenizer of VocabSize ids, as the function Train does; those for denoising are among them if they are wanted.
func (c Config) Train(ctx context.Context, documents iter.Seq2[[]byte, error], progress func(done, total int)) (*Tokenizer, error) {
	least := MinVocab + c.reserved()
	if c.VocabSize < least || c.VocabSize > MaxVocab {
		return nil, fmt.Errorf("vocabulary size %d is out of bounds: give %d (bytes and special tokens alone) to %d", c.VocabSize, least, MaxVocab)
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	r := known()[0]
	t, err := count(ctx, documents, newSplitter(r))
	if err != nil {
		return nil, err
	}
	total := c.VocabSize - least
	for done := range total {
		if done%64 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			progress(done, total)
		}
		if !t.step() {
			return nil, fmt.Errorf("the text to train the tokenizer on repeats itself too little for a vocabulary of %d: "+
				"it gives at most %d; give more text, or that size", c.VocabSize, done+least)
		}
	}
	progress(total, total)
	tokens := append(t.tokens, []byte(EndOfText))
	tok, err := build(r, tokens, t.merges, uint32(len(tokens)-1), 0)
	if err == nil && c.Denoising {
		tok, err = tok.WithDenoising()
	}
	return tok, err
}

// trainer is the state of learning: every distinct piece as its current tokens, every pair with its count and its pieces.
type trainer struct {
	words   []word
	tokens  [][]byte
	merges  []pair
	index   map[pair]int32 // into pairs
	pairs   []pairCount
	queue   pairQueue
	touched []int32 // pairs whose count grew in this step
}

// word is a distinct piece; its tokens shrink in place as pairs are merged.
type word struct {
	ids   []uint32
	count int64
}

// pairCount is how often a pair stands in the text. words may name pieces that have lost the pair since.
type pairCount struct {
	pair  pair
	count int64
	words []int32
	grown bool // is in touched
}

// count reads the documents into distinct pieces and their pairs.
func count(ctx context.Context, documents iter.Seq2[[]byte, error], split splitter) (*trainer, error) {
	t := &trainer{index: map[pair]int32{}}
	for b := range byteTokens {
		t.tokens = append(t.tokens, []byte{byte(b)})
	}
	seen := map[string]int32{}
	for text, err := range documents {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		for len(text) > 0 {
			n := split.next(text)
			if n > 1 { // a single byte has no pair
				t.add(seen, text[:n])
			}
			text = text[n:]
		}
	}
	for at, w := range t.words {
		for i := range len(w.ids) - 1 {
			t.change(pair{w.ids[i], w.ids[i+1]}, w.count, int32(at))
		}
	}
	t.enqueue()
	return t, nil
}

func (t *trainer) add(seen map[string]int32, piece []byte) {
	if at, ok := seen[string(piece)]; ok {
		t.words[at].count++
		return
	}
	ids := make([]uint32, len(piece))
	for i, b := range piece {
		ids[i] = uint32(b)
	}
	seen[string(piece)] = int32(len(t.words))
	t.words = append(t.words, word{ids, 1})
}

// change adds delta to the count of p because of the word at index at.
func (t *trainer) change(p pair, delta int64, at int32) {
	i, ok := t.index[p]
	if !ok {
		i = int32(len(t.pairs))
		t.index[p] = i
		t.pairs = append(t.pairs, pairCount{pair: p})
	}
	c := &t.pairs[i]
	c.count += delta
	if delta < 0 {
		return
	}
	if n := len(c.words); n == 0 || c.words[n-1] != at {
		c.words = append(c.words, at)
	}
	if !c.grown {
		c.grown = true
		t.touched = append(t.touched, i)
	}
}

// enqueue puts the pairs that have grown into the queue again. Pairs that only shrank are corrected when they come up.
func (t *trainer) enqueue() {
	for _, i := range t.touched {
		c := &t.pairs[i]
		c.grown = false
		if c.count >= minCount {
			heap.Push(&t.queue, queued{c.count, c.pair})
		}
	}
	t.touched = t.touched[:0]
}

// minCount is how often a pair must stand in the text to become a token: one that occurs once is learned by heart.
const minCount = 2

// step merges the most frequent pair everywhere. It reports false when no pair is frequent enough.
//
// No two merges spell the same token (as ab+c and a+bc would): where either could be merged, no earlier merge has crossed the ends of
// its text, so that text had been merged inside by the same rules from left to right, hence into the same two halves.
func (t *trainer) step() bool {
	var best *pairCount
	for best == nil {
		if len(t.queue) == 0 {
			return false
		}
		top := &t.queue[0]
		c := &t.pairs[t.index[top.pair]]
		switch {
		case c.count < minCount:
			heap.Pop(&t.queue)
		case c.count < top.count:
			top.count = c.count
			heap.Fix(&t.queue, 0)
		default:
			heap.Pop(&t.queue)
			best = c
		}
	}
	p, words := best.pair, best.words
	best.words = nil
	id := uint32(len(t.tokens))
	t.tokens = append(t.tokens, slices.Concat(t.tokens[p.left], t.tokens[p.right]))
	t.merges = append(t.merges, p)
	for _, at := range words {
		t.apply(p, id, at)
	}
	t.enqueue()
	return true
}

// apply merges p into id in one word, from left to right, and keeps the counts exact.
func (t *trainer) apply(p pair, id uint32, at int32) {
	w := &t.words[at]
	out := w.ids[:0]
	for i := 0; i < len(w.ids); i++ {
		if i+1 == len(w.ids) || w.ids[i] != p.left || w.ids[i+1] != p.right {
			out = append(out, w.ids[i])
			continue
		}
		if n := len(out); n > 0 {
			t.change(pair{out[n-1], p.left}, -w.count, at)
			t.change(pair{out[n-1], id}, w.count, at)
		}
		if i+2 < len(w.ids) {
			t.change(pair{p.right, w.ids[i+2]}, -w.count, at)
			t.change(pair{id, w.ids[i+2]}, w.count, at)
		}
		t.change(p, -w.count, at)
		out = append(out, id)
		i++
	}
	w.ids = out
}

// queued is a pair with the count it had when it was queued, an upper bound of its count unless it is queued again.
type queued struct {
	count int64
	pair  pair
}

type pairQueue []queued

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case a.count != b.count:
		return a.count > b.count
	case a.pair.left != b.pair.left:
		return a.pair.left < b.pair.left
	}
	return a.pair.right < b.pair.right
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *pairQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

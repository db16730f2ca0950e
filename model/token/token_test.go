package token

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestTrainByHand follows the first merges of a text small enough to count by hand.
func TestTrainByHand(t *testing.T) {
	// Pieces: ab x3, abc x2, bc x2. Pairs: ab 5, bc 4; then (ab)c 2, bc 2: a tie, and (b, c) = (98, 99) is smaller than (256, 99).
	text := "ab\nab\nab\nabc\nabc\nbc\nbc\n"
	tok, err := Train(context.Background(), sequence([]byte(text)), MinVocab+3, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for id := byteTokens; id < tok.VocabSize(); id++ {
		got = append(got, string(tok.Token(uint32(id))))
	}
	if want := []string{"ab", "bc", "abc", EndOfText}; !slices.Equal(got, want) {
		t.Errorf("tokens %q, want %q", got, want)
	}
	if tok.EndOfText() != uint32(tok.VocabSize()-1) {
		t.Errorf("end of text is %d of %d, want the last id", tok.EndOfText(), tok.VocabSize())
	}
	if got := tok.Encode(nil, []byte("abcbc")); !slices.Equal(got, []uint32{258, 257}) {
		t.Errorf("abcbc is %v, want abc bc", got)
	}
}

// naive is training by its definition: count all pairs from scratch for each merge.
func naive(docs [][]byte, vocab int) (tokens []string) {
	var words [][]string
	split := newSplitter(known()[0])
	for _, d := range docs {
		for len(d) > 0 {
			n := split.next(d)
			words = append(words, strings.Split(string(d[:n]), ""))
			d = d[n:]
		}
	}
	ids := map[string]int{}
	for b := range byteTokens {
		ids[string([]byte{byte(b)})] = b
	}
	for len(ids) < vocab-1 {
		counts := map[[2]string]int{}
		for _, w := range words {
			for i := range len(w) - 1 {
				counts[[2]string{w[i], w[i+1]}]++
			}
		}
		var best [2]string
		for p, n := range counts {
			a, b := counts[best], n
			if b > a || b == a && (ids[p[0]] < ids[best[0]] || p[0] == best[0] && ids[p[1]] < ids[best[1]]) {
				best = p
			}
		}
		for i, w := range words {
			var out []string
			for j := 0; j < len(w); j++ {
				if j+1 < len(w) && w[j] == best[0] && w[j+1] == best[1] {
					out = append(out, w[j]+w[j+1])
					j++
				} else {
					out = append(out, w[j])
				}
			}
			words[i] = out
		}
		text := best[0] + best[1]
		ids[text] = len(ids)
		tokens = append(tokens, text)
	}
	return tokens
}

func TestTrainAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		text := make([]byte, 3000)
		for i := range text {
			text[i] = "aaaabbbc \n"[rng.IntN(10)]
		}
		const vocab = MinVocab + 60
		tok, err := Train(context.Background(), sequence(text), vocab, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := naive([][]byte{text}, vocab)
		for i, w := range want {
			if got := string(tok.Token(uint32(byteTokens + i))); got != w {
				t.Fatalf("round %d: token %d is %q, by definition %q", round, byteTokens+i, got, w)
			}
		}
	}
}

func TestTrainOrder(t *testing.T) {
	docs := goSource(t, 300<<10)
	a, err := Train(context.Background(), sequence(docs...), 600, nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(docs)
	b, err := Train(context.Background(), sequence(docs...), 600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Hash() != b.Hash() {
		t.Error("the order of documents changes the tokenizer")
	}
	c, err := Train(context.Background(), sequence(docs...), 601, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Hash() == c.Hash() {
		t.Error("different vocabularies have the same hash")
	}
}

func TestTrainErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("disk on fire")
	text := []byte("some text, some text")
	for _, c := range []struct {
		why   string
		ctx   context.Context
		docs  iter.Seq2[[]byte, error]
		vocab int
		want  string
	}{
		{"below the bytes", context.Background(), sequence(text), 256, "vocabulary size 256 is out of bounds"},
		{"too large", context.Background(), sequence(text), 1<<20 + 1, "out of bounds"},
		{"nothing to learn from", context.Background(), sequence(), 300, "it gives at most 257"},
		{"too little repeats", context.Background(), sequence(text), 300, "it gives at most 264"},
		{"cancelled", ctx, sequence(text), 258, "context canceled"},
		{"a document that cannot be read", context.Background(), func(yield func([]byte, error) bool) { yield(nil, broken) }, 258, "disk on fire"},
	} {
		if _, err := Train(c.ctx, c.docs, c.vocab, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.why, err, c.want)
		}
	}
	if _, err := Train(context.Background(), sequence(text), 264, nil); err != nil {
		t.Errorf("the size that the error offers is refused: %v", err)
	}
}

func TestTrainProgress(t *testing.T) {
	var seen []int
	_, err := Train(context.Background(), sequence(goSource(t, 100<<10)...), MinVocab+200, func(done, total int) {
		if total != 200 {
			t.Fatalf("total %d, want 200", total)
		}
		seen = append(seen, done)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seen) || seen[0] != 0 || seen[len(seen)-1] != 200 {
		t.Errorf("progress %v, want 0 to 200", seen)
	}
}

// TestMergeLong holds the heap of mergeLong against the plain search of mergeShort.
func TestMergeLong(t *testing.T) {
	tok := trained(t)
	rng := rand.New(rand.NewPCG(3, 4))
	text, err := os.ReadFile(filepath.Join("testdata", "train.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		at := rng.IntN(len(text) - cachePiece)
		piece := text[at : at+1+rng.IntN(cachePiece)]
		short, long := tok.mergeShort(nil, piece), tok.mergeLong(nil, piece)
		if !slices.Equal(short, long) {
			t.Fatalf("%q: %v by search, %v by heap", piece, short, long)
		}
	}
}

func TestEndOfTextInText(t *testing.T) {
	tok := trained(t)
	ids := tok.Encode(nil, []byte("a "+EndOfText+" b"))
	if slices.Contains(ids, tok.EndOfText()) {
		t.Error("text that spells the end-of-text token became it")
	}
	if got := string(tok.Decode(append(ids, tok.EndOfText(), 1<<30))); got != "a "+EndOfText+" b"+EndOfText+"\uFFFD" {
		t.Errorf("decoded %q", got)
	}
}

func TestEncodeAppends(t *testing.T) {
	tok := trained(t)
	got := tok.Encode([]uint32{7}, []byte("the tide"))
	if want := append([]uint32{7}, tok.Encode(nil, []byte("the tide"))...); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := tok.Encode(nil, nil); len(got) != 0 {
		t.Errorf("no text became %v", got)
	}
}

func TestEncodeConcurrently(t *testing.T) {
	docs := goSource(t, 200<<10)
	tok := trained(t)
	want := tok.Encode(nil, bytes.Join(docs, nil))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if !slices.Equal(tok.Encode(nil, bytes.Join(docs, nil)), want) {
				t.Error("ids differ between goroutines")
			}
		})
	}
	wg.Wait()
}

func FuzzRoundTrip(f *testing.F) {
	tok := trained(f)
	for _, s := range []string{"", "a", "it's\r\n 12345 \xff\xfe", "\xe4\xbd", "\xed\xa0\x80", "e\u0301 \u00a0x", EndOfText, strings.Repeat(" \t", 40), "\xc5'\xc5\xbf"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ids := tok.Encode(nil, text)
		if got := tok.Decode(ids); !bytes.Equal(got, text) {
			t.Fatalf("%q came back as %q", text, got)
		}
		if slices.Contains(ids, tok.EndOfText()) {
			t.Fatalf("%q yields the end-of-text token", text)
		}
	})
}

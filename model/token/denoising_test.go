package token

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDenoising: the ids for denoising come last, survive the file, and change nothing about text.
func TestDenoising(t *testing.T) {
	plain := trained(t)
	if _, ok := plain.Denoising(); ok || plain.Unwritten() != nil {
		t.Error("ids for denoising that nobody asked for")
	}
	tok, err := plain.WithDenoising()
	if err != nil {
		t.Fatal(err)
	}
	d, ok := tok.Denoising()
	if n := uint32(plain.VocabSize()); !ok || d != (Denoising{n, n + 1, n + 2}) || tok.VocabSize() != plain.VocabSize()+102 {
		t.Errorf("ids %+v of %d, text takes %d", d, tok.VocabSize(), plain.VocabSize())
	}
	if got := string(tok.Decode([]uint32{d.Prefix, d.Infill, d.Sentinel, d.Sentinel + Sentinels - 1})); got != "<|prefix|><|infill|><|sentinel_0|><|sentinel_99|>" {
		t.Errorf("spelled %s", got)
	}
	text := []byte("the <|infill|> and <|sentinel_3|> of a text " + strings.Repeat("to be ", 9))
	if a, b := plain.Encode(nil, text), tok.Encode(nil, text); !slices.Equal(a, b) || slices.ContainsFunc(b, func(id uint32) bool { return slices.Contains(tok.Unwritten(), id) }) {
		t.Errorf("text became %v, without denoising %v", b, a)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(path); err != nil {
		t.Fatal(err)
	}
	kept, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := kept.Denoising(); e != d || kept.Hash() != tok.Hash() || kept.Hash() == plain.Hash() || kept.EndOfText() != plain.EndOfText() {
		t.Error("another tokenizer after saving and loading")
	}
	if again, err := kept.WithDenoising(); err != nil || again != kept {
		t.Errorf("ids for denoising twice: %v", err)
	}
	if loaded, err := (Config{File: path, Denoising: true}).Load(); err != nil || loaded.VocabSize() != tok.VocabSize() {
		t.Errorf("loaded for denoising: %v", err)
	}
}

// TestDenoisingInFiles: a file has all of these tokens, in a row, or none.
func TestDenoisingInFiles(t *testing.T) {
	tok, err := trained(t).WithDenoising()
	if err != nil {
		t.Fatal(err)
	}
	data, err := tok.marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ why, old, new, want string }{
		{"one is called otherwise", "<|sentinel_7|>", "<|extra_7|>", "ids in a row"},
		{"two have changed places", "<|sentinel_99|>", "<|sentinel_98|>", "ids in a row"},
		{"one has two ids", `"content": "<|prefix|>"`, `"content": "<|infill|>"`, "ids in a row"},
	} {
		if _, err := Parse([]byte(strings.ReplaceAll(string(data), c.old, c.new))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

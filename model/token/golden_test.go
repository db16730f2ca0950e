package token

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode"
)

var rewrite = flag.Bool("rewrite", false, "make testdata/tokenizer.json and patterns.json again; then run testdata/golden.py")

// golden reads a file made by golden.py: its first entry says by which version, the others are rows.
func golden(t *testing.T, name string) [][]json.RawMessage {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	rows := make([][]json.RawMessage, len(all)-1)
	for i, raw := range all[1:] {
		field(t, raw, &rows[i])
	}
	if len(rows) < 100 {
		t.Fatalf("%s has only %d rows; run testdata/golden.py", name, len(rows))
	}
	return rows
}

func field(t *testing.T, raw json.RawMessage, out any) {
	t.Helper()
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
}

// TestGolden trains on a fixed text and compares with the files that the reference implementation made.
func TestGolden(t *testing.T) {
	tok := trained(t)
	path := filepath.Join("testdata", "tokenizer.json")
	if *rewrite {
		if err := tok.Save(path); err != nil {
			t.Fatal(err)
		}
		var patterns []string
		for _, r := range known() {
			patterns = append(patterns, r.pattern)
		}
		data, err := json.Marshal(patterns)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", "patterns.json"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("now run testdata/golden.py")
	}
	kept, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Hash() != tok.Hash() {
		t.Fatalf("training gives another tokenizer than the one in %s; if that is meant, run go test -rewrite and golden.py", path)
	}
	for _, row := range golden(t, "ids.json") {
		var text string
		var want []uint32
		field(t, row[0], &text)
		field(t, row[1], &want)
		if got := tok.Encode(nil, []byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q:\n got %v\nwant %v", text, got, want)
		}
		if got := string(tok.Decode(want)); got != text {
			t.Errorf("decoding %v: %q, want %q", want, got, text)
		}
	}
}

// TestSplit compares the hand-written splitter with Oniguruma on every known pattern.
func TestSplit(t *testing.T) {
	for _, row := range golden(t, "pieces.json") {
		var pattern int
		var want []string
		field(t, row[0], &pattern)
		field(t, row[1], &want)
		var text []byte
		for _, piece := range want {
			text = append(text, piece...)
		}
		split := newSplitter(known()[pattern])
		var got []string
		for rest := text; len(rest) > 0; {
			n := split.next(rest)
			got = append(got, string(rest[:n]))
			rest = rest[n:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("pattern %d, %q:\n got %q\nwant %q", pattern, text, got, want)
		}
	}
}

// TestClasses compares the character classes of every code point. The reference's Unicode version is newer than Go's, so code
// points that Go's does not assign may differ.
func TestClasses(t *testing.T) {
	split := newSplitter(known()[0])
	plain := newSplitter(known()[1])
	at := rune(0)
	later := 0
	check := func(r rune, want string) {
		got := ""
		switch c, d := split.wide(r), plain.wide(r); {
		case c == letter && d == letter:
			got = "L"
		case c == letter:
			got = "M"
		case c == digit:
			got = "N"
		case c >= space:
			got = "S"
		}
		if got == want {
			return
		}
		if unicode.Is(unicode.Cn, r) {
			later++
			return
		}
		t.Errorf("U+%04X is %q here and %q in the reference", r, got, want)
	}
	for _, row := range golden(t, "classes.json") {
		var first, last rune
		var want string
		field(t, row[0], &first)
		field(t, row[1], &last)
		field(t, row[2], &want)
		for ; at < first; at++ {
			check(at, "")
		}
		for ; at <= last; at++ {
			check(at, want)
		}
	}
	t.Logf("%d code points that Unicode %s does not assign differ", later, unicode.Version)
}

// trained is a small tokenizer over a text with many scripts, the same in every run.
func trained(t testing.TB) *Tokenizer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "train.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Train(context.Background(), sequence(text), 640, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

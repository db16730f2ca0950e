package token

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

var interop = flag.String("interop", "", "also a folder of tokenizers that scripts/interop/vocabularies.py made")

// TestFamilies compares ids with those of Hugging Face's tokenizers, for tokenizers with the settings of other models.
// scripts/interop/vocabularies.py made both, the small ones here with --golden.
func TestFamilies(t *testing.T) {
	folders := []string{filepath.Join("testdata", "families")}
	if *interop != "" {
		folders = append(folders, *interop)
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.ids.json"))
		if err != nil || len(files) < 7 {
			t.Fatalf("only %d families in %s: %v", len(files), folder, err)
		}
		for _, path := range files {
			t.Run(filepath.Base(path), func(t *testing.T) {
				tok, err := Load(strings.TrimSuffix(path, ".ids.json") + ".json")
				if err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				var rows [][]json.RawMessage
				field(t, data, &rows)
				for _, row := range rows {
					sameAsOthers(t, tok, row)
				}
				path := filepath.Join(t.TempDir(), "tokenizer.json")
				if err := tok.Save(path); err != nil {
					t.Fatal(err)
				}
				if again, err := Load(path); err != nil || again.Hash() != tok.Hash() {
					t.Errorf("saved and loaded it is another tokenizer: %v", err)
				}
			})
		}
	}
}

// sameAsOthers compares one row: text, ids, what they stand for, and the ids without special tokens where these are others.
func sameAsOthers(t *testing.T, tok *Tokenizer, row []json.RawMessage) {
	t.Helper()
	var text, decoded string
	var want, plain []uint32
	field(t, row[0], &text)
	field(t, row[1], &want)
	field(t, row[2], &decoded)
	if plain = slices.Clone(want); len(row) > 3 {
		field(t, row[3], &plain)
	}
	if got := tok.EncodeMarked(nil, []byte(text)); !slices.Equal(got, want) {
		t.Errorf("%q:\n got %v\nwant %v", text, got, want)
	}
	if got := tok.Encode(nil, []byte(text)); !slices.Equal(got, plain) {
		t.Errorf("%q as plain text:\n got %v\nwant %v", text, got, plain)
	}
	if got := string(tok.Decode(plain)); len(row) == 3 && got != decoded {
		t.Errorf("%q decodes to %q, want %q", text, got, decoded)
	}
}

// TestFamiliesKeepBytes: whatever the bytes, text comes back, but for what the family's own normalizer changes.
func TestFamiliesKeepBytes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "families", "*.ids.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	text := []byte("a\xff\xfe b\xc3 \xed\xa0\x80  \x80\xf0\x9f\x98 \x00x")
	for _, path := range files {
		tok, err := Load(strings.TrimSuffix(path, ".ids.json") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		want := text
		if tok.normal.nfc {
			want = norm.NFC.Bytes(text)
		}
		if got := tok.Decode(tok.Encode(nil, text)); string(got) != string(want) {
			t.Errorf("%s: %q came back as %q", path, text, got)
		}
		if got := tok.Encode(nil, text); slices.ContainsFunc(tok.Ends(), func(end uint32) bool { return slices.Contains(got, end) }) {
			t.Errorf("%s: an end within %v", path, got)
		}
	}
}

// TestFrame: what stands around a document, and what ends one.
func TestFrame(t *testing.T) {
	for name, want := range map[string]struct {
		before, after string
		ends          int
	}{
		"gpt2": {"<|endoftext|>", "", 1}, "smollm2": {"<|endoftext|>", "", 2}, "qwen2": {"<|endoftext|>", "", 2},
		"llama3": {"<|begin_of_text|>", "<|end_of_text|>", 2}, "llama2": {"<s>", "</s>", 1},
	} {
		tok, err := Load(filepath.Join("testdata", "families", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		before, after := tok.Frame()
		if b, a := string(tok.Decode(before)), string(tok.Decode(after)); b != want.before || a != want.after || len(tok.Ends()) != want.ends {
			t.Errorf("%s: %q and %q around a document, %d ends; want %+v", name, b, a, len(tok.Ends()), want)
		}
	}
	before, after := trained(t).Frame()
	if len(before) != 1 || len(after) != 0 || before[0] != trained(t).EndOfText() {
		t.Errorf("made here: %v and %v around a document", before, after)
	}
}

// TestFamiliesUnsupported: what would change ids is refused by name.
func TestFamiliesUnsupported(t *testing.T) {
	for _, c := range []struct{ why, file, old, new, want string }{
		{"another normalizer", "qwen2", `{"type":"NFC"}`, `{"type":"NFKC"}`, `normalizer = {"type":"NFKC"}`},
		{"another scheme", "llama2-metaspace", `"prepend_scheme":"first"`, `"prepend_scheme":"second"`, "pre_tokenizer ="},
		{"another replacement", "llama2-metaspace", `"replacement":"▁"`, `"replacement":"_"`, "pre_tokenizer ="},
		{"digits together", "smollm2", `"individual_digits":true`, `"individual_digits":false`, "pre_tokenizer ="},
		{"a space before", "gpt2", `"add_prefix_space":false`, `"add_prefix_space":true`, "pre_tokenizer ="},
		{"no unknown token", "llama2", `"unk_token":"<unk>"`, `"unk_token":"<what>"`, `model.unk_token = "<what>" is not in model.vocab`},
		{"a decoder that strips more", "llama2", `"start":1`, `"start":2`, "decoder ="},
		{"a token for the beginning that is none", "llama2", `"SpecialToken":{"id":"<s>"`, `"SpecialToken":{"id":"<t>"`, `post_processor: "<t>" is not`},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "families", c.file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse([]byte(replace(t, c.why, string(data), c.old, c.new))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.why, err, c.want)
		}
	}
	tok, err := Load(filepath.Join("testdata", "families", "gpt2.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.WithDenoising(); err == nil {
		t.Error("tokens for denoising in a vocabulary that a model of another already has")
	}
}

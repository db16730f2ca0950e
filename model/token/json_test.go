package token

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSaveLoad(t *testing.T) {
	tok := trained(t)
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(path); err != nil {
		t.Fatal(err)
	}
	kept, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Hash() != tok.Hash() || kept.VocabSize() != tok.VocabSize() || kept.EndOfText() != tok.EndOfText() {
		t.Error("the loaded tokenizer differs from the saved one")
	}
	if err := tok.Save(filepath.Join(path, "no", "such", "folder")); err == nil {
		t.Error("saved into a folder that is not there")
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("files left over: %v", left)
	}
}

// TestLoadOther reads what other writers of the format leave out or spell differently.
func TestLoadOther(t *testing.T) {
	data := savedJSON(t)
	want := trained(t)
	for _, c := range []struct{ why, old, new string }{
		{"post-processor that only moves offsets", `"post_processor":null`, `"post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true}`},
		{"end of text only in added_tokens", `,"<|endoftext|>":639`, ``},
		{"empty affixes", `"end_of_word_suffix":null`, `"end_of_word_suffix":""`},
	} {
		tok, err := Parse([]byte(replace(t, c.why, data, c.old, c.new)))
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
		} else if tok.Hash() != want.Hash() {
			t.Errorf("%s: another tokenizer", c.why)
		}
	}

	var f file
	if err := json.Unmarshal([]byte(data), &f); err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := json.Unmarshal(f.Model.Merges, &lines); err != nil {
		t.Fatal(err)
	}
	list := make([][]string, len(lines))
	for i, line := range lines {
		list[i] = strings.Split(line, " ")
	}
	pairs, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse([]byte(replace(t, "merges as pairs", data, string(f.Model.Merges), string(pairs))))
	if err != nil || tok.Hash() != want.Hash() {
		t.Errorf("merges as pairs: another tokenizer, or error %v", err)
	}
}

// TestLoadUnsupported changes one thing at a time in a good file; each must be refused by name.
func TestLoadUnsupported(t *testing.T) {
	data := savedJSON(t)
	for _, c := range []struct{ why, old, new, want string }{
		{"normalizer", `"normalizer":null`, `"normalizer":{"type":"Lowercase"}`, `normalizer = {"type":"Lowercase"}`},
		{"truncation", `"truncation":null`, `"truncation":{"max_length":5}`, "truncation"},
		{"padding", `"padding":null`, `"padding":{}`, "padding"},
		{"version", `"version":"1.0"`, `"version":"2.0"`, "version = 2.0"},
		{"model", `"type":"BPE"`, `"type":"Unigram"`, "model.type = Unigram"},
		{"dropout", `"dropout":null`, `"dropout":0.1`, "model.dropout = 0.1"},
		{"unknown token", `"unk_token":null`, `"unk_token":"<unk>"`, `model.unk_token = "<unk>"`},
		{"prefix", `"continuing_subword_prefix":null`, `"continuing_subword_prefix":"##"`, "continuing_subword_prefix"},
		{"suffix", `"end_of_word_suffix":null`, `"end_of_word_suffix":"</w>"`, "end_of_word_suffix"},
		{"no end of text", `"content":"<|endoftext|>"`, `"content":"<s>"`, `added_tokens has none that ends a document`},
		{"a token that eats spaces", `"lstrip":false`, `"lstrip":true`, `added_tokens = "<|endoftext|>" with single_word, lstrip`},
		{"unknown field", `"version":"1.0"`, `"version":"1.0", "novelty":1`, "novelty"},
		{"pattern", `\\p{N}{1,3}`, `\\p{N}{1,4}`, "pre_tokenizer pattern"},
		{"prefix space", `"add_prefix_space":false`, `"add_prefix_space":true`, "pre_tokenizer"},
		{"behavior", `"Isolated"`, `"Removed"`, "pre_tokenizer"},
		{"decoder", `"decoder":{`, `"decoder":{"novelty":1,`, "decoder"},
		{"post-processor", `"post_processor":null`, `"post_processor":{"type":"TemplateProcessing"}`, "TemplateProcessing"},
		{"byte missing", `"!":33,`, ``, "ids must have no gaps"},
		{"bad alphabet", `"!":33,`, `"你":33,`, "byte-level alphabet"},
		{"byte doubled", `"!":33,`, `"!!!!!!!":33,`, "no token for byte 0x21"},
		{"merge of nothing", `"à ¤"`, `"à 你"`, "not in model.vocab"},
		{"merge without space", `"à ¤"`, `"à¤"`, "not two tokens"},
		{"merge twice", `"à ¤"`, `"à ¤","à ¤"`, "there twice"},
		{"not JSON", `"model":{`, `"model":[{`, "line "},
		{"truncated", `}}`, `}`, "unexpected EOF"},
		{"trailing", `}}`, `}}{}`, "more after the end"},
	} {
		_, err := Parse([]byte(replace(t, c.why, data, c.old, c.new)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.why, err, c.want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.json")); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("error of a missing file: %v", err)
	}
}

// savedJSON is the golden tokenizer.json without white space.
func savedJSON(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}

// replace changes the first old in text, which must be there.
func replace(t *testing.T, why, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%s: the file does not contain %s", why, old)
	}
	return strings.Replace(text, old, new, 1)
}

func TestAlphabet(t *testing.T) {
	seen := map[rune]bool{}
	for b := range 256 {
		s := visible([]byte{byte(b)})
		back, ok := invisible(s)
		if !ok || len(back) != 1 || back[0] != byte(b) {
			t.Errorf("byte 0x%02x is spelled %q and read as %v", b, s, back)
		}
		seen[byteRune(byte(b))] = true
	}
	if len(seen) != 256 {
		t.Errorf("%d spellings for 256 bytes", len(seen))
	}
	// The known landmarks of the alphabet: a space and a line feed.
	if got := visible([]byte(" \n\xad")); got != "ĠĊŃ" {
		t.Errorf("space, line feed and soft hyphen are spelled %q", got)
	}
}

func TestConfigCheck(t *testing.T) {
	check := func(c Config) (keys []string) {
		c.Check(func(key, message string) {
			if message == "" {
				t.Error("empty message")
			}
			keys = append(keys, key)
		})
		return keys
	}
	for _, c := range []struct {
		why  string
		cfg  Config
		want []string
	}{
		{"zero is fine", Config{}, nil},
		{"defaults are fine", Config{}.Defaults(), nil},
		{"a file is fine", Config{File: "x"}.Defaults(), nil},
		{"a file has its own vocabulary", Config{File: "x", VocabSize: 300}, []string{"vocab_size"}},
		{"too small twice", Config{VocabSize: 256, SampleBytes: 1}, []string{"vocab_size", "sample_bytes"}},
		{"negative", Config{VocabSize: -1, SampleBytes: -1}, []string{"vocab_size", "sample_bytes"}},
	} {
		if got := check(c.cfg); !slices.Equal(got, c.want) {
			t.Errorf("%s: problems with %v, want %v", c.why, got, c.want)
		}
	}
}

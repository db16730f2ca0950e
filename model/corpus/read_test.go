package corpus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// put writes a file below dir, compressed as its name says, and returns its path.
func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	switch compressed(name) {
	case ".gz":
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		z.Close()
	case ".zst":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		z.Write([]byte(text))
		z.Close()
	default:
		b.WriteString(text)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func readAll(cfg Config, path string) (docs []string, err error) {
	cfg = cfg.Defaults()
	r := reader{cfg: &cfg}
	err = r.read(source{Path: path}, func(doc []byte) error {
		docs = append(docs, string(doc))
		return nil
	})
	return docs, err
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	line := strings.Repeat("x", 99) + "\n"
	for _, c := range []struct {
		why, name, text string
		cfg             Config
		want            []string
	}{
		{"a file is a document", "a.txt", "one\ntwo\n", Config{}, []string{"one\ntwo\n"}},
		{"any ending", "a.go", "package a", Config{}, []string{"package a"}},
		{"gzip", "b.txt.gz", "zipped", Config{}, []string{"zipped"}},
		{"zstd", "b.txt.zst", "zipped", Config{}, []string{"zipped"}},
		{"not UTF-8, but text", "c.txt", "fa\xe7ade and na\xefve", Config{}, []string{"fa\xe7ade and na\xefve"}},
		{"separator", "d.txt", "one<|>two<|>", Config{Separator: "<|>"}, []string{"one", "two", ""}},
		{"separator in gzip", "d.txt.gz", "one<|>two", Config{Separator: "<|>"}, []string{"one", "two"}},
		{"cut at a line end", "e.txt", strings.Repeat(line, 21), Config{DocumentBytes: 1024},
			[]string{strings.Repeat(line, 10), strings.Repeat(line, 10), line}},
		{"cut before a character", "f.txt", strings.Repeat("é", 600) + "a", Config{DocumentBytes: 1025}, []string{strings.Repeat("é", 512), strings.Repeat("é", 88) + "a"}},
		{"just as long as allowed", "g.txt", strings.Repeat("y", 1024), Config{DocumentBytes: 1024}, []string{strings.Repeat("y", 1023), "y"}},
		{"long and separated", "h.txt", strings.Repeat("y", 700) + "|" + strings.Repeat("z", 700) + "|w", Config{DocumentBytes: 1024, Separator: "|"},
			[]string{strings.Repeat("y", 700), strings.Repeat("z", 700), "w"}},
		{"jsonl", "i.jsonl", "{\"text\":\"o\\nne\",\"id\":1}\n\n{\"id\":2,\"text\":\"tw\\u00f6\"}", Config{}, []string{"o\nne", "twö"}},
		{"jsonl, zstd, another field", "i.jsonl.zst", "{\"body\":\"one\"}\r\n{\"body\":\"\"}\r\n", Config{TextField: "body"}, []string{"one", ""}},
		{"jsonl, a line longer than the buffer", "j.jsonl", `{"text":"` + strings.Repeat("x", 100_000) + `"}`, Config{}, []string{strings.Repeat("x", 100_000)}},
		{"jsonl, cut", "k.jsonl", `{"text":"` + strings.Repeat("x", 1500) + `"}`, Config{DocumentBytes: 1024}, []string{strings.Repeat("x", 1023), strings.Repeat("x", 477)}},
	} {
		got, err := readAll(c.cfg, put(t, dir, c.name, c.text))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.why, got, err, c.want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	cutOff := put(t, dir, "cut.txt.gz", strings.Repeat("some text ", 1000))
	data, err := os.ReadFile(cutOff)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cutOff, data[:len(data)-10], 0o666); err != nil {
		t.Fatal(err)
	}
	plain := put(t, dir, "plain", "not compressed")
	for _, ext := range []string{".gz", ".zst"} {
		if err := os.Link(plain, plain+ext); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why, path string
		want      []string
	}{
		{"missing", filepath.Join(dir, "none.txt"), []string{"none.txt", "no such file"}},
		{"cut off", cutOff, []string{"cut.txt.gz cannot be decompressed", "cut off"}},
		{"not gzip", plain + ".gz", []string{"plain.gz cannot be decompressed"}},
		{"not zstd", plain + ".zst", []string{"plain.zst cannot be decompressed"}},
		{"not JSON", put(t, dir, "a.jsonl", "{\"text\":\"a\"}\n\nwhat\n"), []string{"a.jsonl:3: ", "not a JSON object", `{"text": "..."}`}},
		{"an array", put(t, dir, "b.jsonl", "[1]"), []string{"b.jsonl:1: ", "not a JSON object"}},
		{"two objects", put(t, dir, "bb.jsonl", `{"text":"a"} {"text":"b"}`), []string{"bb.jsonl:1: ", "not a JSON object"}},
		{"no such field", put(t, dir, "c.jsonl", `{"id":1,"content":"x"}`), []string{"c.jsonl:1: ", `no field "text"`, `"content" "id"`, "set text_field"}},
		{"not a string", put(t, dir, "d.jsonl", `{"text":5}`), []string{"d.jsonl:1: ", "not a string"}},
		{"null", put(t, dir, "e.jsonl", `{"text":null}`), []string{"e.jsonl:1: ", "not a string"}},
	} {
		_, err := readAll(Config{}, c.path)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", c.why, err, want)
			}
		}
	}
	for why, text := range map[string]string{"NUL": "ELF\x00\x01", "UTF-16": "h\x00i\x00", "random": "\xff\xd8\xff\xe0\x10JFIF\xfe\xed\xfa\xce"} {
		docs, err := readAll(Config{}, put(t, dir, "binary", text))
		if !errors.Is(err, errBinary) || len(docs) > 0 {
			t.Errorf("%s: %q, %v, want errBinary and no document", why, docs, err)
		}
	}
	stop := errors.New("stop")
	cfg := Config{}.Defaults()
	r := reader{cfg: &cfg}
	if err := r.read(source{Path: put(t, dir, "s.txt", "x")}, func([]byte) error { return stop }); err != stop {
		t.Errorf("error of the callback became %v", err)
	}
}

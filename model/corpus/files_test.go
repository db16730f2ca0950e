package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.md.gz", "c.jsonl.zst", "d.go", "sub/e.txt", "sub/deep/f.go", ".git/g.txt", ".h.txt", "we[i]rd.txt"} {
		put(t, dir, name, "text")
	}
	if err := os.Symlink(filepath.Join(dir, "d.go"), filepath.Join(dir, "sub/link.txt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "sub/loop")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CORPUS_TEST", dir)
	for _, c := range []struct {
		why  string
		cfg  Config
		want string
	}{
		{"a folder, default endings, nothing hidden", Config{Sources: []string{dir}}, "a.txt b.md.gz c.jsonl.zst sub/e.txt sub/link.txt we[i]rd.txt"},
		{"a folder, one ending", Config{Sources: []string{dir}, Extensions: []string{".go"}}, "d.go sub/deep/f.go"},
		{"a file, whatever its ending", Config{Sources: []string{dir + "/d.go"}}, "d.go"},
		{"a glob, whatever the endings", Config{Sources: []string{dir + "/*.{go,txt}"}}, ".h.txt a.txt d.go we[i]rd.txt"},
		{"a deep glob, no loop", Config{Sources: []string{dir + "/**/*.go"}}, "d.go sub/deep/f.go"},
		{"a file whose name looks like a glob", Config{Sources: []string{dir + "/we[i]rd.txt"}}, "we[i]rd.txt"},
		{"twice is once, in the order given", Config{Sources: []string{dir + "/sub", dir + "/a.txt", dir + "/sub/e.txt"}}, "sub/e.txt sub/link.txt a.txt"},
		{"variables", Config{Sources: []string{"$CORPUS_TEST/a.txt", "${CORPUS_TEST}/sub/e.txt"}}, "a.txt sub/e.txt"},
		{"relative to the base", Config{Sources: []string{"a.txt", "sub/../d.go"}, Base: dir}, "a.txt d.go"},
	} {
		cfg := c.cfg.Defaults()
		found, err := cfg.files()
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		var names []string
		for _, s := range found {
			name, _ := filepath.Rel(dir, s.Path)
			names = append(names, name)
			if s.Size == 0 || s.MTime == 0 {
				t.Errorf("%s: %+v has no size or time", c.why, s)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.why, got, c.want)
		}
	}
	cfg := Config{Sources: []string{"$GOROOT/src/fmt/print.go"}}.Defaults()
	t.Setenv("GOROOT", "")
	if _, err := cfg.files(); err != nil {
		t.Errorf("GOROOT by way of the go command: %v", err)
	}
}

func TestFilesErrors(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "d.go", "text")
	for _, c := range []struct{ why, source, want string }{
		{"missing", dir + "/none", "there is no file or folder"},
		{"folder without such files", dir, "holds no file ending in .txt, .text, .md, .jsonl, .parquet; set extensions"},
		{"glob without matches", dir + "/**/*.txt", "matches no file"},
		{"device", os.DevNull, "neither a file nor a folder"},
		{"file as a folder", dir + "/d.go/x", "not a directory"},
	} {
		cfg := Config{Sources: []string{c.source}}.Defaults()
		_, err := cfg.files()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.source) {
			t.Errorf("%s: error %v, want one with %q and the source", c.why, err, c.want)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	t.Setenv("CORPUS_TEST_UNSET", "")
	for _, c := range []struct {
		why  string
		cfg  Config
		want []string
	}{
		{"all is well", Config{Sources: []string{"a", "b/**/*.txt", "$$x"}}, nil},
		{"defaults are well", Config{Sources: []string{"a"}}.Defaults(), nil},
		{"nothing", Config{}, []string{"sources"}},
		{"each source", Config{Sources: []string{"", "$CORPUS_TEST_UNSET/x", "a[", "ok"}}, []string{"sources", "sources", "sources"}},
		{"endings", Config{Sources: []string{"a"}, Extensions: []string{"txt", ".", ".txt.gz"}}, []string{"extensions", "extensions", "extensions"}},
		{"numbers", Config{Sources: []string{"a"}, HeldOut: 0.6, MaxBytes: -1, DocumentBytes: 10}, []string{"document_bytes", "held_out", "max_bytes"}},
		{"negative", Config{Sources: []string{"a"}, HeldOut: -0.1, DocumentBytes: -1}, []string{"document_bytes", "held_out"}},
	} {
		var keys []string
		c.cfg.Check(func(key, message string) {
			if message == "" {
				t.Errorf("%s: empty message for %s", c.why, key)
			}
			keys = append(keys, key)
		})
		if !slices.Equal(keys, c.want) {
			t.Errorf("%s: problems with %v, want %v", c.why, keys, c.want)
		}
	}
}

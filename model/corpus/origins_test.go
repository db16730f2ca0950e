package corpus

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOrigins asks of every token of a stream where it came from, and finds the document there.
func TestOrigins(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"sea", "land/deep", "land/deeper", "zone"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		put(t, filepath.Join(root, []string{"sea", "land/deep", "land/deeper", "."}[i%4]), strings.Repeat("x", i)+".txt", story(i))
	}
	put(t, filepath.Join(root, "zone"), "copy.txt", story(8)) // of which nothing is taken
	dir := filepath.Join(t.TempDir(), "data")
	m := prepare(t, Config{Sources: []string{root}, HeldOut: 0.2}, dir)
	set := open(t, dir)
	tok, err := set.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	o, err := set.Origins()
	if err != nil {
		t.Fatal(err)
	}
	ids, counts := make([]uint32, m.Train.Tokens), make([]int64, len(o.Groups))
	if err := set.Train.Tokens(0, ids); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for start := 0; start < len(ids); {
		end := start + 1
		for end < len(ids) && ids[end] != tok.EndOfText() {
			end++
		}
		file := o.File(int64(start))
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(tok.Decode(ids[start+1:end]), text) || o.File(int64(end-1)) != file {
			t.Errorf("tokens %d to %d are not what %s holds (%v)", start, end, file, err)
		}
		name, _ := filepath.Rel(root, file)
		if first, _, below := strings.Cut(name, "/"); below {
			name = first + "/"
		}
		want[name] += int64(end - start)
		// Counting in two pieces that meet within the document.
		o.Count(int64(start), int64(start+(end-start)/3), counts)
		o.Count(int64(start+(end-start)/3), int64(end), counts)
		start = end
	}
	if len(want) != len(o.Groups) || !slices.Contains(o.Groups, "land/") || slices.Contains(o.Groups, "zone/") {
		t.Errorf("groups are %q, want those of %v", o.Groups, want)
	}
	whole := make([]int64, len(o.Groups))
	o.Count(0, m.Train.Tokens+100, whole)
	for i, g := range o.Groups {
		if counts[i] != want[g] || whole[i] != want[g] {
			t.Errorf("%s has %d tokens, at once %d, want %d", g, counts[i], whole[i], want[g])
		}
	}
	if got := o.File(m.Train.Tokens); got != "" {
		t.Errorf("a token after the last is of %s", got)
	}

	path := filepath.Join(dir, originsName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{strings.Replace(string(text), `"train":`, `"train":9`, 1), string(text[:len(text)/2]), ""} {
		if err := os.WriteFile(path, []byte(damaged), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := set.Origins(); err == nil || !strings.Contains(err.Error(), "prepare it again") {
			t.Errorf("damage was not noticed: %v", err)
		}
	}
}

func TestCommonFolder(t *testing.T) {
	for _, test := range []struct {
		files []string
		want  string
	}{
		{[]string{"/a/b/c.txt"}, "/a/b/"}, {[]string{"/a/b/c.txt", "/a/b/d/e.txt"}, "/a/b/"}, {[]string{"/a/b/d/e.txt", "/a/b/c.txt"}, "/a/b/"},
		{[]string{"/a/bc/d.txt", "/a/b/d.txt"}, "/a/"}, {[]string{"/a/d.txt", "/b/d.txt"}, "/"}, {nil, ""},
	} {
		if got := commonFolder(test.files); got != test.want {
			t.Errorf("%q have %q in common, want %q", test.files, got, test.want)
		}
	}
}

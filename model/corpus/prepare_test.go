package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"saltern/model/token"
)

// story is the text of document n, different for each n.
func story(n int) string {
	return fmt.Sprintf("Document %d. The tide comes in %d times over the salt flats, and goes out again.\n", n, n*n+1)
}

// stories puts n documents as files into a new folder.
func stories(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		put(t, dir, fmt.Sprintf("%03d.txt", i), story(i))
	}
	return dir
}

var small = token.Config{VocabSize: 300}

func prepare(t *testing.T, cfg Config, dir string) *Manifest {
	t.Helper()
	m, err := Prepare(context.Background(), cfg, small, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// texts decodes a stream into its documents.
func texts(t *testing.T, set *Set, s *Stream) []string {
	t.Helper()
	tok, err := set.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uint32, s.Len())
	if err := s.Tokens(0, ids); err != nil {
		t.Fatal(err)
	}
	var docs []string
	for start := range ids {
		if ids[start] != tok.EndOfText() {
			continue
		}
		end := start + 1
		for end < len(ids) && ids[end] != tok.EndOfText() {
			end++
		}
		docs = append(docs, string(tok.Decode(ids[start+1:end])))
	}
	return docs
}

func open(t *testing.T, dir string) *Set {
	t.Helper()
	set, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	return set
}

func TestPrepare(t *testing.T) {
	src := stories(t, 100)
	put(t, src, "copy.txt", story(7))
	put(t, src, "blank.txt", " \n")
	put(t, src, "image.txt", "\x00\x01\x02")
	put(t, src, "more.jsonl.gz", `{"text":"a line of its own"}`+"\n"+`{"text":"`+strings.TrimSuffix(story(8), "\n")+`\n"}`+"\n")
	dir := filepath.Join(t.TempDir(), "new", "data")
	stages := map[string]int64{}
	m, err := Prepare(context.Background(), Config{Sources: []string{src}, HeldOut: 0.1}, small, dir, func(stage string, done, total int64) {
		if done > total || done < stages[stage] {
			t.Errorf("%s: %d of %d after %d", stage, done, total, stages[stage])
		}
		stages[stage] = done
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"reading", "tokenizer", "encoding"} {
		if stages[stage] == 0 {
			t.Errorf("no progress of %s", stage)
		}
	}
	if m.Files != 103 || m.BinaryFiles != 1 || m.Empty != 1 || m.Duplicates != 2 || m.Unused != 0 {
		t.Errorf("%d files, %d binary, %d empty, %d duplicates, %d unused", m.Files, m.BinaryFiles, m.Empty, m.Duplicates, m.Unused)
	}
	if m.VocabSize != 300 || m.EndOfText != 299 || m.TokenBytes != 2 {
		t.Errorf("vocabulary %d, end of text %d, %d bytes a token", m.VocabSize, m.EndOfText, m.TokenBytes)
	}
	set := open(t, dir)
	if err := set.Verify(); err != nil {
		t.Error(err)
	}
	want := []string{"a line of its own"}
	for i := range 100 {
		want = append(want, story(i))
	}
	trained, held := texts(t, set, set.Train), texts(t, set, set.HeldOut)
	if n := int64(len(trained)); n != m.Train.Documents || m.HeldOut.Documents != int64(len(held)) || len(held) < 2 || len(held) > 25 {
		t.Errorf("%d and %d documents, the manifest says %d and %d", n, len(held), m.Train.Documents, m.HeldOut.Documents)
	}
	size := int64(0)
	for _, d := range held {
		size += int64(len(d))
	}
	if m.HeldOut.Bytes != size || m.HeldOut.Tokens != set.HeldOut.Len() {
		t.Errorf("held out are %d bytes in %d tokens, the manifest says %d in %d", size, set.HeldOut.Len(), m.HeldOut.Bytes, m.HeldOut.Tokens)
	}
	got := append(trained, held...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("documents\n%q\nwant\n%q", got, want)
	}
}

func TestSplitIsStable(t *testing.T) {
	a := stories(t, 60)
	b := t.TempDir()
	var all strings.Builder
	for i := range 60 { // the same documents elsewhere, backwards, and in one file
		fmt.Fprintf(&all, "%s|", story(59-i))
	}
	put(t, b, "all.txt", all.String())
	heldOut := func(cfg Config) []string {
		dir := filepath.Join(t.TempDir(), "data")
		prepare(t, cfg, dir)
		set := open(t, dir)
		docs := texts(t, set, set.HeldOut)
		slices.Sort(docs)
		return docs
	}
	one := heldOut(Config{Sources: []string{a}, HeldOut: 0.2})
	two := heldOut(Config{Sources: []string{b}, HeldOut: 0.2, Separator: "|"})
	if !slices.Equal(one, two) {
		t.Errorf("held out:\n%q\nfrom files, and\n%q\nfrom one file", one, two)
	}
	more := heldOut(Config{Sources: []string{a}, HeldOut: 0.4})
	for _, d := range one {
		if !slices.Contains(more, d) {
			t.Errorf("%q is held out at 0.2 but not at 0.4", d)
		}
	}
}

func TestSmallCorpora(t *testing.T) {
	src := stories(t, 2) // both, or none, are below most bounds
	for _, share := range []float64{1e-9, 0.02, 0.5} {
		m, err := Prepare(context.Background(), Config{Sources: []string{src}, HeldOut: share}, token.Config{VocabSize: 260}, filepath.Join(t.TempDir(), "data"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Train.Documents != 1 || m.HeldOut.Documents != 1 {
			t.Errorf("share %g of two documents: %d for training, %d held out", share, m.Train.Documents, m.HeldOut.Documents)
		}
	}
}

func TestMaxBytes(t *testing.T) {
	src := stories(t, 100)
	full := prepare(t, Config{Sources: []string{src}}, filepath.Join(t.TempDir(), "data"))
	dir := filepath.Join(t.TempDir(), "data")
	m := prepare(t, Config{Sources: []string{src}, MaxBytes: 4000}, dir)
	got := m.Train.Bytes + m.HeldOut.Bytes
	if got > 4000 || got < 3900 {
		t.Errorf("%d bytes of text, want just below 4000", got)
	}
	if n := m.Train.Documents + m.HeldOut.Documents + m.Unused; n != full.Train.Documents+full.HeldOut.Documents {
		t.Errorf("%d documents used or unused, of %d", n, full.Train.Documents+full.HeldOut.Documents)
	}
}

// TestPrepareAgain: nothing is done again unless something changed.
func TestPrepareAgain(t *testing.T) {
	src := stories(t, 30)
	dir := filepath.Join(t.TempDir(), "data")
	cfg := Config{Sources: []string{src}}
	first := prepare(t, cfg, dir)
	shard := filepath.Join(dir, "train-00000.bin")
	made := func() time.Time {
		info, err := os.Stat(shard)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	age := func() {
		if err := os.Chtimes(shard, long, long); err != nil {
			t.Fatal(err)
		}
	}
	age()
	again := prepare(t, cfg, dir)
	if !made().Equal(long) || again.Key != first.Key || again.Train.Tokens != first.Train.Tokens {
		t.Error("an unchanged corpus was prepared again")
	}
	for _, c := range []struct {
		why    string
		change func()
	}{
		{"a new file", func() { put(t, src, "new.txt", "something new") }},
		{"a changed file", func() { put(t, src, "000.txt", "something else") }},
		{"another configuration", func() { cfg.HeldOut = 0.3 }},
		{"a damaged shard", func() {
			if err := os.Truncate(shard, 2000); err != nil {
				t.Fatal(err)
			}
			age()
		}},
	} {
		age()
		c.change()
		prepare(t, cfg, dir)
		if made().Equal(long) {
			t.Errorf("%s: the corpus was not prepared again", c.why)
		}
		if err := open(t, dir).Verify(); err != nil {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	if left, _ := filepath.Glob(dir + ".*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestPrepareAtomic stops Prepare in each stage: the folder that was there stays, and nothing else is left.
func TestPrepareAtomic(t *testing.T) {
	src := stories(t, 30)
	dir := filepath.Join(t.TempDir(), "data")
	prepare(t, Config{Sources: []string{src}}, dir)
	before, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"reading", "tokenizer", "encoding"} {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Prepare(ctx, Config{Sources: []string{src}, HeldOut: 0.3}, small, dir, func(now string, _, _ int64) {
			if now == stage {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped while %s: error %v", stage, err)
		}
	}
	after, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the old corpus did not survive: %v", err)
	}
	if left, _ := filepath.Glob(dir + ".*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestPrepareTokenizerFile(t *testing.T) {
	src := stories(t, 30)
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	first := prepare(t, Config{Sources: []string{src}}, a)
	tok := token.Config{File: filepath.Join(a, tokenizerName)}
	second, err := Prepare(context.Background(), Config{Sources: []string{src}}, tok, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if second.TokenizerHash != first.TokenizerHash || second.Train.Shards[0].SHA256 != first.Train.Shards[0].SHA256 {
		t.Error("the same tokenizer from a file gives other shards")
	}
	if second.Key == first.Key {
		t.Error("a given and a trained tokenizer have the same key")
	}
}

func TestTokenizerSample(t *testing.T) {
	// The tokenizer must not have read what is held out: its pairs would be known to the model.
	src := t.TempDir()
	for i := range 40 {
		put(t, src, fmt.Sprintf("%d.txt", i), strings.Repeat(fmt.Sprintf("%c%c ", 'a'+i%26, 'A'+i), 3000))
	}
	cfg := Config{Sources: []string{src}, HeldOut: 0.5}.Defaults()
	sources, err := cfg.files()
	if err != nil {
		t.Fatal(err)
	}
	found, err := cfg.census(context.Background(), sources, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sample, low, high int64
	}{{1 << 30, found.trainBytes, found.trainBytes}, {found.trainBytes / 2, found.trainBytes / 5, found.trainBytes * 4 / 5}} {
		p := preparation{cfg: cfg, tok: token.Config{SampleBytes: c.sample}}
		size := int64(0)
		for text, err := range p.sample(context.Background(), found) {
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := found.documents.pass(keyOf(text)); v == heldOut {
				t.Errorf("held-out text %q... is in the sample", text[:10])
			}
			size += int64(len(text))
		}
		if size < c.low || size > c.high {
			t.Errorf("a sample of %d has %d bytes, of %d", c.sample, size, found.trainBytes)
		}
	}
}

func TestPrepareErrors(t *testing.T) {
	src := stories(t, 10)
	image := put(t, t.TempDir(), "image.txt", "\x00\x01")
	other := t.TempDir()
	put(t, other, "thesis.txt", "the only copy")
	fresh := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		why  string
		cfg  Config
		tok  token.Config
		dir  string
		want []string
	}{
		{"configuration", Config{HeldOut: 0.9}, small, fresh, []string{"there are no sources", "held_out = 0.9"}},
		{"binary, named", Config{Sources: []string{src, image}}, small, fresh, []string{"image.txt cannot be used", "not text"}},
		{"only binary", Config{Sources: []string{filepath.Dir(image)}}, small, fresh, []string{"the corpus is empty", filepath.Dir(image), "1 are not text"}},
		{"only blank", Config{Sources: []string{put(t, t.TempDir(), "x.txt", "\n")}}, small, fresh, []string{"the corpus is empty", "x.txt", "1 empty documents"}},
		{"a single document", Config{Sources: []string{src + "/001.txt"}}, small, fresh, []string{"a single document", "separator", "document_bytes"}},
		{"no room", Config{Sources: []string{src}, MaxBytes: 3}, small, fresh, []string{"max_bytes = 3", "raise it"}},
		{"too large a vocabulary", Config{Sources: []string{src}}, token.Config{VocabSize: 5000}, fresh, []string{"vocabulary of 5000", "it gives at most"}},
		{"no tokenizer", Config{Sources: []string{src}}, token.Config{File: "none.json"}, fresh, []string{"none.json"}},
		{"not ours to replace", Config{Sources: []string{src}}, small, other, []string{other, "something else than a prepared corpus"}},
		{"a file in the way", Config{Sources: []string{src}}, small, image, []string{image}},
	} {
		_, err := Prepare(context.Background(), c.cfg, c.tok, c.dir, nil)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", c.why, err, want)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(other, "thesis.txt")); err != nil {
		t.Errorf("somebody's file is gone: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(fresh)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestChangedWhileReading: a source that changes between the two readings is an error, not a wrong corpus.
func TestChangedWhileReading(t *testing.T) {
	for why, change := range map[string]func(t *testing.T, src string){
		"changed": func(t *testing.T, src string) { put(t, src, "005.txt", "changed meanwhile") },
		"gone":    func(t *testing.T, src string) { put(t, src, "005.txt", "") },
		"binary":  func(t *testing.T, src string) { put(t, src, "005.txt", "\x00") },
	} {
		src := stories(t, 30)
		done := false
		_, err := Prepare(context.Background(), Config{Sources: []string{src}}, small, filepath.Join(t.TempDir(), "data"), func(stage string, _, _ int64) {
			if stage == "encoding" && !done {
				done = true
				change(t, src)
			}
		})
		if err == nil || !strings.Contains(err.Error(), "while the corpus was being prepared") {
			t.Errorf("%s: error %v", why, err)
		}
	}
}

func TestPrepareAtOnce(t *testing.T) {
	src := stories(t, 30)
	dir := filepath.Join(t.TempDir(), "data")
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := Prepare(context.Background(), Config{Sources: []string{src}}, small, dir, nil)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := open(t, dir).Verify(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(dir + ".*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestBitsPerByte(t *testing.T) {
	p := Part{Bytes: 4000, Tokens: 1000}
	if got := p.BitsPerByte(4 * math.Ln2); math.Abs(got-1) > 1e-12 {
		t.Errorf("a loss of 4 bits per token of 4 bytes is %g bits per byte, want 1", got)
	}
}

package corpus

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"saltern/model/token"
)

func TestWeights(t *testing.T) {
	src := t.TempDir()
	for i := range 600 { // a is five times as much as b
		put(t, src, fmt.Sprintf("a/%d.txt", i), story(i))
		if i%5 == 0 {
			put(t, src, fmt.Sprintf("b/%d.txt", i), story(1000+i))
		}
	}
	sources := []string{filepath.Join(src, "a"), filepath.Join(src, "b")}
	plain := prepare(t, Config{Sources: sources, HeldOut: 0.1}, filepath.Join(t.TempDir(), "plain"))
	dir := filepath.Join(t.TempDir(), "mixed")
	m := prepare(t, Config{Sources: sources, HeldOut: 0.1, Weights: []float64{1, 3}}, dir)
	set := open(t, dir)
	bytes, times := map[bool]float64{}, map[string]int{}
	for _, doc := range texts(t, set, set.Train) {
		var n int
		if _, err := fmt.Sscanf(doc, "Document %d.", &n); err != nil {
			t.Fatal(err)
		}
		bytes[n >= 1000] += float64(len(doc))
		times[doc]++
	}
	if share := bytes[true] / (bytes[true] + bytes[false]); math.Abs(share-0.75) > 0.03 {
		t.Errorf("the source of weight 3/4 has %.3f of the text", share)
	}
	if d := float64(m.Train.Bytes) / float64(plain.Train.Bytes); math.Abs(d-1) > 0.05 {
		t.Errorf("the text is %.3f of its length", d)
	}
	for doc, n := range times { // of the one source 0.3 of the documents, of the other each 4.5 times on average
		var number int
		fmt.Sscanf(doc, "Document %d.", &number)
		if number < 1000 && n != 1 || number >= 1000 && n != 4 && n != 5 {
			t.Errorf("%q stands %d times", doc, n)
		}
	}
	if m.HeldOut.Documents != plain.HeldOut.Documents || m.HeldOut.Shards[0].SHA256 == "" {
		t.Errorf("%d documents are held out, without weights %d", m.HeldOut.Documents, plain.HeldOut.Documents)
	}
	o, err := set.Origins()
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int64, len(o.Groups))
	o.Count(0, m.Train.Tokens, counts)
	if sum := counts[0] + counts[1]; sum != m.Train.Tokens {
		t.Errorf("origins know of %d tokens of %d", sum, m.Train.Tokens)
	}
}

func TestWeightsAreChecked(t *testing.T) {
	src := stories(t, 10)
	for want, c := range map[string]Config{
		"weights has 1 numbers for 2 sources":                 {Sources: []string{src, src}, Weights: []float64{1}},
		"weights has 0, which":                                {Sources: []string{src}, Weights: []float64{0}},
		"no text for training that an earlier source has not": {Sources: []string{src, src + "/*.txt"}, Weights: []float64{1, 2}},
	} {
		if _, err := Prepare(context.Background(), c, small, filepath.Join(t.TempDir(), "data"), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Corpora keep their keys from version to version, so that runs find what they began with.
func TestKeyIsStable(t *testing.T) {
	p := preparation{cfg: Config{Sources: []string{"a", "b"}}.Defaults(), tok: token.Config{VocabSize: 300}.Defaults()}
	key, err := p.key([]source{{"/a/x.txt", 12, 345, true, 0}, {"/a/y.jsonl.gz", 1, 2, false, 1}})
	if err != nil || key != "6b3e102b991d9540cb9cf2f8fe6e26b06e3a167252ecc277db8143f094ea71cc" {
		t.Errorf("%s, %v", key, err)
	}
	with, err := p.key([]source{{"/a/x.txt", 12, 345, true, 0}, {"/a/y.parquet", 1, 2, false, 1}})
	if err != nil || with == key {
		t.Errorf("with .parquet: %s, %v", with, err)
	}
}

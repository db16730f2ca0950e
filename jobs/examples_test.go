package jobs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"saltern/compute"
	"saltern/model"
	"saltern/model/corpus"
	"saltern/model/token"
)

// writeExamples writes n of them, and trains a tokenizer on them.
func writeExamples(t *testing.T, n int) (corpus.Config, *token.Tokenizer) {
	t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"prompt":"What is %d and %d? ","response":"It is %d, %s.","id":%d}`+"\n", i, i, 2*i, strings.Repeat("yes ", i%4), i)
	}
	path := filepath.Join(t.TempDir(), "examples.jsonl")
	if err := os.WriteFile(path, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	tok, err := token.Config{VocabSize: 258}.Defaults().Train(t.Context(), func(yield func([]byte, error) bool) { yield([]byte(lines.String()), nil) }, func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return corpus.Config{Sources: []string{path}, HeldOut: 0.1}, tok
}

// TestExamplesArePacked: every example stands whole in one row, behind an end-of-text token, and no token but those of its response is
// predicted.
func TestExamplesArePacked(t *testing.T) {
	c, tok := writeExamples(t, 100)
	text, err := os.ReadFile(c.Sources[0])
	if err != nil {
		t.Fatal(err)
	}
	c.Sources = append(c.Sources, filepath.Join(t.TempDir(), "copy.jsonl"))
	if err := os.WriteFile(c.Sources[1], text, 0o666); err != nil {
		t.Fatal(err)
	}
	x, err := readExamples(c, exampleFields{"prompt", "response"}, tok, 96)
	if err != nil {
		t.Fatal(err)
	}
	found, rowsUsed := map[string]string{}, 0
	for _, r := range []*rows{&x.train, &x.heldOut} {
		rowsUsed += r.count()
		ids, labels := make([]uint32, r.T), make([]uint32, r.T)
		for i := range r.count() {
			r.read(i, ids, labels)
			for at := 0; at < r.T; {
				end := at + 1
				for end < r.T && ids[end] != tok.EndOfText() {
					end++
				}
				known := at // the first row that predicts
				for known < end && labels[known] == compute.Masked {
					known++
				}
				if known < end {
					if labels[end-1] != tok.EndOfText() || string(tok.Decode(labels[known:end-1])) != string(tok.Decode(ids[known+1:end])) {
						t.Fatalf("row %d: labels %v of ids %v", i, labels[at:end], ids[at:end])
					}
					found[string(tok.Decode(ids[at+1:known+1]))] = string(tok.Decode(labels[known : end-1]))
				}
				at = end
			}
		}
	}
	for i := range 100 {
		prompt, want := fmt.Sprintf("What is %d and %d? ", i, i), fmt.Sprintf("It is %d, %s.", 2*i, strings.Repeat("yes ", i%4))
		if found[prompt] != want {
			t.Errorf("%q has the response %q, want %q", prompt, found[prompt], want)
		}
	}
	if x.count != 100 || x.duplicates != 100 || x.heldOut.part.Documents+x.train.part.Documents != 100 || x.heldOut.part.Documents < 2 || rowsUsed > 70 {
		t.Errorf("%d examples, %d duplicates, %d held out, in %d rows", x.count, x.duplicates, x.heldOut.part.Documents, rowsUsed)
	}
}

func TestExamplesErrors(t *testing.T) {
	c, tok := writeExamples(t, 1)
	for want, f := range map[string]func() error{
		"it takes one to train on": func() error { _, err := readExamples(c, exampleFields{"prompt", "response"}, tok, 96); return err },
		"examples.jsonl:1: the example has no field \"answer\"; say with --prompt": func() error {
			_, err := readExamples(c, exampleFields{"prompt", "answer"}, tok, 96)
			return err
		},
		"the field \"id\" is not a text": func() error { _, err := readExamples(c, exampleFields{"prompt", "id"}, tok, 96); return err },
		"(1 were too long)":              func() error { _, err := readExamples(c, exampleFields{"prompt", "response"}, tok, 4); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestPromptsGetNoGradient: in float64, the gradient of packed examples is the sum of those of each token of their responses alone, and a
// prompt by itself has none.
func TestPromptsGetNoGradient(t *testing.T) {
	c, tok := writeExamples(t, 3)
	x, err := readExamples(c, exampleFields{"prompt", "response"}, tok, 64)
	if err != nil {
		t.Fatal(err)
	}
	b := compute.NewReference()
	tc := model.TrainConfig{Steps: 1, Batch: 1, Microbatch: 1, Sequence: 64, DocumentMasks: true, EndOfText: tok.EndOfText()}.Defaults()
	tc.ClipNorm, tc.Warmup, tc.Precision = 0, 0, model.Float32
	m := model.New(model.Config{Vocab: 280, Layers: 1, Width: 8, Heads: 2, Context: 64, InitStd: 0.3}.Defaults(), "test", true)
	trainer, err := model.Programs(m, tc, model.Plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Load(b); err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	// The mean gradient after a step from nothing, times the tokens, is the gradient but for a factor.
	gradient := func(keep func(row int, label uint32) bool) (sum []float64, tokens int64) {
		if err := m.Init(b, 5); err != nil {
			t.Fatal(err)
		}
		for _, k := range m.Buckets {
			clear(b.Float64(k.Mean.View(compute.F32, 0, k.Len)))
		}
		s, err := trainer.Step(0, 0, 0, 1, func(_ int, ids, labels []uint32) error {
			x.train.read(0, ids, labels)
			for i, l := range labels {
				if !keep(i, l) {
					labels[i] = compute.Masked
				}
			}
			return nil
		})
		if err != nil {
			if strings.Contains(err.Error(), "without a single token") { // nothing is predicted, so there is nothing to learn
				return nil, 0
			}
			t.Fatal(err)
		}
		for _, k := range m.Buckets {
			for _, v := range b.Float64(k.Mean.View(compute.F32, 0, k.Len)) {
				sum = append(sum, v*float64(s.Tokens))
			}
		}
		return sum, s.Tokens
	}
	all, tokens := gradient(func(int, uint32) bool { return true })
	apart := make([]float64, len(all))
	n := int64(0)
	for row := range 64 {
		one, count := gradient(func(i int, _ uint32) bool { return i == row })
		n += count
		for i := range one {
			apart[i] += one[i]
		}
	}
	size, off := 0.0, 0.0
	for i := range all {
		size, off = math.Max(size, math.Abs(all[i])), math.Max(off, math.Abs(all[i]-apart[i]))
	}
	if tokens != x.train.part.Tokens || n != tokens || size == 0 || off > 1e-6*size {
		t.Errorf("%d tokens are predicted of %d, %d one by one; gradients of up to %g differ by %g", tokens, x.train.part.Tokens, n, size, off)
	}
}

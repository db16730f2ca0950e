package model

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew from what the code does now")

// TestPlan holds the plan of a small model's training step against testdata/plan.txt: nodes in order, places in the
// arena, barriers. A difference is the explanation of a change; if it is meant: go test ./model -run TestPlan -rewrite.
func TestPlan(t *testing.T) {
	c := Config{Vocab: 64, Layers: 2, Width: 32, Heads: 2, FFN: 64, Context: 16}.Defaults()
	trainer, err := Programs(New(c, "m", true), TrainConfig{Steps: 1, Batch: 4, Microbatch: 4, Sequence: 16}.Defaults(), Plain)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, p := range trainer.programs {
		p.Print(&got)
	}
	const path = "testdata/plan.txt"
	if *rewrite {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the plan differs from %s; see the change by: go test ./model -run TestPlan -rewrite && git diff model/testdata", path)
	}
}

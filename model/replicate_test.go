package model

import (
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
)

// TestReplicate hands a model from one backend to another: the next step of both has the same bits.
func TestReplicate(t *testing.T) {
	c := TrainConfig{Steps: 5, Batch: 2, Microbatch: 2, Sequence: 8, LR: 0.01, Precision: Float32}.Defaults()
	config := Config{Vocab: 28, Layers: 2, Width: 16, Heads: 2, FFN: 32, Context: 8, InitStd: 0.3}.Defaults()
	fill := func(_ int, ids, labels []uint32) error {
		for i := range ids {
			ids[i], labels[i] = uint32(i*7%28), uint32(i*5%28)
		}
		return nil
	}
	begin := func() (*Model, *Trainer, compute.Backend) {
		m, b := New(config, "llm", true), computetest.Device(t)
		trainer, err := Programs(m, c, Plain)
		if err == nil {
			err = trainer.Load(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			trainer.Close()
			b.Free(m.Storages()...)
		})
		return m, trainer, b
	}
	old, one, b := begin()
	if err := old.Init(b, 3); err != nil {
		t.Fatal(err)
	}
	step := func(trainer *Trainer, n int64) Step {
		s, err := trainer.Step(n, 0, 0, 1, fill)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for n := range int64(2) {
		step(one, n)
	}
	newcomer, two, d := begin()
	var sent [][]float32
	if err := old.Replicate(b, true, false, func(x []float32) error {
		sent = append(sent, slices.Clone(x))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := newcomer.Replicate(d, false, true, func(x []float32) error {
		copy(x, sent[0])
		sent = sent[1:]
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(sent) > 0 {
		t.Errorf("%d vectors were sent and not received", len(sent))
	}
	for n := int64(2); n < 4; n++ {
		if a, b := step(one, n), step(two, n); a != b {
			t.Errorf("step %d of the newcomer is %+v, want %+v", n, b, a)
		}
	}
	part := New(config, "part", true)
	part.Shard(0, 2)
	if part.Replicate(d, true, false, nil) == nil {
		t.Error("a rank's part of a model was taken for all of it")
	}
}

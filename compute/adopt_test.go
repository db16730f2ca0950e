package compute

import (
	"context"
	"testing"
)

// TestAdopt: a tuner takes another's choice in place of its own, and keeps it.
func TestAdopt(t *testing.T) {
	d := openTest(t)
	r := NewRecorder()
	r.Add(NewTensor(State, "a", F32, 8, 16), NewTensor(State, "b", F32, 8, 16))
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	n := p.Nodes[0]
	fitting := d.fitting(n)
	if len(fitting) < 2 {
		t.Fatal("one kernel is no choice")
	}
	for _, k := range []*Kernel{fitting[len(fitting)-1], fitting[0], fitting[len(fitting)-1]} {
		tuner, err := NewTuner(d, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := tuner.Tune(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		if err := tuner.Adopt(context.Background(), Choices{Device: "another", Kernels: map[string]string{class(n): k.Name}}, p); err != nil {
			t.Fatal(err)
		}
		if got, err := tuner.Choose(n, fitting); err != nil || got != k || tuner.Choices().Kernels[class(n)] != k.Name {
			t.Errorf("%v, %v, want %s", got, err, k.Name)
		}
	}
}

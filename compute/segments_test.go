package compute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestCutAfter: a cut program gives the same bits as before, and what it says is complete after a segment is what it is at the end.
func TestCutAfter(t *testing.T) {
	x, w := NewTensor(Host, "x", F32, 3, 8), NewTensor(State, "w", F32, 8, 8)
	grads := []*Tensor{NewTensor(State, "first", F32, 3, 8), NewTensor(State, "second", F32, 3, 8), NewTensor(State, "last", F32, 3, 8)}
	r := NewRecorder()
	y := r.MatMul(x, w, NN)
	r.Accumulate(grads[0], y)
	y = r.MatMul(y, w, NN)
	r.Accumulate(grads[2], y)
	y = r.MatMul(y, w, NN)
	r.Accumulate(grads[1], y)
	r.Accumulate(grads[2], r.MatMul(y, w, NN))
	whole, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	cut := *whole
	var storages []*Storage
	for _, g := range grads {
		storages = append(storages, g.Storage)
	}
	complete := cut.CutAfter(storages...)
	if want := [][]int{{0}, {1}, {2}}; !slices.EqualFunc(complete, want, slices.Equal[[]int]) || cut.Segments[2] != len(cut.Nodes) {
		t.Fatalf("complete %v after the nodes %v of %d", complete, cut.Segments, len(cut.Nodes))
	}
	for name, b := range map[string]Backend{"device": openTest(t), "reference": NewReference()} {
		run := func(p *Program, f func(x Executable) error) []float32 {
			for _, g := range append(grads, x, w) {
				data := make([]float32, g.Len())
				for i := range data {
					data[i] = float32(i%7) / 8
				}
				if err := b.Write(g, data); err != nil {
					t.Fatal(err)
				}
			}
			exes, err := b.Load(p)
			if err != nil {
				t.Fatal(err)
			}
			defer exes[0].Close()
			if err := f(exes[0]); err != nil {
				t.Fatal(err)
			}
			var all []float32
			for _, g := range grads {
				all = append(all, readAll(t, b, g)...)
			}
			return all
		}
		want := run(whole, Executable.Run)
		if got := run(&cut, Executable.Run); !slices.Equal(got, want) {
			t.Errorf("%s: cut, and run as a whole: %v, want %v", name, got, want)
		}
		var left []float32
		got := run(&cut, func(x Executable) error {
			return x.RunSegments(func(s int) error {
				for _, k := range complete[s] {
					left = append(left, readAll(t, b, grads[k])...)
				}
				return nil
			})
		})
		if !slices.Equal(got, want) || !slices.Equal(left, want) {
			t.Errorf("%s: in segments: %v, on the way: %v, want %v", name, got, left, want)
		}
		stop := fmt.Errorf("enough")
		run(&cut, func(x Executable) error {
			if err := x.RunSegments(func(int) error { return stop }); err != stop {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
	}
	var b strings.Builder
	cut.Print(&b)
	if n := strings.Count(b.String(), "what is complete may leave"); n != 2 {
		t.Errorf("the plan shows %d cuts:\n%s", n, b.String())
	}
}

func readAll(t *testing.T, b Backend, x *Tensor) []float32 {
	t.Helper()
	data := make([]float32, x.Len())
	if err := b.Read(x, data); err != nil {
		t.Fatal(err)
	}
	return data
}

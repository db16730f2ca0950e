package compute

import (
	"slices"
	"testing"
)

// TestJoinSums: sums that are added to neighbours in memory become one, in whatever order they come, and only where nothing notices
// that they move; on the device and in the reference each gradient is what was there and the sum of its own rows.
func TestJoinSums(t *testing.T) {
	const rows, d = 13, 64
	tests := []struct {
		name, why string
		order     []int // of the gradients that are summed, by their place in memory
		width     int   // of a gradient; the next begins at a multiple of d
		read      bool  // the first is read before the second is summed
		sums      int   // that are left
	}{
		{"backwards", "a layer's gains are met from the last to the first", []int{1, 0}, d, false, 1},
		{"forwards", "nothing depends on it", []int{0, 1, 2}, d, false, 1},
		{"apart", "another gradient lies between", []int{0, 2}, d, false, 2},
		{"read", "what reads the first must find it", []int{0, 1}, d, true, 2},
		{"twice", "what is added to one gradient twice is two sums", []int{0, 0}, d, false, 2},
		{"padded", "rows of the sum would not be where the gradients are", []int{0, 1}, d - 4, false, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			grads := NewStorage(State, "grads", 3*d)
			all := grads.View(F32, 0, 3*d)
			seen, zero := NewTensor(State, "seen", F32, test.width), NewTensor(State, "zero", F32, rows, test.width)
			r := NewRecorder()
			want, values := make([]float32, 3*d), map[*Tensor][]float32{all: make([]float32, 3*d)}
			for i := range want {
				values[all][i] = float32(i)
				want[i] = float32(i)
			}
			for k, g := range test.order {
				x := NewTensor(State, "x", F32, rows, test.width)
				for i := range x.Len() { // whole numbers, whose sums are exact in any order
					v := float32((i*7+k*31)%101 - 50)
					values[x] = append(values[x], v)
					want[g*d+i%test.width] += v
				}
				r.SumInto(grads.View(F32, g*d, test.width), r.Add(x, zero))
				if test.read && k == 0 {
					r.Accumulate(seen, grads.View(F32, g*d, test.width))
				}
			}
			p, err := r.Finish()
			if err != nil {
				t.Fatal(err)
			}
			sums := 0
			for _, n := range p.Nodes {
				if n.Op == opSumRows {
					sums++
				}
			}
			if sums != test.sums {
				t.Errorf("%d sums are left, want %d, since %s:", sums, test.sums, test.why)
				p.Print(t.Output())
			}
			for name, b := range map[string]Backend{"device": openTest(t), "reference": NewReference()} {
				got := runOnce(t, b, p, values, all)
				if !slices.Equal(got, want) {
					t.Errorf("%s: the gradients are %v, want %v", name, got, want)
				}
			}
		})
	}
}

// runOnce writes the values, runs the program, and reads a tensor.
func runOnce(t *testing.T, b Backend, p *Program, values map[*Tensor][]float32, read *Tensor) []float32 {
	exes, err := b.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer exes[0].Close()
	for x, v := range values {
		if err := b.Write(x, v); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]float32, read.Len())
	if err := exes[0].Run(); err != nil {
		t.Fatal(err)
	}
	if err := b.Read(read, got); err != nil {
		t.Fatal(err)
	}
	return got
}

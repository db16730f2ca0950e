package compute

import (
	"errors"
	"math"
	"testing"

	"saltern/compute/ref"
)

// TestTensorsBeyondOneBinding runs operations on tensors of 160 MiB, more than the 128 MiB that a device may bind at
// once (lavapipe's maxStorageBufferRange), and looks at results on both sides of every cut.
func TestTensorsBeyondOneBinding(t *testing.T) {
	d := openTest(t)
	const rows, width = 40960, 1024
	value := func(i int) float32 { return float32(i*2654435761>>7&1023)/512 - 1 }
	table := NewTensor(State, "table", F32, rows, width)
	data := make([]float32, rows*width)
	for i := range data {
		data[i] = value(i)
	}
	if err := d.Write(table, data); err != nil {
		t.Fatal(err)
	}
	defer d.Free(table.Storage)
	cut := d.limits.MaxRange / width // rows of the first window, where there is more than one
	ids := []uint32{0, 1, uint32(min(cut, rows) - 1), uint32(min(cut, rows-1)), uint32(min(cut+1, rows-1)), rows - 1, 7, 12345}

	x, y := NewTensor(State, "x", F32, 8, width), NewTensor(State, "y", F32, 8, rows)
	product := &Node{Op: opMatMul, In: []*Tensor{x, table}, Out: []*Tensor{y}, Attr: MatMul{Form: NT}}
	for _, k := range d.fitting(product) {
		t.Run("matmul/"+k.Name, func(t *testing.T) {
			a := make([]float32, x.Len())
			for i := range a {
				a[i] = value(i * 31)
			}
			got := make([]float32, y.Len())
			runAlone(t, d, product, k, func() error { return d.Write(x, a) }, func() error { return d.Read(y, got) })
			for _, id := range ids {
				for m := range 8 {
					var want float64
					for j := range width {
						want += float64(a[m*width+j]) * float64(data[int(id)*width+j])
					}
					if have := float64(got[m*rows+int(id)]); math.Abs(have-want) > 1e-3 {
						t.Fatalf("y[%d,%d] is %g, want %g", m, id, have, want)
					}
				}
			}
		})
	}
	in, order, picked := NewTensor(State, "ids", U32, len(ids)), NewTensor(State, "order", U32, len(ids)), NewTensor(State, "y", F32, len(ids), width)
	lookup := &Node{Op: opEmbed, In: []*Tensor{table, in, order}, Out: []*Tensor{picked}}
	for _, k := range d.fitting(lookup) {
		t.Run("embed/"+k.Name, func(t *testing.T) {
			got := make([]float32, picked.Len())
			runAlone(t, d, lookup, k, func() error { return d.WriteU32(in, ids) }, func() error { return d.Read(picked, got) })
			for i, id := range ids {
				for j := range width {
					if got[i*width+j] != data[int(id)*width+j] {
						t.Fatalf("row %d, id %d: element %d is %g, want %g", i, id, j, got[i*width+j], data[int(id)*width+j])
					}
				}
			}
		})
	}
	t.Run("add", func(t *testing.T) {
		n := &Node{Op: opAdd, In: []*Tensor{table, table}, Out: []*Tensor{table}}
		got := make([]float32, table.Len())
		runAlone(t, d, n, &opAdd.Kernels[0], func() error { return nil }, func() error { return d.Read(table, got) })
		for i, v := range got {
			if v != 2*data[i] {
				t.Fatalf("element %d is %g, want %g", i, v, 2*data[i])
			}
		}
	})
}

// TestLongSums sums over a vocabulary of 262144, where the loops of a CPU device would end silently, by every kernel.
func TestLongSums(t *testing.T) {
	d := openTest(t)
	const m, k, n = 4, 1 << 18, 8
	for _, f := range []Form{NN, NT} {
		a, b, y := NewTensor(State, "a", F32, m, k), NewTensor(State, "b", F32, k, n), NewTensor(State, "y", F32, m, n)
		if f == NT {
			b.Shape = Shape{n, k}
		}
		x, w, want := gaussian(51, m*k, 1), gaussian(52, k*n, 1), make([]float64, m*n)
		ref.MatMul(wide(x), wide(w), want, m, n, k, false, f == NT)
		product := &Node{Op: opMatMul, In: []*Tensor{a, b}, Out: []*Tensor{y}, Attr: MatMul{Form: f}}
		for _, kernel := range d.fitting(product) {
			t.Run(f.String()+"/"+kernel.Name, func(t *testing.T) {
				got := make([]float32, m*n)
				write := func() error { return errors.Join(d.Write(a, x), d.Write(b, w)) }
				runAlone(t, d, product, kernel, write, func() error { return d.Read(y, got) })
				compareTo(t, "y", got, want, 1e-4)
			})
		}
	}
}

// runAlone runs one node with one kernel, between what writes its inputs and what reads its outputs.
func runAlone(t *testing.T, d *Device, n *Node, k *Kernel, write, read func() error) {
	t.Helper()
	d.Choose = func(*Node, []*Kernel) (*Kernel, error) { return k, nil }
	defer func() { d.Choose = nil }()
	exes, err := d.Load(&Program{Nodes: []*Node{n}, Barrier: []bool{false}})
	if err != nil {
		t.Fatal(err)
	}
	defer exes[0].Close()
	for _, f := range []func() error{write, exes[0].Run, read} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range append(n.In, n.Out...) {
		if x.Storage.Name != "table" {
			defer d.Free(x.Storage)
		}
	}
}

package compute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestAttentionGradient compares the recorded gradient of a weighted sum of o with central differences, with attention in
// the middle of a program: qkv is itself computed.
func TestAttentionGradient(t *testing.T) {
	for _, a := range []Attention{{2, 2, 4, 5}, {4, 2, 6, 3}, {3, 1, 2, 7}} {
		t.Run(fmt.Sprintf("%+v", a), func(t *testing.T) {
			checkMidGraph(t, 2*a.T, a.width(), a.Heads*a.HeadSize, func(r *Recorder, qkv *Tensor) *Tensor { return r.Attention(qkv, a) })
		})
	}
}

// checkMidGraph records y = f(x + x), seeds y's gradient with random weights w, and holds the gradient of x against
// central differences of sum w y on the reference.
func checkMidGraph(t *testing.T, rows, width, outWidth int, f func(r *Recorder, x *Tensor) *Tensor) {
	t.Helper()
	x, y := NewTensor(State, "x", F32, rows, width), NewTensor(State, "y", F32, rows, outWidth)
	w, dx := NewTensor(State, "w", F32, rows, outWidth), NewTensor(State, "dx", F32, rows, width)
	r := NewRecorder()
	out := f(r, r.Add(x, x))
	r.Record("add", nil, []*Tensor{out, y}, y) // y starts as 0
	r.Seed(out, r.Add(w, NewTensor(State, "zero", F32, rows, outWidth)))
	r.Track(x, dx)
	r.Backward()
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	back := NewReference()
	exes, err := back.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range back.Float64(x) {
		back.Float64(x)[i] = rng.NormFloat64() / 2
	}
	for i := range back.Float64(w) {
		back.Float64(w)[i] = rng.NormFloat64()
	}
	loss := func() float64 {
		clear(back.Float64(y))
		clear(back.Float64(dx))
		if err := exes[0].Run(); err != nil {
			t.Fatal(err)
		}
		var s float64
		for i, v := range back.Float64(y) {
			s += v * back.Float64(w)[i]
		}
		return s
	}
	loss()
	got := append([]float64(nil), back.Float64(dx)...)
	const h = 1e-5
	for i := range got {
		at := &back.Float64(x)[i]
		keep := *at
		*at = keep + h
		up := loss()
		*at = keep - h
		down := loss()
		*at = keep
		if want := (up - down) / (2 * h); math.Abs(got[i]-want) > 1e-6*(1+math.Abs(want)) {
			t.Fatalf("element %d: gradient %g, central difference %g", i, got[i], want)
		}
	}
}

// BenchmarkAttention times forward, D, dq and dk, dv of every kernel variant that fits; GFLOP/s by Op.Cost.
func BenchmarkAttention(b *testing.B) {
	d := openTest(b)
	for _, a := range []Attention{{4, 4, 32, 128}, {4, 4, 32, 256}, {8, 2, 64, 256}} {
		r := NewRecorder()
		qkv := NewTensor(State, "qkv", F32, 2048, a.width())
		w := NewTensor(State, "w", F32, 2048, a.Heads*a.HeadSize)
		r.Seed(r.Attention(qkv, a), w)
		r.Backward()
		p, err := r.Finish()
		if err != nil {
			b.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for _, t := range []*Tensor{qkv, w} {
			data := make([]float32, t.Len())
			for i := range data {
				data[i] = float32(rng.NormFloat64())
			}
			if err := d.Write(t, data); err != nil {
				b.Fatal(err)
			}
		}
		for i, k := range opAttention.Kernels {
			if k.Fits != nil && !k.Fits(p.Nodes[0], d.Limits()) {
				continue
			}
			b.Run(fmt.Sprintf("%+v/%s", a, k.Name), func(b *testing.B) {
				d.Choose = func(n *Node, fitting []*Kernel) (*Kernel, error) {
					if n.Op == opAttentionDot {
						return fitting[0], nil
					}
					return &n.Op.Kernels[i], nil
				}
				x, err := d.Profile(p)
				if err != nil {
					b.Fatal(err)
				}
				defer x.Close()
				if err := x.Run(); err != nil { // compiles
					b.Fatal(err)
				}
				sum := make([]float64, len(p.Nodes))
				for b.Loop() {
					if err := x.Run(); err != nil {
						b.Fatal(err)
					}
					times, err := x.Times()
					if err != nil {
						b.Fatal(err)
					}
					for i, t := range times {
						sum[i] += t
					}
				}
				var flops, total float64
				for i, n := range p.Nodes {
					f, _ := n.Op.Cost(n)
					flops, total = flops+float64(f), total+sum[i]
					b.ReportMetric(float64(f)*float64(b.N)/sum[i], n.Op.Name+"-GFLOP/s")
				}
				b.ReportMetric(flops*float64(b.N)/total, "all-GFLOP/s")
			})
		}
	}
}

// TestAttentionLongSequence meets more rows than one launch does on a CPU, where a longer loop would end early.
func TestAttentionLongSequence(t *testing.T) {
	d := openTest(t)
	long, grouped := Attention{1, 1, 4, 8300}, Attention{16, 1, 4, 600}
	for _, c := range []struct {
		op *Op
		c  Case
	}{
		{opAttention, Case{In: []Shape{{long.T, long.width()}}, Attr: long}},
		{opAttentionGradKV, Case{In: append(attentionGradIn(grouped, 600), Shape{600, grouped.width()}), Attr: grouped, InPlace: map[int]int{0: 4}}},
	} {
		probe, err := newTrial(c.op, c.c, 1)
		if err != nil {
			t.Fatal(err)
		}
		k := d.fitting(probe.program.Nodes[0])[0]
		if n := len(k.Launch(probe.program.Nodes[0], d.Limits())); n < 2 && d.limits.CPU {
			t.Errorf("%s has %d launches; the case is too short to show anything", c.op.Name, n)
		}
		if err := (Check{Op: c.op, Kernel: k, Case: c.c}).Run(d); err != nil {
			t.Errorf("%s: %s", c.op.Name, err)
		}
	}
}

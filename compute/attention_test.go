package compute

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAttentionGradient compares the recorded gradient of a weighted sum of o with central differences, with attention in
// the middle of a program: qkv is itself computed.
func TestAttentionGradient(t *testing.T) {
	for _, c := range []struct {
		a                   Attention
		documents, prefixes []uint32
		half                bool // the gradient's other form: the reference does not round
	}{
		{a: Attention{2, 2, 4, 5}}, {a: Attention{4, 2, 6, 3}}, {a: Attention{3, 1, 2, 7}},
		{a: Attention{2, 1, 3, 6}, documents: []uint32{0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2}, prefixes: []uint32{5, 0}},
		{a: Attention{2, 2, 2, 5}, prefixes: []uint32{3, 5}},
		{a: Attention{4, 2, 6, 3}, half: true},
		{a: Attention{2, 1, 3, 6}, documents: []uint32{0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2}, prefixes: []uint32{5, 0}, half: true},
	} {
		t.Run(fmt.Sprintf("%+v", c.a), func(t *testing.T) {
			rows := 2 * c.a.T
			typ := F32
			if c.half {
				typ = F16
			}
			if c.documents == nil && c.prefixes == nil {
				checkMidGraph(t, NewReference(), rows, c.a.width(), c.a.Heads*c.a.HeadSize, func(r *Recorder, qkv *Tensor) *Tensor { return r.Attention(r.Cast(qkv, typ), c.a) })
				return
			}
			back, spans := NewReference(), NewTensor(Host, "spans", U32, rows, 2)
			if err := back.WriteU32(spans, Spans(rows, c.a.T, c.documents, c.prefixes)); err != nil {
				t.Fatal(err)
			}
			checkMidGraph(t, back, rows, c.a.width(), c.a.Heads*c.a.HeadSize, func(r *Recorder, qkv *Tensor) *Tensor { return r.SpannedAttention(r.Cast(qkv, typ), spans, c.a) })
		})
	}
}

// TestSpans says by hand who sees whom.
func TestSpans(t *testing.T) {
	for _, c := range []struct {
		why                       string
		documents, prefixes, want []uint32
	}{
		{"causal", nil, nil, []uint32{0, 1, 0, 2, 0, 3, 0, 4, 0, 1, 0, 2, 0, 3, 0, 4}},
		{"prefixes of two, and of more than there is", nil, []uint32{2, 9}, []uint32{0, 2, 0, 2, 0, 3, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4}},
		{"documents, one of which goes on in the next sequence", []uint32{7, 7, 3, 3, 3, 3, 7, 7}, nil, []uint32{0, 1, 0, 2, 2, 3, 2, 4, 0, 1, 0, 2, 2, 3, 2, 4}},
		{"a prefix that ends within the second document", []uint32{0, 0, 1, 1, 1, 1, 1, 1}, []uint32{3, 0}, []uint32{0, 2, 0, 2, 2, 3, 2, 4, 0, 1, 0, 2, 0, 3, 0, 4}},
	} {
		if got := Spans(8, 4, c.documents, c.prefixes); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

// TestCausalSpansGiveTheSameBits runs attention without spans, and with those that say the same.
func TestCausalSpansGiveTheSameBits(t *testing.T) {
	d := openTest(t)
	a, rows := Attention{2, 1, 32, 70}, 140
	qkv, spans := NewTensor(State, "qkv", F32, rows, a.width()), NewTensor(Host, "spans", U32, rows, 2)
	data := make([]float32, qkv.Len())
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = float32(rng.NormFloat64())
	}
	if err := errors.Join(d.Write(qkv, data), d.WriteU32(spans, Spans(rows, a.T, nil, nil))); err != nil {
		t.Fatal(err)
	}
	var got [2][]float32
	for i := range got {
		r := NewRecorder()
		y, dqkv := NewTensor(State, "y", F32, rows, a.Heads*a.HeadSize), NewTensor(State, "dqkv", F32, rows, a.width())
		o := r.Attention(qkv, a)
		if i == 1 {
			o = r.SpannedAttention(qkv, spans, a)
		}
		r.Record("add", nil, []*Tensor{o, y}, y)
		r.Seed(o, o)
		r.Track(qkv, dqkv)
		r.Backward()
		p, err := r.Finish()
		if err != nil {
			t.Fatal(err)
		}
		x, err := d.Load(p)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = make([]float32, y.Len()+dqkv.Len())
		if err := errors.Join(x[0].Run(), d.Read(y, got[i][:y.Len()]), d.Read(dqkv, got[i][y.Len():])); err != nil {
			t.Fatal(err)
		}
		x[0].Close()
		d.Free(y.Storage, dqkv.Storage)
	}
	if !slices.Equal(got[0], got[1]) {
		t.Error("spans that say causal give other bits")
	}
}

// checkMidGraph records y = f(x + x), seeds y's gradient with random weights w, and holds the gradient of x against
// central differences of sum w y on the reference.
func checkMidGraph(t *testing.T, back *Reference, rows, width, outWidth int, f func(r *Recorder, x *Tensor) *Tensor) {
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

// TestAttentionLongSequence meets more rows than one launch does on a CPU, where a longer loop would end early.
func TestAttentionLongSequence(t *testing.T) {
	d := openTest(t)
	long, grouped := Attention{1, 1, 4, 8300}, Attention{16, 1, 4, 600}
	for _, c := range []struct {
		op *Op
		c  Case
	}{
		{opAttention, Case{In: []Shape{{long.T, long.width()}}, Attr: long}},
		{opAttentionGradKV, Case{In: attentionGradIn(grouped, 600), Attr: grouped, InPlace: map[int]int{0: 4}}},
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

// TestRowsAreShared checks heads so large that several invocations share a row, which on a CPU other variants serve.
func TestRowsAreShared(t *testing.T) {
	d := openTest(t)
	d.limits.CPU = false
	for _, op := range []*Op{opAttention, opAttentionGradKV, opAttentionGradQ} {
		for _, c := range d.Checks(op, 0) {
			if a := c.Case.Attr.(Attention); c.Kernel.Name != "tiled" || a.HeadSize <= 64 {
				continue
			}
			t.Run(c.Name(), func(t *testing.T) {
				if err := c.Run(d); err != nil {
					t.Errorf("%s (%s)", err, c.Case.Why)
				}
			})
		}
	}
}

package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

// Rope is the form of a rotary position embedding: the first Heads heads of HeadSize elements of each row are turned, row n
// being at position Start + n % T, pair i by position * Theta^(-2i/HeadSize). Inverse turns backwards.
type Rope struct {
	Heads, HeadSize, T, Start int
	Theta                     float32
	Inverse                   bool
	Scaling                   RopeScaling
}

// RopeScaling changes the frequencies for a longer context, by the loop ref.RopeScaling; the zero value changes none.
type RopeScaling = ref.RopeScaling

func (a Rope) String() string {
	type plain struct { // without the scaling, where there is none
		Heads, HeadSize, T, Start int
		Theta                     float32
		Inverse                   bool
	}
	s := fmt.Sprintf("%+v", plain{a.Heads, a.HeadSize, a.T, a.Start, a.Theta, a.Inverse})
	if a.Scaling != (RopeScaling{}) {
		s += fmt.Sprintf(" scaled %+v", a.Scaling)
	}
	return s
}

// scaled are the shader's numbers for the scaling: 1/factor in units of 2^-64; steep and offset of what stays of a frequency, in
// turns, as 2^bits (steep f - offset); bits.
func (a Rope) scaled() []uint32 {
	s := a.Scaling
	if s.Factor == 0 || s.Factor == 1 {
		return make([]uint32, 7)
	}
	steep, offset, bits := 0.0, 0.5, 1 // nothing stays
	if s.Original > 0 {
		steep, offset = float64(s.Original)/(s.High-s.Low), s.Low/(s.High-s.Low)
		_, bits = math.Frexp(max(1, steep, offset))
	}
	var list []uint32
	for _, v := range []float64{1 / s.Factor, math.Ldexp(steep, -bits), math.Ldexp(offset, -bits)} {
		w := uint64(math.Ldexp(v, 64))
		list = append(list, uint32(w), uint32(w>>32))
	}
	return append(list, uint32(bits))
}

// ropeBits is how many bits a pair's index has at most.
const ropeBits = 7

var opRope = &Op{
	Name: "rope", Doc: "in place, (x[i], x[i+dh/2]) turned by (start + n % T) theta^(-2i/dh), in the first heads of each row",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(Rope)
		switch {
		case len(in) != 1 || len(in[0].Shape) != 2:
			return nil, fmt.Errorf("wants one matrix")
		case a.HeadSize < 2 || a.HeadSize%2 != 0 || a.HeadSize > 2<<ropeBits:
			return nil, fmt.Errorf("a head size of %d is not even, or not within 2 to %d", a.HeadSize, 2<<ropeBits)
		case a.Heads < 0 || a.Heads*a.HeadSize > in[0].Shape[1]:
			return nil, fmt.Errorf("%d heads of %d are more than a row of %d", a.Heads, a.HeadSize, in[0].Shape[1])
		case a.T < 1 || a.Start < 0:
			return nil, fmt.Errorf("positions %d to %d are none", a.Start, a.Start+a.T-1)
		case !(a.Theta > 1):
			return nil, fmt.Errorf("theta is %g; it must be above 1", a.Theta)
		case a.Scaling.Factor != 0 && !(a.Scaling.Factor >= 1) || a.Scaling.Original < 0 || a.Scaling.Original > 1<<20 || a.Scaling.Low < 0 || a.Scaling.Low > 1<<20 || a.Scaling.Original > 0 && !(a.Scaling.High-a.Scaling.Low > 1e-3):
			return nil, fmt.Errorf("a scaling of %+v; its factor must be at least 1, high above low, both of a size", a.Scaling)
		}
		return []Shape{in[0].Shape}, nil
	},
	Kernels: formKernels(func(n *Node) int {
		if n.In[0].Shape[1]%4 != 0 {
			return 1
		}
		return n.Attr.(Rope).HeadSize / 2
	}, ropeLaunches),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(Rope)
		copy(out[0].Data, in[0].Data)
		ref.Rope(out[0].Data, in[0].Shape[1], a.Heads, a.HeadSize, a.T, a.Start, float64(a.Theta), a.Scaling, a.Inverse)
	},
	// A rotation's gradient is the rotation back. It overwrites dy.
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		a := n.Attr.(Rope)
		a.Inverse = !a.Inverse
		return []*Tensor{r.Rope(dy[0], a)}
	},
	Cost: func(n *Node) (int64, int64) {
		turned := int64(n.In[0].Shape[0]) * int64(n.Attr.(Rope).Heads*n.Attr.(Rope).HeadSize)
		return 3 * turned, 2 * elementBytes * turned
	},
	Tol: 1e-6,
	Cases: []Case{
		{Why: "one pair", In: []Shape{{3, 2}}, Attr: Rope{Heads: 1, HeadSize: 2, T: 3, Theta: 1e4}, InPlace: map[int]int{0: 0}},
		{Why: "the v heads stay", In: []Shape{{70, 128}}, Attr: Rope{Heads: 6, HeadSize: 16, T: 35, Theta: 1e4}, InPlace: map[int]int{0: 0}},
		{Why: "far positions, large angles", In: []Shape{{64, 128}}, Attr: Rope{Heads: 2, HeadSize: 64, T: 64, Start: 32700, Theta: 1e4}, InPlace: map[int]int{0: 0}},
		{Why: "a million, as newer models have it, largest head, backwards", In: []Shape{{50, 512}}, Attr: Rope{Heads: 2, HeadSize: 256, T: 50, Start: 131000, Theta: 1e6, Inverse: true}, InPlace: map[int]int{0: 0}},
		{Why: "a longer context as Llama 3.1 has it: pairs that stay, that are slowed, and between", In: []Shape{{64, 256}}, Attr: Rope{Heads: 1, HeadSize: 128, T: 64, Start: 100000, Theta: 5e5, Scaling: RopeScaling{Factor: 8, Low: 1, High: 4, Original: 8192}}, InPlace: map[int]int{0: 0}},
		{Why: "a longer context, all pairs slowed", In: []Shape{{64, 128}}, Attr: Rope{Heads: 2, HeadSize: 64, T: 64, Start: 32700, Theta: 1e4, Inverse: true, Scaling: RopeScaling{Factor: 2.5}}, InPlace: map[int]int{0: 0}},
		{Why: "halves that are no whole texels", In: []Shape{{66, 36}}, Attr: Rope{Heads: 2, HeadSize: 12, T: 33, Theta: 500}, InPlace: map[int]int{0: 0}},
		{Why: "an odd number of texels in a half, up to the row's end", In: []Shape{{37, 96}}, Attr: Rope{Heads: 4, HeadSize: 24, T: 37, Theta: 1e4}, InPlace: map[int]int{0: 0}},
		{Why: "more windows than one, sequences across them", In: []Shape{{300, 32}}, Attr: Rope{Heads: 2, HeadSize: 8, T: 100, Theta: 1e4}, InPlace: map[int]int{0: 0}},
	},
	Random: func(rng *rand.Rand) Case {
		a := Rope{Heads: 1 + rng.IntN(4), HeadSize: 2 * (1 + rng.IntN(20)), T: 1 + rng.IntN(50), Start: rng.IntN(3) * 1000, Theta: 1e4, Inverse: rng.IntN(2) == 0}
		return Case{In: []Shape{{a.T * (1 + rng.IntN(3)), (a.Heads + rng.IntN(3)) * a.HeadSize}}, Attr: a, InPlace: map[int]int{0: 0}}
	},
}

// Rope records the rotary position embedding of the rows of x, in place: x itself must not be read after it, what it
// returns has the same memory. Its gradient overwrites the gradient that it is given.
func (r *Recorder) Rope(x *Tensor, a Rope) *Tensor {
	if x == nil { // after an error, which Finish tells
		return nil
	}
	return r.Record("rope", a, []*Tensor{x}, x.View(0, x.Shape...))[0]
}

// ropeRows is how many rows an invocation turns: its pairs' frequencies are worked out once for them.
func ropeRows(l *Limits) int {
	if l.CPU {
		return 16
	}
	return 4
}

func ropeLaunches(n *Node, l *Limits, f form) (list []Launch) {
	a, x := n.Attr.(Rope), n.Out[0]
	whole := 1 // what rows, and heads' halves within them, are multiples of
	if x.Shape[1]%f.run() == 0 {
		whole = a.HeadSize / 2
	}
	for _, w := range windows(x.Shape[0], x.Shape[1], f.maxRange(l)) {
		rows := w[1] - w[0]
		push := words(rows, x.Shape[1], a.Heads, a.HeadSize, a.T, a.Start, int(flagWord(a.Inverse)), w[0]%a.T, ropeRows(l), 0)
		for b := range ropeBits {
			p := math.Pow(float64(a.Theta), -2*float64(int(1)<<b)/float64(a.HeadSize))
			p64 := uint64(math.Ldexp(p, 64)) // below 2^64, since theta is above 1
			push = append(push, uint32(p64), uint32(p64>>32))
		}
		push = append(push, a.scaled()...)
		view := x.Rows(w[0], w[1])
		invocations := ceilDiv(rows, ropeRows(l)) * ceilDiv(a.HeadSize/2, f.run())
		list = append(list, f.launch(l, "rope", ceilDiv(invocations, f.lanes(l)), f.paired(whole), push, view, view))
	}
	return list
}

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
		ref.Rope(out[0].Data, in[0].Shape[1], a.Heads, a.HeadSize, a.T, a.Start, float64(a.Theta), a.Inverse)
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
		view := x.Rows(w[0], w[1])
		invocations := ceilDiv(rows, ropeRows(l)) * ceilDiv(a.HeadSize/2, f.run())
		list = append(list, f.launch(l, "rope", ceilDiv(invocations, f.lanes(l)), f.paired(whole), push, view, view))
	}
	return list
}

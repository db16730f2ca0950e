package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opCast = &Op{
	Name: "cast", Doc: "y = x, to the nearest value of y's type",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		to := attr.(DType)
		if len(in) != 1 || in[0].DType == U32 || to == U32 || in[0].DType.Half() == to.Half() {
			return nil, fmt.Errorf("wants one tensor of f32 for a 16-bit one, or the reverse")
		}
		return []Shape{in[0].Shape}, nil
	},
	OutTypes: func(_ []*Tensor, attr any) []DType { return []DType{attr.(DType)} },
	Kernels:  []Kernel{castKernel("texel", 4), castKernel("vec4", 4), castKernel("plain", 2)},
	Ref:      func(in, out []ref.Tensor, _ any) { ref.Cast(in[0].Data, out[0].Data) },
	// The gradient keeps the width in which it comes: it is summed in float32, and cast again where a product wants it.
	Grad: func(_ *Recorder, _ *Node, dy []*Tensor) []*Tensor { return dy },
	Cost: func(n *Node) (int64, int64) { return 0, n.In[0].bytes() + n.Out[0].bytes() },
	Tol:  1e-7,
	Cases: []Case{
		{Why: "one element, whose word has a half to spare", In: []Shape{{1}}, Attr: F16},
		{Why: "an odd count", In: []Shape{{7, 11}}, Attr: BF16},
		{Why: "four at a time", In: []Shape{{70, 64}}, Attr: F16},
		{Why: "four at a time", In: []Shape{{70, 64}}, Attr: BF16},
		{Why: "back from float16", In: []Shape{{7, 11}}, Types: map[int]DType{0: F16}, Attr: F32},
		{Why: "back from bfloat16", In: []Shape{{6, 128}}, Types: map[int]DType{0: BF16}, Attr: F32},
		{Why: "more than the narrowed device binds at once", In: []Shape{{500, 64}}, Attr: F16},
	},
	Random: func(rng *rand.Rand) Case {
		c := Case{In: []Shape{{1 + rng.IntN(60), randomWidth(rng, 100)}}, Attr: []DType{F16, BF16}[rng.IntN(2)]}
		if rng.IntN(3) == 0 {
			c.Types, c.Attr = map[int]DType{0: c.Attr.(DType)}, F32
		}
		return c
	},
}

// castKernel converts so many elements per invocation; those that take four only narrow.
func castKernel(name string, each int) Kernel {
	k := Kernel{Name: name, Launch: func(n *Node, l *Limits) []Launch {
		x, y := n.In[0], n.Out[0]
		half, widen, maxRange := y.DType, x.DType.Half(), l.MaxRange
		if widen {
			half = x.DType
		}
		if name == "texel" {
			maxRange = min(maxRange, l.MaxTexel)
		}
		spec := []uint32{l.group(), flagWord(widen), halfWord(half)}
		var list []Launch
		for _, w := range windows(x.Len(), 2, 2*maxRange) { // in pairs: a 16-bit window begins where it may be bound too
			a, b := w[0], w[1]
			list = append(list, Launch{
				Shader: "cast." + name, Bind: []*Tensor{x.View(a, b-a), y.View(a, b-a)}, Spec: spec, Push: words(b - a),
				Grid: gridFor(ceilDiv(b-a, each), int(l.group()), l),
			})
		}
		return list
	}}
	if each == 4 {
		k.Fits = func(n *Node, l *Limits) bool {
			return n.In[0].DType == F32 && n.In[0].Len()%4 == 0 && (name != "texel" || l.CPU && l.MaxTexel > 0)
		}
	}
	return k
}

// halfWord is the specialization constant of shaders/half.glsl.
func halfWord(t DType) uint32 {
	if t == BF16 {
		return 2
	}
	return 1
}

// Cast records the tensor in another type; one that has it already is itself. Of one tensor and type there is one cast.
func (r *Recorder) Cast(x *Tensor, to DType) *Tensor {
	if x.DType == to {
		return x
	}
	key := castKey{x, to}
	if y, ok := r.casts[key]; ok {
		return y
	}
	y := r.Record("cast", to, []*Tensor{x})[0]
	r.casts[key] = y
	return y
}

type castKey struct {
	x  *Tensor
	to DType
}

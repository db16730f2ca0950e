package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// Activation is what a matrix product may do to its results: MatMul.Act.
type Activation uint8

// The activations: none, x sigmoid(x), and GELU in the form with tanh that GPT-2 has.
const (
	NoActivation Activation = iota
	SiLU
	GELU
)

func (a Activation) String() string { return [...]string{"none", "silu", "gelu"}[a] }

// apply is the reference's activation, in place.
func (a Activation) apply(x []float64) {
	switch a {
	case SiLU:
		ref.SiLU(x)
	case GELU:
		ref.GELU(x)
	}
}

var opActivationGrad = &Op{
	Name: "activation_grad", Doc: "dx[i] = dy[i] act'(x[i]) of SiLU or GELU",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		if len(in) != 2 || !in[0].Shape.Equal(in[1].Shape) || attr.(Activation) == NoActivation {
			return nil, fmt.Errorf("wants x and dy of one shape, and an activation")
		}
		return []Shape{in[0].Shape}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) []Launch {
		return f.elementwise(l, "activation_grad", []uint32{uint32(n.Attr.(Activation))}, n.In[0], n.In[1], n.Out[0])
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		if attr.(Activation) == SiLU {
			ref.SiLUGrad(in[0].Data, in[1].Data, out[0].Data)
		} else {
			ref.GELUGrad(in[0].Data, in[1].Data, out[0].Data)
		}
	},
	NoGrad: "second derivatives are not needed",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.Out[0].Len())
		return 12 * size, 3 * elementBytes * size
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1, 1}}, Attr: SiLU},
		{Why: "wide rows, as in a layer", In: []Shape{{3, 2048}, {3, 2048}}, Attr: GELU},
		{Why: "the gradient overwrites the one it came from", In: []Shape{{5, 12}, {5, 12}}, Attr: SiLU, InPlace: map[int]int{0: 1}},
		{Why: "more than the narrowed device binds at once, rows of odd length", In: []Shape{{140, 37}, {140, 37}}, Attr: GELU},
	},
	Random: func(rng *rand.Rand) Case {
		s := Shape{1 + rng.IntN(150), randomWidth(rng, 100)}
		return Case{In: []Shape{s, s}, Attr: SiLU + Activation(rng.IntN(2))}
	},
	Fill: fillSaturated,
}

// fillSaturated puts values among the first input at which exp overflows or vanishes.
func fillSaturated(_ *rand.Rand, in []ref.Tensor, _ any) {
	for i, v := range []float64{-200, -90, -6, 0, 6, 90, 200} {
		if i < len(in[0].Data) {
			in[0].Data[i] = v
		}
	}
}

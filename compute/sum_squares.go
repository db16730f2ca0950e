package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// squaresChunk is how many elements one partial sum of squares takes: a constant, so that the sum's order depends on the
// length alone.
const squaresChunk = 16 << 10

// squaresParts is the number of partial sums for n elements, rounded up to where the next tensor may start: the sums of
// several gradients then fill one tensor without a gap. Those past the end are zero.
func squaresParts(n int) int { return Align(ceilDiv(n, squaresChunk)) }

var opSumSquares = &Op{
	Name: "sum_squares", Doc: "part[b] = sum of x[i]^2 over stretch b of 16384 elements, 0 past the end",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 1 {
			return nil, fmt.Errorf("wants one tensor")
		}
		return []Shape{{squaresParts(in[0].Len())}}, nil
	},
	Kernels: formKernels(func(n *Node) int { return n.In[0].Len() }, func(n *Node, l *Limits, f form) (list []Launch) {
		x, part := n.In[0], n.Out[0]
		for _, w := range windows(part.Len(), squaresChunk, f.maxRange(l)) {
			a, b := squaresChunk*w[0], min(x.Len(), squaresChunk*w[1])
			list = append(list, f.launch(l, "sum_squares", w[1]-w[0], nil, words(b-a, squaresChunk, w[1]-w[0]), x.View(a, b-a), part.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref:    func(in, out []ref.Tensor, _ any) { ref.SumSquares(in[0].Data, out[0].Data, squaresChunk) },
	NoGrad: "the norm of the gradients is not trained on",
	Cost:   func(n *Node) (int64, int64) { return 2 * int64(n.In[0].Len()), elementBytes * int64(n.In[0].Len()) },
	Tol:    1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1}}},
		{Why: "more than one stretch, not a multiple of four", In: []Shape{{squaresChunk + 4097}}},
		{Why: "more stretches than one window of the narrowed device, a matrix", In: []Shape{{65, squaresChunk + 4}}},
	},
	Random: func(rng *rand.Rand) Case { return Case{In: []Shape{{randomWidth(rng, 40000)}}} },
}

package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// sumBlock is how many rows one sum takes: enough for few levels, since a launch costs a CPU device some 0.05 ms whatever it does; few
// enough for a GPU, where one invocation adds them up. A constant of the program, so that the order of the sum does not depend on the device.
const sumBlock = 128

var opSumRows = &Op{
	Name: "sum_rows", Doc: "y[b,d] = sum of x[n,d] over block b of so many rows, 128 but where sums were joined; y is [D] when one block holds them all",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		block := attr.(int)
		if len(in) != 1 || len(in[0].Shape) != 2 || block < 1 {
			return nil, fmt.Errorf("wants a matrix, and blocks of at least a row")
		}
		if n, d := in[0].Shape[0], in[0].Shape[1]; n > block {
			return []Shape{{ceilDiv(n, block), d}}, nil
		}
		return []Shape{{in[0].Shape[1]}}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		x, y, add := n.In[0], n.Out[0], n.AddendOr(n.Out[0])
		rows, d, block := x.Shape[0], x.Shape[1], n.Attr.(int)
		tile := 1
		if l.CPU {
			tile = min(4, ceilDiv(d, f.elements()*f.lanes(l)))
		}
		for _, w := range windows(ceilDiv(rows, block), block*d, f.maxRange(l)) {
			a, b, size := block*w[0], min(rows, block*w[1]), (w[1]-w[0])*d
			list = append(list, f.launch(l, "sum_rows", (w[1]-w[0])*ceilDiv(d, tile*f.elements()*f.lanes(l)),
				[]uint32{uint32(tile), flagWord(n.HasAddend)}, words(b-a, d, block), x.Rows(a, b), add.View(w[0]*d, size), y.View(w[0]*d, size)))
		}
		return list
	}),
	Ref:    func(in, out []ref.Tensor, attr any) { ref.SumRows(in[0].Data, out[0].Data, in[0].Shape[1], attr.(int)) },
	NoGrad: "only gradients and statistics are summed by it",
	Addend: true,
	Cost: func(n *Node) (int64, int64) {
		bytes := elementBytes * int64(n.In[0].Len()+n.Out[0].Len())
		if n.HasAddend {
			bytes += elementBytes * int64(n.Out[0].Len())
		}
		return int64(n.In[0].Len()), bytes
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}}, Attr: sumBlock},
		{Why: "the last block is short and not a multiple of four rows", In: []Shape{{270, 9}}, Attr: sumBlock},
		{Why: "a gain's gradient accumulates in place", In: []Shape{{16, 260}}, Attr: sumBlock, Addend: true, InPlace: map[int]int{0: 1}},
		{Why: "more blocks than the narrowed device binds at once", In: []Shape{{8400, 4}}, Attr: sumBlock, Addend: true},
		{Why: "gradients of two gains, joined: blocks that are not whole fours", In: []Shape{{26, 36}}, Attr: 13, Addend: true, InPlace: map[int]int{0: 1}},
	},
	Random: func(rng *rand.Rand) Case {
		return Case{In: []Shape{{1 + rng.IntN(400), randomWidth(rng, 100)}}, Attr: 1 + rng.IntN(sumBlock), Addend: rng.IntN(2) == 0}
	},
}

// SumInto records into[k] += sum_n x[n,k], in place: a fixed tree of blocks of 128 rows, in as many levels as N needs.
func (r *Recorder) SumInto(into, x *Tensor) { r.Accumulate(into, r.sumRows(x)) }

// sumRows records y[d] = sum_n x[n,d].
func (r *Recorder) sumRows(x *Tensor) *Tensor {
	for x != nil && len(x.Shape) == 2 {
		x = r.Record("sum_rows", sumBlock, []*Tensor{x})[0]
	}
	return x
}

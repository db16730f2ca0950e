package compute

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"saltern/compute/ref"
)

// squaresChunk is how many elements one partial sum of squares takes: a constant, so that the sum's order depends on the
// length alone.
const squaresChunk = 16 << 10

const (
	// squaresInputs is how many tensors one node takes: with the parts as many bindings as attention's gradient has.
	squaresInputs = 7
	// squaresTogether bounds their elements: beyond, a launch more does not count.
	squaresTogether = 16 << 20
)

// squaresParts is the number of partial sums for n elements, rounded up to where the next tensor may start: the sums of
// several gradients then fill one tensor without a gap. Those past the end are zero.
func squaresParts(n int) int { return Align(ceilDiv(n, squaresChunk)) }

var opSumSquares = &Op{
	Name: "sum_squares", Doc: "part[b] = sum of x[i]^2 over stretch b of 16384 elements, 0 past the end; the parts of up to 7 x one after the other",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) < 1 || len(in) > squaresInputs {
			return nil, fmt.Errorf("wants 1 to %d tensors", squaresInputs)
		}
		parts := 0
		for _, x := range in {
			parts += squaresParts(x.Len())
		}
		return []Shape{{parts}}, nil
	},
	Kernels: formKernels(func(n *Node) int {
		for _, x := range n.In {
			if x.Len()%4 != 0 {
				return 1
			}
		}
		return 4
	}, squaresLaunches),
	Ref: func(in, out []ref.Tensor, _ any) {
		at := 0
		for _, x := range in {
			n := squaresParts(len(x.Data))
			ref.SumSquares(x.Data, out[0].Data[at:at+n], squaresChunk)
			at += n
		}
	},
	NoGrad: "the norm of the gradients is not trained on",
	Cost: func(n *Node) (flops, bytes int64) {
		for _, x := range n.In {
			flops, bytes = flops+2*int64(x.Len()), bytes+x.bytes()
		}
		return flops, bytes
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1}}},
		{Why: "more than one stretch, not a multiple of four", In: []Shape{{squaresChunk + 4097}}},
		{Why: "more stretches than one window of the narrowed device, a matrix", In: []Shape{{65, squaresChunk + 4}}},
		{Why: "as many as one launch takes, one of them in windows", In: []Shape{{4}, {squaresChunk}, {65, squaresChunk + 4}, {8}, {2*squaresChunk + 12}, {400}, {4}}},
		{Why: "one of two is no multiple of four", In: []Shape{{squaresChunk + 8}, {33}}},
	},
	Random: func(rng *rand.Rand) Case {
		var c Case
		unit := 1 + 3*rng.IntN(2) // all multiples of four, as the wide variants need, or not
		for range 1 + rng.IntN(squaresInputs) {
			c.In = append(c.In, Shape{unit * (1 + rng.IntN(40000/unit))})
		}
		return c
	},
}

// squaresLaunches gives each launch as many windows of inputs as it has bindings.
func squaresLaunches(n *Node, l *Limits, f form) (list []Launch) {
	var bind []*Tensor
	var sizes, starts, groups []int // of each window: elements, its first part, workgroups up to its end
	launch := func() {
		for len(bind) < squaresInputs { // not read
			bind, sizes, starts, groups = append(bind, bind[0]), append(sizes, 0), append(starts, 0), append(groups, groups[len(groups)-1])
		}
		push := slices.Concat(words(squaresChunk), words(sizes...), words(starts...), words(groups...))
		list = append(list, f.launch(l, "sum_squares", groups[squaresInputs-1], nil, push, append(bind, n.Out[0])...))
		bind, sizes, starts, groups = nil, nil, nil, nil
	}
	at := 0
	for _, x := range n.In {
		parts := squaresParts(x.Len())
		for _, w := range windows(parts, squaresChunk, f.maxRange(l)) {
			a, b, before := squaresChunk*w[0], min(x.Len(), squaresChunk*w[1]), 0
			if len(groups) > 0 {
				before = groups[len(groups)-1]
			}
			bind, sizes, starts, groups = append(bind, x.View(a, b-a)), append(sizes, b-a), append(starts, at+w[0]), append(groups, before+w[1]-w[0])
			if len(bind) == squaresInputs {
				launch()
			}
		}
		at += parts
	}
	if len(bind) > 0 {
		launch()
	}
	return list
}

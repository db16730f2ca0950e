package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opAdd = &Op{
	Name: "add", Doc: "y = a + b",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 2 || !in[0].Shape.Equal(in[1].Shape) {
			return nil, fmt.Errorf("wants two tensors of one shape")
		}
		return []Shape{in[0].Shape}, nil
	},
	Kernels: formKernels(func(n *Node) int { return n.In[0].Len() }, func(n *Node, l *Limits, f form) []Launch {
		return f.elementwise(l, "add", nil, n.In[0], n.In[1], n.Out[0])
	}),
	Ref:    func(in, out []ref.Tensor, _ any) { ref.Add(in[0].Data, in[1].Data, out[0].Data) },
	Grad:   func(_ *Recorder, _ *Node, dy []*Tensor) []*Tensor { return []*Tensor{dy[0], dy[0]} },
	Cost:   func(n *Node) (int64, int64) { return int64(n.Out[0].Len()), 3 * elementBytes * int64(n.Out[0].Len()) },
	Tol:    1e-6,
	Random: func(rng *rand.Rand) Case { s := Shape{randomWidth(rng, 9000)}; return Case{In: []Shape{s, s}} },
	Cases: []Case{
		{Why: "the sum overwrites its first operand, as gradients do", In: []Shape{{77}, {77}}, InPlace: map[int]int{0: 0}},
		{Why: "more than one stretch, the last one short", In: []Shape{{70, 180}, {70, 180}}},
	},
}

// Add records y = a + b.
func (r *Recorder) Add(a, b *Tensor) *Tensor {
	return r.Record("add", nil, []*Tensor{a, b})[0]
}

// Accumulate records into += g.
func (r *Recorder) Accumulate(into, g *Tensor) {
	r.Record("add", nil, []*Tensor{into, g}, into)
}

// group is the workgroup size for kernels whose invocations are independent.
func (l *Limits) group() uint32 {
	if l.CPU {
		return uint32(4 * l.Subgroup)
	}
	return 256
}

// gridFor spreads ceil(n/group) workgroups over x and, where one dimension is not enough, y: shaders compute their
// index as gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x.
func gridFor(n, group int, l *Limits) [3]int {
	groups := max(1, (n+group-1)/group)
	x := min(groups, l.MaxGridX)
	return [3]int{x, (groups + x - 1) / x, 1}
}

// windows cuts n rows of the given width into runs that a binding of at most maxRange elements can hold, each starting
// where a tensor may be bound.
func windows(n, width, maxRange int) [][2]int {
	step := maxRange / max(width, 1) / alignElements * alignElements
	if step == 0 {
		step = alignElements
	}
	list := [][2]int{}
	for a := 0; a < n; a += step {
		list = append(list, [2]int{a, min(n, a+step)})
	}
	return list
}

package compute

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"saltern/compute/ref"
)

var opEmbed = &Op{
	Name: "embed", Doc: "y[n] = table[ids[n]]",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 3 || len(in[0].Shape) != 2 || len(in[1].Shape) != 1 || !in[2].Shape.Equal(in[1].Shape) || in[1].DType != U32 || in[2].DType != U32 {
			return nil, fmt.Errorf("wants a table [V,D], ids [N] and their order [N], both u32")
		}
		return []Shape{{in[1].Shape[0], in[0].Shape[1]}}, nil
	},
	// Each launch writes the rows whose ids lie in its part of the table.
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		table, ids, y := n.In[0], n.In[1], n.Out[0]
		d := table.Shape[1]
		rows := f.rows(l, d, 4)
		for _, v := range windows(table.Shape[0], d, f.maxRange(l)) {
			for _, w := range windows(ids.Len(), d, l.MaxRange) {
				list = append(list, f.launch(l, "embed", ceilDiv(w[1]-w[0], rows), f.paired(d), words(w[1]-w[0], d, v[0], v[1]-v[0], rows),
					table.Rows(v[0], v[1]), ids.Rows(w[0], w[1]), y.Rows(w[0], w[1])))
			}
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, _ any) { ref.Embed(in[0].Data, in[1].Data, out[0].Data) },
	// The gradient goes straight into the tracked table's: as a tensor of its own it would be as large as the table.
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		if acc := r.GradientOf(n.In[0]); acc != nil {
			r.Record("embed_grad", nil, []*Tensor{dy[0], n.In[1], n.In[2], acc}, acc)
		}
		return []*Tensor{nil, nil, nil}
	},
	Cost: func(n *Node) (int64, int64) {
		return 0, elementBytes * int64(2*n.Out[0].Len()+n.In[1].Len())
	},
	Tol: 1e-7,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1}, {1}}, Types: map[int]DType{1: U32, 2: U32}},
		{Why: "more rows than the narrowed device binds at once", In: []Shape{{500, 64}, {90}, {90}}, Types: map[int]DType{1: U32, 2: U32}},
	},
	Random: func(rng *rand.Rand) Case {
		n := 1 + rng.IntN(150)
		return Case{In: []Shape{{1 + rng.IntN(300), randomWidth(rng, 100)}, {n}, {n}}, Types: map[int]DType{1: U32, 2: U32}}
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) { fillIDs(rng, in[1].Data, in[2].Data, in[0].Shape[0]) },
}

var opEmbedGrad = &Op{
	Name: "embed_grad", Doc: "acc[v] += sum of dy[n] over the n with ids[n] = v, in place",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 4 || len(in[0].Shape) != 2 || len(in[3].Shape) != 2 || in[0].Shape[1] != in[3].Shape[1] ||
			!in[1].Shape.Equal(in[0].Shape[:1]) || !in[2].Shape.Equal(in[1].Shape) || in[1].DType != U32 || in[2].DType != U32 {
			return nil, fmt.Errorf("wants dy [N,D], ids [N] and their order [N], both u32, and the table's gradient [V,D]")
		}
		return []Shape{in[3].Shape}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		dy, ids, order, acc := n.In[0], n.In[1], n.In[2], n.Out[0]
		d := dy.Shape[1]
		tile, positions, most := 4, 1, max(1, ids.Len())
		if l.CPU { // registers are memory, and a workgroup costs as much as some rows
			tile, positions = min(16, ceilDiv(d, f.elements()*f.lanes(l))), f.rows(l, d, 1)
			most = maxLoopTrips / 2 // with what looking up and starting take
		}
		tiles := ceilDiv(d, tile*f.elements()*f.lanes(l))
		for _, v := range windows(acc.Shape[0], d, f.maxRange(l)) {
			ordered := false
			for _, w := range windows(dy.Shape[0], d, f.maxRange(l)) {
				for _, p := range windows(ids.Len(), 1, most) {
					one := f.launch(l, "embed_grad", ceilDiv(p[1]-p[0], positions)*tiles, words(tile), words(p[0], p[1], d, v[0], v[1]-v[0], w[0], w[1]-w[0], positions),
						dy.Rows(w[0], w[1]), ids, order, acc.Rows(v[0], v[1]), acc.Rows(v[0], v[1]))
					one.Ordered, ordered = ordered, true // adds to the rows that the launch before it changed
					list = append(list, one)
				}
			}
		}
		return list
	}),
	Ref:    func(in, out []ref.Tensor, _ any) { ref.EmbedGrad(in[0].Data, in[1].Data, out[0].Data, in[0].Shape[1]) },
	NoGrad: "second derivatives are not needed",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len()) // as if no two ids were equal
		return size, elementBytes * (3*size + int64(2*n.In[1].Len()))
	},
	Tol: 1e-5,
	Cases: []Case{
		embedGradCase("one element", 1, 1, 1),
		embedGradCase("one id only: a single run as long as the batch", 130, 24, 1),
		embedGradCase("several tiles of columns, D not a multiple of four", 40, 1101, 7),
		embedGradCase("more rows of the table and of dy than the narrowed device binds at once", 200, 64, 300),
	},
	Random: func(rng *rand.Rand) Case {
		return embedGradCase("", 1+rng.IntN(150), randomWidth(rng, 100), 1+rng.IntN(100))
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) { fillIDs(rng, in[1].Data, in[2].Data, in[3].Shape[0]) },
}

// Embed records y[n] = table[ids[n]], for table [V,D] and ids [N] below V. order holds the positions 0 to N-1 sorted by
// (id, position): the host makes it with each batch, and the gradient sums by it. The table's gradient is recorded only if
// the table is tracked.
func (r *Recorder) Embed(table, ids, order *Tensor) *Tensor {
	return r.Record("embed", nil, []*Tensor{table, ids, order})[0]
}

func embedGradCase(why string, n, d, v int) Case {
	return Case{Why: why, In: []Shape{{n, d}, {n}, {n}, {v, d}}, Types: map[int]DType{1: U32, 2: U32}, InPlace: map[int]int{0: 3}}
}

// fillIDs draws ids below v, small ones more often, and sorts their positions.
func fillIDs(rng *rand.Rand, ids, order []float64, v int) {
	for i := range ids {
		ids[i] = float64(rng.IntN(1 + rng.IntN(v)))
		order[i] = float64(i)
	}
	slices.SortStableFunc(order, func(a, b float64) int { return int(ids[int(a)] - ids[int(b)]) })
}

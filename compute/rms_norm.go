package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

// gainRows is how many rows the gradient of a gain sums in one block: as many as rms_norm_grad.comp has side by side.
const gainRows = 8

var opRMSNorm = &Op{
	Name: "rms_norm", Doc: "y[n,d] = x[n,d] g[d] r[n], r[n] = 1/sqrt(mean_d x[n,d]^2 + eps)",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 2 || len(in[0].Shape) != 2 || !in[1].Shape.Equal(Shape{in[0].Shape[1]}) {
			return nil, fmt.Errorf("wants x [N,D] and a gain [D]")
		}
		return []Shape{in[0].Shape, {in[0].Shape[0]}}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		x, g, y, r := n.In[0], n.In[1], n.Out[0], n.Out[1]
		d := x.Shape[1]
		rows := f.rows(l, d, 4)
		for _, w := range windows(x.Shape[0], d, f.maxRange(l)) {
			push := append(words(w[1]-w[0], d, rows), math.Float32bits(n.Attr.(float32)))
			list = append(list, f.launch(l, "rms_norm", ceilDiv(w[1]-w[0], rows), f.paired(d), push, x.Rows(w[0], w[1]), g, y.Rows(w[0], w[1]), r.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		ref.RMSNorm(in[0].Data, in[1].Data, out[0].Data, out[1].Data, float64(attr.(float32)))
	},
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		x, g := n.In[0], n.In[1]
		out := r.Record("rms_norm_grad", nil, []*Tensor{x, g, n.Out[1], dy[0]})
		dx := out[0]
		// A residual's gradient is added here and not by the caller, before sum_rows: the planner folds the sum into the
		// kernel only if nothing between has read the kernel's other outputs.
		if have := r.grads[x]; have != nil && dx != nil {
			dx = r.Add(have, dx)
			delete(r.grads, x)
		}
		return []*Tensor{dx, r.sumRows(out[1])}
	},
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 4 * size, elementBytes * (2*size + int64(n.In[1].Len()+n.Out[1].Len()))
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1}}, Attr: float32(1e-5)},
		{Why: "a row as wide as a layer", In: []Shape{{3, 1024}, {1024}}, Attr: float32(1e-5)},
		{Why: "more rows than one dispatch dimension of the narrowed device, odd width", In: []Shape{{130, 67}, {67}}, Attr: float32(1e-6)},
		{Why: "eps larger than the mean square counts", In: []Shape{{5, 12}, {12}}, Attr: float32(10)},
	},
	Random: func(rng *rand.Rand) Case {
		d := randomWidth(rng, 200)
		return Case{In: []Shape{{1 + rng.IntN(150), d}, {d}}, Attr: float32(1e-5)}
	},
}

var opRMSNormGrad = &Op{
	Name: "rms_norm_grad", Doc: "dx = r (g dy - xhat c), part[b] = sum of dy xhat over block b of 8 rows, c = mean_d g dy xhat, xhat = x r",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 4 || len(in[0].Shape) != 2 || !in[3].Shape.Equal(in[0].Shape) ||
			!in[1].Shape.Equal(Shape{in[0].Shape[1]}) || !in[2].Shape.Equal(Shape{in[0].Shape[0]}) {
			return nil, fmt.Errorf("wants x [N,D], gain [D], r [N] and dy [N,D]")
		}
		n, d := in[0].Shape[0], in[0].Shape[1]
		return []Shape{{n, d}, {ceilDiv(n, gainRows), d}}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		x, g, r, dy, add, dx, part := n.In[0], n.In[1], n.In[2], n.In[3], n.AddendOr(n.Out[0]), n.Out[0], n.Out[1]
		rows, d := x.Shape[0], x.Shape[1]
		for _, w := range windows(part.Shape[0], gainRows*d, f.maxRange(l)) {
			a, b := gainRows*w[0], min(rows, gainRows*w[1])
			list = append(list, f.launch(l, "rms_norm_grad", w[1]-w[0], append([]uint32{flagWord(n.HasAddend)}, f.paired(d)...), words(b-a, d),
				x.Rows(a, b), g, r.Rows(a, b), dy.Rows(a, b), add.Rows(a, b), dx.Rows(a, b), part.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, _ any) {
		ref.RMSNormGrad(in[0].Data, in[1].Data, in[2].Data, in[3].Data, out[0].Data, out[1].Data, gainRows)
	},
	NoGrad: "second derivatives are not needed",
	Addend: true,
	Cost:   normGradCost(9),
	Tol:    1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1}, {1}, {1, 1}}},
		{Why: "exactly one block of rows, residual added", In: []Shape{{8, 32}, {32}, {8}, {8, 32}}, Addend: true},
		{Why: "rows and columns beyond whole blocks and tiles", In: []Shape{{131, 67}, {67}, {131}, {131, 67}}},
		{Why: "several tiles of columns, gradient added in place", In: []Shape{{70, 1100}, {1100}, {70}, {70, 1100}}, Addend: true, InPlace: map[int]int{0: 4}},
		{Why: "more blocks than the narrowed device binds at once", In: []Shape{{4200, 4}, {4}, {4200}, {4200, 4}}},
	},
	Random: func(rng *rand.Rand) Case {
		n, d := 1+rng.IntN(150), randomWidth(rng, 200)
		return Case{In: []Shape{{n, d}, {d}, {n}, {n, d}}, Addend: rng.IntN(2) == 0}
	},
}

// RMSNorm records y[n,d] = x[n,d] g[d] / sqrt(mean_d x[n,d]^2 + eps), for x [N,D] and g [D].
func (r *Recorder) RMSNorm(x, g *Tensor, eps float32) *Tensor {
	return r.Record("rms_norm", eps, []*Tensor{x, g})[0]
}

// normGradCost is the Cost of a norm's gradient that takes so many operations for an element: it reads x and dy, writes dx and the
// gain's parts, and reads an addend if there is one.
func normGradCost(each int64) func(n *Node) (int64, int64) {
	return func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		bytes := elementBytes * (3*size + int64(n.Out[1].Len()))
		if n.HasAddend {
			bytes += elementBytes * size
		}
		return each * size, bytes
	}
}

// randomWidth is a row length up to most, half of the time a multiple of four, as the wide variants need.
func randomWidth(rng *rand.Rand, most int) int {
	d := 1 + rng.IntN(most)
	if rng.IntN(2) == 0 {
		d = (d + 3) / 4 * 4
	}
	return d
}

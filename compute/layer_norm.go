package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opLayerNorm = &Op{
	Name: "layer_norm", Doc: "y[n,d] = (x[n,d] - m[n]) r[n] g[d] + b[d], m[n] = mean_d x[n,d], r[n] = 1/sqrt(mean_d (x[n,d] - m[n])^2 + eps)",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 3 || len(in[0].Shape) != 2 || !in[1].Shape.Equal(Shape{in[0].Shape[1]}) || !in[2].Shape.Equal(in[1].Shape) {
			return nil, fmt.Errorf("wants x [N,D], a gain [D] and a bias [D]")
		}
		return []Shape{in[0].Shape, {in[0].Shape[0]}, {in[0].Shape[0]}}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		x, y, m, r := n.In[0], n.Out[0], n.Out[1], n.Out[2]
		d := x.Shape[1]
		rows := f.rows(l, d, 4)
		for _, w := range windows(x.Shape[0], d, f.maxRange(l)) {
			push := append(words(w[1]-w[0], d, rows), math.Float32bits(n.Attr.(float32)))
			list = append(list, f.launch(l, "layer_norm", ceilDiv(w[1]-w[0], rows), f.paired(d), push,
				x.Rows(w[0], w[1]), n.In[1], n.In[2], y.Rows(w[0], w[1]), m.Rows(w[0], w[1]), r.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		ref.LayerNorm(in[0].Data, in[1].Data, in[2].Data, out[0].Data, out[1].Data, out[2].Data, float64(attr.(float32)))
	},
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		x := n.In[0]
		out := r.Record("layer_norm_grad", nil, []*Tensor{x, n.In[1], n.Out[1], n.Out[2], dy[0]})
		dx := out[0]
		if have := r.grads[x]; have != nil && dx != nil { // as in rms_norm
			dx = r.Add(have, dx)
			delete(r.grads, x)
		}
		return []*Tensor{dx, r.sumRows(out[1]), r.sumRows(dy[0])}
	},
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 8 * size, elementBytes * (2*size + int64(2*n.In[1].Len()+2*n.Out[1].Len()))
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "one element, which is its own mean", In: []Shape{{1, 1}, {1}, {1}}, Attr: float32(1e-5)},
		{Why: "a row as wide as a layer", In: []Shape{{3, 1024}, {1024}, {1024}}, Attr: float32(1e-5)},
		{Why: "more rows than one dispatch dimension of the narrowed device, odd width", In: []Shape{{130, 67}, {67}, {67}}, Attr: float32(1e-6)},
		{Why: "eps larger than the variance counts", In: []Shape{{5, 12}, {12}, {12}}, Attr: float32(10)},
	},
	Random: func(rng *rand.Rand) Case {
		d := 1 + randomWidth(rng, 200)
		return Case{In: []Shape{{1 + rng.IntN(150), d}, {d}, {d}}, Attr: float32(1e-3)}
	},
}

var opLayerNormGrad = &Op{
	Name: "layer_norm_grad", Doc: "dx = r (g dy - a - xhat c), part[b] = sum of dy xhat over block b of 8 rows, a = mean_d g dy, c = mean_d g dy xhat, xhat = (x - m) r",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 5 || len(in[0].Shape) != 2 || !in[4].Shape.Equal(in[0].Shape) || !in[1].Shape.Equal(Shape{in[0].Shape[1]}) ||
			!in[2].Shape.Equal(Shape{in[0].Shape[0]}) || !in[3].Shape.Equal(in[2].Shape) {
			return nil, fmt.Errorf("wants x [N,D], gain [D], m [N], r [N] and dy [N,D]")
		}
		n, d := in[0].Shape[0], in[0].Shape[1]
		return []Shape{{n, d}, {ceilDiv(n, gainRows), d}}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		x, g, m, r, dy, add, dx, part := n.In[0], n.In[1], n.In[2], n.In[3], n.In[4], n.AddendOr(n.Out[0]), n.Out[0], n.Out[1]
		rows, d := x.Shape[0], x.Shape[1]
		for _, w := range windows(part.Shape[0], gainRows*d, f.maxRange(l)) {
			a, b := gainRows*w[0], min(rows, gainRows*w[1])
			list = append(list, f.launch(l, "layer_norm_grad", w[1]-w[0], append([]uint32{flagWord(n.HasAddend)}, f.paired(d)...), words(b-a, d),
				x.Rows(a, b), g, m.Rows(a, b), r.Rows(a, b), dy.Rows(a, b), add.Rows(a, b), dx.Rows(a, b), part.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, _ any) {
		ref.LayerNormGrad(in[0].Data, in[1].Data, in[2].Data, in[3].Data, in[4].Data, out[0].Data, out[1].Data, gainRows)
	},
	NoGrad: "second derivatives are not needed",
	Addend: true,
	Cost:   normGradCost(12),
	Tol:    1e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1}, {1}, {1}, {1, 1}}},
		{Why: "exactly one block of rows, residual added", In: []Shape{{8, 32}, {32}, {8}, {8}, {8, 32}}, Addend: true},
		{Why: "rows and columns beyond whole blocks and tiles", In: []Shape{{131, 67}, {67}, {131}, {131}, {131, 67}}},
		{Why: "several tiles of columns, gradient added in place", In: []Shape{{70, 1100}, {1100}, {70}, {70}, {70, 1100}}, Addend: true, InPlace: map[int]int{0: 5}},
		{Why: "more blocks than the narrowed device binds at once", In: []Shape{{4200, 4}, {4}, {4200}, {4200}, {4200, 4}}},
	},
	Random: func(rng *rand.Rand) Case {
		n, d := 1+rng.IntN(150), randomWidth(rng, 200)
		return Case{In: []Shape{{n, d}, {d}, {n}, {n}, {n, d}}, Addend: rng.IntN(2) == 0}
	},
}

// LayerNorm records y[n,d] = (x[n,d] - mean) / sqrt(variance + eps) g[d] + b[d], mean and variance of a row, for x [N,D], g and b [D].
func (r *Recorder) LayerNorm(x, g, b *Tensor, eps float32) *Tensor {
	return r.Record("layer_norm", eps, []*Tensor{x, g, b})[0]
}

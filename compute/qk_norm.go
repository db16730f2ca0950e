package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

// QKNorm says what is normed of rows that hold Heads heads of queries, KVHeads of keys and others that stay.
type QKNorm struct {
	Heads, KVHeads int
	Eps            float32
}

// check looks at x [N,row] and the gains [dh], which say how large a head is.
func (a QKNorm) check(in []*Tensor) error {
	if len(in[0].Shape) != 2 || len(in[1].Shape) != 1 || in[1].Len() == 0 || !in[2].Shape.Equal(in[1].Shape) {
		return fmt.Errorf("wants x [N,row] and two gains [dh]")
	}
	row, dh := in[0].Shape[1], in[1].Len()
	if row%dh != 0 || a.Heads < 1 || a.KVHeads < 1 || (a.Heads+a.KVHeads)*dh > row {
		return fmt.Errorf("%d and %d heads of %d are not in a row of %d", a.Heads, a.KVHeads, dh, row)
	}
	return nil
}

var opQKNorm = &Op{
	Name: "qk_norm", Doc: "y = x g / sqrt(mean x^2 + eps) in each head of queries and of keys, which have a gain each; values stay",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		if len(in) != 3 {
			return nil, fmt.Errorf("wants x and two gains")
		}
		return []Shape{in[0].Shape}, attr.(QKNorm).check(in)
	},
	Kernels: formKernels(headSize, func(n *Node, l *Limits, f form) (list []Launch) {
		x, y := n.In[0], n.Out[0]
		for _, w := range windows(x.Shape[0], x.Shape[1], f.maxRange(l)) {
			list = append(list, f.heads(n, l, "qk_norm", w, x.Rows(w[0], w[1]), n.In[1], n.In[2], y.Rows(w[0], w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(QKNorm)
		ref.QKNorm(in[0].Data, in[1].Data, in[2].Data, out[0].Data, in[0].Shape[1], a.Heads, a.KVHeads, float64(a.Eps))
	},
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		out := r.Record("qk_norm_grad", n.Attr, []*Tensor{n.In[0], n.In[1], n.In[2], dy[0]})
		return []*Tensor{out[0], r.sumRows(out[1]), r.sumRows(out[2])}
	},
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 4 * size, elementBytes * 2 * size
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "heads of one element", In: []Shape{{1, 3}, {1}, {1}}, Attr: QKNorm{1, 1, 1e-6}},
		{Why: "grouped heads; the values stay", In: []Shape{{70, 8 * 16}, {16}, {16}}, Attr: QKNorm{4, 2, 1e-6}},
		{Why: "heads that are no whole texels, more rows than the narrowed device binds at once", In: []Shape{{300, 5 * 6}, {6}, {6}}, Attr: QKNorm{2, 1, 1e-6}},
		{Why: "eps larger than the mean square counts, largest head", In: []Shape{{5, 3 * 256}, {256}, {256}}, Attr: QKNorm{1, 1, 10}},
	},
	Random: func(rng *rand.Rand) Case {
		n, a, dh := randomHeads(rng)
		return Case{In: []Shape{n, {dh}, {dh}}, Attr: a}
	},
}

var opQKNormGrad = &Op{
	Name: "qk_norm_grad", Doc: "dx = r (g dy - xhat c) in each head of queries and of keys, pq and pk = dy xhat of theirs, c = mean g dy xhat, xhat = x r",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(QKNorm)
		if len(in) != 4 || !in[3].Shape.Equal(in[0].Shape) {
			return nil, fmt.Errorf("wants x, two gains, and dy of x's shape")
		}
		if err := a.check(in); err != nil {
			return nil, err
		}
		n, dh := in[0].Shape[0], in[1].Len()
		return []Shape{in[0].Shape, {n * a.Heads, dh}, {n * a.KVHeads, dh}}, nil
	},
	Kernels: formKernels(headSize, func(n *Node, l *Limits, f form) (list []Launch) {
		a, x, dy, dx, pq, pk := n.Attr.(QKNorm), n.In[0], n.In[3], n.Out[0], n.Out[1], n.Out[2]
		for _, w := range windows(x.Shape[0], x.Shape[1], f.maxRange(l)) {
			list = append(list, f.heads(n, l, "qk_norm_grad", w, x.Rows(w[0], w[1]), n.In[1], n.In[2], dy.Rows(w[0], w[1]),
				dx.Rows(w[0], w[1]), pq.Rows(a.Heads*w[0], a.Heads*w[1]), pk.Rows(a.KVHeads*w[0], a.KVHeads*w[1])))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(QKNorm)
		ref.QKNormGrad(in[0].Data, in[1].Data, in[2].Data, in[3].Data, out[0].Data, out[1].Data, out[2].Data, in[0].Shape[1], a.Heads, a.KVHeads, float64(a.Eps))
	},
	NoGrad: "second derivatives are not needed",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 9 * size, elementBytes * (3*size + int64(n.Out[1].Len()+n.Out[2].Len()))
	},
	Tol: 1e-5,
	Cases: []Case{
		{Why: "heads of one element", In: []Shape{{1, 3}, {1}, {1}, {1, 3}}, Attr: QKNorm{1, 1, 0.1}},
		{Why: "grouped heads; the values' gradient passes", In: []Shape{{70, 8 * 16}, {16}, {16}, {70, 8 * 16}}, Attr: QKNorm{4, 2, 1e-6}},
		{Why: "heads that are no whole texels, more rows than the narrowed device binds at once", In: []Shape{{300, 5 * 6}, {6}, {6}, {300, 5 * 6}}, Attr: QKNorm{2, 1, 1e-3}},
	},
	Random: func(rng *rand.Rand) Case {
		n, a, dh := randomHeads(rng)
		return Case{In: []Shape{n, {dh}, {dh}, n}, Attr: a}
	},
}

// QKNorm records the RMSNorm of the heads of queries and of keys of qkv [N, (H + 2 KV) dh], with the gains gq and gk [dh].
func (r *Recorder) QKNorm(qkv, gq, gk *Tensor, a QKNorm) *Tensor {
	return r.Record("qk_norm", a, []*Tensor{qkv, gq, gk})[0]
}

// headSize is the length of a node's gain.
func headSize(n *Node) int { return n.In[1].Len() }

// heads launches a shader of which each invocation takes a head of the rows w.
func (f form) heads(n *Node, l *Limits, shader string, w [2]int, bind ...*Tensor) Launch {
	a, dh := n.Attr.(QKNorm), headSize(n)
	heads := n.In[0].Shape[1] / dh
	push := append(words(w[1]-w[0], heads, dh, a.Heads, a.Heads+a.KVHeads), math.Float32bits(a.Eps))
	return f.launch(l, shader, ceilDiv((w[1]-w[0])*heads, f.lanes(l)), nil, push, bind...)
}

// randomHeads draws the shape of rows of heads.
func randomHeads(rng *rand.Rand) (Shape, QKNorm, int) {
	a, dh := QKNorm{1 + rng.IntN(4), 1 + rng.IntN(3), 1e-5}, randomWidth(rng, 64)
	return Shape{1 + rng.IntN(100), (a.Heads + 2*a.KVHeads) * dh}, a, dh
}

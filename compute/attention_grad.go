package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// The gradient of attention in three operations, without atomics: the products of the output with its gradient, then a pass
// by queries and a pass by keys, which write their columns of one dqkv.

var opAttentionDot = &Op{
	Name: "attention_dot", Doc: "D[n,h] = sum_d do[n,h,d] o[n,h,d]",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(Attention)
		if len(in) != 2 || len(in[0].Shape) != 2 || !in[0].Shape.Equal(in[1].Shape) || in[0].Shape[1] != a.Heads*a.HeadSize {
			return nil, fmt.Errorf("wants two matrices with rows of %d elements", a.Heads*a.HeadSize)
		}
		return []Shape{{in[0].Shape[0], a.Heads}}, nil
	},
	Kernels: []Kernel{
		{Name: "texel", Fits: func(n *Node, l *Limits) bool { return n.Attr.(Attention).HeadSize%4 == 0 && l.MaxTexel > 0 },
			Launch: func(n *Node, l *Limits) []Launch {
				return dotLaunches(n, l, min(l.MaxRange, l.MaxTexel), "attention_dot.texel")
			}},
		{Name: "plain", Launch: func(n *Node, l *Limits) []Launch { return dotLaunches(n, l, l.MaxRange, "attention_dot.plain") }},
	},
	Ref: func(in, out []ref.Tensor, attr any) {
		ref.AttentionDot(in[0].Data, in[1].Data, out[0].Data, attr.(Attention).HeadSize)
	},
	NoGrad: "it is part of attention's gradient",
	Cost: func(n *Node) (int64, int64) {
		return 2 * int64(n.In[0].Len()), elementBytes * int64(2*n.In[0].Len()+n.Out[0].Len())
	},
	Tol: 1e-5,
	Cases: attentionCases(func(a Attention, n int) Case {
		return Case{In: []Shape{{n, a.Heads * a.HeadSize}, {n, a.Heads * a.HeadSize}}}
	}),
	Random: func(rng *rand.Rand) Case {
		a, n := randomAttention(rng)
		return Case{In: []Shape{{n, a.Heads * a.HeadSize}, {n, a.Heads * a.HeadSize}}, Attr: a}
	},
}

func dotLaunches(n *Node, l *Limits, bound int, shader string) []Launch {
	a := n.Attr.(Attention)
	var list []Launch
	for _, w := range windows(n.In[0].Shape[0], n.In[0].Shape[1], bound) {
		count := (w[1] - w[0]) * a.Heads
		list = append(list, Launch{
			Shader: shader, Spec: []uint32{l.group()}, Push: []uint32{uint32(count), uint32(a.HeadSize)}, Grid: gridFor(count, int(l.group()), l),
			Bind: []*Tensor{n.In[0].Rows(w[0], w[1]), n.In[1].Rows(w[0], w[1]), n.Out[0].Rows(w[0], w[1])},
		})
	}
	return list
}

var opAttentionGradQ = &Op{
	Name: "attention_grad_q", Doc: "dq[n,h] = sum_j p (do[n,h] . v[j,g] - D[n,h]) k[j,g] / sqrt(dh), p = exp(s - lse); the other columns become 0",
	Shapes: attentionGradShapes(4),
	Kernels: attentionKernels("attention_grad_q", false, func(n *Node, m, s [2]int) []*Tensor {
		return []*Tensor{n.In[0].Rows(m[0], m[1]), n.In[0].Rows(s[0], s[1]), n.In[1].Rows(m[0], m[1]), n.In[2].Rows(m[0], m[1]), n.In[3].Rows(m[0], m[1]), n.Out[0].Rows(m[0], m[1])}
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		refAttentionGrad(in, attr.(Attention), func(i int, v float64, isQ bool) {
			if !isQ {
				v = 0
			}
			out[0].Data[i] = v
		})
	},
	NoGrad: "it is part of attention's gradient",
	Cost:   func(n *Node) (int64, int64) { return attentionGradCost(n, 2) },
	Tol:    1e-5, Fill: fillAttentionGrad,
	Cases: attentionCases(func(a Attention, n int) Case { return Case{In: attentionGradIn(a, n)} }),
	Random: func(rng *rand.Rand) Case {
		a, n := randomAttention(rng)
		return Case{In: attentionGradIn(a, n), Attr: a}
	},
}

var opAttentionGradKV = &Op{
	Name: "attention_grad_kv", Doc: "in place in dqkv: dv[j,g] = sum p do[n,h], dk[j,g] = sum p (do[n,h] . v[j,g] - D[n,h]) q[n,h] / sqrt(dh), over h of g, n >= j",
	Shapes: attentionGradShapes(5),
	Kernels: attentionKernels("attention_grad_kv", true, func(n *Node, m, s [2]int) []*Tensor {
		return []*Tensor{n.In[0].Rows(m[0], m[1]), n.In[0].Rows(s[0], s[1]), n.In[1].Rows(s[0], s[1]), n.In[2].Rows(s[0], s[1]), n.In[3].Rows(s[0], s[1]), n.Out[0].Rows(m[0], m[1])}
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		refAttentionGrad(in, attr.(Attention), func(i int, v float64, isQ bool) {
			if isQ {
				v = in[4].Data[i]
			}
			out[0].Data[i] = v
		})
	},
	NoGrad: "it is part of attention's gradient",
	Cost:   func(n *Node) (int64, int64) { return attentionGradCost(n, 3) },
	Tol:    1e-5, Fill: fillAttentionGrad,
	Cases: attentionCases(func(a Attention, n int) Case {
		return Case{In: append(attentionGradIn(a, n), Shape{n, a.width()}), InPlace: map[int]int{0: 4}}
	}),
	Random: func(rng *rand.Rand) Case {
		a, n := randomAttention(rng)
		return Case{In: append(attentionGradIn(a, n), Shape{n, a.width()}), Attr: a, InPlace: map[int]int{0: 4}}
	},
}

// attentionGradIn are the shapes of qkv, do, lse, D.
func attentionGradIn(a Attention, n int) []Shape {
	return []Shape{{n, a.width()}, {n, a.Heads * a.HeadSize}, {n, a.Heads}, {n, a.Heads}}
}

func attentionGradShapes(inputs int) func(in []*Tensor, attr any) ([]Shape, error) {
	return func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(Attention)
		if len(in) != inputs {
			return nil, fmt.Errorf("wants %d tensors", inputs)
		}
		if err := a.check(in[0].Shape); err != nil {
			return nil, err
		}
		for i, s := range append(attentionGradIn(a, in[0].Shape[0]), in[0].Shape)[:inputs] {
			if !in[i].Shape.Equal(s) {
				return nil, fmt.Errorf("input %d is %v, not %v", i, in[i].Shape, s)
			}
		}
		return []Shape{in[0].Shape}, nil
	}
}

// refAttentionGrad computes the whole gradient and hands over each element, telling whether it belongs to a query.
func refAttentionGrad(in []ref.Tensor, a Attention, put func(i int, v float64, isQ bool)) {
	dqkv := make([]float64, len(in[0].Data))
	ref.AttentionGrad(in[0].Data, in[1].Data, in[2].Data, in[3].Data, dqkv, a.Heads, a.KVHeads, a.HeadSize, a.T)
	for i, v := range dqkv {
		put(i, v, i%a.width() < a.Heads*a.HeadSize)
	}
}

// fillAttentionGrad makes lse what a forward pass would have made of qkv, and D nearly so: with the exact D the gradient of
// a row that meets only itself would be nothing but rounding.
func fillAttentionGrad(rng *rand.Rand, in []ref.Tensor, attr any) {
	a := attr.(Attention)
	o := make([]float64, len(in[1].Data))
	ref.Attention(in[0].Data, o, in[2].Data, a.Heads, a.KVHeads, a.HeadSize, a.T)
	ref.AttentionDot(o, in[1].Data, in[3].Data, a.HeadSize)
	for i := range in[3].Data {
		in[3].Data[i] += rng.NormFloat64()
	}
}

// attentionGradCost counts the given number of products; both passes together count five, two and a half times the
// forward pass, although they recompute two.
func attentionGradCost(n *Node, products int64) (flops, bytes int64) {
	for _, t := range n.In {
		bytes += elementBytes * int64(t.Len())
	}
	return products * n.Attr.(Attention).products(n.In[0].Shape[0]), bytes + elementBytes*int64(n.Out[0].Len())
}

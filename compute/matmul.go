package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// Form is which operands of a matrix product are stored transposed.
type Form uint8

// The forms: y = A B, y = A B^T (a layer's forward), y = A^T B (a weight's gradient). A^T B^T is not needed.
const (
	NN Form = iota
	NT
	TN
)

func (f Form) String() string { return [...]string{"NN", "NT", "TN"}[f] }

// dims gives M, N, K from the stored shapes.
func (f Form) dims(a, b Shape) (m, n, k, k2 int) {
	m, k, k2, n = a[0], a[1], b[0], b[1]
	if f == TN {
		m, k = k, m
	}
	if f == NT {
		k2, n = n, k2
	}
	return m, n, k, k2
}

var opMatMul = &Op{
	Name: "matmul", Doc: "y[m,n] = sum_k A[m,k] B[k,n]; NT: B stored [N,K]; TN: A stored [K,M]",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		if len(in) != 2 || len(in[0].Shape) != 2 || len(in[1].Shape) != 2 {
			return nil, fmt.Errorf("wants two matrices")
		}
		if in[0].DType != in[1].DType || in[0].DType == U32 {
			return nil, fmt.Errorf("wants two matrices of one type of floats, not %v and %v", in[0].DType, in[1].DType)
		}
		m, n, k, k2 := attr.(Form).dims(in[0].Shape, in[1].Shape)
		if k != k2 {
			return nil, fmt.Errorf("inner dimensions %d and %d differ", k, k2)
		}
		return []Shape{{m, n}}, nil
	},
	Kernels: append(coopKernels(), matmulKernels()...),
	Ref: func(in, out []ref.Tensor, attr any) {
		f := attr.(Form)
		m, n, k, _ := f.dims(in[0].Shape, in[1].Shape)
		ref.MatMul(in[0].Data, in[1].Data, out[0].Data, m, n, k, f == TN, f == NT)
	},
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		a, b, g := n.In[0], n.In[1], r.Cast(dy[0], n.In[0].DType)
		switch n.Attr.(Form) {
		case NT: // y = A B^T: dA = dy B, dB = dy^T A
			return []*Tensor{r.MatMul(g, b, NN), r.MatMul(g, a, TN)}
		case TN: // y = A^T B: dA = B dy^T, dB = A dy
			return []*Tensor{r.MatMul(b, g, NT), r.MatMul(a, g, NN)}
		default: // dA = dy B^T, dB = A^T dy
			return []*Tensor{r.MatMul(g, b, NT), r.MatMul(a, g, TN)}
		}
	},
	Addend: true,
	Cost: func(n *Node) (int64, int64) {
		m, w, k, _ := n.Attr.(Form).dims(n.In[0].Shape, n.In[1].Shape)
		bytes := n.In[0].bytes() + n.In[1].bytes() + elementBytes*int64(m*w)
		if n.HasAddend {
			bytes += elementBytes * int64(m*w)
		}
		return 2 * int64(m) * int64(w) * int64(k), bytes
	},
	Tol: 2e-5,
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1, 1}}, Attr: NN},
		{Why: "rims in every direction of a tile", In: []Shape{{33, 17}, {17, 65}}, Attr: NN},
		{Why: "whole tiles, as in a layer", In: []Shape{{64, 64}, {128, 64}}, Attr: NT},
		{Why: "whole tiles, as in a weight's gradient", In: []Shape{{128, 64}, {128, 96}}, Attr: TN},
		{Why: "rows beyond the last tile, K a multiple of 4", In: []Shape{{13, 24}, {44, 24}}, Attr: NT},
		{Why: "columns beyond the last tile, vec4 loads", In: []Shape{{24, 20}, {24, 36}}, Attr: TN},
		{Why: "gradient accumulation in place", In: []Shape{{40, 32}, {40, 64}}, Attr: TN, Addend: true, InPlace: map[int]int{0: 2}},
		{Why: "residual added", In: []Shape{{21, 32}, {32, 64}}, Attr: NN, Addend: true},
		{Why: "residual added, as after attention", In: []Shape{{21, 32}, {64, 32}}, Attr: NT, Addend: true},
		halfMatMul("whole tiles of float16, as in a layer", 128, 128, 96, NT, F16),
		halfMatMul("the same of bfloat16", 128, 128, 96, NT, BF16),
		halfMatMul("rims of float16 tiles", 129, 72, 40, NN, F16),
		halfMatMul("a weight's gradient, tokens that fill no slice", 136, 80, 45, TN, F16),
		halfMatMul("sums beyond what a float16 holds exactly", 32, 64, 4096, NT, F16),
		halfMatMul("rows that cannot be read eight at a time", 21, 35, 13, NN, F16),
		{Why: "long sums, to show lost precision", In: []Shape{{8, 4096}, {32, 4096}}, Attr: NT},
	},
	Random: func(rng *rand.Rand) Case {
		m, n, k, f := 1+rng.IntN(90), 1+rng.IntN(90), 1+rng.IntN(90), Form(rng.IntN(3))
		if each := []int{1, 4, 8}[rng.IntN(3)]; each > 1 { // multiples of 4 and 8 take the vectorised variants
			m, n, k = ceilDiv(m, each)*each, ceilDiv(n, each)*each, ceilDiv(k, each)*each
		}
		c := Case{In: []Shape{{m, k}, {k, n}}, Attr: f, Addend: rng.IntN(2) == 0}
		if f == TN {
			c.In[0] = Shape{k, m}
		} else if f == NT {
			c.In[1] = Shape{n, k}
		}
		if t := []DType{F32, F16, BF16}[rng.IntN(3)]; t != F32 {
			c.Types = map[int]DType{0: t, 1: t}
		}
		return c
	},
}

// halfMatMul is a case of 16-bit operands, with an addend.
func halfMatMul(why string, m, n, k int, f Form, t DType) Case {
	c := Case{Why: why, In: []Shape{{m, k}, {k, n}}, Attr: f, Types: map[int]DType{0: t, 1: t}, Addend: true}
	if f == TN {
		c.In[0] = Shape{k, m}
	} else if f == NT {
		c.In[1] = Shape{n, k}
	}
	return c
}

// MatMul records the matrix product of a and b in the given form.
func (r *Recorder) MatMul(a, b *Tensor, f Form) *Tensor {
	return r.Record("matmul", f, []*Tensor{a, b})[0]
}

// matmulInto records the product into a given tensor, such as the rows of a larger one.
func (r *Recorder) matmulInto(y, a, b *Tensor, f Form) {
	r.Record("matmul", f, []*Tensor{a, b}, y)
}

// block is a part of a matrix product whose operands a device can bind: rows m, columns n, inner k, each [from, to).
type block struct{ m, n, k [2]int }

// blocks cuts a product along M, N and K so that no storage binding exceeds maxOut (result, addend) or maxIn (operands)
// elements. Only the slow dimension of a stored matrix makes its binding smaller.
func blocks(f Form, m, n, k, maxIn, maxOut int) []block {
	ms, ns, ks := maxOut/n, n, k
	if f == TN {
		ks = min(ks, maxIn/m)
	} else {
		ms = min(ms, maxIn/k)
	}
	if f == NT {
		ns = min(ns, maxIn/k)
	} else {
		ks = min(ks, maxIn/n)
	}
	cut := func(total, step int) [][2]int { return windows(total, 1, min(step, total+alignElements)) }
	var list []block
	for _, mw := range cut(m, ms) {
		for _, nw := range cut(n, ns) {
			for _, kw := range cut(k, ks) {
				list = append(list, block{mw, nw, kw})
			}
		}
	}
	return list
}

// matmulLaunches makes the dispatches of one product: shader and spec by variant, each covering tiles of tm x tn.
func matmulLaunches(n *Node, maxIn, maxOut, tm, tn int, shader string, spec []uint32, subgroup bool) []Launch {
	f := n.Attr.(Form)
	a, b, y := n.In[0], n.In[1], n.Out[0]
	m, w, k, _ := f.dims(a.Shape, b.Shape)
	addend := n.AddendOr(y)
	var list []Launch
	for _, p := range blocks(f, m, w, k, maxIn, maxOut) {
		// A block is a run of rows of each stored matrix plus a column offset within them.
		ra, ca, rb, cb := p.m, p.k[0], p.k, p.n[0]
		if f == TN {
			ra, ca = p.k, p.m[0]
		}
		if f == NT {
			rb, cb = p.n, p.k[0]
		}
		add, ordered := addend, false
		if p.k[0] > 0 { // later stretches of K add to what the first one wrote
			add, ordered = y, true
		}
		push := []uint32{
			uint32(p.m[1] - p.m[0]), uint32(p.n[1] - p.n[0]), uint32(p.k[1] - p.k[0]),
			uint32(a.Shape[1]), uint32(b.Shape[1]), uint32(w), uint32(ca), uint32(cb), uint32(p.n[0]),
			flagWord(n.HasAddend || ordered),
		}
		list = append(list, Launch{
			Shader: shader, Spec: spec, Push: push, Subgroup: subgroup, Ordered: ordered,
			Bind: []*Tensor{a.Rows(ra[0], ra[1]), b.Rows(rb[0], rb[1]), add.Rows(p.m[0], p.m[1]), y.Rows(p.m[0], p.m[1])},
			Grid: [3]int{(p.n[1] - p.n[0] + tn - 1) / tn, (p.m[1] - p.m[0] + tm - 1) / tm, 1},
		})
	}
	return list
}

func flagWord(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// Attention is the form of an attention: sequences of T rows, each row of qkv being Heads queries, KVHeads keys and KVHeads
// values of HeadSize elements. Query head h meets key head h / (Heads / KVHeads).
type Attention struct{ Heads, KVHeads, HeadSize, T int }

// MaxHeadSize is the largest head that attention takes: what its kernels keep in registers for a row.
const MaxHeadSize = 256

func (a Attention) width() int { return (a.Heads + 2*a.KVHeads) * a.HeadSize }

// check says what is wrong with qkv.
func (a Attention) check(qkv Shape) error {
	switch {
	case a.Heads < 1 || a.KVHeads < 1 || a.Heads%a.KVHeads != 0:
		return fmt.Errorf("%d key heads do not divide %d heads", a.KVHeads, a.Heads)
	case a.HeadSize < 1 || a.HeadSize > MaxHeadSize:
		return fmt.Errorf("a head size of %d is not within 1 to %d", a.HeadSize, MaxHeadSize)
	case len(qkv) != 2 || qkv[1] != a.width():
		return fmt.Errorf("wants rows of %d elements, the q, k and v heads", a.width())
	case a.T < 1 || qkv[0]%a.T != 0:
		return fmt.Errorf("%d rows are not sequences of %d", qkv[0], a.T)
	}
	return nil
}

var opAttention = &Op{
	Name: "attention", Doc: "o[n,h] = sum_{j<=n} softmax_j(q[n,h] . k[j,g] / sqrt(dh)) v[j,g] within each sequence; lse[n,h] the softmax's ln sum",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(Attention)
		if len(in) != 1 {
			return nil, fmt.Errorf("wants one matrix")
		}
		n := in[0].Shape[0]
		return []Shape{{n, a.Heads * a.HeadSize}, {n, a.Heads}}, a.check(in[0].Shape)
	},
	Kernels: attentionKernels("attention", false, func(n *Node, m, s [2]int) []*Tensor {
		return []*Tensor{n.In[0].Rows(m[0], m[1]), n.In[0].Rows(s[0], s[1]), n.Out[0].Rows(m[0], m[1]), n.Out[1].Rows(m[0], m[1])}
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(Attention)
		ref.Attention(in[0].Data, out[0].Data, out[1].Data, a.Heads, a.KVHeads, a.HeadSize, a.T)
	},
	Grad: func(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
		a := n.Attr.(Attention)
		qkv, o, lse := n.In[0], n.Out[0], n.Out[1]
		if dy[0] == nil || dy[1] != nil {
			r.Fail(fmt.Errorf("bug: %s: attention passes on the gradient of its first output only", n.at))
			return []*Tensor{nil}
		}
		dots := r.Record("attention_dot", a, []*Tensor{o, dy[0]})[0]
		dqkv := r.Record("attention_grad_q", a, []*Tensor{qkv, dy[0], lse, dots})[0]
		return r.Record("attention_grad_kv", a, []*Tensor{qkv, dy[0], lse, dots, dqkv}, dqkv)
	},
	Cost: func(n *Node) (int64, int64) {
		a := n.Attr.(Attention)
		return 2 * a.products(n.In[0].Shape[0]), elementBytes * int64(n.In[0].Len()+n.Out[0].Len()+n.Out[1].Len())
	},
	Tol:   1e-5,
	Cases: attentionCases(func(a Attention, n int) Case { return Case{In: []Shape{{n, a.width()}}} }),
	Random: func(rng *rand.Rand) Case {
		a, n := randomAttention(rng)
		return Case{In: []Shape{{n, a.width()}}, Attr: a}
	},
}

// Attention records causal attention over the rows of qkv, [N, (Heads + 2 KVHeads) HeadSize], and gives
// o [N, Heads HeadSize]; no T x T matrix is stored.
func (r *Recorder) Attention(qkv *Tensor, a Attention) *Tensor {
	return r.Record("attention", a, []*Tensor{qkv})[0]
}

// products is the arithmetic of one matrix product of the causal half of T x T with all heads.
func (a Attention) products(n int) int64 {
	return int64(n) * int64(a.T) * int64(a.Heads) * int64(a.HeadSize)
}

// attentionCases are the shapes of interest, for each of the attention operations.
func attentionCases(make func(a Attention, n int) Case) []Case {
	var list []Case
	for _, c := range []struct {
		why string
		a   Attention
		n   int
	}{
		{"one row meets only itself", Attention{1, 1, 4, 1}, 3},
		{"a whole layer's shape", Attention{4, 4, 32, 32}, 64},
		{"sequences shorter than a block, end of the batch inside one", Attention{2, 1, 16, 5}, 35},
		{"grouped queries, two texels per lane", Attention{4, 2, 64, 37}, 74},
		{"a head that fills no whole number of subgroups", Attention{2, 2, 20, 19}, 19},
		{"a head size that is no multiple of 4", Attention{3, 1, 6, 70}, 140},
		{"the largest head, whose arrays exceed the registers", Attention{2, 1, 256, 11}, 22},
		{"several blocks and several windows of keys", Attention{2, 1, 32, 200}, 200},
	} {
		k := make(c.a, c.n)
		k.Why, k.Attr = c.why, c.a
		list = append(list, k)
	}
	return list
}

// randomAttention varies everything but the head size much: each costs the compilation of every variant.
func randomAttention(rng *rand.Rand) (Attention, int) {
	kv, t := 1+rng.IntN(2), 1+rng.IntN(90)
	return Attention{Heads: kv * (1 + rng.IntN(3)), KVHeads: kv, HeadSize: []int{6, 12, 32}[rng.IntN(3)], T: t}, t * (1 + rng.IntN(3))
}

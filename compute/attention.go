package compute

import (
	"fmt"

	"saltern/compute/ref"
)

// Attention is the form of an attention: sequences of T rows, each row of qkv being Heads queries, KVHeads keys and KVHeads
// values of HeadSize elements. Query head h meets key head h / (Heads / KVHeads).
type Attention struct{ Heads, KVHeads, HeadSize, T int }

// MaxHeadSize is the largest head that attention takes: what its kernels keep in registers for a row.
const MaxHeadSize = 256

func (a Attention) width() int { return (a.Heads + 2*a.KVHeads) * a.HeadSize }

// check says what is wrong with qkv, or with the spans, of which there is one or none.
func (a Attention) check(qkv *Tensor, spans []*Tensor) error {
	switch s := qkv.Shape; {
	case a.Heads < 1 || a.KVHeads < 1 || a.Heads%a.KVHeads != 0:
		return fmt.Errorf("%d key heads do not divide %d heads", a.KVHeads, a.Heads)
	case a.HeadSize < 1 || a.HeadSize > MaxHeadSize:
		return fmt.Errorf("a head size of %d is not within 1 to %d", a.HeadSize, MaxHeadSize)
	case len(s) != 2 || s[1] != a.width() || qkv.DType == U32:
		return fmt.Errorf("wants rows of %d floats, the q, k and v heads", a.width())
	case a.T < 1 || s[0]%a.T != 0:
		return fmt.Errorf("%d rows are not sequences of %d", s[0], a.T)
	case len(spans) == 1 && (spans[0].DType != U32 || !spans[0].Shape.Equal(Shape{s[0], 2})):
		return fmt.Errorf("the spans %v are not u32 [%d,2]", spans[0], s[0])
	}
	return nil
}

// spansOf is the node's spans, the last input, or nil: no other input is of whole numbers.
func spansOf(n *Node) *Tensor {
	if t := n.In[len(n.In)-1]; t.DType == U32 {
		return t
	}
	return nil
}

// refSpans is what of inputs beyond the first count the reference takes for spans.
func refSpans(in []ref.Tensor, count int) []float64 {
	if len(in) > count {
		return in[count].Data
	}
	return nil
}

var opAttention = &Op{
	Name: "attention", Doc: "o[n,h] = sum_j softmax_j(q[n,h] . k[j,g] / sqrt(dh)) v[j,g] over the j <= n of each sequence, or those in n's span; lse[n,h] the softmax's ln sum",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(Attention)
		if len(in) != 1 && len(in) != 2 {
			return nil, fmt.Errorf("wants one matrix, and spans or none")
		}
		n := in[0].Shape[0]
		return []Shape{{n, a.Heads * a.HeadSize}, {n, a.Heads}}, a.check(in[0], in[1:])
	},
	Kernels: attentionKernels("attention", coopForward, 2, []int{2}, func(n *Node, m, s [2]int) []*Tensor {
		return []*Tensor{n.In[0].Rows(m[0], m[1]), n.In[0].Rows(s[0], s[1]), n.Out[0].Rows(m[0], m[1]), n.Out[1].Rows(m[0], m[1])}
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(Attention)
		ref.Attention(in[0].Data, refSpans(in, 1), out[0].Data, out[1].Data, a.Heads, a.KVHeads, a.HeadSize, a.T)
	},
	Grad: gradAttention,
	Cost: func(n *Node) (int64, int64) {
		a := n.Attr.(Attention)
		return 2 * a.products(n.In[0].Shape[0]), n.In[0].bytes() + n.Out[0].bytes() + n.Out[1].bytes()
	},
	Tol: 1e-5, Rounds: true, Fill: fillSpans,
	Cases: attentionCases(attentionCase), Random: randomAttention(attentionCase),
}

// Attention records causal attention over the rows of qkv, [N, (Heads + 2 KVHeads) HeadSize], and gives
// o [N, Heads HeadSize] in float32; qkv may be of 16-bit floats. No T x T matrix is stored.
func (r *Recorder) Attention(qkv *Tensor, a Attention) *Tensor {
	return r.Record("attention", a, []*Tensor{qkv})[0]
}

// SpannedAttention records attention of which the spans, u32 [N,2], say what each row sees: the rows of its sequence from the
// first number up to the second, exclusive, both counted within the sequence. Within a sequence neither number may ever
// fall, and each row must see itself. They are data: a program recorded once serves other documents and prefixes with each
// batch, as Spans makes them. Blocks of keys that no row of a block sees are skipped.
func (r *Recorder) SpannedAttention(qkv, spans *Tensor, a Attention) *Tensor {
	return r.Record("attention", a, []*Tensor{qkv, spans})[0]
}

// Spans makes the spans of sequences of T rows. documents, if any, numbers the document of each of the N rows: equal numbers
// side by side are one document, and nothing is seen beyond it. prefixes, if any, is for each sequence how many of its first
// rows see each other both ways, within their document; the rest is causal.
func Spans(n, t int, documents, prefixes []uint32) []uint32 {
	spans := make([]uint32, 2*n)
	for i := range n {
		at := i % t
		spans[2*i], spans[2*i+1] = 0, uint32(at+1)
		if at > 0 && documents != nil {
			spans[2*i] = spans[2*i-2]
			if documents[i] != documents[i-1] {
				spans[2*i] = uint32(at)
			}
		}
	}
	for i := n - 1; i >= 0 && prefixes != nil; i-- { // a row of the prefix sees what the next row of its document does
		at := i % t
		if p := min(int(prefixes[i/t]), t); at+1 < p && spans[2*i+2] == spans[2*i] {
			spans[2*i+1] = spans[2*i+3]
		}
	}
	return spans
}

// products is the arithmetic of one matrix product of the causal half of T x T with all heads.
func (a Attention) products(n int) int64 {
	return int64(n) * int64(a.T) * int64(a.Heads) * int64(a.HeadSize)
}

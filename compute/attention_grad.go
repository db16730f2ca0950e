package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

// The gradient of attention in three operations, without atomics: the products of the output with its gradient; a pass by
// keys, which recomputes the probabilities p and makes dk, dv and ds, the gradient of the scores; and a pass by queries, which
// makes dq of ds. That is five products, two more than half of the seven that two passes take which both recompute, for N H T
// elements of memory. So the passes go over as many sequences at a time as scoreElements allow, and share that memory.
// With qkv of 16 bits both passes do recompute: where a device has matrix units for those, products are cheaper than memory.

// scoreElements bounds the ds held at once, in elements: 64 MiB. One sequence is the least.
const scoreElements = 16 << 20

// scoreWidth is how many elements of ds a query takes: for each head the keys of the sequence, filled up to a multiple of 4.
func (a Attention) scoreWidth() int { return a.Heads * ((a.T + 3) / 4 * 4) }

// scoreGroup is how many queries of a sequence lie side by side in ds; a row of ds holds them for all heads and keys.
const scoreGroup = 16

// scoreShape is ds for n rows of qkv.
func (a Attention) scoreShape(n int) Shape {
	return Shape{n / a.T * ceilDiv(a.T, scoreGroup), a.scoreWidth() * scoreGroup}
}

// scoreRows are the rows of ds that hold the queries of a window.
func (a Attention) scoreRows(ds *Tensor, w [2]int) *Tensor {
	group := func(n int) int { return n/a.T*ceilDiv(a.T, scoreGroup) + n%a.T/scoreGroup }
	return ds.Rows(group(w[0]), group(w[1]-1)+1)
}

func gradAttention(r *Recorder, n *Node, dy []*Tensor) []*Tensor {
	a := n.Attr.(Attention)
	qkv, o, lse := n.In[0], n.Out[0], n.Out[1]
	if dy[0] == nil || dy[1] != nil {
		r.Fail(fmt.Errorf("bug: %s: attention passes on the gradient of its first output only", n.at))
		return []*Tensor{nil}
	}
	rows := qkv.Shape[0]
	dots := r.Record("attention_dot", a, []*Tensor{o, dy[0]})[0]
	dqkv := r.Temp("attention_grad", rows, a.width())
	if qkv.DType.Half() {
		in := append([]*Tensor{qkv, r.Cast(dy[0], qkv.DType), lse, dots, dqkv}, n.In[1:]...)
		r.Record("attention_grad_kv", a, in, dqkv)
		r.Record("attention_grad_q", a, in, dqkv)
		return []*Tensor{dqkv}
	}
	step := max(1, scoreElements/(a.T*a.scoreWidth())) * a.T
	for from := 0; from < rows; from += step {
		part := func(t *Tensor) *Tensor { return t.Rows(from, min(from+step, rows)) }
		var spans []*Tensor
		for _, t := range n.In[1:] {
			spans = append(spans, part(t))
		}
		kv := r.Record("attention_grad_kv", a, append([]*Tensor{part(qkv), part(dy[0]), part(lse), part(dots), part(dqkv)}, spans...), part(dqkv))
		if r.err != nil {
			break
		}
		r.Record("attention_grad_q", a, append([]*Tensor{part(qkv), kv[1], part(dqkv)}, spans...), part(dqkv))
	}
	return []*Tensor{dqkv}
}

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
	Cases: []Case{
		{Why: "one element", In: []Shape{{1, 1}, {1, 1}}, Attr: Attention{1, 1, 1, 1}},
		{Why: "a whole layer's shape", In: []Shape{{64, 128}, {64, 128}}, Attr: Attention{4, 4, 32, 32}},
		{Why: "a head size that is no multiple of 4", In: []Shape{{140, 18}, {140, 18}}, Attr: Attention{3, 1, 6, 70}},
	},
	Random: func(rng *rand.Rand) Case {
		a, n := Attention{Heads: 1 + rng.IntN(6), KVHeads: 1, HeadSize: 1 + rng.IntN(100), T: 1}, 1+rng.IntN(90)
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

var opAttentionGradKV = &Op{
	Name: "attention_grad_kv", Doc: "in place in dqkv: dv[j,g] = sum p do[n,h], dk[j,g] = sum ds q[n,h], over h of g and the n that see j; ds[j,h,n] = p (do[n,h] . v[j,g] - D[n,h]) / sqrt(dh), p = exp(s - lse)",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(Attention)
		if err := checkAttentionGrad(a, in, attentionGradIn); err != nil {
			return nil, err
		}
		if in[0].DType.Half() {
			return []Shape{in[0].Shape}, nil
		}
		return []Shape{in[0].Shape, a.scoreShape(in[0].Shape[0])}, nil
	},
	Kernels: attentionKernels("attention_grad_kv", coopGradKV, 4, []int{5, 6}, func(n *Node, m, s [2]int) []*Tensor {
		bind := []*Tensor{n.In[0].Rows(m[0], m[1]), n.In[0].Rows(s[0], s[1]), n.In[1].Rows(s[0], s[1]), n.In[2].Rows(s[0], s[1]), n.In[3].Rows(s[0], s[1]), n.Out[0].Rows(m[0], m[1])}
		if n.In[0].DType.Half() {
			return bind
		}
		return append(bind, n.Attr.(Attention).scoreRows(n.Out[1], s))
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(Attention)
		ds := make([]float64, a.scoreShape(in[0].Shape[0]).Size())
		if len(out) > 1 {
			ds = out[1].Data
		}
		for i := range ds {
			ds[i] = math.NaN()
		}
		for i, v := range in[4].Data {
			if out[0].Data[i] = v; i%a.width() >= a.Heads*a.HeadSize {
				out[0].Data[i] = 0
			}
		}
		ref.AttentionGradKV(in[0].Data, refSpans(in, 5), in[1].Data, in[2].Data, in[3].Data, out[0].Data, ds, a.Heads, a.KVHeads, a.HeadSize, a.T)
	},
	Partial: true, Rounds: true,
	NoGrad: "it is part of attention's gradient",
	Cost:   func(n *Node) (int64, int64) { return attentionGradCost(n, 4) },
	Tol:    1e-5, Fill: fillAttentionGradKV,
	Cases:  attentionCases(attentionGradCase),
	Random: randomAttention(attentionGradCase),
}

var opAttentionGradQ = &Op{
	Name: "attention_grad_q", Doc: "in place in dqkv: dq[n,h] = sum_j ds[j,h,n] k[j,g] over the j that n sees",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		shapes := attentionGradQIn
		if len(in) > 0 && in[0].DType.Half() {
			shapes = attentionGradIn
		}
		if err := checkAttentionGrad(attr.(Attention), in, shapes); err != nil {
			return nil, err
		}
		return []Shape{in[0].Shape}, nil
	},
	Kernels: attentionKernels("attention_grad_q", coopGradQ, 1, []int{2}, func(n *Node, m, s [2]int) []*Tensor {
		if n.In[0].DType.Half() {
			return []*Tensor{n.In[0].Rows(m[0], m[1]), n.In[0].Rows(s[0], s[1]), n.In[1].Rows(m[0], m[1]), n.In[2].Rows(m[0], m[1]), n.In[3].Rows(m[0], m[1]), n.Out[0].Rows(m[0], m[1])}
		}
		return []*Tensor{n.In[0].Rows(s[0], s[1]), n.Attr.(Attention).scoreRows(n.In[1], m), n.Out[0].Rows(m[0], m[1])}
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		a := attr.(Attention)
		before, spans, ds := in[2], refSpans(in, 3), in[1].Data
		if recomputes(in) {
			before, spans, ds = in[4], refSpans(in, 5), make([]float64, a.scoreShape(in[0].Shape[0]).Size())
			ref.AttentionGradKV(in[0].Data, spans, in[1].Data, in[2].Data, in[3].Data, make([]float64, len(before.Data)), ds, a.Heads, a.KVHeads, a.HeadSize, a.T)
		}
		for i, v := range before.Data {
			if out[0].Data[i] = v; i%a.width() < a.Heads*a.HeadSize {
				out[0].Data[i] = 0
			}
		}
		ref.AttentionGradQ(in[0].Data, spans, ds, out[0].Data, a.Heads, a.KVHeads, a.HeadSize, a.T)
	},
	NoGrad: "it is part of attention's gradient",
	Cost:   func(n *Node) (int64, int64) { return attentionGradCost(n, 1) },
	Tol:    1e-5, Rounds: true, Fill: fillAttentionGradQ,
	Cases:  attentionCases(attentionGradQCase),
	Random: randomAttention(attentionGradQCase),
}

// recomputes says that the reference's inputs of the pass by queries are those of the pass by keys: there is no ds.
func recomputes(in []ref.Tensor) bool { return len(in) > 4 }

// attentionGradIn are the shapes of qkv, do, lse, D, dqkv.
func attentionGradIn(a Attention, n int) []Shape {
	return []Shape{{n, a.width()}, {n, a.Heads * a.HeadSize}, {n, a.Heads}, {n, a.Heads}, {n, a.width()}}
}

// attentionGradQIn are the shapes of qkv, ds, dqkv, where qkv is of float32.
func attentionGradQIn(a Attention, n int) []Shape {
	return []Shape{{n, a.width()}, a.scoreShape(n), {n, a.width()}}
}

// attentionGradCase is a case of the pass by keys, or by queries where both have the same inputs.
func attentionGradCase(a Attention, n int, t DType) Case {
	return Case{In: attentionGradIn(a, n), Types: map[int]DType{0: t, 1: t}, InPlace: map[int]int{0: 4}}
}

func attentionGradQCase(a Attention, n int, t DType) Case {
	if t.Half() {
		return attentionGradCase(a, n, t)
	}
	return Case{In: attentionGradQIn(a, n), InPlace: map[int]int{0: 2}}
}

// checkAttentionGrad holds the inputs against the shapes wanted, after which there may be spans.
func checkAttentionGrad(a Attention, in []*Tensor, shapes func(a Attention, n int) []Shape) error {
	if len(in) == 0 || len(in[0].Shape) == 0 {
		return fmt.Errorf("wants qkv")
	}
	want := shapes(a, in[0].Shape[0])
	if len(in) != len(want) && len(in) != len(want)+1 {
		return fmt.Errorf("wants %d tensors, and spans or none", len(want))
	}
	for i, s := range want {
		if !in[i].Shape.Equal(s) {
			return fmt.Errorf("input %d is %v, not %v", i, in[i].Shape, s)
		}
		if half := i == 0 || i == 1 && in[0].DType.Half(); !half && in[i].DType != F32 || half && in[i].DType != in[0].DType {
			return fmt.Errorf("input %d is of %v, qkv of %v; only the output's gradient is of 16 bits where qkv is", i, in[i].DType, in[0].DType)
		}
	}
	return a.check(in[0], in[len(want):])
}

// fillAttentionGradKV makes lse what a forward pass would have made of qkv, and D nearly so: with the exact D the gradient of
// a row that meets only itself would be nothing but rounding.
func fillAttentionGradKV(rng *rand.Rand, in []ref.Tensor, attr any) {
	fillSpans(rng, in, attr)
	a := attr.(Attention)
	if len(in[0].Data) < Shape(in[0].Shape).Size() { // for timing, where no more than the spans counts
		return
	}
	o := make([]float64, len(in[1].Data))
	ref.Attention(in[0].Data, refSpans(in, 5), o, in[2].Data, a.Heads, a.KVHeads, a.HeadSize, a.T)
	ref.AttentionDot(o, in[1].Data, in[3].Data, a.HeadSize)
	for i := range in[3].Data {
		in[3].Data[i] += rng.NormFloat64()
	}
}

// fillAttentionGradQ makes the ds of pairs that do not meet so large that to use one shows.
func fillAttentionGradQ(rng *rand.Rand, in []ref.Tensor, attr any) {
	if recomputes(in) {
		fillAttentionGradKV(rng, in, attr)
		return
	}
	fillSpans(rng, in, attr)
	if len(in[1].Data) < Shape(in[1].Shape).Size() {
		return
	}
	a := attr.(Attention)
	keep := append([]float64(nil), in[1].Data...)
	for i := range in[1].Data {
		in[1].Data[i] = 1e30
	}
	ref.AttentionPairs(refSpans(in, 3), in[0].Shape[0], a.Heads, a.T, func(_, _, _, s int) { in[1].Data[s] = keep[s] })
}

// attentionGradCost counts the given number of products; both passes together count five.
func attentionGradCost(n *Node, products int64) (flops, bytes int64) {
	for _, t := range append(n.In, n.Out...) {
		bytes += t.bytes()
	}
	return products * n.Attr.(Attention).products(n.In[0].Shape[0]), bytes
}

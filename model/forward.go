package model

import (
	"cmp"
	"errors"
	"slices"

	"saltern/compute"
)

// Tokens is the host memory through which token ids reach programs: one microbatch of B sequences of T tokens.
type Tokens struct {
	B, T   int
	IDs    *compute.Tensor // [N] input tokens
	Labels *compute.Tensor // [N] the tokens to predict; compute.Masked where there is none
	order  *compute.Tensor // [N] positions sorted by token id, for the embedding's gradient
	spans  *compute.Tensor // [N,2] what each row sees of its sequence, as compute's SpannedAttention has it; nil: what is before it
	sorted []uint32

	positions, positionOrder *compute.Tensor // [N] each row's place in its sequence, and the rows sorted by it; nil: no model learns positions
	documents                *documents      // whose bounds the spans are; nil: the spans are others, or there are none
}

// documents finds the documents in rows of ids.
type documents struct {
	endOfText uint32 // which each begins with
	number    []uint32
}

// NewDocumentTokens declares the memory for sequences of which no row sees beyond its document. Documents begin with the id endOfText;
// what stands before a sequence's first is the end of one. Positions count through the sequence: rotary ones are relative.
func NewDocumentTokens(b, t int, endOfText uint32) *Tokens {
	tokens := NewSpannedTokens(b, t)
	tokens.documents = &documents{endOfText, make([]uint32, b*t)}
	return tokens
}

// spans are those of the documents in ids, of sequences of t.
func (d *documents) spans(ids []uint32, t int) []uint32 {
	n := uint32(0)
	for i, id := range ids {
		if id == d.endOfText {
			n++
		}
		d.number[i] = n
	}
	return compute.Spans(len(ids), t, d.number, nil)
}

// NewTokens declares the memory for B sequences of T tokens.
func NewTokens(b, t int) *Tokens {
	host := func(name string) *compute.Tensor { return compute.NewTensor(compute.Host, name, compute.U32, b*t) }
	return &Tokens{B: b, T: t, IDs: host("ids"), Labels: host("labels"), order: host("order"), sorted: make([]uint32, b*t)}
}

// NewSpannedTokens declares the memory for sequences of which WriteSpans says what each row sees.
func NewSpannedTokens(b, t int) *Tokens {
	tokens := NewTokens(b, t)
	tokens.spans = compute.NewTensor(compute.Host, "spans", compute.U32, b*t, 2)
	return tokens
}

// Positions is the place of each row in its sequence, and the rows sorted by it, for a model that learns positions.
func (t *Tokens) Positions() (positions, order *compute.Tensor) {
	if t.positions == nil {
		t.positions = compute.NewTensor(compute.Host, "positions", compute.U32, t.B*t.T)
		t.positionOrder = compute.NewTensor(compute.Host, "position_order", compute.U32, t.B*t.T)
	}
	return t.positions, t.positionOrder
}

// writePositions hands them to the backend.
func (t *Tokens) writePositions(b compute.Backend) error {
	if t.positions == nil {
		return nil
	}
	positions, order := make([]uint32, t.B*t.T), make([]uint32, t.B*t.T)
	for i := range positions {
		positions[i], order[i] = uint32(i%t.T), uint32(i%t.B*t.T+i/t.B)
	}
	return errors.Join(b.WriteU32(t.positions, positions), b.WriteU32(t.positionOrder, order))
}

// Storages lists the memory, to be freed.
func (t *Tokens) Storages() []*compute.Storage {
	list := []*compute.Storage{t.IDs.Storage, t.Labels.Storage, t.order.Storage}
	if t.spans != nil {
		list = append(list, t.spans.Storage)
	}
	if t.positions != nil {
		list = append(list, t.positions.Storage, t.positionOrder.Storage)
	}
	return list
}

// WriteSpans hands to the backend what each row sees, [N,2].
func (t *Tokens) WriteSpans(b compute.Backend, spans []uint32) error {
	return b.WriteU32(t.spans, spans)
}

// Write hands ids and labels, N each, to the backend.
func (t *Tokens) Write(b compute.Backend, ids, labels []uint32) error {
	for i := range t.sorted {
		t.sorted[i] = uint32(i)
	}
	slices.SortFunc(t.sorted, func(i, j uint32) int {
		if c := cmp.Compare(ids[i], ids[j]); c != 0 {
			return c
		}
		return cmp.Compare(i, j)
	})
	if t.documents != nil {
		if err := t.WriteSpans(b, t.documents.spans(ids, t.T)); err != nil {
			return err
		}
	}
	if err := b.WriteU32(t.IDs, ids); err != nil {
		return err
	}
	if err := b.WriteU32(t.order, t.sorted); err != nil {
		return err
	}
	return errors.Join(b.WriteU32(t.Labels, labels), t.writePositions(b))
}

// Hidden records the transformer from token ids to the normed hidden states [N, D] that the output projection reads.
//
//	x = embed(ids)
//	x = x + Wo attention(rope(Wqkv norm(x)))
//	x = x + Wdown swiglu(Wgate_up norm(x))       for each layer
//	h = norm(x)
//
// Qwen2 has a bias behind Wqkv, Qwen3 a norm of each head there. GPT-2 has x = embed(ids) + embed(positions) in place of rope, a
// bias in each product and norm, and gelu(Wup norm(x)) in place of swiglu.
func (m *Model) Hidden(r *compute.Recorder, t *Tokens) *compute.Tensor {
	x := r.Embed(m.embed.Tensor, t.IDs, t.order)
	if m.positions != nil {
		positions, order := t.Positions()
		x = r.Add(x, r.Embed(m.positions.Tensor, positions, order))
	}
	for _, l := range m.layers {
		x = r.Add(x, m.linear(r, m.attention(r, r.Cast(m.heads(r, x, l, t), m.Precision), t), l.out, compute.NoActivation))
		h := m.normed(r, x, l.ffnNorm)
		if m.Family == GPT2 {
			h = m.linear(r, h, l.up, compute.GELU)
		} else {
			h = r.SwiGLU(m.linear(r, h, l.up, compute.NoActivation))
		}
		x = r.Add(x, m.linear(r, h, l.down, compute.NoActivation))
	}
	return m.normed(r, x, m.norm)
}

// heads records queries, keys and values side by side, as attention reads them.
func (m *Model) heads(r *compute.Recorder, x *compute.Tensor, l layerWeights, t *Tokens) *compute.Tensor {
	qkv := m.linear(r, m.normed(r, x, l.attnNorm), l.qkv, compute.NoActivation)
	if l.qNorm != nil {
		qkv = r.QKNorm(qkv, l.qNorm.Tensor, l.kNorm.Tensor, compute.QKNorm{Heads: m.Heads, KVHeads: m.KVHeads, Eps: float32(m.NormEps)})
	}
	if m.positions != nil {
		return qkv
	}
	return r.Rope(qkv, compute.Rope{Heads: m.Heads + m.KVHeads, HeadSize: m.HeadSize, T: t.T, Theta: float32(m.RopeTheta),
		Scaling: m.RopeScaling.compute()})
}

// compute is the scaling as the kernels know it.
func (s RopeScaling) compute() compute.RopeScaling {
	return compute.RopeScaling{Factor: s.Factor, Low: s.LowFreq, High: s.HighFreq, Original: s.Original}
}

// normed records the norm of each row: LayerNorm where there is a bias, else RMSNorm.
func (m *Model) normed(r *compute.Recorder, x *compute.Tensor, w *Weight) *compute.Tensor {
	if w.bias != nil {
		return r.LayerNorm(x, w.Tensor, w.bias.Tensor, float32(m.NormEps))
	}
	return r.RMSNorm(x, w.Tensor, float32(m.NormEps))
}

// attention records what the rows see of each other: those before them, or the tokens' spans.
func (m *Model) attention(r *compute.Recorder, qkv *compute.Tensor, t *Tokens) *compute.Tensor {
	a := compute.Attention{Heads: m.Heads, KVHeads: m.KVHeads, HeadSize: m.HeadSize, T: t.T}
	if t.spans != nil {
		return r.SpannedAttention(qkv, t.spans, a)
	}
	return r.Attention(qkv, a)
}

// linear records act(x W^T + bias), or x W, in the model's precision.
func (m *Model) linear(r *compute.Recorder, x *compute.Tensor, w *Weight, act compute.Activation) *compute.Tensor {
	in := []*compute.Tensor{r.Cast(x, m.Precision), r.Cast(w.Tensor, m.Precision)}
	if w.bias != nil {
		in = append(in, w.bias.Tensor)
	}
	return r.Product(compute.MatMul{Form: w.form, Bias: w.bias != nil, Act: act}, in...)
}

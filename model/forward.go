package model

import (
	"cmp"
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

	documents *documents // whose bounds the spans are; nil: the spans are others, or there are none
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

// Storages lists the memory, to be freed.
func (t *Tokens) Storages() []*compute.Storage {
	list := []*compute.Storage{t.IDs.Storage, t.Labels.Storage, t.order.Storage}
	if t.spans != nil {
		list = append(list, t.spans.Storage)
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
	return b.WriteU32(t.Labels, labels)
}

// Hidden records the transformer from token ids to the normed hidden states [N, D] that the output projection reads.
//
//	x = embed(ids)
//	x = x + Wo attention(rope(Wqkv norm(x)))
//	x = x + Wdown swiglu(Wgate_up norm(x))       for each layer
//	h = norm(x)
func (m *Model) Hidden(r *compute.Recorder, t *Tokens) *compute.Tensor {
	eps := float32(m.NormEps)
	x := r.Embed(m.embed.Tensor, t.IDs, t.order)
	for _, l := range m.layers {
		qkv := m.linear(r, r.RMSNorm(x, l.attnNorm.Tensor, eps), l.qkv)
		qkv = r.Rope(qkv, compute.Rope{Heads: m.Heads + m.KVHeads, HeadSize: m.HeadSize, T: t.T, Theta: float32(m.RopeTheta)})
		x = r.Add(x, m.linear(r, m.attention(r, r.Cast(qkv, m.Precision), t), l.out))
		h := r.SwiGLU(m.linear(r, r.RMSNorm(x, l.ffnNorm.Tensor, eps), l.gateUp))
		x = r.Add(x, m.linear(r, h, l.down))
	}
	return r.RMSNorm(x, m.norm.Tensor, eps)
}

// attention records what the rows see of each other: those before them, or the tokens' spans.
func (m *Model) attention(r *compute.Recorder, qkv *compute.Tensor, t *Tokens) *compute.Tensor {
	a := compute.Attention{Heads: m.Heads, KVHeads: m.KVHeads, HeadSize: m.HeadSize, T: t.T}
	if t.spans != nil {
		return r.SpannedAttention(qkv, t.spans, a)
	}
	return r.Attention(qkv, a)
}

// linear records x W^T in the model's precision.
func (m *Model) linear(r *compute.Recorder, x *compute.Tensor, w *Weight) *compute.Tensor {
	return r.MatMul(r.Cast(x, m.Precision), r.Cast(w.Tensor, m.Precision), compute.NT)
}

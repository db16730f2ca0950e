package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"saltern/compute"
)

// Bucket is a group of weights that lie side by side in memory, with everything training keeps for them: one layer, the
// embedding, or the output. The optimizer, and later the network, deal with buckets, not with weights.
type Bucket struct {
	Name                  string
	Weights               []*Weight
	P, Grad, Mean, MeanSq *compute.Storage // Grad, Mean and MeanSq are nil in a model that is not trained
	Len                   int              // elements, each weight aligned
	Decayed               int              // the first elements take weight decay: matrices come before gains

	// first and own are the elements that this rank updates, and that Mean and MeanSq are of: all, unless the model is sharded. Then
	// padded is the length that the ranks cut into equal segments, and where this one has none Mean and MeanSq are nil.
	first, own, padded int
}

// Weight is one matrix or vector of the model, possibly several of Hugging Face's in one (Parts).
type Weight struct {
	Tensor, Grad *compute.Tensor
	Parts        []Part
	std          float64 // of the initial values; zero means a gain, which starts at 1
}

// Part is a run of rows of a weight under its name in Hugging Face's Llama checkpoints.
type Part struct {
	Name string
	Rows int
}

// layerWeights are the weights of one transformer block.
type layerWeights struct {
	qkv, out, gateUp, down, attnNorm, ffnNorm *Weight
}

// Model is a transformer's weights, laid out in buckets, ready to be recorded into programs.
type Model struct {
	Config
	Precision compute.DType // of what goes into matrix products; a Trainer sets it
	Buckets   []*Bucket
	embed     *Weight
	head      *Weight // embed itself when tied
	norm      *Weight
	layers    []layerWeights
	sharded   bool
	ranks     *Ranks // of a sharded model, once a Trainer is across them
}

// New lays out a model of a resolved Config; name tells its memory apart from that of other models. A model that is not
// trained has no gradients and no optimizer state.
func New(c Config, name string, trained bool) *Model {
	m := &Model{Config: c}
	residual := c.InitStd / math.Sqrt(2*float64(c.Layers))
	q, kv := c.Heads*c.HeadSize, c.KVHeads*c.HeadSize
	matrix := func(std float64, cols int, parts ...Part) *Weight {
		rows := 0
		for _, p := range parts {
			rows += p.Rows
		}
		return &Weight{Tensor: &compute.Tensor{Shape: compute.Shape{rows, cols}}, Parts: parts, std: std}
	}
	gain := func(name string) *Weight {
		return &Weight{Tensor: &compute.Tensor{Shape: compute.Shape{c.Width}}, Parts: []Part{{name, c.Width}}}
	}
	m.embed = matrix(c.InitStd, c.Width, Part{"model.embed_tokens.weight", c.Vocab})
	m.head = m.embed
	m.norm = gain("model.norm.weight")
	m.Buckets = append(m.Buckets, m.bucket(name+".embed", trained, m.embed))
	for i := range c.Layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		l := layerWeights{
			qkv:      matrix(c.InitStd, c.Width, Part{p + "self_attn.q_proj.weight", q}, Part{p + "self_attn.k_proj.weight", kv}, Part{p + "self_attn.v_proj.weight", kv}),
			out:      matrix(residual, q, Part{p + "self_attn.o_proj.weight", c.Width}),
			gateUp:   matrix(c.InitStd, c.Width, Part{p + "mlp.gate_proj.weight", c.FFN}, Part{p + "mlp.up_proj.weight", c.FFN}),
			down:     matrix(residual, c.FFN, Part{p + "mlp.down_proj.weight", c.Width}),
			attnNorm: gain(p + "input_layernorm.weight"),
			ffnNorm:  gain(p + "post_attention_layernorm.weight"),
		}
		m.layers = append(m.layers, l)
		m.Buckets = append(m.Buckets, m.bucket(fmt.Sprintf("%s.layers.%d", name, i), trained, l.qkv, l.out, l.gateUp, l.down, l.attnNorm, l.ffnNorm))
	}
	last := []*Weight{m.norm}
	if !c.TieEmbeddings {
		m.head = matrix(c.InitStd, c.Width, Part{"lm_head.weight", c.Vocab})
		last = []*Weight{m.head, m.norm}
	}
	m.Buckets = append(m.Buckets, m.bucket(name+".output", trained, last...))
	return m
}

// bucket lays the weights one after the other, matrices first.
func (m *Model) bucket(name string, trained bool, weights ...*Weight) *Bucket {
	b := &Bucket{Name: name, Weights: weights}
	offsets := make([]int, len(weights))
	for i, w := range weights {
		offsets[i] = b.Len
		b.Len += compute.Align(w.Tensor.Len())
		if w.std > 0 {
			b.Decayed = b.Len
		}
	}
	b.own, b.padded = b.Len, b.Len
	b.P = compute.NewStorage(compute.State, name+".weights", b.Len)
	if trained {
		b.Grad = compute.NewStorage(compute.State, name+".gradient", b.Len)
		b.Mean = compute.NewStorage(compute.State, name+".mean", b.Len)
		b.MeanSq = compute.NewStorage(compute.State, name+".mean_square", b.Len)
	}
	for i, w := range weights {
		w.Tensor = b.P.View(compute.F32, offsets[i], w.Tensor.Shape...)
		if trained {
			w.Grad = b.Grad.View(compute.F32, offsets[i], w.Tensor.Shape...)
		}
	}
	return b
}

// flat is a bucket's storage as one vector.
func (b *Bucket) flat(s *compute.Storage) *compute.Tensor { return s.View(compute.F32, 0, b.Len) }

// Head is the output projection [V, D].
func (m *Model) Head() *compute.Tensor { return m.head.Tensor }

// Init writes initial weights: normal numbers of the configured deviation, gains of 1. Every weight draws from a stream
// of its own, so that the values depend on the seed and the weight's name alone.
func (m *Model) Init(b compute.Backend, seed int64) error {
	for _, k := range m.Buckets {
		for _, w := range k.Weights {
			h := fnv.New64a()
			h.Write([]byte(w.Parts[0].Name))
			rng := rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
			data := make([]float32, w.Tensor.Len())
			for i := range data {
				if w.std > 0 {
					data[i] = float32(rng.NormFloat64() * w.std)
				} else {
					data[i] = 1
				}
			}
			if err := b.Write(w.Tensor, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// track asks the recorder for the gradients of a trained model's weights.
func (m *Model) track(r *compute.Recorder) {
	for _, k := range m.Buckets {
		for _, w := range k.Weights {
			if w.Grad != nil {
				r.Track(w.Tensor, w.Grad)
			}
		}
	}
}

// Storages lists the model's memory, to be freed with it.
func (m *Model) Storages() []*compute.Storage {
	var list []*compute.Storage
	for _, b := range m.Buckets {
		for _, s := range []*compute.Storage{b.P, b.Grad, b.Mean, b.MeanSq} {
			if s != nil {
				list = append(list, s)
			}
		}
	}
	return list
}

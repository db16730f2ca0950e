package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

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
	form         compute.Form // of the product with it: NT, or NN where it is stored as GPT-2 has it
	bias         *Weight      // added to the product, or to what it norms; nil: nothing
	std          float64      // of the initial values; zero means that all are start
	start        float64      // 1 of a gain, 0 of a bias
}

// Part is a run of rows of a weight under its name in Hugging Face's Llama checkpoints.
type Part struct {
	Name string
	Rows int
}

// layerWeights are the weights of one transformer block.
type layerWeights struct {
	qkv, out, up, down, attnNorm, ffnNorm *Weight // up: gates and ups side by side, unless it is GPT-2's
	qNorm, kNorm                          *Weight // nil without QKNorm
}

// weights lists them as they lie in memory: matrices first, without those that are nil.
func (l layerWeights) weights() []*Weight {
	list := []*Weight{l.qkv, l.out, l.up, l.down, l.attnNorm, l.ffnNorm, l.qNorm, l.kNorm}
	for _, w := range list[:6] {
		list = append(list, w.bias)
	}
	return slices.DeleteFunc(list, func(w *Weight) bool { return w == nil })
}

// Model is a transformer's weights, laid out in buckets, ready to be recorded into programs.
type Model struct {
	Config
	Precision compute.DType // of what goes into matrix products; a Trainer sets it
	Buckets   []*Bucket
	embed     *Weight
	head      *Weight // embed itself when tied
	positions *Weight // learned, [Context, D]; nil: rotary
	norm      *Weight
	layers    []layerWeights
	sharded   bool
	ranks     *Ranks // of a sharded model, once a Trainer is across them
}

// New lays out a model of a resolved Config; name tells its memory apart from that of other models. A model that is not
// trained has no gradients and no optimizer state.
func New(c Config, name string, trained bool) *Model {
	m := &Model{Config: c}
	layout := m.layLlama
	if c.Family == GPT2 {
		layout = m.layGPT2
	}
	layout(c.InitStd / math.Sqrt(2*float64(c.Layers)))
	first, last := []*Weight{m.embed}, []*Weight{m.norm}
	if m.positions != nil {
		first = append(first, m.positions)
	}
	if m.norm.bias != nil {
		last = append(last, m.norm.bias)
	}
	if m.head != m.embed {
		last = append([]*Weight{m.head}, last...)
	}
	m.Buckets = append(m.Buckets, m.bucket(name+".embed", trained, first...))
	for i, l := range m.layers {
		m.Buckets = append(m.Buckets, m.bucket(fmt.Sprintf("%s.layers.%d", name, i), trained, l.weights()...))
	}
	m.Buckets = append(m.Buckets, m.bucket(name+".output", trained, last...))
	return m
}

// layLlama names the weights of the Llama family; residual is the deviation of matrices that write to the residual stream.
func (m *Model) layLlama(residual float64) {
	c, q, kv := m.Config, m.Heads*m.HeadSize, m.KVHeads*m.HeadSize
	m.embed = matrix(c.InitStd, c.Width, Part{"model.embed_tokens.weight", c.Vocab})
	m.head, m.norm = m.embed, elements(1, Part{"model.norm.weight", c.Width})
	if !c.TieEmbeddings {
		m.head = matrix(c.InitStd, c.Width, Part{"lm_head.weight", c.Vocab})
	}
	for i := range c.Layers {
		p := fmt.Sprintf("model.layers.%d.", i)
		l := layerWeights{
			qkv:      matrix(c.InitStd, c.Width, Part{p + "self_attn.q_proj.weight", q}, Part{p + "self_attn.k_proj.weight", kv}, Part{p + "self_attn.v_proj.weight", kv}),
			out:      matrix(residual, q, Part{p + "self_attn.o_proj.weight", c.Width}),
			up:       matrix(c.InitStd, c.Width, Part{p + "mlp.gate_proj.weight", c.FFN}, Part{p + "mlp.up_proj.weight", c.FFN}),
			down:     matrix(residual, c.FFN, Part{p + "mlp.down_proj.weight", c.Width}),
			attnNorm: elements(1, Part{p + "input_layernorm.weight", c.Width}),
			ffnNorm:  elements(1, Part{p + "post_attention_layernorm.weight", c.Width}),
		}
		if c.QKVBias {
			l.qkv.bias = elements(0, Part{p + "self_attn.q_proj.bias", q}, Part{p + "self_attn.k_proj.bias", kv}, Part{p + "self_attn.v_proj.bias", kv})
		}
		if c.QKNorm {
			l.qNorm, l.kNorm = elements(1, Part{p + "self_attn.q_norm.weight", c.HeadSize}), elements(1, Part{p + "self_attn.k_norm.weight", c.HeadSize})
		}
		m.layers = append(m.layers, l)
	}
}

// layGPT2 names the weights of GPT-2, whose matrices are stored [in, out].
func (m *Model) layGPT2(residual float64) {
	c := m.Config
	m.embed = matrix(c.InitStd, c.Width, Part{"transformer.wte.weight", c.Vocab})
	m.positions = matrix(c.InitStd, c.Width, Part{"transformer.wpe.weight", c.Context})
	m.head = m.embed
	norm := func(name string) *Weight {
		w := elements(1, Part{name + ".weight", c.Width})
		w.bias = elements(0, Part{name + ".bias", c.Width})
		return w
	}
	conv := func(name string, std float64, in, out int) *Weight {
		w := matrix(std, out, Part{name + ".weight", in})
		w.form, w.bias = compute.NN, elements(0, Part{name + ".bias", out})
		return w
	}
	m.norm = norm("transformer.ln_f")
	for i := range c.Layers {
		p := fmt.Sprintf("transformer.h.%d.", i)
		m.layers = append(m.layers, layerWeights{
			qkv: conv(p+"attn.c_attn", c.InitStd, c.Width, 3*c.Width), out: conv(p+"attn.c_proj", residual, c.Width, c.Width),
			up: conv(p+"mlp.c_fc", c.InitStd, c.Width, c.FFN), down: conv(p+"mlp.c_proj", residual, c.FFN, c.Width),
			attnNorm: norm(p + "ln_1"), ffnNorm: norm(p + "ln_2"),
		})
	}
}

// matrix is a weight with the rows of its parts and so many columns.
func matrix(std float64, cols int, parts ...Part) *Weight {
	w := elements(0, parts...)
	w.Tensor.Shape, w.std = append(w.Tensor.Shape, cols), std
	return w
}

// elements is a weight with the elements of its parts.
func elements(start float64, parts ...Part) *Weight {
	n := 0
	for _, p := range parts {
		n += p.Rows
	}
	return &Weight{Tensor: &compute.Tensor{Shape: compute.Shape{n}}, Parts: parts, form: compute.NT, start: start}
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

// Init writes initial weights: normal numbers of the configured deviation, gains of 1, biases of 0. Every weight draws from a stream
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
					data[i] = float32(w.start)
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

package model

import (
	"fmt"
	"math"
	"strings"

	"saltern/compute"
)

// Config is the shape of one decoder-only transformer: RMSNorm before each block, rotary positions, grouped-query
// attention, a SwiGLU feed-forward network, no bias, unless a field says otherwise. A zero field means "choose for me": see Defaults.
type Config struct {
	// Preset names a row of Presets, such as "10M", which fills every field of this table that is left out.
	// Empty means that Width, Layers and Heads are written out.
	Preset string `toml:"preset"`

	// Vocab is V, the number of token ids; it comes from the tokenizer and has no key of its own. At least 2.
	Vocab int `toml:"-"`

	// Layers is L, the number of transformer blocks. Must be set or come from the preset; 1 to 1024.
	Layers int `toml:"layers"`

	// Width is D, the size of the hidden state. Must be set or come from the preset; a multiple of Heads unless
	// HeadSize is given; 1 to 65536.
	Width int `toml:"width"`

	// Heads is H, the number of query heads. Must be set or come from the preset.
	Heads int `toml:"heads"`

	// KVHeads is the number of key and value heads; each serves Heads/KVHeads query heads. Zero means Heads. Must
	// divide Heads.
	KVHeads int `toml:"kv_heads"`

	// HeadSize is the size of one head. Zero means Width/Heads. Must be even, as rotary positions turn pairs; 2 to 256.
	HeadSize int `toml:"head_size"`

	// FFN is F, the hidden size of the feed-forward network. Zero means 8/3 of Width, rounded up to a multiple of
	// 64, which gives SwiGLU's three matrices the size of a classical network's two (Shazeer 2020, arXiv 2002.05202).
	FFN int `toml:"ffn"`

	// Context is the longest sequence in tokens that the model may see, in training and in generation. Zero means
	// the preset's, or 1024. 1 to 1048576.
	Context int `toml:"context"`

	// RopeTheta is the base of the rotary frequencies (Su et al. 2021, arXiv 2104.09864). Zero means 10000. At least 1.
	RopeTheta float64 `toml:"rope_theta"`

	// NormEps is added to the mean square under the root of RMSNorm. Zero means 1e-5. Above 0, below 1.
	NormEps float64 `toml:"norm_eps"`

	// TieEmbeddings uses one V x D matrix both as the input embedding and as the output projection. False, unless
	// the preset says true; written out, it wins over the preset.
	TieEmbeddings bool `toml:"tie_embeddings" explicit:"keep"`

	// Family is the kind of block: "llama", as above, or "gpt2": LayerNorm, learned positions, a bias everywhere, a feed-forward
	// network of two matrices with GELU. Zero means "llama". "gpt2" has tied embeddings, KVHeads = Heads, HeadSize = Width/Heads, and
	// zero FFN means four times Width.
	Family string `toml:"family"`

	// QKVBias adds a bias to queries, keys and values, as Qwen2 has it. Not with QKNorm.
	QKVBias bool `toml:"qkv_bias"`

	// QKNorm puts an RMSNorm on each head of queries and of keys, as Qwen3 has it (Henry et al. 2020, arXiv 2010.04245).
	QKNorm bool `toml:"qk_norm"`

	// InitStd is the standard deviation of the initial weights; the two matrices that write to the residual stream
	// take InitStd/sqrt(2 L). Zero means 0.02. Above 0, at most 1.
	InitStd float64 `toml:"init_std"`

	// RopeScaling slows down the rotary frequencies of a model whose context was made longer.
	RopeScaling RopeScaling `toml:"rope_scaling"`
}

// RopeScaling is how rotary frequencies are changed for a context longer than the first one; zero Factor: not at all.
type RopeScaling struct {
	// Factor is what slow frequencies are divided by. Zero means that none is. At least 1.
	Factor float64 `toml:"factor"`
	// Original is the first context, in tokens: pairs that turn less than LowFreq times within it are slow, those that turn more than
	// HighFreq times stay, and what lies between is interpolated, as in Llama 3.1. Zero means that all frequencies are divided
	// ("linear"). At most 1048576.
	Original int `toml:"original"`
	// LowFreq is the lower bound, in turns. Zero means 1. Below HighFreq.
	LowFreq float64 `toml:"low_freq"`
	// HighFreq is the upper bound, in turns. Zero means 4.
	HighFreq float64 `toml:"high_freq"`
}

// The values of Config.Family.
const (
	Llama = "llama"
	GPT2  = "gpt2"
)

// Defaults returns c with the preset filled in and then every zero field chosen. It is idempotent, and leaves alone
// what it cannot choose (an unknown preset, a missing Width), which Check reports.
func (c Config) Defaults() Config {
	if p, ok := FindPreset(c.Preset); ok {
		c = c.fill(p.Config)
	}
	if c.Family == "" {
		c.Family = Llama
	}
	if c.Family == GPT2 {
		c.TieEmbeddings = true
		orInt(&c.FFN, 4*c.Width)
	}
	if c.RopeScaling.Original > 0 {
		orFloat(&c.RopeScaling.LowFreq, 1)
		orFloat(&c.RopeScaling.HighFreq, 4)
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadSize == 0 && c.Heads > 0 {
		c.HeadSize = c.Width / c.Heads
	}
	if c.FFN == 0 {
		c.FFN = (c.Width*8 + 3*64 - 1) / (3 * 64) * 64
	}
	orInt(&c.Context, 1024)
	orFloat(&c.RopeTheta, 10000)
	orFloat(&c.NormEps, 1e-5)
	orFloat(&c.InitStd, 0.02)
	return c
}

// fill sets the zero fields of c from the preset p. A width that is not the preset's makes the preset's head size and
// feed-forward size meaningless, so those are then derived anew.
func (c Config) fill(p Config) Config {
	if c.Width == 0 || c.Width == p.Width {
		orInt(&c.FFN, p.FFN)
		orInt(&c.HeadSize, p.HeadSize)
	}
	if c.Heads == 0 || c.Heads == p.Heads {
		orInt(&c.KVHeads, p.KVHeads)
	}
	orInt(&c.Width, p.Width)
	orInt(&c.Layers, p.Layers)
	orInt(&c.Heads, p.Heads)
	orInt(&c.Context, p.Context)
	c.TieEmbeddings = c.TieEmbeddings || p.TieEmbeddings
	return c
}

// Check calls bad for every problem of c, which has been through Defaults: key is the TOML key in this table that is
// to blame, message says what is wrong and what would be right.
func (c Config) Check(bad func(key, message string)) {
	if _, ok := FindPreset(c.Preset); c.Preset != "" && !ok {
		bad("preset", fmt.Sprintf("%q is no preset; there are %s", c.Preset, strings.Join(presetNames(), ", ")))
		return // what the preset would have filled is missing for that reason alone
	}
	if c.Vocab < 2 {
		bad("vocab", fmt.Sprintf("a vocabulary of %d tokens cannot be modelled; it takes at least 2", c.Vocab))
	}
	present := true
	within := func(key string, v, low, high int) {
		switch {
		case v == 0:
			bad(key, key+" is not set; set width, layers and heads, or name a preset")
		case v < low || v > high:
			bad(key, fmt.Sprintf("%s = %d is out of bounds; use %d to %d", key, v, low, high))
		default:
			return
		}
		present = false
	}
	c.checkFamily(bad)
	within("width", c.Width, 1, 1<<16)
	within("layers", c.Layers, 1, 1024)
	within("heads", c.Heads, 1, 1024)
	if present {
		c.checkHeads(bad)
		within("ffn", c.FFN, 1, 1<<20)
	}
	within("context", c.Context, 1, 1<<20)
	if !(c.RopeTheta >= 1) || math.IsInf(c.RopeTheta, 0) {
		bad("rope_theta", fmt.Sprintf("rope_theta = %g must be a number of at least 1; 10000 is usual", c.RopeTheta))
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		bad("norm_eps", fmt.Sprintf("norm_eps = %g must lie above 0 and below 1; 1e-5 is usual", c.NormEps))
	}
	if !(c.InitStd > 0 && c.InitStd <= 1) {
		bad("init_std", fmt.Sprintf("init_std = %g must lie above 0 and be at most 1; 0.02 is usual", c.InitStd))
	}
}

// checkFamily holds what goes with which kind of block.
func (c Config) checkFamily(bad func(key, message string)) {
	r := c.RopeScaling
	switch {
	case c.Family != Llama && c.Family != GPT2:
		bad("family", fmt.Sprintf("family = %q is unknown; use %q or %q", c.Family, Llama, GPT2))
	case c.QKVBias && c.QKNorm:
		bad("qk_norm", "qk_norm and qkv_bias do not go together, as no model that others can load has both; remove one of them")
	case c.Family == GPT2 && (c.QKVBias || c.QKNorm || r != (RopeScaling{})):
		bad("family", `family = "gpt2" has no qkv_bias, qk_norm or rope_scaling of its own to set; remove them`)
	case c.Family == GPT2 && (c.KVHeads != c.Heads || c.Heads > 0 && c.HeadSize != c.Width/c.Heads):
		bad("family", `family = "gpt2" has as many KV heads as heads, of size width/heads; remove kv_heads and head_size`)
	case r.Factor == 0 && r != (RopeScaling{}) || r.Factor != 0 && !(r.Factor >= 1 && r.Factor <= 1e6):
		bad("rope_scaling.factor", fmt.Sprintf("factor = %g is out of bounds; use 1 to 1000000", r.Factor))
	case r.Original < 0 || r.Original > 1<<20:
		bad("rope_scaling.original", fmt.Sprintf("original = %d is out of bounds; use 0 to 1048576 tokens", r.Original))
	case r.Original == 0 && (r.LowFreq != 0 || r.HighFreq != 0):
		bad("rope_scaling.original", "original is not set, without which low_freq and high_freq say nothing; set it to the context before it was made longer")
	case r.Original > 0 && !(r.LowFreq > 0 && r.HighFreq >= r.LowFreq+0.01 && r.HighFreq <= 1e6):
		bad("rope_scaling.high_freq", fmt.Sprintf("high_freq = %g must lie above low_freq = %g, and both above 0; 4 and 1 are usual", r.HighFreq, r.LowFreq))
	}
}

// checkHeads holds how Width, Heads, KVHeads and HeadSize depend on one another.
func (c Config) checkHeads(bad func(key, message string)) {
	switch {
	case c.HeadSize == c.Width/c.Heads && c.Width%c.Heads != 0:
		bad("heads", fmt.Sprintf("heads = %d does not divide width = %d; %s", c.Heads, c.Width, c.headAdvice()))
	case c.HeadSize < 2 || c.HeadSize%2 != 0:
		key, fact := "head_size", fmt.Sprintf("head_size = %d", c.HeadSize)
		if c.HeadSize == c.Width/c.Heads {
			key, fact = "heads", fmt.Sprintf("heads = %d makes heads of size %d", c.Heads, c.HeadSize)
		}
		bad(key, fact+", but rotary positions need an even head size of at least 2; "+c.headAdvice())
	case c.HeadSize > compute.MaxHeadSize:
		bad("head_size", fmt.Sprintf("head_size = %d is out of bounds; use an even number from 2 to %d, or more heads", c.HeadSize, compute.MaxHeadSize))
	}
	if c.KVHeads < 1 || c.Heads%c.KVHeads != 0 {
		bad("kv_heads", fmt.Sprintf("kv_heads = %d does not divide heads = %d; use one of %s, or leave it out for %d",
			c.KVHeads, c.Heads, join(divisors(c.Heads)), c.Heads))
	}
}

// headAdvice names the head counts nearest to Heads on either side that divide Width into even heads.
func (c Config) headAdvice() string {
	below, above := 0, 0
	for _, h := range divisors(c.Width) {
		switch {
		case c.Width/h%2 != 0 || h == c.Heads:
		case h < c.Heads:
			below = h
		case above == 0:
			above = h
		}
	}
	say := func(h int) string { return fmt.Sprintf("%d (head size %d)", h, c.Width/h) }
	switch {
	case below > 0 && above > 0:
		return "use " + say(above) + " or " + say(below)
	case below > 0:
		return "use " + say(below)
	case above > 0:
		return "use " + say(above)
	}
	return fmt.Sprintf("width = %d has no even divisor: make it a multiple of 64", c.Width)
}

// divisors lists the divisors of n in ascending order.
func divisors(n int) []int {
	var ds []int
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			ds = append(ds, d)
		}
	}
	return ds
}

func join(ns []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ns)), ", "), "[]")
}

func orInt[I int | int64](field *I, otherwise I) {
	if *field == 0 {
		*field = otherwise
	}
}

func orFloat(field *float64, otherwise float64) {
	if *field == 0 {
		*field = otherwise
	}
}

// matmulParams counts the weights that every token is multiplied by: four attention and three feed-forward matrices (GPT-2: two)
// per layer, and the output projection. The embedding lookup multiplies nothing.
func (c Config) matmulParams() int64 {
	d, a, kv, f := int64(c.Width), int64(c.Heads)*int64(c.HeadSize), int64(c.KVHeads)*int64(c.HeadSize), int64(c.FFN)
	ffn := 3 * d * f
	if c.Family == GPT2 {
		ffn = 2 * d * f
	}
	return int64(c.Layers)*(2*d*a+2*d*kv+ffn) + int64(c.Vocab)*d
}

// Params is the exact number of trained numbers of a resolved Config: with A = H * head size and K = KV heads * head
// size, it is V D (twice when not tied) + L (2 D A + 2 D K + 3 D F + 2 D) + D; the last two terms are the norms' gains. Biases and
// learned positions come on top.
func (c Config) Params() int64 {
	l, d, a, kv, f := int64(c.Layers), int64(c.Width), int64(c.Heads*c.HeadSize), int64(c.KVHeads*c.HeadSize), int64(c.FFN)
	n := c.matmulParams() + (2*l+1)*d
	if !c.TieEmbeddings {
		n += int64(c.Vocab) * d
	}
	if c.QKVBias {
		n += l * (a + 2*kv)
	}
	if c.QKNorm {
		n += 2 * l * int64(c.HeadSize)
	}
	if c.Family == GPT2 {
		n += int64(c.Context)*d + (2*l+1)*d + l*(3*d+d+f+d)
	}
	return n
}

// FLOPsPerToken is the cost of training on one token in a sequence of T tokens, forward and backward: 6 per matrix
// weight (output projection included, embedding lookup not) + 6 L T A for causal attention, A = H * head size (equal
// to D as a rule). Attention: QK' and PV take 2 A per pair each, a token sees T/2 others on average, and backward costs
// twice forward. A forward pass alone is a third of this. Recomputed activations are not counted, as MFU demands.
func (c Config) FLOPsPerToken(T int) float64 {
	return 6*float64(c.matmulParams()) + 6*float64(c.Layers)*float64(T)*float64(c.Heads)*float64(c.HeadSize)
}

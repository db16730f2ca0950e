package model

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"saltern/model/checkpoint"
	"saltern/model/gguf"
	"saltern/model/safetensors"
	"saltern/model/token"
)

// WriteGGUF writes a checkpoint's model and tokenizer in the form that llama.cpp reads, matrices in float16 if half. notes is what in it may
// differ from what is computed here.
func WriteGGUF(w io.Writer, c *checkpoint.Checkpoint, half bool, name string) (notes []string, err error) {
	config, err := configOf(c)
	if err != nil {
		return nil, err
	}
	data, err := c.Tokenizer()
	if err != nil {
		return nil, err
	}
	tok, err := token.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: tokenizer.json: %w", c.Dir, err)
	}
	values, err := config.ggufValues(name, half)
	if err != nil {
		return nil, inFolder(c, err)
	}
	vocabulary, notes, err := ggufTokenizer(tok, config.Vocab)
	if err != nil {
		return nil, inFolder(c, err)
	}
	f, err := c.Weights()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return notes, gguf.Write(w, append(values, vocabulary...), config.ggufTensors(f, half))
}

// ggufArch is the architecture by llama.cpp's name.
func (c Config) ggufArch() string {
	switch {
	case c.QKVBias:
		return "qwen2"
	case c.QKNorm:
		return "qwen3"
	}
	return "llama"
}

// ggufValues are the values that say what the network is.
func (c Config) ggufValues(name string, half bool) ([]gguf.Value, error) {
	arch, s := c.ggufArch(), c.RopeScaling
	switch {
	case c.Family == GPT2:
		return nil, fmt.Errorf("%w: the family gpt2 is not written as GGUF; use --format hf", ErrUnsupported)
	case s.Original > 0 && arch != "llama":
		return nil, fmt.Errorf("%w: rope_scaling of type llama3 in a model of type %s is not written as GGUF; use --format hf", ErrUnsupported, arch)
	}
	fileType := uint32(0)
	if half {
		fileType = 1
	}
	n := func(v int) uint32 { return uint32(v) }
	list := []gguf.Value{
		{Name: "general.architecture", Value: arch}, {Name: "general.name", Value: name}, {Name: "general.file_type", Value: fileType},
	}
	for _, v := range []gguf.Value{
		{Name: "vocab_size", Value: n(c.Vocab)}, {Name: "context_length", Value: n(c.Context)}, {Name: "embedding_length", Value: n(c.Width)},
		{Name: "block_count", Value: n(c.Layers)}, {Name: "feed_forward_length", Value: n(c.FFN)},
		{Name: "attention.head_count", Value: n(c.Heads)}, {Name: "attention.head_count_kv", Value: n(c.KVHeads)},
		{Name: "attention.key_length", Value: n(c.HeadSize)}, {Name: "attention.value_length", Value: n(c.HeadSize)},
		{Name: "attention.layer_norm_rms_epsilon", Value: float32(c.NormEps)},
		{Name: "rope.dimension_count", Value: n(c.HeadSize)}, {Name: "rope.freq_base", Value: float32(c.RopeTheta)},
	} {
		list = append(list, gguf.Value{Name: arch + "." + v.Name, Value: v.Value})
	}
	if s.Factor > 0 && s.Original == 0 {
		list = append(list, gguf.Value{Name: arch + ".rope.scaling.type", Value: "linear"}, gguf.Value{Name: arch + ".rope.scaling.factor", Value: float32(s.Factor)})
	}
	return list, nil
}

// ggufNames are llama.cpp's names for those of Hugging Face's Llama, within a layer and outside.
var ggufNames = strings.NewReplacer(
	"model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output", "model.layers.", "blk.",
	"self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output",
	"self_attn.q_norm", "attn_q_norm", "self_attn.k_norm", "attn_k_norm", "mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up",
	"mlp.down_proj", "ffn_down", "input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm",
)

// ggufTensors are the weights, read from the checkpoint's files as they are written.
func (c Config) ggufTensors(f *safetensors.Files, half bool) (list []gguf.Tensor) {
	if s := c.RopeScaling; s.Original > 0 {
		list = append(list, gguf.Tensor{Name: "rope_freqs.weight", Shape: []int{c.HeadSize / 2}, Read: func() ([]float32, error) { return c.ggufFrequencies(), nil }})
	}
	for _, k := range New(c, "export", false).Buckets {
		for _, w := range k.Weights {
			for _, p := range w.Parts {
				shape := append([]int{p.Rows}, w.Tensor.Shape[1:]...)
				list = append(list, gguf.Tensor{Name: ggufNames.Replace(p.Name), Shape: shape, Half: half && len(shape) == 2, Read: func() ([]float32, error) {
					return c.ggufRead(f, p.Name, shape)
				}})
			}
		}
	}
	return list
}

// ggufRead reads a weight. llama.cpp's Llama turns neighbours, not halves: there the rows of queries and keys change places.
func (c Config) ggufRead(f *safetensors.Files, name string, shape []int) ([]float32, error) {
	info, ok := f.Lookup(name)
	if !ok || !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("%w: tensor %s of shape %v is not there as config.json says", checkpoint.ErrCorrupt, name, shape)
	}
	data, err := f.Float32(name, nil)
	turned := strings.HasSuffix(name, ".q_proj.weight") || strings.HasSuffix(name, ".k_proj.weight")
	if err != nil || !turned || c.ggufArch() != "llama" {
		return data, err
	}
	half, cols := c.HeadSize/2, shape[1]
	out := make([]float32, len(data))
	for row := range shape[0] {
		head, i := row/c.HeadSize, row%c.HeadSize
		from := head*c.HeadSize + i%2*half + i/2
		copy(out[row*cols:(row+1)*cols], data[from*cols:])
	}
	return out, nil
}

// ggufFrequencies are what llama.cpp divides frequencies by.
func (c Config) ggufFrequencies() []float32 {
	list := make([]float32, c.HeadSize/2)
	for i := range list {
		f := math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadSize))
		list[i] = float32(f / c.RopeScaling.compute().Of(f))
	}
	return list
}

// The kinds of tokens by the numbers that llama.cpp gives them.
const (
	ggufNormal  = 1
	ggufUnknown = 2
	ggufControl = 3
	ggufUser    = 4
	ggufUnused  = 5
	ggufByte    = 6
)

// ggufTokenizer are the values that say what the tokenizer is, for a vocabulary that may be longer than its own.
func ggufTokenizer(tok *token.Tokenizer, vocab int) (list []gguf.Value, notes []string, err error) {
	d, err := tok.Describe()
	if err != nil {
		return nil, nil, err
	}
	if len(d.Tokens) > vocab {
		return nil, nil, fmt.Errorf("tokenizer.json has %d tokens, and config.json says vocab_size = %d: they are of different models", len(d.Tokens), vocab)
	}
	kinds := make([]int32, vocab)
	for id := range kinds {
		kinds[id] = ggufNormal
		if id >= len(d.Tokens) {
			d.Tokens, kinds[id] = append(d.Tokens, fmt.Sprintf("[PAD%d]", id)), ggufUnused
		} else if s := d.Tokens[id]; d.Characters && len(s) == 6 && strings.HasPrefix(s, "<0x") && s[5] == '>' {
			kinds[id] = ggufByte
		}
	}
	for _, id := range d.Added {
		kinds[id] = ggufUser
	}
	for _, id := range d.Special {
		kinds[id] = ggufControl
	}
	add := func(key string, value any) {
		list = append(list, gguf.Value{Name: "tokenizer.ggml." + key, Value: value})
	}
	begin, _ := tok.Frame()
	if d.Characters {
		if d.HasUnknown {
			kinds[d.Unknown] = ggufUnknown
			add("unknown_token_id", d.Unknown)
		}
		add("model", "llama")
		add("pre", "default")
		add("scores", ggufScores(d))
		add("add_space_prefix", d.Prefix)
		notes = append(notes, "llama.cpp merges any two tokens that make a third, best first; the merges of tokenizer.json are taken to be all of these")
	} else {
		pre, ok := map[string]string{"saltern": "llama-bpe", "llama3": "llama-bpe", "qwen2": "qwen2", "gpt2": "gpt-2"}[d.KnownPattern()]
		if !ok {
			return nil, nil, fmt.Errorf("%w: a tokenizer that cuts text by %s is not written as GGUF", ErrUnsupported, d.Pattern)
		}
		if d.Digits {
			pre = "smollm"
		}
		if d.KnownPattern() == "saltern" {
			notes = append(notes, "llama.cpp has no rule that takes combining marks for parts of words, as this tokenizer does: text with such marks is cut otherwise there")
		}
		add("model", "gpt2")
		add("pre", pre)
		add("merges", d.Merges)
	}
	add("tokens", d.Tokens)
	add("token_type", kinds)
	add("bos_token_id", begin[0])
	add("eos_token_id", tok.EndOfText())
	add("add_bos_token", true) // as generate does here
	return list, notes, nil
}

// ggufScores ranks tokens by the merge that makes them: the earlier, the higher.
func ggufScores(d token.Description) []float32 {
	rank := make(map[string]int, len(d.Merges))
	for i, m := range d.Merges {
		left, right, _ := strings.Cut(m, " ")
		if _, ok := rank[left+right]; !ok {
			rank[left+right] = i
		}
	}
	scores := make([]float32, len(d.Tokens))
	for id, text := range d.Tokens {
		if r, ok := rank[text]; ok {
			scores[id] = -float32(r)
		} else {
			scores[id] = -float32(len(d.Merges))
		}
	}
	return scores
}

package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// families are the values of model_type that can be read.
var families = []string{"llama", "mistral", "qwen2", "qwen3", "gpt2"}

// ErrUnsupported is wrapped by errors about a model that is sound and cannot be computed, or written in the form asked for.
var ErrUnsupported = errors.New("unsupported model")

// ParseConfigJSON reads a config.json as ConfigJSON or Hugging Face's transformers writes it, of Llama (SmolLM2 and TinyLlama
// among them), Mistral, Qwen2, Qwen3 and GPT-2. Whatever would change what the model computes and is not supported is an error that names the key.
func ParseConfigJSON(text []byte) (Config, error) {
	h := hfConfig{}
	if err := json.Unmarshal(text, &h.keys); err != nil {
		return Config{}, fmt.Errorf("config.json: %w", err)
	}
	family := h.text("model_type", "")
	if !slices.Contains(families, family) {
		return Config{}, fmt.Errorf("%w: config.json: model_type = %q is not supported; there are %s", ErrUnsupported, family, strings.Join(families, ", "))
	}
	h.refuse("quantization_config", "null")
	c := Config{Vocab: h.number("vocab_size", 0), InitStd: h.float("initializer_range", 0)}
	if family == "gpt2" {
		h.gpt2(&c)
	} else {
		h.llama(&c, family)
	}
	c = c.Defaults()
	c.Check(func(key, message string) {
		if h.err == nil {
			h.err = fmt.Errorf("%s: %s", key, message)
		}
	})
	if h.err != nil {
		return c, fmt.Errorf("%w: config.json: %w", ErrUnsupported, h.err)
	}
	return c, nil
}

// llama reads the keys of the Llama family.
func (h *hfConfig) llama(c *Config, family string) {
	c.Family = Llama
	c.Layers, c.Width, c.Heads = h.number("num_hidden_layers", 0), h.number("hidden_size", 0), h.number("num_attention_heads", 0)
	c.KVHeads, c.FFN = h.number("num_key_value_heads", 0), h.number("intermediate_size", 0)
	contexts := map[string]int{"llama": 2048, "mistral": 131072, "qwen2": 32768, "qwen3": 32768} // where the key is left out
	c.Context, c.NormEps = h.number("max_position_embeddings", contexts[family]), h.float("rms_norm_eps", 1e-6)
	c.TieEmbeddings = h.flag("tie_word_embeddings", false)
	c.QKVBias, c.QKNorm = family == "qwen2", family == "qwen3"
	heads := 0
	if family == "qwen3" {
		heads = 128
	}
	c.HeadSize = h.number("head_dim", heads)
	h.refuse("hidden_act", `"silu"`)
	h.refuse("mlp_bias", "false")
	h.refuse("attention_bias", "false")
	h.refuse("partial_rotary_factor", "null", "1", "1.0")
	window := func() { h.refuse("sliding_window", "null") }
	switch {
	case family == "mistral":
		if _, ok := h.keys["sliding_window"]; !ok {
			h.fail("sliding_window is left out, which means 4096, and sliding windows are not supported")
		}
		window()
	case h.flag("use_sliding_window", false):
		window()
	}
	var layers []string
	h.get("layer_types", &layers)
	for _, l := range layers {
		if l != "full_attention" {
			h.fail("layer_types has %q, which is not supported; only \"full_attention\" is", l)
		}
	}
	h.rope(c)
}

// hfRope is a rotary embedding as config.json says it.
type hfRope struct {
	RopeType  string   `json:"rope_type"`
	Type      string   `json:"type"` // of older versions
	Theta     float64  `json:"rope_theta"`
	Factor    float64  `json:"factor"`
	LowFreq   float64  `json:"low_freq_factor"`
	HighFreq  float64  `json:"high_freq_factor"`
	Original  int      `json:"original_max_position_embeddings"`
	Partial   *float64 `json:"partial_rotary_factor"`
	Attention *float64 `json:"attention_factor"`
}

// rope reads the rotary embedding: rope_theta and rope_scaling, or both within rope_parameters, as newer versions write it.
func (h *hfConfig) rope(c *Config) {
	for _, key := range []string{"rope_scaling", "rope_parameters"} {
		s := hfRope{Theta: c.RopeTheta}
		h.get(key, &s)
		c.RopeTheta = s.Theta
		if s.RopeType == "" {
			s.RopeType = s.Type
		}
		switch {
		case s.Partial != nil && *s.Partial != 1:
			h.fail("%s: partial_rotary_factor = %g is not supported", key, *s.Partial)
		case s.Attention != nil:
			h.fail("%s: attention_factor is not supported", key)
		case s.RopeType == "" && s.Factor != 0:
			h.fail("%s: factor = %g without a rope_type is not supported", key, s.Factor)
		case s.RopeType == "" || s.RopeType == "default":
		case s.RopeType == "linear":
			c.RopeScaling = RopeScaling{Factor: s.Factor}
		case s.RopeType == "llama3" && s.Original > 0:
			c.RopeScaling = RopeScaling{Factor: s.Factor, LowFreq: s.LowFreq, HighFreq: s.HighFreq, Original: s.Original}
		case s.RopeType == "llama3":
			h.fail("%s: original_max_position_embeddings is missing", key)
		default:
			h.fail("%s: rope_type = %q is not supported; \"linear\" and \"llama3\" are", key, s.RopeType)
		}
	}
	c.RopeTheta = h.float("rope_theta", c.RopeTheta)
}

// gpt2 reads the keys of GPT-2.
func (h *hfConfig) gpt2(c *Config) {
	c.Family = GPT2
	c.Layers, c.Width, c.Heads = h.number("n_layer", 12), h.number("n_embd", 768), h.number("n_head", 12)
	c.FFN, c.Context, c.NormEps = h.number("n_inner", 0), h.number("n_positions", 1024), h.float("layer_norm_epsilon", 1e-5)
	h.refuse("activation_function", `"gelu_new"`, `"gelu_pytorch_tanh"`)
	h.refuse("tie_word_embeddings", "true")
	h.refuse("scale_attn_weights", "true")
	h.refuse("scale_attn_by_inverse_layer_idx", "false")
	h.refuse("add_cross_attention", "false")
}

// hfConfig reads config.json key by key and keeps the first problem.
type hfConfig struct {
	keys map[string]json.RawMessage
	err  error
}

func (h *hfConfig) fail(format string, a ...any) {
	if h.err == nil {
		h.err = fmt.Errorf(format, a...)
	}
}

// get reads the value of a key into out, which stays where the key is absent or null.
func (h *hfConfig) get(key string, out any) {
	if raw, ok := h.keys[key]; ok && string(raw) != "null" {
		if err := json.Unmarshal(raw, out); err != nil {
			h.fail("%s: %w", key, err)
		}
	}
}

func (h *hfConfig) number(key string, otherwise int) int {
	h.get(key, &otherwise)
	return otherwise
}

func (h *hfConfig) float(key string, otherwise float64) float64 {
	h.get(key, &otherwise)
	return otherwise
}

func (h *hfConfig) flag(key string, otherwise bool) bool {
	h.get(key, &otherwise)
	return otherwise
}

func (h *hfConfig) text(key string, otherwise string) string {
	h.get(key, &otherwise)
	return otherwise
}

// refuse is a problem where the key is there and has none of the given values, as JSON.
func (h *hfConfig) refuse(key string, but ...string) {
	if raw, ok := h.keys[key]; ok && !slices.Contains(but, string(raw)) && string(raw) != "null" {
		h.fail("%s = %s is not supported; only %s is", key, brief(raw), strings.Join(but, " or "))
	}
}

// brief shortens JSON for a message.
func brief(raw json.RawMessage) string {
	if s := string(raw); len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return string(raw)
}

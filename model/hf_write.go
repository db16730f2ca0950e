package model

import "encoding/json"

// hfCommon is what config.json has for every family.
type hfCommon struct {
	Architectures     []string `json:"architectures"`
	ModelType         string   `json:"model_type"`
	VocabSize         int      `json:"vocab_size"`
	TieWordEmbeddings bool     `json:"tie_word_embeddings"`
	InitializerRange  float64  `json:"initializer_range"`
	TorchDtype        string   `json:"torch_dtype"`
	BOSTokenID        int      `json:"bos_token_id"`
	EOSTokenID        int      `json:"eos_token_id"`
}

// hfLlama is config.json of Llama, Qwen2 and Qwen3.
type hfLlama struct {
	hfCommon
	HiddenSize            int            `json:"hidden_size"`
	IntermediateSize      int            `json:"intermediate_size"`
	NumHiddenLayers       int            `json:"num_hidden_layers"`
	NumAttentionHeads     int            `json:"num_attention_heads"`
	NumKeyValueHeads      int            `json:"num_key_value_heads"`
	HeadDim               int            `json:"head_dim"`
	MaxPositionEmbeddings int            `json:"max_position_embeddings"`
	RopeTheta             float64        `json:"rope_theta"`
	RopeScaling           *hfRopeScaling `json:"rope_scaling"`
	RMSNormEps            float64        `json:"rms_norm_eps"`
	HiddenAct             string         `json:"hidden_act"`
	AttentionBias         bool           `json:"attention_bias"`
	MLPBias               bool           `json:"mlp_bias"`
	UseSlidingWindow      bool           `json:"use_sliding_window"`
}

// hfRopeScaling is "linear", with a factor alone, or "llama3".
type hfRopeScaling struct {
	RopeType string  `json:"rope_type"`
	Factor   float64 `json:"factor"`
	LowFreq  float64 `json:"low_freq_factor,omitempty"`
	HighFreq float64 `json:"high_freq_factor,omitempty"`
	Original int     `json:"original_max_position_embeddings,omitempty"`
}

// hfGPT2 is config.json of GPT-2.
type hfGPT2 struct {
	hfCommon
	NPositions         int     `json:"n_positions"`
	NEmbd              int     `json:"n_embd"`
	NLayer             int     `json:"n_layer"`
	NHead              int     `json:"n_head"`
	NInner             int     `json:"n_inner"`
	ActivationFunction string  `json:"activation_function"`
	LayerNormEpsilon   float64 `json:"layer_norm_epsilon"`
}

// ConfigJSON is the model's config.json, as Hugging Face's transformers reads it; endOfText is the id of the token that ends and
// starts a document.
func (c Config) ConfigJSON(endOfText uint32) ([]byte, error) {
	common := func(architecture, modelType string) hfCommon {
		return hfCommon{Architectures: []string{architecture}, ModelType: modelType, VocabSize: c.Vocab, TieWordEmbeddings: c.TieEmbeddings,
			InitializerRange: c.InitStd, TorchDtype: "float32", BOSTokenID: int(endOfText), EOSTokenID: int(endOfText)}
	}
	if c.Family == GPT2 {
		return json.MarshalIndent(hfGPT2{common("GPT2LMHeadModel", "gpt2"), c.Context, c.Width, c.Layers, c.Heads, c.FFN, "gelu_new", c.NormEps}, "", "  ")
	}
	h := hfLlama{
		hfCommon: common("LlamaForCausalLM", "llama"), HiddenSize: c.Width, IntermediateSize: c.FFN, NumHiddenLayers: c.Layers,
		NumAttentionHeads: c.Heads, NumKeyValueHeads: c.KVHeads, HeadDim: c.HeadSize, MaxPositionEmbeddings: c.Context,
		RopeTheta: c.RopeTheta, RMSNormEps: c.NormEps, HiddenAct: "silu",
	}
	switch {
	case c.QKVBias:
		h.hfCommon = common("Qwen2ForCausalLM", "qwen2")
	case c.QKNorm:
		h.hfCommon = common("Qwen3ForCausalLM", "qwen3")
	}
	if s := c.RopeScaling; s.Factor > 0 {
		h.RopeScaling = &hfRopeScaling{"linear", s.Factor, s.LowFreq, s.HighFreq, s.Original}
		if s.Original > 0 {
			h.RopeScaling.RopeType = "llama3"
		}
	}
	return json.MarshalIndent(h, "", "  ")
}

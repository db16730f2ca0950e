package model

import (
	"context"
	"encoding/json"
	"fmt"

	"saltern/compute"
	"saltern/model/checkpoint"
	"saltern/model/safetensors"
)

// hfConfig is config.json as Hugging Face's LlamaForCausalLM reads it.
type hfConfig struct {
	Architectures         []string `json:"architectures"`
	ModelType             string   `json:"model_type"`
	VocabSize             int      `json:"vocab_size"`
	HiddenSize            int      `json:"hidden_size"`
	IntermediateSize      int      `json:"intermediate_size"`
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	NumAttentionHeads     int      `json:"num_attention_heads"`
	NumKeyValueHeads      int      `json:"num_key_value_heads"`
	HeadDim               int      `json:"head_dim"`
	MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	RopeTheta             float64  `json:"rope_theta"`
	RMSNormEps            float64  `json:"rms_norm_eps"`
	TieWordEmbeddings     bool     `json:"tie_word_embeddings"`
	HiddenAct             string   `json:"hidden_act"`
	AttentionBias         bool     `json:"attention_bias"`
	MLPBias               bool     `json:"mlp_bias"`
	InitializerRange      float64  `json:"initializer_range"`
	TorchDtype            string   `json:"torch_dtype"`
	BOSTokenID            int      `json:"bos_token_id"`
	EOSTokenID            int      `json:"eos_token_id"`
}

// ConfigJSON is the model's config.json; endOfText is the id of the token that ends and starts a document.
func (c Config) ConfigJSON(endOfText uint32) ([]byte, error) {
	return json.MarshalIndent(hfConfig{
		Architectures: []string{"LlamaForCausalLM"}, ModelType: "llama", VocabSize: c.Vocab, HiddenSize: c.Width, IntermediateSize: c.FFN,
		NumHiddenLayers: c.Layers, NumAttentionHeads: c.Heads, NumKeyValueHeads: c.KVHeads, HeadDim: c.HeadSize,
		MaxPositionEmbeddings: c.Context, RopeTheta: c.RopeTheta, RMSNormEps: c.NormEps, TieWordEmbeddings: c.TieEmbeddings, HiddenAct: "silu",
		InitializerRange: c.InitStd, TorchDtype: "float32", BOSTokenID: int(endOfText), EOSTokenID: int(endOfText),
	}, "", "  ")
}

// ParseConfigJSON reads a config.json that ConfigJSON wrote, or another of the plain Llama family; what it cannot
// honour it names.
func ParseConfigJSON(text []byte) (Config, error) {
	var h hfConfig
	if err := json.Unmarshal(text, &h); err != nil {
		return Config{}, fmt.Errorf("config.json: %w", err)
	}
	switch {
	case h.ModelType != "llama":
		return Config{}, fmt.Errorf("config.json: model_type %q is not supported, only \"llama\"", h.ModelType)
	case h.HiddenAct != "silu":
		return Config{}, fmt.Errorf("config.json: hidden_act %q is not supported, only \"silu\"", h.HiddenAct)
	case h.AttentionBias || h.MLPBias:
		return Config{}, fmt.Errorf("config.json: biases (attention_bias, mlp_bias) are not supported")
	}
	var scaling struct {
		RopeScaling json.RawMessage `json:"rope_scaling"`
	}
	if err := json.Unmarshal(text, &scaling); err == nil && len(scaling.RopeScaling) > 0 && string(scaling.RopeScaling) != "null" {
		return Config{}, fmt.Errorf("config.json: rope_scaling is not supported")
	}
	c := Config{
		Vocab: h.VocabSize, Layers: h.NumHiddenLayers, Width: h.HiddenSize, Heads: h.NumAttentionHeads, KVHeads: h.NumKeyValueHeads,
		HeadSize: h.HeadDim, FFN: h.IntermediateSize, Context: h.MaxPositionEmbeddings, RopeTheta: h.RopeTheta, NormEps: h.RMSNormEps,
		TieEmbeddings: h.TieWordEmbeddings, InitStd: h.InitializerRange,
	}.Defaults()
	var problem error
	c.Check(func(key, message string) {
		if problem == nil {
			problem = fmt.Errorf("config.json: %s: %s", key, message)
		}
	})
	return c, problem
}

// tensors lists the weights as safetensors under Hugging Face's names, read from the backend as they are written.
func (m *Model) tensors(b compute.Backend) []safetensors.Tensor {
	var list []safetensors.Tensor
	m.parts(func(name string, t *compute.Tensor) {
		list = append(list, safetensors.Tensor{Name: name, Shape: t.Shape, Read: reader(b, t)})
	})
	return list
}

// parts calls f with each of Hugging Face's tensors and where it lies.
func (m *Model) parts(f func(name string, t *compute.Tensor)) {
	for _, k := range m.Buckets {
		for _, w := range k.Weights {
			row := 0
			for _, p := range w.Parts {
				f(p.Name, w.Tensor.Rows(row, row+p.Rows))
				row += p.Rows
			}
		}
	}
}

func reader(b compute.Backend, t *compute.Tensor) func() ([]float32, error) {
	return func() ([]float32, error) {
		data := make([]float32, t.Len())
		return data, b.Read(t, data)
	}
}

// Resume is what a training run needs besides tensors to go on; it stands in the checkpoint's manifest.
type Resume struct {
	Sample  int64           `json:"sample"`  // global index of the next sequence
	Skipped int             `json:"skipped"` // steps skipped in a row
	Scale   LossScale       `json:"loss_scale"`
	Job     json.RawMessage `json:"job,omitempty"`   // what the run adds: its seed, its kernels
	Ranks   []RankState     `json:"ranks,omitempty"` // by rank, of those that train apart; theirs are Skipped and Scale then
}

// Save writes a checkpoint of a trained model after the given number of steps, with the parts that ranks have of their own.
func (m *Model) Save(ctx context.Context, b compute.Backend, root string, step int64, tokenizer []byte, endOfText uint32, state Resume, parts []checkpoint.FileSum, keep checkpoint.Keep) (string, error) {
	c, err := m.contents(b, tokenizer, endOfText, state)
	if err != nil {
		return "", err
	}
	c.Parts = parts
	for _, x := range m.moments() {
		c.Optimizer = append(c.Optimizer, x.tensor(m, b))
	}
	return checkpoint.Write(ctx, root, int(step), c, keep)
}

// contents is a checkpoint without the optimizer's state.
func (m *Model) contents(b compute.Backend, tokenizer []byte, endOfText uint32, state Resume) (checkpoint.Contents, error) {
	config, err := m.ConfigJSON(endOfText)
	return checkpoint.Contents{Weights: m.tensors(b), Config: config, Tokenizer: tokenizer, Data: struct{ Sample int64 }{state.Sample}, State: state}, err
}

// LoadWeights fills the model from a checkpoint whose shape is the model's own.
func (m *Model) LoadWeights(b compute.Backend, c *checkpoint.Checkpoint) error {
	f, err := c.Weights()
	if err != nil {
		return err
	}
	defer f.Close()
	return inFolder(c, load(f, func(each wanted) {
		m.parts(func(name string, t *compute.Tensor) {
			each(name, t.Shape, func(data []float32) error { return b.Write(t, data) })
		})
	}))
}

// LoadOptimizer fills the optimizer's state and gives what was saved beside it.
func (m *Model) LoadOptimizer(b compute.Backend, c *checkpoint.Checkpoint) (Resume, error) {
	state, err := readResume(c)
	if err != nil {
		return state, err
	}
	f, err := c.Optimizer()
	if err != nil {
		return state, err
	}
	defer f.Close()
	return state, inFolder(c, load(f, func(each wanted) { m.loadMoments(b, each) }))
}

func (m *Model) loadMoments(b compute.Backend, each wanted) {
	for _, x := range m.moments() {
		each(x.name, compute.Shape{x.bucket.Len}, func(data []float32) error { return x.write(m, b, data) })
	}
}

func readResume(c *checkpoint.Checkpoint) (state Resume, err error) {
	if err := json.Unmarshal(c.State, &state); err != nil {
		return state, fmt.Errorf("%w: %s: manifest.json: state: %w", checkpoint.ErrCorrupt, c.Dir, err)
	}
	return state, nil
}

// inFolder adds to an error where the checkpoint lies.
func inFolder(c *checkpoint.Checkpoint, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", c.Dir, err)
}

// wanted is a tensor of a file that a model wants, and what it does with it.
type wanted func(name string, shape compute.Shape, put func(data []float32) error)

// load reads what all calls wanted with.
func load(f *safetensors.File, all func(each wanted)) error {
	var data []float32
	var err error
	all(func(name string, shape compute.Shape, put func(data []float32) error) {
		if err != nil {
			return
		}
		info, ok := f.Lookup(name)
		switch {
		case !ok:
			err = fmt.Errorf("%w: there is no tensor %s", checkpoint.ErrCorrupt, name)
		case !compute.Shape(info.Shape).Equal(shape):
			err = fmt.Errorf("%w: tensor %s has shape %v, the model's is %v: it belongs to a model of another shape", checkpoint.ErrCorrupt, name, compute.Shape(info.Shape), shape)
		default:
			if data, err = f.Float32(name, data); err == nil {
				err = put(data)
			}
		}
	})
	return err
}

// Load opens a checkpoint folder, or the latest one of a run's, and puts its model on the backend.
func Load(b compute.Backend, path, name string) (*Model, *checkpoint.Checkpoint, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, nil, err
	}
	text, err := c.Config()
	if err != nil {
		return nil, nil, err
	}
	config, err := ParseConfigJSON(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Dir, err)
	}
	m := New(config, name, false)
	return m, c, m.LoadWeights(b, c)
}

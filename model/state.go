package model

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"saltern/compute"
	"saltern/model/checkpoint"
	"saltern/model/safetensors"
)

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
	named := func(name string) string { return name }
	if _, ok := f.Lookup("wte.weight"); ok { // as the first GPT-2 checkpoints have it
		named = func(name string) string { return strings.TrimPrefix(name, "transformer.") }
	}
	taken := map[string]bool{}
	err = load(f, func(each wanted) {
		m.parts(func(name string, t *compute.Tensor) {
			taken[named(name)] = true
			each(named(name), t.Shape, func(data []float32) error { return b.Write(t, data) })
		})
	})
	for _, t := range f.Tensors() {
		if err == nil && !taken[t.Name] && !computed(t.Name) && !(m.TieEmbeddings && t.Name == "lm_head.weight") {
			err = fmt.Errorf("%w: its tensor %s has no place in a model that config.json describes", ErrUnsupported, t.Name)
		}
	}
	return inFolder(c, err)
}

// computed tells the names of tensors in older checkpoints that are no weights: frequencies and masks.
func computed(name string) bool {
	for _, suffix := range []string{".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
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

// tensorFile is where load reads: a safetensors file, or several.
type tensorFile interface {
	Lookup(name string) (safetensors.Info, bool)
	Float32(name string, dst []float32) ([]float32, error)
}

// load reads what all calls wanted with.
func load(f tensorFile, all func(each wanted)) error {
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

// ReadConfig is the shape of the model at path, a checkpoint, a run's folder of them or a model of others, and the folder where it
// lies. It reads no weights.
func ReadConfig(path string) (Config, string, error) {
	c, err := checkpoint.Find(path)
	if err != nil {
		return Config{}, "", err
	}
	config, err := configOf(c)
	return config, c.Dir, err
}

// configOf is the shape of a checkpoint's model.
func configOf(c *checkpoint.Checkpoint) (Config, error) {
	text, err := c.Config()
	if err != nil {
		return Config{}, err
	}
	config, err := ParseConfigJSON(text)
	return config, inFolder(c, err)
}

// Load opens a checkpoint folder, or the latest one of a run's, and puts its model on the backend.
func Load(b compute.Backend, path, name string) (*Model, *checkpoint.Checkpoint, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, nil, err
	}
	config, err := configOf(c)
	if err != nil {
		return nil, nil, err
	}
	m := New(config, name, false)
	return m, c, m.LoadWeights(b, c)
}

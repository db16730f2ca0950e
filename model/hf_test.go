package model

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/model/safetensors"
)

var interop = flag.String("interop", "", "also a folder of models that scripts/interop/models.py made")

// TestModelsOfOthers loads models as Hugging Face's transformers saved them, and compares logits with those of its own float32
// forward pass. scripts/interop/models.py made both, the small ones here with --golden.
func TestModelsOfOthers(t *testing.T) {
	folders, err := filepath.Glob("testdata/hf/*/config.json")
	if err != nil || len(folders) < 5 {
		t.Fatalf("only %d folders: %v", len(folders), err)
	}
	if *interop != "" {
		more, err := filepath.Glob(filepath.Join(*interop, "*", "config.json"))
		if err != nil || len(more) == 0 {
			t.Fatalf("no models in %s: %v", *interop, err)
		}
		folders = append(folders, more...)
	}
	for _, f := range folders {
		dir := filepath.Dir(f)
		t.Run(dir, func(t *testing.T) {
			m, _, err := Load(compute.NewReference(), dir, "other")
			if err != nil {
				t.Fatal(err)
			}
			text, err := m.ConfigJSON(1)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseConfigJSON(text); err != nil || again != m.Config {
				t.Errorf("its config.json reads back as %+v, not %+v: %v", again, m.Config, err)
			}
			n := int64(0)
			m.parts(func(_ string, part *compute.Tensor) { n += int64(part.Len()) })
			if n != m.Params() {
				t.Errorf("it has %d numbers, and counts %d", n, m.Params())
			}
			expected, err := safetensors.Open(filepath.Join(dir, "expected.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer expected.Close()
			for what, b := range map[string]compute.Backend{"reference": compute.NewReference(), "device": computetest.Device(t)} {
				m, _, err := Load(b, dir, "other")
				if err != nil {
					t.Fatal(err)
				}
				worst := sameLogits(t, b, m, expected)
				t.Logf("%s: logits differ by %.1e at most", what, worst)
				if !(worst <= 1e-4) {
					t.Errorf("%s: logits differ by %g, more than 1e-4", what, worst)
				}
			}
		})
	}
}

// sameLogits is the largest difference between the model's logits and those of the file.
func sameLogits(t *testing.T, b compute.Backend, m *Model, expected *safetensors.File) float64 {
	t.Helper()
	info, _ := expected.Lookup("ids")
	numbers, err := expected.Float32("ids", nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uint32, len(numbers))
	for i, v := range numbers {
		ids[i] = uint32(v)
	}
	want, err := expected.Float32("logits", nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokens(info.Shape[0], info.Shape[1])
	logits := compute.NewTensor(compute.Host, "logits", compute.F32, len(ids), m.Vocab)
	r := compute.NewRecorder()
	r.Record("matmul", compute.MatMul{Form: compute.NT}, []*compute.Tensor{m.Hidden(r, tokens), m.Head()}, logits)
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	exes, err := b.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		exes[0].Close()
		b.Free(append(append(tokens.Storages(), logits.Storage), m.Storages()...)...)
	}()
	if err := tokens.Write(b, ids, ids); err != nil {
		t.Fatal(err)
	}
	if err := exes[0].Run(); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, len(want))
	if err := b.Read(logits, got); err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for i := range want {
		worst = math.Max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	return worst
}

// TestFamiliesTrain: a step of training of each family on the device has the loss and the gradient of the reference, whose operations
// are tested by finite differences.
func TestFamiliesTrain(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"qwen2":  func(c *Config) { c.QKVBias = true },
		"qwen3":  func(c *Config) { c.QKNorm, c.HeadSize = true, 6 },
		"llama3": func(c *Config) { c.RopeScaling = RopeScaling{Factor: 4, Original: 8} },
		"gpt2":   func(c *Config) { c.Family, c.KVHeads, c.HeadSize = GPT2, 4, 4 },
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Vocab: 24, Layers: 2, Width: 16, Heads: 4, KVHeads: 2, FFN: 24, Context: 12, InitStd: 0.3}
			change(&c)
			c = c.Defaults()
			c.Check(func(key, message string) { t.Fatal(key, message) })
			var norms, losses []float64
			for _, b := range []compute.Backend{compute.NewReference(), computetest.Device(t)} {
				m, trainer := loaded(t, b, c, tinyTraining())
				bias := m.layers[0].qkv.bias // which begins at 0, where a mistake does not show
				if bias != nil {
					data := make([]float32, bias.Tensor.Len())
					for i := range data {
						data[i] = float32(i%5) * 0.1
					}
					if err := b.Write(bias.Tensor, data); err != nil {
						t.Fatal(err)
					}
				}
				for step := range int64(3) {
					s, err := trainer.Step(step, 0, 0, 1, randomFill(step, c.Vocab, 10))
					if err != nil {
						t.Fatal(err)
					}
					norms, losses = append(norms, s.Norm), append(losses, s.NLL)
				}
			}
			for i := range 3 {
				if math.Abs(norms[i]-norms[i+3]) > 1e-4*norms[i] || math.Abs(losses[i]-losses[i+3]) > 1e-4 {
					t.Errorf("step %d: norm %g and loss %g of the reference, %g and %g on the device", i, norms[i], losses[i], norms[i+3], losses[i+3])
				}
			}
		})
	}
}

// TestRefused: what would change the arithmetic and is not there is named by its key.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ why, from, key, value, want string }{
		{"another family", "llama3", "model_type", `"mamba"`, `config.json: model_type = "mamba" is not supported; there are llama, mistral`},
		{"another activation", "llama3", "hidden_act", `"gelu"`, `config.json: hidden_act = "gelu" is not supported; only "silu" is`},
		{"a bias of the feed-forward network", "llama3", "mlp_bias", `true`, `mlp_bias = true is not supported`},
		{"a bias of attention", "llama3", "attention_bias", `true`, `attention_bias = true is not supported`},
		{"YaRN", "llama3", "rope_parameters", `{"rope_type": "yarn", "factor": 4}`, `rope_parameters: rope_type = "yarn" is not supported; "linear" and "llama3" are`},
		{"YaRN as older versions write it", "qwen3", "rope_scaling", `{"type": "dynamic", "factor": 4}`, `rope_type = "dynamic" is not supported`},
		{"a part of each head", "qwen3", "partial_rotary_factor", `0.5`, `partial_rotary_factor = 0.5 is not supported`},
		{"a window", "qwen2.5", "layer_types", `["sliding_attention"]`, `layer_types has "sliding_attention"`},
		{"a window of Mistral", "mistral", "sliding_window", `4096`, `sliding_window = 4096 is not supported`},
		{"quantized weights", "llama3", "quantization_config", `{"bits":4}`, `quantization_config = {"bits":4} is not supported`},
		{"GPT-2 with exact GELU", "gpt2", "activation_function", `"gelu"`, `activation_function = "gelu" is not supported; only "gelu_new"`},
		{"GPT-2 untied", "gpt2", "tie_word_embeddings", `false`, `tie_word_embeddings = false is not supported`},
		{"sizes that do not fit", "llama3", "num_key_value_heads", `3`, `config.json: kv_heads: kv_heads = 3 does not divide heads`},
		{"no number", "llama3", "hidden_size", `"8"`, `config.json: hidden_size: json: cannot unmarshal`},
	} {
		from := c.from
		if from == "mistral" {
			from = "llama3"
		}
		text, err := os.ReadFile(filepath.Join("testdata", "hf", from, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		if c.from == "mistral" {
			keys["model_type"] = json.RawMessage(`"mistral"`)
		}
		keys[c.key] = json.RawMessage(c.value)
		text, err = json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseConfigJSON(text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.why, err, c.want)
		}
	}
}

// TestTensorsOfOthers: a tensor that the configuration does not speak of is an error and not ignored, and so is one that lacks.
func TestTensorsOfOthers(t *testing.T) {
	for _, c := range []struct{ why, weights, config, want string }{
		{"biases that the family does not have", "qwen2.5", "llama3", "_proj.bias has no place in a model that config.json describes"},
		{"norms that lack", "llama3", "qwen3", "there is no tensor model.layers.0.self_attn."},
	} {
		dir := t.TempDir()
		files, err := filepath.Glob(filepath.Join("testdata", "hf", c.weights, "model*"))
		if err != nil {
			t.Fatal(err)
		}
		for from, to := range map[string]string{filepath.Join("testdata", "hf", c.config, "config.json"): "config.json"} {
			copyFile(t, from, filepath.Join(dir, to))
		}
		for _, f := range files {
			copyFile(t, f, filepath.Join(dir, filepath.Base(f)))
		}
		if c.config == "qwen3" { // its heads are of another size
			text, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			text = []byte(strings.Replace(string(text), `"head_dim": 16`, `"head_dim": 4`, 1))
			if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := Load(compute.NewReference(), dir, "m"); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %s", c.why, err, c.want)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestConfigJSONOfLlama stays as checkpoints of earlier versions have it.
func TestConfigJSONOfLlama(t *testing.T) {
	c := tiny(true)
	text, err := c.ConfigJSON(7)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"model_type": "llama", "hidden_size": 16.0, "head_dim": 4.0, "rope_theta": 1e4, "eos_token_id": 7.0, "tie_word_embeddings": true, "rope_scaling": nil}
	for k, v := range want {
		if !reflect.DeepEqual(keys[k], v) {
			t.Errorf("%s = %v, want %v", k, keys[k], v)
		}
	}
}

package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"saltern/model/safetensors"
)

// folder writes files, by name, into a folder of its own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tensorText is a safetensors file of one tensor [1].
func tensorText(t *testing.T, name string, value float32) string {
	t.Helper()
	var out bytes.Buffer
	if err := safetensors.Write(&out, []safetensors.Tensor{{Name: name, Shape: []int{1}, Read: func() ([]float32, error) { return []float32{value}, nil }}}, nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestForeign: folders as other programs save models, whole or in several files, and their sums.
func TestForeign(t *testing.T) {
	a, b := tensorText(t, "a", 1), tensorText(t, "b", 2)
	index := `{"metadata": {"total_size": 8}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}`
	one := folder(t, map[string]string{"config.json": "{}", "model.safetensors": a, "tokenizer.json": "{}"})
	two := folder(t, map[string]string{"config.json": "{}", "model-1.safetensors": a, "model-2.safetensors": b, "model.safetensors.index.json": index})
	other := folder(t, map[string]string{"config.json": "{}", "model-1.safetensors": tensorText(t, "a", 3), "model-2.safetensors": b, "model.safetensors.index.json": index})
	var sums []string
	for dir, names := range map[string][]string{one: {"a"}, two: {"a", "b"}, other: {"a", "b"}} {
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Foreign || c.Dir != dir {
			t.Errorf("%s is opened as %+v", dir, c)
		}
		sum, err := c.WeightsSum()
		if err != nil || slices.Contains(sums, sum) {
			t.Errorf("sum %s is not of these weights alone: %v", sum, err)
		}
		sums = append(sums, sum)
		f, err := c.Weights()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, name := range names {
			if v, err := f.Float32(name, nil); err != nil || len(v) != 1 {
				t.Errorf("%s: %v, %v", name, v, err)
			}
		}
		if _, err := c.Tokenizer(); (err == nil) != (dir == one) {
			t.Errorf("tokenizer of %s: %v", dir, err)
		}
	}
	for _, c := range []struct {
		why   string
		files map[string]string
		want  string
	}{
		{"weights in another format", map[string]string{"config.json": "{}", "pytorch_model.bin": "x"}, "neither model.safetensors nor model.safetensors.index.json"},
		{"a file of the index lacks", map[string]string{"config.json": "{}", "model-1.safetensors": a, "model.safetensors.index.json": index}, "model-2.safetensors"},
		{"an index that leads elsewhere", map[string]string{"config.json": "{}", "model.safetensors.index.json": `{"weight_map": {"a": "../a.safetensors"}}`}, "not a file beside it"},
		{"an empty index", map[string]string{"config.json": "{}", "model.safetensors.index.json": `{}`}, "weight_map names no file"},
	} {
		if _, err := Open(folder(t, c.files)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.why, err, c.want)
		}
	}
	twice := folder(t, map[string]string{"config.json": "{}", "model-1.safetensors": a, "model-2.safetensors": a, "model.safetensors.index.json": index})
	c, err := Open(twice)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Weights(); !errors.Is(err, safetensors.ErrFormat) {
		t.Errorf("one tensor in two files: %v", err)
	}
}

package model

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestConfigJSON(t *testing.T) {
	c := Config{Vocab: 300, Layers: 2, Width: 64, Heads: 4, KVHeads: 2, Context: 128, TieEmbeddings: true}.Defaults()
	text, err := c.ConfigJSON(299)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfigJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	if got != c {
		t.Errorf("read %+v, wrote %+v", got, c)
	}
	for _, bad := range []struct{ why, old, new, want string }{
		{"another family", `"llama"`, `"mamba"`, "model_type"},
		{"another activation", `"silu"`, `"gelu"`, "hidden_act"},
		{"biases", `"attention_bias": false`, `"attention_bias": true`, "attention_bias"},
		{"scaled positions", `"rope_scaling": null`, `"rope_scaling": {"factor": 8}`, "rope_scaling"},
		{"a shape that cannot be", `"num_attention_heads": 4`, `"num_attention_heads": 0`, "heads"},
	} {
		if _, err := ParseConfigJSON([]byte(strings.Replace(string(text), bad.old, bad.new, 1))); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v does not name %s", bad.why, err, bad.want)
		}
	}
}

func TestDraw(t *testing.T) {
	logits := []float32{1, 3, 2, 3, -5}
	count := func(s Sampling) map[uint32]int {
		rng := rand.New(rand.NewPCG(1, 2))
		n := map[uint32]int{}
		for range 2000 {
			n[s.Draw(logits, rng)]++
		}
		return n
	}
	if n := count(Sampling{}); n[1] != 2000 {
		t.Errorf("greedy draws the first of the most likely: %v", n)
	}
	if n := count(Sampling{Temperature: 1, TopK: 2}); n[1]+n[3] != 2000 || n[1] < 900 || n[3] < 900 {
		t.Errorf("top 2 of equals: %v", n)
	}
	if n := count(Sampling{Temperature: 1, TopP: 0.5}); n[1]+n[3] != 2000 || n[3] == 0 {
		t.Errorf("the two that reach half: %v", n)
	}
	if n := count(Sampling{Temperature: 1}); n[2] < 2000*15/100*8/10 || n[4] > 10 {
		t.Errorf("plain softmax: %v", n)
	}
}

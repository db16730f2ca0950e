package model

// Preset is a named shape. The name states its parameter count at the vocabulary Vocab, to within 5%; "-like" marks the
// sizes of the students and teachers of the SALT paper (arXiv 2410.18779), whose exact shapes are not ours to claim.
type Preset struct {
	Name   string
	Vocab  int // the vocabulary at which the name holds; a job's own comes from its tokenizer
	Config Config
}

// Presets returns the named shapes in order of size. The small ones tie the embeddings, which would otherwise be most
// of the model.
func Presets() []Preset {
	return []Preset{
		{"0.25M", 2048, Config{Layers: 2, Width: 64, Heads: 2, Context: 256, TieEmbeddings: true}},
		{"0.5M", 2048, Config{Layers: 3, Width: 96, Heads: 3, FFN: 224, Context: 256, TieEmbeddings: true}},
		{"1M", 2048, Config{Layers: 4, Width: 128, Heads: 4, FFN: 320, Context: 256, TieEmbeddings: true}},
		{"2M", 4096, Config{Layers: 4, Width: 160, Heads: 5, Context: 512, TieEmbeddings: true}},
		{"4M", 4096, Config{Layers: 5, Width: 224, Heads: 7, Context: 512, TieEmbeddings: true}},
		{"10M", 4096, Config{Layers: 7, Width: 320, Heads: 5, Context: 512, TieEmbeddings: true}},
		{"30M", 8192, Config{Layers: 8, Width: 512, Heads: 8, Context: 1024, TieEmbeddings: true}},
		{"125M", 32768, Config{Layers: 14, Width: 768, Heads: 12, Context: 1024, TieEmbeddings: true}},
		{"350M", 32768, Config{Layers: 25, Width: 1024, Heads: 16, Context: 2048, TieEmbeddings: true}},
		{"0.5B-like", 32768, Config{Layers: 28, Width: 1152, Heads: 18, Context: 2048, TieEmbeddings: true}},
		{"1.5B-like", 32768, Config{Layers: 28, Width: 2048, Heads: 16, Context: 2048}},
		{"2.8B-like", 32768, Config{Layers: 32, Width: 2560, Heads: 20, Context: 2048}},
		{"8B", 32768, Config{Layers: 36, Width: 4096, Heads: 32, KVHeads: 8, FFN: 14336, Context: 4096}},
		{"8.6B-like", 32768, Config{Layers: 40, Width: 4096, Heads: 32, FFN: 11264, Context: 2048}},
	}
}

// FindPreset returns the preset of that name.
func FindPreset(name string) (Preset, bool) {
	for _, p := range Presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

func presetNames() []string {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

package token

import "fmt"

// Config says where the tokenizer of a job comes from: a file, or training on the job's own text.
type Config struct {
	// File is a tokenizer.json to use as it is. Zero: a tokenizer is trained on the training documents.
	File string `toml:"file"`
	// VocabSize is the number of ids of a trained tokenizer, special tokens included: the end-of-text token, and 102 for
	// denoising where an objective is "ul2". Zero means 4096. 257 (bytes alone), or 359, to 1048576; up to 65536 a stored token takes two bytes, above four. Must be 0 when File is given.
	VocabSize int `toml:"vocab_size"`
	// SampleBytes is how much text, in bytes, training reads: a sample of the training documents, even over all of them.
	// Zero means 67108864 (64 MiB). At least 4096. Larger samples take more time and memory; merges hardly change any more.
	SampleBytes int64 `toml:"sample_bytes"`
	// Denoising asks for the special tokens of the UL2 objective. A tokenizer without them gets them appended.
	Denoising bool `toml:"-" json:",omitempty"`
}

// Defaults returns c with zeros replaced by what they mean.
func (c Config) Defaults() Config {
	if c.VocabSize == 0 && c.File == "" {
		c.VocabSize = 4096
	}
	if c.SampleBytes == 0 {
		c.SampleBytes = 64 << 20
	}
	return c
}

// Check calls bad for each problem, with the key as written in TOML. It looks at no files.
func (c Config) Check(bad func(key, message string)) {
	if c.File != "" && c.VocabSize != 0 {
		bad("vocab_size", fmt.Sprintf("vocab_size = %d has no effect beside file = %q, which brings its own vocabulary; remove one of them", c.VocabSize, c.File))
	} else if c.VocabSize != 0 && (c.VocabSize < MinVocab+c.reserved() || c.VocabSize > MaxVocab) {
		bad("vocab_size", fmt.Sprintf("vocab_size = %d is out of bounds; give %d to %d", c.VocabSize, MinVocab+c.reserved(), MaxVocab))
	}
	if c.SampleBytes != 0 && c.SampleBytes < 4096 {
		bad("sample_bytes", fmt.Sprintf("sample_bytes = %d is too little text to learn from; give at least 4096, or leave it out", c.SampleBytes))
	}
}

package jobs

import "fmt"

// Corpus says which text a job trains on.
type Corpus struct {
	// Sources are the files to read: paths, globs ("**" crosses folders), with ~ and $NAME of the environment
	// expanded; relative ones are relative to the current folder. At least one.
	Sources []string `toml:"sources"`

	// HeldOut is the part of the documents kept out of training, for evaluation. Zero means 0.01. Above 0, below 1.
	HeldOut float64 `toml:"held_out"`

	// TextField is the field of a .jsonl record that holds the text. Empty means "text".
	TextField string `toml:"text_field"`

	// Extensions restricts folders named in Sources to files that end so, such as ".go". Empty means every file.
	Extensions []string `toml:"extensions"`

	// MaxBytes ends reading after that many bytes of text. Zero means all.
	MaxBytes int64 `toml:"max_bytes"`
}

// Defaults returns c with every zero field chosen.
func (c Corpus) Defaults() Corpus {
	if c.HeldOut == 0 {
		c.HeldOut = 0.01
	}
	if c.TextField == "" {
		c.TextField = "text"
	}
	return c
}

// Check calls bad for every problem of c, which has been through Defaults.
func (c Corpus) Check(bad func(key, message string)) {
	if len(c.Sources) == 0 {
		bad("sources", "sources is not set; name the files to train on, as [\"data/**/*.txt\"]")
	}
	if !(c.HeldOut > 0 && c.HeldOut < 1) {
		bad("held_out", fmt.Sprintf("held_out = %g must lie above 0 and below 1; 0.01 is usual", c.HeldOut))
	}
	if c.MaxBytes < 0 {
		bad("max_bytes", fmt.Sprintf("max_bytes = %d must not be negative", c.MaxBytes))
	}
}

// Tokenizer says how text becomes tokens.
type Tokenizer struct {
	// VocabSize is V, the number of token ids of the byte-level BPE tokenizer trained on the corpus: 256 bytes, the
	// end of a text, and the rest merges. Zero means 4096. 257 to 1048576.
	VocabSize int `toml:"vocab_size"`
}

// Defaults returns c with every zero field chosen.
func (c Tokenizer) Defaults() Tokenizer {
	if c.VocabSize == 0 {
		c.VocabSize = 4096
	}
	return c
}

// Check calls bad for every problem of c, which has been through Defaults.
func (c Tokenizer) Check(bad func(key, message string)) {
	if c.VocabSize < 257 || c.VocabSize > 1<<20 {
		bad("vocab_size", fmt.Sprintf("vocab_size = %d is out of bounds; use 257 to %d", c.VocabSize, 1<<20))
	}
}

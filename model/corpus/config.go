package corpus

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Config says what text a corpus is made of.
type Config struct {
	// Sources are files, folders (with all below them) and globs, where ** is any number of folders. Relative ones start at the
	// job file's folder. $NAME and ${NAME} are environment variables; $GOROOT is known without being set where there is a go
	// command; $$ is a dollar sign. At least one.
	Sources []string `toml:"sources"`
	// Weights are those of the sources, one for each, as in weights = [0.7, 0.3]: the shares of the training text, in bytes, whatever
	// the sources' sizes. The text keeps its length: where a source is to have more of it than it holds, its documents are repeated,
	// and where less, some are left out, chosen by hash. Held-out documents stay as they are. Zero means that each document counts once.
	// Above 0; their sum does not matter.
	Weights []float64 `toml:"weights" json:",omitempty"`
	// Extensions are the endings of the files taken from folders, before any .gz or .zst. Zero means .txt, .text, .md, .jsonl
	// and .parquet. Files that are named, or matched by a glob, are taken whatever they end in.
	Extensions []string `toml:"extensions"`
	// TextField is the name of the field of each line of .jsonl files, or of the column of .parquet files, that holds the text. Zero means "text".
	TextField string `toml:"text_field"`
	// Separator ends a document inside a plain text file, for example "<|endoftext|>", and belongs to none. Zero means that a
	// file is one document.
	Separator string `toml:"separator"`
	// DocumentBytes is the length of the longest document, in bytes; longer texts are cut into several, at line ends where
	// possible. Zero means 16777216 (16 MiB). 1024 to 1073741824; a few documents of this length for each processor can be in memory at a time.
	DocumentBytes int64 `toml:"document_bytes"`
	// HeldOut is the fraction of documents, chosen by hash, kept from training to measure the loss on; always at least one document.
	// Zero means 0.02. More than 0, at most 0.5.
	HeldOut float64 `toml:"held_out"`
	// MaxBytes is how much text to take, in bytes, for a quick job: documents in the order of their hashes as long as they fit. Zero
	// means all. At least 0.
	MaxBytes int64 `toml:"max_bytes"`
	// Base is the folder that relative sources are relative to, usually that of the job file. Zero means the working folder.
	Base string `toml:"-" json:"-"`
}

// olderExtensions are what Extensions meant by default before there was .parquet.
var olderExtensions = []string{".txt", ".text", ".md", ".jsonl"}

// Defaults returns c with zeros replaced by what they mean.
func (c Config) Defaults() Config {
	if len(c.Extensions) == 0 {
		c.Extensions = append(slices.Clone(olderExtensions), ".parquet")
	}
	if c.TextField == "" {
		c.TextField = "text"
	}
	if c.DocumentBytes == 0 {
		c.DocumentBytes = 16 << 20
	}
	if c.HeldOut == 0 {
		c.HeldOut = 0.02
	}
	return c
}

// Check calls bad for each problem, with the key as written in TOML. It does not look whether the sources are there, as a job with
// a prepared corpus does not need them.
func (c Config) Check(bad func(key, message string)) {
	if len(c.Sources) == 0 {
		bad("sources", `there are no sources; name files, folders or globs, as in sources = ["books/**/*.txt"]`)
	}
	for _, s := range c.Sources {
		if s == "" {
			bad("sources", "a source is empty; remove it or name a file, a folder or a glob")
			continue
		}
		path, err := expand(s)
		if err != nil {
			bad("sources", err.Error())
		} else if !doublestar.ValidatePathPattern(path) {
			bad("sources", fmt.Sprintf("source %q is not a well-formed glob; check its brackets and braces", s))
		}
	}
	if n := len(c.Weights); n > 0 && n != len(c.Sources) {
		bad("weights", fmt.Sprintf("weights has %d numbers for %d sources; give one for each", n, len(c.Sources)))
	}
	for _, w := range c.Weights {
		if !(w > 0) || math.IsInf(w, 0) {
			bad("weights", fmt.Sprintf("weights has %g, which is not a number above 0; take out a source that is not wanted", w))
		}
	}
	for _, e := range c.Extensions {
		if len(e) < 2 || e[0] != '.' {
			bad("extensions", fmt.Sprintf(`extension %q must be a dot and letters, as in ".txt"`, e))
		} else if compressed(e) != "" {
			bad("extensions", fmt.Sprintf("extension %q is a compression, which is seen by itself; give the ending before it", e))
		}
	}
	if c.DocumentBytes != 0 && (c.DocumentBytes < 1024 || c.DocumentBytes > 1<<30) {
		bad("document_bytes", fmt.Sprintf("document_bytes = %d is out of bounds; give 1024 to %d", c.DocumentBytes, 1<<30))
	}
	if !(c.HeldOut >= 0 && c.HeldOut <= 0.5) { // in this form also true for NaN
		bad("held_out", fmt.Sprintf("held_out = %g is out of bounds; it is a fraction, more than 0 and at most 0.5", c.HeldOut))
	}
	if c.MaxBytes < 0 {
		bad("max_bytes", fmt.Sprintf("max_bytes = %d is negative; give a number of bytes, or leave it out for all", c.MaxBytes))
	}
}

// check returns the problems as one error.
func (c Config) check() error {
	var problems []string
	c.Check(func(_, message string) { problems = append(problems, message) })
	if len(problems) > 0 {
		return fmt.Errorf("the corpus cannot be prepared: %s", strings.Join(problems, "; "))
	}
	return nil
}

// expand replaces the variables of a source.
func expand(source string) (string, error) {
	var missing []string
	path := os.Expand(source, func(name string) string {
		if name == "$" {
			return "$"
		}
		if value := os.Getenv(name); value != "" {
			return value
		}
		if name == "GOROOT" {
			if out, err := exec.Command("go", "env", "GOROOT").Output(); err == nil && len(out) > 1 {
				return strings.TrimSpace(string(out))
			}
		}
		if !slices.Contains(missing, "$"+name) {
			missing = append(missing, "$"+name)
		}
		return ""
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("source %q uses %s, which is not set in the environment; set it, or write the path in full", source, strings.Join(missing, ", "))
	}
	return path, nil
}

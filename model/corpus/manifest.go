package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"saltern/model/token"
)

// Names of the files in a prepared folder, beside the shards.
const (
	manifestName  = "manifest.json"
	tokenizerName = "tokenizer.json"
)

// format is raised when a prepared folder of an older version must be prepared again.
const format = 2

// Manifest is manifest.json: what a prepared folder holds and what it was made of.
type Manifest struct {
	Format int `json:"format"`
	// Key is the SHA-256 of all that decides the content: configurations, tokenizer file, and the sources' paths, sizes and times.
	Key       string       `json:"key"`
	Config    Config       `json:"config"`
	Tokenizer token.Config `json:"tokenizer"`

	VocabSize     int    `json:"vocab_size"`
	EndOfText     uint32 `json:"end_of_text"`
	DocumentStart uint32 `json:"document_start"` // which each document begins with
	TokenizerHash string `json:"tokenizer_hash"` // token.Tokenizer.Hash
	TokenBytes    int    `json:"token_bytes"`    // of one stored id: 2 or 4

	Files       int   `json:"files"`        // that text was taken from
	FileBytes   int64 `json:"file_bytes"`   // of these, as stored, maybe compressed
	BinaryFiles int   `json:"binary_files"` // skipped, as they are not text
	Empty       int64 `json:"empty"`        // documents without a character that is not white space, dropped
	Duplicates  int64 `json:"duplicates"`   // documents seen before, byte for byte, dropped
	Unused      int64 `json:"unused"`       // documents beyond Config.MaxBytes

	Train   Part `json:"train"`
	HeldOut Part `json:"held_out"`
}

// Part is one side of the split.
type Part struct {
	Documents int64   `json:"documents"`
	Bytes     int64   `json:"bytes"`  // of text that the tokens stand for
	Tokens    int64   `json:"tokens"` // with one end-of-text token before each document
	Shards    []Shard `json:"shards"`
}

// BytesPerToken is how much text a token stands for on average.
func (p Part) BytesPerToken() float64 { return float64(p.Bytes) / float64(max(p.Tokens, 1)) }

// BitsPerByte turns a mean loss per token, in nats, into bits per byte of text, which can be compared between tokenizers.
func (p Part) BitsPerByte(loss float64) float64 { return loss / math.Ln2 / p.BytesPerToken() }

// Shard is one file of ids.
type Shard struct {
	Name   string `json:"name"`
	Tokens int64  `json:"tokens"`
	Bytes  int64  `json:"bytes"` // of the file, header included
	SHA256 string `json:"sha256"`
}

// readManifest reads and checks the manifest of dir and the sizes of its shards.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a prepared corpus (it has no %s): run saltern prepare first: %w", dir, manifestName, err)
	} else if err != nil {
		return nil, fmt.Errorf("the corpus cannot be read: %w", err)
	}
	m := Manifest{DocumentStart: math.MaxUint32} // as in folders that were prepared before it was written: the end-of-text token
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): delete the folder and prepare it again", path, err)
	}
	if m.DocumentStart == math.MaxUint32 {
		m.DocumentStart = m.EndOfText
	}
	if m.Format != format {
		return nil, fmt.Errorf("%s has format %d and this program reads %d: prepare the corpus again", path, m.Format, format)
	}
	if m.TokenBytes != 2 && m.TokenBytes != 4 || m.VocabSize < token.MinVocab {
		return nil, fmt.Errorf("%s is damaged (vocab_size %d, token_bytes %d): delete the folder and prepare it again", path, m.VocabSize, m.TokenBytes)
	}
	for _, part := range []Part{m.Train, m.HeldOut} {
		total := int64(0)
		for _, s := range part.Shards {
			total += s.Tokens
			if err := s.check(dir, m.TokenBytes); err != nil {
				return nil, err
			}
		}
		if total != part.Tokens {
			return nil, fmt.Errorf("%s is damaged: its shards hold %d tokens, not %d: delete the folder and prepare it again", path, total, part.Tokens)
		}
	}
	return &m, nil
}

// check compares the size of the file with what the manifest says.
func (s Shard) check(dir string, width int) error {
	path := filepath.Join(dir, s.Name)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("a shard is missing: %w: prepare the corpus again", err)
	}
	if want := headerBytes + s.Tokens*int64(width); info.Size() != s.Bytes || s.Bytes != want {
		return fmt.Errorf("shard %s has %d bytes, and its %d tokens take %d: delete the folder and prepare it again", path, info.Size(), s.Tokens, want)
	}
	return nil
}

func (m *Manifest) write(dir string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, manifestName))
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fullDisk(f.Name(), err)
	}
	return nil
}

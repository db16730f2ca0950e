package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"saltern/model/safetensors"
)

// ErrCorrupt is wrapped by errors about a checkpoint that is not as it was written: which file, what was expected, what was
// found, and the checkpoint before it, if there is one.
var ErrCorrupt = errors.New("corrupt checkpoint")

// ErrNone is wrapped by errors about a folder that holds no checkpoint.
var ErrNone = errors.New("no checkpoint")

const (
	weightsFile   = "model.safetensors"
	optimizerFile = "optimizer.safetensors"
	configFile    = "config.json"
	tokenizerFile = "tokenizer.json"
	manifestFile  = "manifest.json"
	latestFile    = "latest"
	tempPrefix    = ".tmp-"

	formatVersion = 1
)

// listedFiles are the files that a manifest lists, in its order; parts of ranks may follow.
var listedFiles = []string{weightsFile, optimizerFile, configFile, tokenizerFile}

// Manifest is a checkpoint's manifest.json.
type Manifest struct {
	Format int             `json:"format"`           // version of this layout
	Step   int             `json:"step"`             // optimizer steps done
	Data   json.RawMessage `json:"data"`             // where the data loader goes on, in its own words
	State  json.RawMessage `json:"state"`            // whatever else the caller needs to go on
	Pinned bool            `json:"pinned,omitempty"` // never removed to make room: Keep.This
	Files  []FileSum       `json:"files"`
	Sum    string          `json:"sum"` // SHA-256 of this object as compact JSON with an empty sum
}

// FileSum is what a file of the checkpoint must look like.
type FileSum struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// sum computes what Sum must be. Marshalling compacts Data and State, so indentation does not count.
func (m Manifest) sum() (string, error) {
	m.Sum = ""
	b, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:]), nil
}

// Checkpoint is a checkpoint on disk.
type Checkpoint struct {
	Dir     string
	Foreign bool // a model of another program: without manifest, optimizer and steps
	Manifest
}

// Weights opens the model's weights.
func (c *Checkpoint) Weights() (*safetensors.Files, error) {
	paths, err := c.weightFiles()
	if err != nil {
		return nil, err
	}
	return safetensors.OpenAll(paths...)
}

// Optimizer opens the optimizer's state.
func (c *Checkpoint) Optimizer() (*safetensors.File, error) {
	return safetensors.Open(filepath.Join(c.Dir, optimizerFile))
}

// Config returns the model's configuration as it was given to [Write].
func (c *Checkpoint) Config() ([]byte, error) { return os.ReadFile(filepath.Join(c.Dir, configFile)) }

// Tokenizer returns the tokenizer as it was given to [Write].
func (c *Checkpoint) Tokenizer() ([]byte, error) {
	if c.Foreign && !exists(filepath.Join(c.Dir, tokenizerFile)) {
		return nil, fmt.Errorf("%w: %s has no %s; save the model's fast tokenizer into it", ErrNone, c.Dir, tokenizerFile)
	}
	return os.ReadFile(filepath.Join(c.Dir, tokenizerFile))
}

// List returns the complete checkpoints under root, newest (highest step, then the last saved) first. Complete means
// that the manifest is sound and every file has its size; only [Open] verifies hashes. A root that does not exist has none.
func List(root string) ([]*Checkpoint, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing checkpoints: %w", err)
	}
	var list []*Checkpoint
	for _, e := range entries {
		if _, ok := parseName(e.Name()); !ok {
			continue
		}
		c, err := readManifest(filepath.Join(root, e.Name()))
		if err == nil && c.checkSizes() == nil {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *Checkpoint) int { return b.order().compare(a.order()) })
	return list, nil
}

// order is a checkpoint's place among its siblings, taken from its folder's name.
type order struct{ step, revision int }

func (o order) compare(p order) int {
	if o.step != p.step {
		return o.step - p.step
	}
	return o.revision - p.revision
}

func (c *Checkpoint) order() order {
	o, _ := parseName(filepath.Base(c.Dir))
	return o
}

var namePattern = regexp.MustCompile(`^step_([0-9]{8,15})(?:\.([1-9][0-9]{0,8}))?$`)

func parseName(name string) (order, bool) {
	m := namePattern.FindStringSubmatch(name)
	if m == nil {
		return order{}, false
	}
	step, err := strconv.Atoi(m[1])
	if err != nil {
		return order{}, false
	}
	revision, _ := strconv.Atoi(m[2]) // absent: 0
	return order{step, revision}, true
}

func (o order) name() string {
	if o.revision == 0 {
		return fmt.Sprintf("step_%08d", o.step)
	}
	return fmt.Sprintf("step_%08d.%d", o.step, o.revision)
}

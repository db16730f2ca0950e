package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"saltern/model/safetensors"
)

// indexFile says in which file each tensor lies, where there are several.
const indexFile = weightsFile + ".index.json"

// foreign tells whether path is a model of another program: a folder with config.json and without a manifest, which is not named
// as checkpoints are.
func foreign(path string) bool {
	_, config := os.Stat(filepath.Join(path, configFile))
	_, manifest := os.Stat(filepath.Join(path, manifestFile))
	_, named := parseName(filepath.Base(path))
	return config == nil && errors.Is(manifest, os.ErrNotExist) && !named
}

// openForeign opens a model of another program: config.json, model.safetensors or the files that model.safetensors.index.json
// names, tokenizer.json if there is one. It reads every file once, so that its sums tell one model from another.
func openForeign(dir string) (*Checkpoint, error) {
	c := &Checkpoint{Dir: dir, Foreign: true}
	names := []string{configFile}
	if exists(filepath.Join(dir, tokenizerFile)) {
		names = append(names, tokenizerFile)
	}
	weights, err := c.weightFiles()
	if err != nil {
		return nil, err
	}
	for _, path := range weights {
		names = append(names, filepath.Base(path))
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, dir, err)
		}
		sum, err := hashFile(path)
		if err != nil {
			return nil, err
		}
		c.Files = append(c.Files, FileSum{name, st.Size(), sum})
	}
	return c, nil
}

// weightFiles are the paths of the files that hold the weights.
func (c *Checkpoint) weightFiles() ([]string, error) {
	one, index := filepath.Join(c.Dir, weightsFile), filepath.Join(c.Dir, indexFile)
	switch {
	case !c.Foreign || exists(one):
		return []string{one}, nil
	case exists(index):
		return safetensors.ReadIndex(index)
	}
	return nil, fmt.Errorf("%w: %s has neither %s nor %s; other formats of weights are not read: save the model with safetensors", ErrNone, c.Dir, weightsFile, indexFile)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// WeightsSum is a checksum of the weights: of their file, or of the sums of several.
func (c *Checkpoint) WeightsSum() (string, error) {
	var sums []string
	for _, f := range c.Files {
		if filepath.Ext(f.Name) == ".safetensors" && f.Name != optimizerFile && !partPattern.MatchString(f.Name) {
			sums = append(sums, f.SHA256)
		}
	}
	switch len(sums) {
	case 0:
		return "", fmt.Errorf("%w: %s lists no weights", ErrCorrupt, c.Dir)
	case 1:
		return sums[0], nil
	}
	sum := sha256.Sum256([]byte(strings.Join(sums, "\n")))
	return hex.EncodeToString(sum[:]), nil
}

// Export lists the files of a checkpoint that another program needs.
func (c *Checkpoint) Export() ([]string, error) {
	list, err := c.weightFiles()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{configFile, tokenizerFile} {
		list = append(list, filepath.Join(c.Dir, name))
	}
	if index := filepath.Join(c.Dir, indexFile); c.Foreign && exists(index) {
		list = append(list, index)
	}
	return list, nil
}

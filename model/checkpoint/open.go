package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Open opens the checkpoint at path, a checkpoint's own folder or a root: there the one that `latest` names or, where there is
// no such file, the newest complete one. It reads every file once to verify its hash, and fails with [ErrCorrupt] or [ErrNone];
// it never falls back to an older checkpoint by itself, since that would lose work silently. A folder with config.json and no
// manifest is a model of another program, whose files have no sums to compare with.
func Open(path string) (*Checkpoint, error) {
	if foreign(path) {
		return openForeign(path)
	}
	dir, err := resolve(path)
	if err != nil {
		return nil, err
	}
	c, err := readManifest(dir)
	if err == nil {
		err = c.checkSizes() // cheap, and a better message than a hash
	}
	if err == nil {
		err = c.checkHashes()
	}
	if errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("%w; %s", err, previous(dir))
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Find is what Open opens, of which nothing has been read: its folder is known, and Config and Tokenizer do.
func Find(path string) (*Checkpoint, error) {
	if foreign(path) {
		return &Checkpoint{Dir: path, Foreign: true}, nil
	}
	dir, err := resolve(path)
	if err != nil {
		return nil, err
	}
	return &Checkpoint{Dir: dir}, nil
}

// resolve finds the checkpoint's folder.
func resolve(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: there is no folder %s; name a checkpoint or the folder that holds them", ErrNone, path)
	} else if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(path, manifestFile)); err == nil {
		return path, nil
	}
	if _, ok := parseName(filepath.Base(path)); ok {
		return path, nil // a checkpoint that lost its manifest; reading it will say so
	}
	latest := filepath.Join(path, latestFile)
	b, err := os.ReadFile(latest)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	list, listErr := List(path)
	if listErr != nil {
		return "", listErr
	}
	if err != nil {
		if len(list) == 0 {
			return "", fmt.Errorf("%w: %s holds no complete checkpoint; name a checkpoint or the folder that holds them", ErrNone, path)
		}
		return list[0].Dir, nil
	}
	name := strings.TrimSpace(string(b))
	dir := filepath.Join(path, name)
	st, err := os.Stat(dir)
	if _, ok := parseName(name); ok && err == nil && st.IsDir() {
		return dir, nil
	}
	remedy := "remove the file; there is no complete checkpoint to go on from"
	if len(list) > 0 {
		remedy = "remove the file to go on from " + list[0].Dir
	}
	return "", fmt.Errorf("%w: %s names %q, which is not a checkpoint beside it; %s", ErrCorrupt, latest, name, remedy)
}

// readManifest reads a checkpoint's manifest and checks all that it can check by itself.
func readManifest(dir string) (*Checkpoint, error) {
	path := filepath.Join(dir, manifestFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing", ErrCorrupt, path)
	}
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Dir: dir}
	if err := json.Unmarshal(b, &c.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %s is not a manifest: %v", ErrCorrupt, path, err)
	}
	if c.Format > formatVersion { // before its sum, which may cover fields that we do not know
		return nil, fmt.Errorf("%s has format %d, and this version reads up to %d; use a newer saltern", path, c.Format, formatVersion)
	}
	sum, err := c.sum()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrCorrupt, path, err)
	}
	if sum != c.Sum {
		return nil, fmt.Errorf("%w: the content of %s has SHA-256 %s, but its own sum says %q", ErrCorrupt, path, sum, c.Sum)
	}
	ok := len(c.Files) >= len(listedFiles)
	for i := 0; ok && i < len(c.Files); i++ {
		ok = i < len(listedFiles) && c.Files[i].Name == listedFiles[i] || i >= len(listedFiles) && partPattern.MatchString(c.Files[i].Name)
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s lists other files than %s and parts of ranks", ErrCorrupt, path, strings.Join(listedFiles, ", "))
	}
	return c, nil
}

func (c *Checkpoint) checkSizes() error {
	for _, f := range c.Files {
		path := filepath.Join(c.Dir, f.Name)
		st, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s is missing", ErrCorrupt, path)
		}
		if err != nil {
			return err
		}
		if st.Size() != f.Size {
			return fmt.Errorf("%w: %s has %d bytes, but its manifest says %d", ErrCorrupt, path, st.Size(), f.Size)
		}
	}
	return nil
}

func (c *Checkpoint) checkHashes() error {
	for _, f := range c.Files {
		path := filepath.Join(c.Dir, f.Name)
		sum, err := hashFile(path)
		if err != nil {
			return err
		}
		if sum != f.SHA256 {
			return fmt.Errorf("%w: %s has SHA-256 %s, but its manifest says %s", ErrCorrupt, path, sum, f.SHA256)
		}
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// previous says which checkpoint stands before the one in dir.
func previous(dir string) string {
	here, _ := parseName(filepath.Base(dir))
	list, _ := List(filepath.Dir(filepath.Clean(dir)))
	for _, c := range list {
		if c.order().compare(here) < 0 {
			return "use the previous checkpoint, " + c.Dir
		}
	}
	return "there is no earlier checkpoint beside it"
}

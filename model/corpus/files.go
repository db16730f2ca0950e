package corpus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// source is one file to read.
type source struct {
	Path  string // absolute
	Size  int64
	MTime int64 // in ns
	Named bool  // by the user, so it may not be skipped silently
	group int   // number of the entry in Sources that names it first
}

// files returns the files that the sources name, each once, in the order of the sources and of their paths. c has its defaults.
func (c *Config) files() ([]source, error) {
	var all []source
	at := map[string]int{}
	for group, name := range c.Sources {
		found, err := c.find(name)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if i, ok := at[s.Path]; ok {
				all[i].Named = all[i].Named || s.Named
				continue
			}
			s.group = group
			at[s.Path] = len(all)
			all = append(all, s)
		}
	}
	return all, nil
}

// find returns the files of one entry of Sources, at least one.
func (c *Config) find(name string) ([]source, error) {
	path, err := expand(name)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.Base, path)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("source %q: %w", name, err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular():
		return []source{{path, info.Size(), info.ModTime().UnixNano(), true, 0}}, nil
	case err == nil && info.IsDir():
		return c.folder(name, path)
	case err == nil:
		return nil, fmt.Errorf("source %q: %s is neither a file nor a folder; only those can be read twice, as preparing needs", name, path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("source %q cannot be looked at: %w", name, err)
	case !strings.ContainsAny(path, "*?[{"):
		return nil, fmt.Errorf("source %q: there is no file or folder %s", name, path)
	}
	return glob(name, path)
}

func (c *Config) folder(name, path string) ([]source, error) {
	var found []source
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p != path && strings.HasPrefix(d.Name(), ".") { // .git, .cache, ...
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if plain := strings.TrimSuffix(p, compressed(p)); d.IsDir() || !slices.ContainsFunc(c.Extensions, func(e string) bool { return strings.HasSuffix(plain, e) }) {
			return nil
		}
		return take(&found, p)
	})
	if err != nil {
		return nil, fmt.Errorf("source %q cannot be read: %w", name, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("source %q: the folder %s holds no file ending in %s; set extensions to what its texts end in",
			name, path, strings.Join(c.Extensions, ", "))
	}
	return found, nil
}

func glob(name, pattern string) ([]source, error) {
	matches, err := doublestar.FilepathGlob(pattern, doublestar.WithFailOnIOErrors(), doublestar.WithNoFollow())
	if err != nil {
		return nil, fmt.Errorf("source %q cannot be matched: %w", name, err)
	}
	slices.Sort(matches)
	var found []source
	for _, p := range matches {
		if err := take(&found, p); err != nil {
			return nil, fmt.Errorf("source %q cannot be read: %w", name, err)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("source %q matches no file (looked for %s)", name, pattern)
	}
	return found, nil
}

// take appends the file at path, or where a link at path leads; folders and devices are passed over.
func take(found *[]source, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		*found = append(*found, source{path, info.Size(), info.ModTime().UnixNano(), false, 0})
	}
	return nil
}

// compressed returns the ending of path that says how it is compressed, or "".
func compressed(path string) string {
	for _, ext := range []string{".gz", ".zst"} {
		if strings.HasSuffix(path, ext) {
			return ext
		}
	}
	return ""
}

package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Files are several files that hold the tensors of one model, as large models are stored.
type Files struct {
	list []*File
	of   map[string]*File // by tensor
}

// OpenAll opens files of which no two hold a tensor of the same name.
func OpenAll(paths ...string) (*Files, error) {
	f := &Files{of: map[string]*File{}}
	for _, path := range paths {
		one, err := Open(path)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.list = append(f.list, one)
		for _, t := range one.tensors {
			if f.of[t.Name] != nil {
				return nil, errors.Join(fmt.Errorf("%s: %w: tensor %q is in a file before it too", path, ErrFormat, t.Name), f.Close())
			}
			f.of[t.Name] = one
		}
	}
	return f, nil
}

// ReadIndex reads model.safetensors.index.json, which says in which file of its folder each tensor lies, and returns the files'
// paths, sorted.
func ReadIndex(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map names no file", path)
	}
	names := slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
	for i, name := range names {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%s: weight_map names %q, which is not a file beside it", path, name)
		}
		names[i] = filepath.Join(filepath.Dir(path), name)
	}
	return names, nil
}

// Tensors describes all tensors, file by file.
func (f *Files) Tensors() (list []Info) {
	for _, one := range f.list {
		list = append(list, one.tensors...)
	}
	return list
}

// Lookup describes one tensor.
func (f *Files) Lookup(name string) (Info, bool) {
	if one := f.of[name]; one != nil {
		return one.Lookup(name)
	}
	return Info{}, false
}

// Float32 is [File.Float32] of the file that holds the tensor.
func (f *Files) Float32(name string, dst []float32) ([]float32, error) {
	if one := f.of[name]; one != nil {
		return one.Float32(name, dst)
	}
	return nil, fmt.Errorf("no tensor %q in the files", name)
}

// Close closes all files.
func (f *Files) Close() (err error) {
	for _, one := range f.list {
		err = errors.Join(err, one.Close())
	}
	return err
}

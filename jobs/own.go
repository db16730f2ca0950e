package jobs

import (
	"fmt"
	"os"
	"path/filepath"

	"saltern/distill/blockfile"
)

// own takes a training's folder, which has been claimed, for this process, until release is called or the process ends, however it
// ends: two trainings in one folder would write over each other's checkpoints.
func (t *training) own() (release func() error, err error) {
	f, err := os.OpenFile(t.settingsFile(), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := blockfile.Lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("another process is training in %s (%w); wait for that one, or end it", t.dir, err)
	}
	return f.Close, nil
}

// removeFolder removes a folder with its files of labels or scores, which the pattern finds in it, unless another process adds to one.
func removeFolder(dir, pattern string) error {
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := blockfile.Remove(path); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

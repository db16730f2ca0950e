package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// suspectPrefix stands in for that of a checkpoint's name once nobody is to go on from it.
const suspectPrefix = "suspect_"

// SetAside takes the checkpoints after a step out of the run, as what was learned since may be wrong: `latest` names the newest one up to the step, or is
// gone where there is none, and then step_00000400 becomes suspect_00000400, which no run reads and somebody may look at or remove. It gives the step
// that the run goes on from, 0 without a checkpoint, and the folders' new names.
func SetAside(root string, after int) (from int, suspects []string, err error) {
	return setAside(osFiles{}, root, after)
}

func setAside(fs filesystem, root string, after int) (from int, suspects []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, nil, err
	}
	list, err := List(root)
	if err != nil {
		return 0, nil, err
	}
	good := newestUpTo(list, after)
	if good != nil {
		from = good.Step
		err = setLatest(fs, root, filepath.Base(good.Dir))
	} else {
		err = fs.removeAll(filepath.Join(root, latestFile))
	}
	for _, e := range entries {
		o, ok := parseName(e.Name())
		if !ok || o.step <= after || err != nil {
			continue
		}
		var to string
		if to, err = freeSuspect(root, e.Name()); err == nil {
			suspects = append(suspects, to)
			err = fs.rename(filepath.Join(root, e.Name()), to)
		}
	}
	if err != nil || len(suspects) == 0 {
		return from, suspects, err
	}
	return from, suspects, fs.syncDir(root)
}

// newestUpTo is the first of a list, newest first, that is not after a step; nil: there is none.
func newestUpTo(list []*Checkpoint, step int) *Checkpoint {
	for _, c := range list {
		if c.Step <= step {
			return c
		}
	}
	return nil
}

// freeSuspect is a name that is not taken: a run may be wrong at the same step twice.
func freeSuspect(root, name string) (path string, err error) {
	for again := 0; err == nil; again++ {
		path = filepath.Join(root, suspectPrefix+strings.TrimPrefix(name, "step_"))
		if again > 0 {
			path += fmt.Sprintf("-%d", again)
		}
		_, err = os.Lstat(path)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return path, err
}

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var errKilled = errors.New("killed")

// faultyFiles works on the real disk until operation number at (from 1). That one is done by half, and fails; if dead, all
// later ones do nothing, as in a process that was killed. Every operation is noted in log.
type faultyFiles struct {
	osFiles
	at   int
	err  error
	dead bool
	n    int
	log  []string
}

// step counts an operation. now: this is the one that fails; err: do nothing.
func (f *faultyFiles) step(op string, paths ...string) (now bool, err error) {
	f.n++
	for i := range paths {
		paths[i] = stable(paths[i])
	}
	f.log = append(f.log, op+" "+strings.Join(paths, " -> "))
	switch {
	case f.at > 0 && f.n == f.at:
		return true, &os.PathError{Op: op, Path: paths[0], Err: f.err}
	case f.at > 0 && f.n > f.at && f.dead:
		return false, f.err
	}
	return false, nil
}

var random = regexp.MustCompile(`-[A-Z2-7]{8}\b`)

// stable shortens a path to what is the same in every run.
func stable(path string) string {
	_, rel, ok := strings.Cut(path, "root")
	if !ok {
		return "(parent)"
	}
	return random.ReplaceAllString("root"+rel, "-RANDOM")
}

func (f *faultyFiles) mkdirAll(path string) error {
	if _, err := f.step("mkdirall", path); err != nil {
		return err
	}
	return f.osFiles.mkdirAll(path)
}

func (f *faultyFiles) mkdir(path string) error {
	if _, err := f.step("mkdir", path); err != nil {
		return err
	}
	return f.osFiles.mkdir(path)
}

func (f *faultyFiles) rename(from, to string) error {
	if _, err := f.step("rename", from, to); err != nil {
		return err
	}
	return f.osFiles.rename(from, to)
}

func (f *faultyFiles) syncDir(path string) error {
	if _, err := f.step("syncdir", path); err != nil {
		return err
	}
	return f.osFiles.syncDir(path)
}

// removeAll by half removes the first file only.
func (f *faultyFiles) removeAll(path string) error {
	now, err := f.step("remove", path)
	if now {
		if entries, _ := os.ReadDir(path); len(entries) > 0 {
			_ = os.RemoveAll(filepath.Join(path, entries[0].Name()))
		}
	}
	if err != nil {
		return err
	}
	return f.osFiles.removeAll(path)
}

func (f *faultyFiles) create(path string) (file, error) {
	if _, err := f.step("create", path); err != nil {
		return nil, err
	}
	real, err := f.osFiles.create(path)
	return &faultyFile{real, path, f}, err
}

type faultyFile struct {
	file
	path string
	fs   *faultyFiles
}

func (f *faultyFile) Write(p []byte) (int, error) {
	now, err := f.fs.step("write", f.path)
	if now {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, err
	}
	if err != nil {
		return 0, err
	}
	return f.file.Write(p)
}

func (f *faultyFile) Sync() error {
	if _, err := f.fs.step("sync", f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Close() error {
	_, err := f.fs.step("close", f.path)
	return errors.Join(err, f.file.Close()) // a killed process closes its files too
}

func (f *faultyFiles) String() string {
	return fmt.Sprintf("operation %d (%s)", f.at, f.log[min(f.at, len(f.log))-1])
}

package compute

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"saltern/compute/vk"
)

// A driver that makes wrong code of a kernel may take the process with it, by a fault in its own thread or by losing the
// device. So before a kernel runs here for the first time its name is put into a file beside the cache, and the file is held
// locked until the kernel has run. A file that nobody holds any more names a kernel in which a process ended; it is not
// run again.

// attemptFile is what such a file says.
type attemptFile struct {
	Device  string    `json:"device"`
	Kernel  string    `json:"kernel"`
	Started time.Time `json:"started"`
	PID     int       `json:"pid"`
}

// attempt runs a kernel that may never have run here before.
func (t *Tuner) attempt(op *Op, k *Kernel, run func() error) error {
	name := op.Name + "/" + k.Name
	if t.file == "" || t.survived[name] {
		return run()
	}
	text, err := json.Marshal(attemptFile{t.known.device, name, time.Now().UTC(), os.Getpid()})
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(t.file), fmt.Sprintf("attempt-%.8x-%d.json", sha256.Sum256([]byte(t.known.device+name)), os.Getpid()))
	f, err := holdFile(path, text)
	if err != nil { // as with the cache itself: it costs care and nothing else
		return run()
	}
	defer f.Close()
	err = run()
	if errors.Is(err, vk.ErrLost) {
		return fmt.Errorf("%w while %s ran for the first time; the same command, given again, does without it", err, name) // the file stays
	}
	t.survived[name] = true
	return errors.Join(err, os.Remove(path))
}

// holdFile writes a file and keeps it locked until it is closed, by this process or by its end.
func holdFile(path string, text []byte) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Write(text); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// recover enters into the knowledge which kernels ended a process, and removes their files.
func (t *Tuner) recover() {
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(t.file), "attempt-*.json"))
	if t.file == "" || err != nil {
		return
	}
	for _, path := range paths {
		a, err := abandoned(path)
		if err != nil || a.Device != t.known.device {
			continue // held, gone meanwhile, or another device's
		}
		t.known.Crashed[a.Kernel] = fmt.Sprintf("process %d ended while it ran, on %s", a.PID, a.Started.Format(time.DateTime))
		t.known.fresh = true
		t.warn("%s is not used on %s (%s): %s; saltern tune tries it once more", a.Kernel, t.dev.vk.Name, t.dev.vk.Driver, t.known.Crashed[a.Kernel])
		t.save()
		os.Remove(path)
	}
}

var errHeld = errors.New("a process holds it")

// abandoned reads the file if the process that wrote it has ended.
func abandoned(path string) (a attemptFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return a, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return a, errHeld
	}
	return a, json.NewDecoder(f).Decode(&a)
}

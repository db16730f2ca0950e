package compute

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/cpu"

	"saltern/compute/vk"
	"saltern/shaders"
)

// knowledge is what is known of one device: its part of the cache file.
type knowledge struct {
	Saved   time.Time         `json:"saved"`
	Checked map[string]string `json:"checked"`           // operation/kernel: how it disagrees with the reference, empty if it does not
	Choices map[string]string `json:"choices"`           // class: kernel
	Crashed map[string]string `json:"crashed,omitempty"` // operation/kernel: the process that it ended

	device string
	loaded bool
	fresh  bool            // there is something to save
	chosen map[string]bool // classes, since the last save
}

func (k *knowledge) check(name, wrong string) { k.Checked[name], k.fresh = wrong, true }

func (k *knowledge) choose(class, kernel string) {
	if k.Choices[class] != kernel {
		k.Choices[class], k.fresh = kernel, true
		if k.chosen == nil {
			k.chosen = map[string]bool{}
		}
		k.chosen[class] = true
	}
}

// cacheFile is the whole file, which the devices and builds of several machines may share, as home folders are.
type cacheFile struct {
	Format  string                `json:"format"`
	Devices map[string]*knowledge `json:"devices"`
}

const (
	cacheFormat  = "saltern kernel choices, 1"
	cacheDevices = 64 // kept, the latest
)

// CacheFile is where choices are kept: tune.json in $SALTERN_CACHE, else $XDG_CACHE_HOME/saltern, else ~/.cache/saltern;
// empty if there is no such place. lookup reads the environment.
func CacheFile(lookup func(string) (string, bool)) string {
	for _, place := range []struct{ variable, under string }{{"SALTERN_CACHE", ""}, {"XDG_CACHE_HOME", "saltern"}, {"HOME", ".cache/saltern"}} {
		if dir, ok := lookup(place.variable); ok && dir != "" {
			return filepath.Join(dir, filepath.FromSlash(place.under), "tune.json")
		}
	}
	return ""
}

// identity names all that a choice depends on: device, driver, subgroup size (a setting of some drivers), the kernels'
// SPIR-V and names, the build, and, for a device that is the processor, which processor: its driver compiles for that one
// and has the same UUID everywhere.
func identity(d *Device) (string, error) {
	kernels, err := shaders.Sum()
	if err != nil {
		return "", err
	}
	for _, op := range Table {
		for _, k := range op.Kernels {
			kernels += " " + op.Name + "/" + k.Name
		}
	}
	i := d.Info()
	list := []string{i.Name, "UUID " + i.UUID, "driver " + i.Driver, fmt.Sprintf("version %d", i.DriverVersion), fmt.Sprintf("subgroups of %d", d.limits.Subgroup)}
	if i.Type == vk.CPU {
		list = append(list, Processor())
	}
	return strings.Join(append(list, fmt.Sprintf("kernels %.8x%s", sha256.Sum256([]byte(kernels)), revision())), ", "), nil
}

// Processor is this machine's processor, as far as the system tells: the model, how many of its CPUs are ours, and the
// widest vectors, on which it depends what a driver for the processor can make of a load.
func Processor() string {
	model, vectors := runtime.GOARCH, ""
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	switch {
	case cpu.X86.HasAVX512F:
		vectors = ", AVX-512"
	case cpu.X86.HasAVX2:
		vectors = ", AVX2"
	case cpu.ARM64.HasSVE:
		vectors = ", SVE"
	}
	return fmt.Sprintf("%s, %d CPUs%s", model, runtime.NumCPU(), vectors)
}

// revision is the commit of this build, if it was stamped: the half of a kernel that is written in Go has no sum.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) > 8 {
			return " of " + s.Value[:8]
		}
	}
	return ""
}

// load reads the cache, once.
func (t *Tuner) load() {
	k := &t.known
	if k.loaded {
		return
	}
	k.loaded = true
	k.Checked, k.Choices, k.Crashed = map[string]string{}, map[string]string{}, map[string]string{}
	defer t.recover()
	file, err := readCache(t.file)
	if err != nil {
		t.warn("%s; it is not used, and written anew", err)
		return
	}
	if have := file.Devices[k.device]; have != nil {
		for name, wrong := range have.Checked {
			k.Checked[name] = wrong
		}
		for class, kernel := range have.Choices {
			k.Choices[class] = kernel
		}
		if !t.Again {
			maps.Copy(k.Crashed, have.Crashed)
		}
	}
}

func readCache(path string) (*cacheFile, error) {
	empty := &cacheFile{Format: cacheFormat, Devices: map[string]*knowledge{}}
	if path == "" {
		return empty, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("the cache of kernel choices cannot be read: %w", err)
	}
	var c cacheFile
	if err := json.Unmarshal(text, &c); err != nil {
		return empty, fmt.Errorf("%s: the cache of kernel choices is damaged: %w", path, err)
	}
	if c.Format != cacheFormat || c.Devices == nil {
		return empty, fmt.Errorf("%s is no cache of kernel choices of this version of saltern", path)
	}
	maps.DeleteFunc(c.Devices, func(_ string, k *knowledge) bool { return k == nil })
	return &c, nil
}

// save writes what is new to the cache, beside what other processes wrote meanwhile. Where one of them chose for the same class, its
// choice, the earlier, counts here too, so that all give the same bits. Failing costs time at the next start and nothing else, so it
// is a warning, once.
func (t *Tuner) save() {
	k := &t.known
	if !k.fresh || t.file == "" || t.dev.damaged != "" { // what a damaged device shows is not true of the next process's
		return
	}
	k.fresh = false
	err := t.write()
	k.chosen = nil
	if err != nil {
		t.warn("kernel choices cannot be kept, so the next run measures again: %s; SALTERN_CACHE names another folder", err)
		t.file = ""
	}
}

func (t *Tuner) write() (err error) {
	dir := filepath.Dir(t.file)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	held, err := os.Open(dir) // from what is read to what is written no other process comes in between
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	_ = syscall.Flock(int(held.Fd()), syscall.LOCK_EX) // a folder on NFS has no such lock: there two can come in between, and one tunes again
	c, _ := readCache(t.file)                          // a bad one was reported by load, and is replaced
	if have := c.Devices[t.known.device]; have != nil {
		for name, wrong := range have.Checked {
			if _, ok := t.known.Checked[name]; !ok {
				t.known.Checked[name] = wrong
			}
		}
		for class, kernel := range have.Choices {
			mine, ok := t.known.Choices[class]
			switch {
			case !ok:
				t.known.Choices[class] = kernel
			case mine != kernel && t.known.chosen[class] && !t.Again:
				t.known.Choices[class] = kernel
				delete(t.used, class) // and is verified at its first use
			}
		}
		if !t.Again {
			maps.Copy(t.known.Crashed, have.Crashed)
		}
	}
	t.known.Saved = time.Now().UTC().Truncate(time.Second)
	c.Devices[t.known.device] = &t.known
	for len(c.Devices) > cacheDevices {
		oldest := ""
		for id, k := range c.Devices {
			if oldest == "" || k.Saved.Before(c.Devices[oldest].Saved) {
				oldest = id
			}
		}
		delete(c.Devices, oldest)
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(t.file, append(text, '\n'), 0o644, renameio.WithTempDir(dir))
}

package jobs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// captures are the processes whose "saltern devices --json" lies in jobs/place/testdata, by the name of the file: what fleet.sh is told.
func (f *fleet) captures(t *testing.T) map[string][]string {
	list := map[string][]string{"lavapipe_22": {"run", "host"}, "lavapipe_25": {"run", "trixie"}, "lavapipe_26": {"run", "sid"}, "several": {"several"}}
	for _, name := range strings.Fields(f.run(t, nil, "gpus")) {
		list[name] = []string{"gpu", name}
	}
	return list
}

// devices holds what saltern tells of the fleet's devices against the tables that the mapping of ranks to devices is tested with; -fix
// captures them anew.
func (f *fleet) devices(t *testing.T) {
	for name, args := range f.captures(t) {
		got := f.run(t, nil, append(args, f.saltern, "devices", "--json")...)
		path := filepath.Join("place", "testdata", name+".json")
		if want, err := os.ReadFile(path); err == nil && sameDevices(t, string(want), got) {
			continue
		}
		if !*fix {
			t.Errorf("%s is not what fleet.sh %v finds; run: make test-fleet\n%s", path, args, got)
		} else if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Error(err)
		}
	}
}

// sameDevices compares tables but for what is of the machine that they were captured on: its memory and its vectors.
func sameDevices(t *testing.T, a, b string) bool {
	t.Helper()
	normal := func(text string) string {
		var rows []map[string]any
		decode(t, text, &rows)
		for _, r := range rows {
			delete(r, "memory_gib")
			delete(r, "subgroup_sizes")
			if r["type"] == "CPU" {
				delete(r, "name")
			}
		}
		sorted, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		return string(sorted)
	}
	return normal(a) == normal(b)
}

// several runs saltern where three drivers are loaded at once: RADV, whose device only compiles, NVK, whose device runs nothing as there
// is none, and lavapipe.
func (f *fleet) several(t *testing.T) {
	p := severalDrivers{names: []string{"Null hardware (RADV NAVI31)", "NVK", "llvmpipe"}, best: 1, runs: 2, command: func(env []string, args ...string) *exec.Cmd {
		return f.command(env, append([]string{"several", f.saltern}, args...)...)
	}}
	p.test(t)
	t.Run("granted", func(t *testing.T) {
		p.chooses(t, 1, "SALTERN_DEVICE=0000:01:00.0")
		p.chooses(t, 1, "CUDA_VISIBLE_DEVICES=0")
		p.chooses(t, 1, "SLURM_STEP_GPUS=3")
		p.chooses(t, 2, "CUDA_VISIBLE_DEVICES=")
		out, _ := p.run(t, OK, []string{"SLURM_STEP_GPUS=3"}, "devices", "--slurm", "--json")
		if want := `"local_rank": 0, "index": 1, "name": "NVK", "pci": "0000:01:00.0"`; strings.Count(out, "local_rank") != 1 || !strings.Contains(out, want) || !strings.Contains(out, `"by": "SLURM_STEP_GPUS=3"`) {
			t.Errorf("not one rank with %s, granted by Slurm:\n%s", want, out)
		}
	})
	t.Run("runs nothing", func(t *testing.T) {
		if _, said := p.run(t, Failed, nil, "doctor", "--op", "add", "--random", "0"); !strings.Contains(said, "checks failed on NVK (NVK Mesa ") {
			t.Errorf("a device that runs nothing passed, or is not named:\n%s", said)
		}
	})
	t.Run("ranks", func(t *testing.T) { f.ranksOfSeveral(t, p) })
}

// ranksOfSeveral starts two ranks there: the only GPU is not for both, and as it runs nothing not for one; where none is granted both have the
// processor, and train as well as one process with lavapipe alone.
func (f *fleet) ranksOfSeveral(t *testing.T, p severalDrivers) {
	inFolder := func(dir string, kind Kind, env []string, args ...string) string {
		t.Helper()
		own := p
		own.command = func(env []string, args ...string) *exec.Cmd {
			c := p.command(append(env, "SALTERN_CACHE="+filepath.Join(dir, "cache")), args...)
			c.Dir = dir
			return c
		}
		_, said := own.run(t, kind, env, args...)
		return said
	}
	dir := newJob(t, fmt.Sprintf(fleetJob, f.text))
	launch := []string{"launch", "-n", "2", "--", "train", "--only", "slm", "job.toml"}
	if said := inFolder(dir, BadConfig, nil, launch...); !strings.Contains(said, "ranks 0 and 1 both have NVK (PCI 0000:01:00.0) of node 0") {
		t.Errorf("two ranks on one GPU of several drivers' are not found:\n%s", said)
	}
	if said := inFolder(dir, Failed, nil, launch[4:]...); !strings.Contains(said, "no kernel of matmul gives right results on NVK (NVK Mesa ") {
		t.Errorf("a training on a device that runs nothing does not say so:\n%s", said)
	}
	said := inFolder(dir, OK, []string{"CUDA_VISIBLE_DEVICES="}, launch...)
	if !strings.Contains(said, "device: llvmpipe") {
		t.Errorf("the first rank does not name its device:\n%s", said)
	}
	alone := newJob(t, fmt.Sprintf(fleetJob, f.text))
	c := f.command([]string{"SALTERN_CACHE=" + filepath.Join(alone, "cache")}, "run", "trixie", f.saltern, "train", "--only", "slm", "job.toml")
	c.Dir = alone
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	nearHeldOut(t, alone, dir, "slm")
}

package jobs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// severalDrivers is how to start saltern so that its process sees the devices of several drivers.
type severalDrivers struct {
	names      []string // of the devices by index, or how they begin; the first only compiles
	best, runs int      // indices: of the most capable device, and of one that runs kernels
	command    func(env []string, args ...string) *exec.Cmd
}

// TestSeveralDrivers runs with two drivers of this system: RADV's, whose device only compiles, and lavapipe.
func TestSeveralDrivers(t *testing.T) {
	manifests := func(driver string) string {
		list, err := filepath.Glob("/usr/share/vulkan/icd.d/" + driver + "_icd*.json")
		if err != nil || len(list) == 0 {
			t.Skipf("no manifest of %s in /usr/share/vulkan/icd.d (%v); Debian has it in mesa-vulkan-drivers", driver, err)
		}
		return list[0]
	}
	files := manifests("lvp") + ":" + manifests("radeon")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := severalDrivers{names: []string{"Null hardware (RADV NAVI10)", "llvmpipe"}, best: 1, runs: 1, command: func(env []string, args ...string) *exec.Cmd {
		c := exec.Command(self)
		c.Args = append([]string{"saltern"}, args...) // TestMain goes by the name
		c.Env = append(append(os.Environ(), "RADV_FORCE_FAMILY=NAVI10", "VK_DRIVER_FILES="+files, "VK_ICD_FILENAMES="+files), env...)
		return c
	}}
	if list, _ := p.run(t, OK, nil, "devices", "--json"); !strings.Contains(list, "RADV") {
		t.Skip("Mesa's RADV has no null device here, which it had up to version 25.0; make test-fleet runs this with another")
	}
	p.test(t)
}

// run runs saltern, wants that exit code and gives what it printed.
func (p severalDrivers) run(t *testing.T, want Kind, env []string, args ...string) (stdout, stderr string) {
	t.Helper()
	c := p.command(env, args...)
	var out, said strings.Builder
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); c.ProcessState == nil || c.ProcessState.ExitCode() != int(want) {
		t.Fatalf("%v saltern %v: %v, want exit code %d\n%s%s", env, args, err, want, &out, &said)
	}
	return out.String(), said.String()
}

// devices is what saltern devices --json lists.
func (p severalDrivers) devices(t *testing.T, env ...string) (list []struct {
	Chosen                 bool
	Index                  int
	Name, UUID, PCI, Lacks string
}) {
	t.Helper()
	out, _ := p.run(t, OK, env, "devices", "--json")
	decode(t, out, &list)
	return list
}

// chooses wants that device, and no other, to be the chosen one.
func (p severalDrivers) chooses(t *testing.T, index int, env ...string) {
	t.Helper()
	for _, d := range p.devices(t, env...) {
		if d.Chosen != (d.Index == index) {
			t.Errorf("%v: device %d, %s, is chosen: %v; want %d", env, d.Index, d.Name, d.Chosen, index)
		}
	}
}

// test is what holds wherever one process sees several drivers.
func (p severalDrivers) test(t *testing.T) {
	list := p.devices(t)
	if len(list) != len(p.names) {
		t.Fatalf("%+v, want %q", list, p.names)
	}
	for i, d := range list {
		if d.Index != i || !strings.HasPrefix(d.Name, p.names[i]) || (d.Lacks != "") != (i == 0) {
			t.Errorf("device %d is %+v; want %s", i, d, p.names[i])
		}
	}
	if list[0].PCI != "" || !strings.HasPrefix(list[0].Lacks, "memory") {
		t.Errorf("%+v; want a device without an address that lacks memory", list[0])
	}
	t.Run("choice", func(t *testing.T) {
		right := list[p.runs]
		p.chooses(t, p.best)
		for _, selector := range []string{fmt.Sprint(right.Index), right.UUID, strings.ToUpper(right.Name)} {
			p.chooses(t, p.runs, "SALTERN_DEVICE="+selector)
		}
	})
	t.Run("errors", func(t *testing.T) {
		for _, test := range []struct {
			device string
			kind   Kind
			says   string
		}{{"banana", NoDevice, `no Vulkan device found that "banana" names; there are`}, {"0", LacksFeature, `"0" names one that cannot be used; there are`}} {
			for _, command := range [][]string{{"devices"}, {"doctor", "--op", "add"}, {"generate", "no checkpoint"}} {
				_, said := p.run(t, test.kind, []string{"SALTERN_DEVICE=" + test.device}, command...)
				for _, want := range append([]string{test.says}, p.names...) {
					if !strings.Contains(said, want) {
						t.Errorf("%v with device %s does not say %q:\n%s", command, test.device, want, said)
					}
				}
			}
		}
	})
	t.Run("doctor", func(t *testing.T) {
		for _, how := range [][]string{{}, {"SALTERN_DEVICE=" + list[p.runs].UUID}} {
			args := []string{"doctor", "--op", "add", "--random", "0"}
			if len(how) == 0 {
				args = append(args, "--device", list[p.runs].UUID)
			}
			out, _ := p.run(t, OK, how, args...)
			for _, want := range append([]string{"a device can be used            ok      " + list[p.runs].Name}, p.names...) {
				if !strings.Contains(out, want) {
					t.Errorf("%v %v does not say %q:\n%s", how, args, want, out)
				}
			}
		}
	})
}

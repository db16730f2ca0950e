package jobs

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"saltern/compute/vk"
)

// TestRankVariables: a variable is for the rank that it names.
func TestRankVariables(t *testing.T) {
	own, err := rankVariables([]string{"1:SALTERN_DEVICE=0000:03:00.0", "0:A=b", "1:C="}, 2)
	if err != nil || !slices.Equal(own[1], []string{"SALTERN_DEVICE=0000:03:00.0", "C="}) || !slices.Equal(own[0], []string{"A=b"}) {
		t.Errorf("%v, %v", own, err)
	}
	for _, wrong := range []string{"A=b", "1:A", "1:=b", "x:A=b", "2:A=b", "-1:A=b"} {
		if _, err := rankVariables([]string{wrong}, 2); KindOf(err) != Usage || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// TestAskedDevice: what a process is told alone goes before what the job says, and what limits no GPU leaves the choice open.
func TestAskedDevice(t *testing.T) {
	env := map[string]string{}
	io := IO{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	check := func(asked, want string) {
		t.Helper()
		if got, err := io.pickAlone(asked); err != nil || got != want {
			t.Errorf("%v: %q, %v, want %q", env, got, err, want)
		}
	}
	check("", "")
	check("radeon", "radeon")
	env["SALTERN_DEVICE"] = "7"
	check("radeon", "7")
	delete(env, "SALTERN_DEVICE")
	env["CUDA_VISIBLE_DEVICES"] = ""
	if got, err := io.pickAlone(""); err != nil || got == "" {
		t.Errorf("limited: %q, %v", got, err)
	}
}

// TestNotShared: ranks learn together that two of them have one GPU, unless the job wants that.
func TestNotShared(t *testing.T) {
	device := vk.Info{Name: "Radeon", PCI: "0000:03:00.0", Type: vk.Discrete}
	share := func(d vk.Info, shared bool) error {
		return errors.Join(inRanks(t, 3, func(ctx context.Context, r *ranks) error {
			err := r.sit(ctx, d, shared)
			if err != nil && KindOf(err) != BadConfig {
				t.Error(err)
			}
			return err
		})...)
	}
	if err := share(device, false); err == nil || strings.Count(err.Error(), "ranks 0 and 1 both have Radeon (PCI 0000:03:00.0) of node 0") != 3 {
		t.Error(err)
	}
	processor := device
	processor.Type = vk.CPU
	if err := errors.Join(share(device, true), share(processor, false)); err != nil {
		t.Error(err)
	}
}

// TestMostMemory: a process plans with as much of its device as it may take, and never with more than there is.
func TestMostMemory(t *testing.T) {
	open := func(text string) (int64, error) {
		d, err := openDevice(IO{Env: func(name string) (string, bool) {
			if name == "SALTERN_MEMORY" {
				return text, true
			}
			return os.LookupEnv(name)
		}}, "")
		if err != nil {
			return 0, err
		}
		defer d.Close()
		return d.Limits().Memory, nil
	}
	all, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int64{"3MiB": 3 << 20, "1000TiB": all} {
		if got, err := open(text); err != nil || got != want {
			t.Errorf("SALTERN_MEMORY=%s: %d, want %d (%v)", text, got, want, err)
		}
	}
	if _, err := open("much"); KindOf(err) != Usage || !strings.Contains(err.Error(), `SALTERN_MEMORY: "much" is no size; write it as 24GiB`) {
		t.Errorf("%v", err)
	}
}

package jobs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestWholeJobs runs whole jobs with the real program, main.go and its signals included, under the validation layer where
// SALTERN_VALIDATION is set: each command closes its device with what the layer said, and fails if that is anything.
func TestWholeJobs(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "saltern"), "saltern")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building saltern: %v\n%s", err, out)
	}
	t.Run("stopped", func(t *testing.T) { testStopped(t, filepath.Join(bin, "saltern")) })
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:                 "testdata/script/job",
			RequireExplicitExec: true,
			RequireUniqueNames:  true,
			Setup: func(env *testscript.Env) error {
				env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
				env.Setenv("SALTERN_VALIDATION", os.Getenv("SALTERN_VALIDATION"))
				return nil
			},
			Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
			Condition: condition,
		})
	})
}

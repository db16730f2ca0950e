package jobs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// program is the saltern that main.go makes, with a cache of kernel choices that its processes share: tuning anew in each
// would take minutes, and might choose other kernels, which give other bits.
type program struct{ path, cache string }

// TestWholeJobs runs whole jobs with the real program, main.go and its signals included, under the validation layer where
// SALTERN_VALIDATION is set: each command closes its device with what the layer said, and fails if that is anything.
func TestWholeJobs(t *testing.T) {
	bin := t.TempDir()
	saltern := program{filepath.Join(bin, "saltern"), t.TempDir()}
	build := exec.Command("go", "build", "-o", saltern.path, "saltern")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building saltern: %v\n%s", err, out)
	}
	t.Run("stopped", func(t *testing.T) { testStopped(t, saltern) })
	t.Run("stopped selection", func(t *testing.T) { testStoppedSelection(t, saltern) })
	t.Run("failures", func(t *testing.T) { testFailures(t, saltern) })
	t.Run("ranks", func(t *testing.T) { testRanks(t, saltern) })
	t.Run("mixed", func(t *testing.T) { testMixed(t, saltern) })
	t.Run("shares", func(t *testing.T) { testShares(t, saltern) })
	t.Run("sick", func(t *testing.T) { testSick(t, saltern) })
	t.Run("apart", func(t *testing.T) { testApart(t, saltern) })
	t.Run("rounding", func(t *testing.T) { testRounding(t, saltern) })
	t.Run("roles", func(t *testing.T) { testRoles(t, saltern) })
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:                 "testdata/script/job",
			RequireExplicitExec: true,
			RequireUniqueNames:  true,
			Setup: func(env *testscript.Env) error {
				env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
				env.Setenv("SALTERN_CACHE", saltern.cache)
				env.Setenv("SALTERN_VALIDATION", os.Getenv("SALTERN_VALIDATION"))
				return nil
			},
			Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
			Condition: condition,
		})
	})
}

package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts below run this test binary as "saltern".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"saltern": func() { os.Exit(Main(context.Background(), ProcessIO(), os.Args[1:])) },
	})
}

func TestScripts(t *testing.T) {
	cache := t.TempDir() // of kernel choices, shared: tuning anew in every script would take minutes
	testscript.Run(t, testscript.Params{
		Setup: func(e *testscript.Env) error {
			e.Setenv("SALTERN_CACHE", cache)
			e.Setenv("SALTERN_VALIDATION", os.Getenv("SALTERN_VALIDATION"))
			return nil
		},
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
		},
		Condition: condition,
	})
}

// exits runs a command and wants that exit code: exits 64 saltern config job.toml.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command [args]")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code = exitCodeOf(err)
	}
	if code != args[0] {
		ts.Fatalf("%v ended with exit code %s, want %s", args[1:], code, args[0])
	}
}

// condition knows [tmpfs]: a small file system may be mounted in a namespace of its own.
func condition(name string) (bool, error) {
	if name != "tmpfs" {
		return false, fmt.Errorf("there is no condition %q", name)
	}
	return exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "none", os.TempDir()).Run() == nil, nil
}

func exitCodeOf(err error) string {
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return strconv.Itoa(e.ExitCode())
	}
	return err.Error()
}

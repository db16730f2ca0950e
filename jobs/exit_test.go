package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"saltern/cluster"
	"saltern/compute/vk"
)

// TestExitCodesStay pins numbers that scripts and Slurm's configuration rely on. Add lines; change none.
func TestExitCodesStay(t *testing.T) {
	want := map[Kind]int{
		OK: 0, Failed: 1, Usage: 2, BadConfig: 64, BadData: 65, NoDevice: 66, LacksFeature: 67, NoMemory: 68,
		BadCheckpoint: 69, DiskFull: 70, Diverged: 71, Interrupted: 72, RankLost: 73, SickDevice: 74, Requeue: 75,
	}
	for _, e := range exitCodes() {
		code, pinned := want[e.kind]
		if !pinned || code != int(e.kind) {
			t.Errorf("exit code %d (%s) is pinned at %d (known: %v)", int(e.kind), e.name, code, pinned)
		}
		delete(want, e.kind)
	}
	if len(want) > 0 {
		t.Errorf("these are in no table of exit codes: %v", want)
	}
}

func TestKindOf(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "ckpt", Err: syscall.ENOSPC}
	for _, test := range []struct {
		why  string
		err  error
		want Kind
	}{
		{"no error", nil, OK},
		{"an error of no known kind", errors.New("x"), Failed},
		{"a kind survives wrapping", fmt.Errorf("step 3: %w", fail(Diverged, "loss is NaN")), Diverged},
		{"the system's own errors have kinds", fmt.Errorf("saving: %w", full), DiskFull},
		{"so has a machine without Vulkan", fmt.Errorf("starting: %w", vk.ErrNoDriver), NoDevice},
		{"so has a cancelled context", fmt.Errorf("training: %w", context.Canceled), Interrupted},
		{"a rank that is lost is to be started again with the others", fmt.Errorf("step 3: %w", &cluster.RankLost{Rank: 1}), Requeue},
		{"a rank that failed would fail again", fmt.Errorf("step 3: %w", &cluster.RankLost{Rank: 1, Failed: true}), RankLost},
		{"Ctrl-C interrupts", fmt.Errorf("stopped: %w", Stop{Signal: os.Interrupt}), Interrupted},
		{"so does a SIGTERM", fmt.Errorf("stopped: %w", Stop{Signal: syscall.SIGTERM}), Interrupted},
		{"a queue's SIGTERM ends a job's turn", fmt.Errorf("stopped: %w", Stop{Signal: syscall.SIGTERM, Queued: true}), Requeue},
		{"a Ctrl-C in a queue does not", fmt.Errorf("stopped: %w", Stop{Signal: os.Interrupt, Queued: true}), Interrupted},
		{"SIGUSR1 ends it anywhere", fmt.Errorf("stopped: %w", Stop{Signal: syscall.SIGUSR1}), Requeue},
		{"a kind given on purpose wins over a sentinel inside", &Error{Requeue, context.Canceled}, Requeue},
	} {
		if got := KindOf(test.err); got != test.want {
			t.Errorf("%s: kind %q, want %q", test.why, got, test.want)
		}
	}
}

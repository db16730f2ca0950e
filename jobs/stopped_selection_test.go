package jobs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// selectionJob is stoppedJob with a selection from most of its text: enough blocks of scores to be stopped between.
const selectionJob = stoppedJob + `
method = "salt-ds"
[select]
candidates = 2900
`

// scored waits for scores of that many bytes.
func scored(size int64) moment {
	return moment{fmt.Sprintf("scores of %d bytes", size), func(run string) bool {
		info, err := os.Stat(filepath.Join(run, "score", scoresName))
		return err == nil && info.Size() >= size
	}}
}

// testStoppedSelection kills and interrupts a training with a selection around its special moments: the checkpoint that is kept for
// scoring, scoring itself, stage 1. The scores and the training end in the bytes of one that never was.
func testStoppedSelection(t *testing.T, saltern program) {
	undisturbed, dir := newJob(t, selectionJob), newJob(t, selectionJob)
	start(t, saltern, undisturbed, "train", "job.toml").finish(t)
	want := scoresOf(t, undisturbed)
	const seed = 8
	rng := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for _, m := range []moment{
		there("the early checkpoint", "slm/checkpoints/step_00000003"), there("a file of scores", filepath.Join("score", scoresName)),
		scored(1000), scored(int64(len(want)) / 2), scored(int64(len(want)) * 9 / 10),
		after("llm-salt-ds", 2), saving("llm-salt-ds"), after("llm-salt-ds", 13), after("llm-salt-ds", 16),
	} {
		p := start(t, saltern, dir, "train", "job.toml")
		reached := p.at(t, m, time.Duration(rng.IntN(3000))*time.Microsecond)
		_ = p.Process.Kill()
		<-p.ended
		if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); reached && ok && status.Signaled() {
			killed++
		} else if p.ProcessState.ExitCode() != 0 {
			t.Fatalf("%s: the training ended by itself: %v\n%s", m.name, p.ProcessState, p.stderr.String())
		}
		if text, err := os.ReadFile(filepath.Join(dir, "runs", "job", "score", scoresName)); err == nil {
			t.Logf("%s: killed %v, %d bytes of scores", m.name, reached, len(text))
			if !bytes.HasPrefix(want, text) {
				t.Errorf("%s: what there is of the scores is not their beginning", m.name)
			}
		}
	}
	if killed < 6 {
		t.Errorf("only %d of the moments were hit", killed)
	}
	start(t, saltern, dir, "train", "job.toml").finish(t)
	if got := scoresOf(t, dir); !bytes.Equal(got, want) {
		t.Errorf("the scores are other bytes than those of an undisturbed pass (%d and %d of them)", len(got), len(want))
	}
	sameRuns(t, undisturbed, dir, "slm", "llm-salt-ds")
	testInterruptedScoring(t, saltern, undisturbed, want)
}

// testInterruptedScoring asks a pass to stop, then takes another step of its file away: saltern score goes on both times.
func testInterruptedScoring(t *testing.T, saltern program, undisturbed string, want []byte) {
	dir := newJob(t, selectionJob)
	if out, err := exec.Command("cp", "-r", filepath.Join(undisturbed, "runs"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	path := filepath.Join(dir, "runs", "job", "score", scoresName)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p := start(t, saltern, dir, "score", "job.toml")
	if !p.at(t, scored(int64(len(want))/3), 0) {
		t.Fatalf("scoring ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	stopped := regexp.MustCompile(`(?m)^saltern: scoring stopped at (\d+) of 2900 sequences, kept in runs/job/score/scores.bin; the same command goes on from there: interrupt signal received\n$`)
	if code := p.ProcessState.ExitCode(); code != int(Interrupted) || !stopped.MatchString(p.stderr.String()) {
		t.Fatalf("%v, want exit code %d\n%s", p.ProcessState, Interrupted, p.stderr.String())
	}
	p = start(t, saltern, dir, "select", "job.toml")
	<-p.ended
	if code := p.ProcessState.ExitCode(); code != int(BadData) || !strings.Contains(p.stderr.String(), "and there are 2900 candidates; score the rest: saltern score") {
		t.Errorf("a selection from scores that are not complete: %v\n%s", p.ProcessState, p.stderr.String())
	}
	start(t, saltern, dir, "score", "job.toml").finish(t)
	if got := scoresOf(t, dir); !bytes.Equal(got, want) {
		t.Error("after an interruption the scores are other bytes")
	}
	if err := os.Truncate(path, int64(len(want))-777); err != nil {
		t.Fatal(err)
	}
	start(t, saltern, dir, "score", "job.toml").finish(t)
	if got := scoresOf(t, dir); !bytes.Equal(got, want) {
		t.Error("after a torn tail the scores are other bytes")
	}
}

func scoresOf(t *testing.T, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "runs", "job", "score", scoresName))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

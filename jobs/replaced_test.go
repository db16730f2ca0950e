package jobs

import (
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"saltern/jobs/metrics"
)

// testReplaced kills a rank, and then the one that has come in its place: each time the others go on, let the next one in between two
// steps, and are as many as before. Every step is measured once, on the text of an undisturbed run and with its losses.
func testReplaced(t *testing.T, saltern program, undisturbed string) {
	long := strings.Replace(failuresJob, "steps = 60", "steps = 2000", 1)
	for name, sets := range map[string][]string{"replicated": nil, "sharded": {"--set=cluster.shard_optimizer=true"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newJob(t, long)
			train := append([]string{"--", "train", "--only", "slm", "--set=cluster.elastic=true", "--set=cluster.heartbeat=2"}, sets...)
			p := start(t, saltern, dir, append(append([]string{"launch", "-n", "3", "--restarts", "2"}, train...), "job.toml")...)
			in := regexp.MustCompile(`rank 1 \(\S+, process (\d+)\) came in a lost one's place; 3 ranks go on\nSLM: going on from step (\d+); ranks are 3, and were 2`)
			steps := 9
			for lives := 1; lives <= 2; lives++ {
				if !p.at(t, after("slm", steps), 0) {
					t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
				}
				victim := child(t, p, 1)
				if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				back := moment{"its successor is in", func(string) bool { return len(in.FindAllString(p.stderr.String(), -1)) == lives }}
				if !p.at(t, back, 0) {
					t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
				}
				said := in.FindAllStringSubmatch(p.stderr.String(), -1)[lives-1]
				if now := child(t, p, 1); said[1] != strconv.Itoa(now) || now == victim {
					t.Errorf("rank 1 is process %d, which was %d; said is %s", now, victim, said[1])
				}
				last, _ := strconv.Atoi(said[2])
				steps = last + 9
			}
			if !p.at(t, after("slm", steps), 0) {
				t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
			}
			_ = p.Process.Signal(syscall.SIGTERM)
			<-p.ended
			if code := p.ProcessState.ExitCode(); code != int(Interrupted) || !strings.Contains(p.stderr.String(), "saltern: all 3 ranks have stopped") {
				t.Errorf("%v\n%s", p.ProcessState, p.stderr.String())
			}
			quiet := newJob(t, long)
			q := start(t, saltern, quiet, append(append([]string{"launch", "-n", "3"}, train...), "job.toml")...)
			if !q.at(t, after("slm", steps), 0) {
				t.Fatalf("ended by itself: %v\n%s", q.ProcessState, q.stderr.String())
			}
			_ = q.Process.Signal(syscall.SIGTERM)
			<-q.ended
			nearSteps(t, measured(t, filepath.Join(quiet, "runs", "job", "slm"))[:steps], measured(t, filepath.Join(dir, "runs", "job", "slm"))[:steps])
		})
	}
	t.Run("used up", func(t *testing.T) {
		t.Parallel()
		dir := newJob(t, failuresJob)
		p := start(t, saltern, dir, "launch", "-n", "2", "--restarts", "1", "--", "train", "--only", "slm", "--set=cluster.elastic=true", "--set=cluster.heartbeat=2", "job.toml")
		if !p.at(t, after("slm", 40), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		_ = syscall.Kill(child(t, p, 1), syscall.SIGKILL)
		p.finish(t) // the one that comes in its place may be let in, or find that the job is over
		nearSteps(t, measured(t, filepath.Join(undisturbed, "runs", "job", "slm")), measured(t, filepath.Join(dir, "runs", "job", "slm")))
	})
}

// nearSteps wants each step measured once, on the same text, with the same losses but for the last digits.
func nearSteps(t *testing.T, want, got []metrics.Record) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d lines of metrics, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		near := func(key string) bool { return math.Abs(g.Values[key]-w.Values[key]) <= 1e-4 }
		if g.Step != w.Step || g.Tokens != w.Tokens || slices.ContainsFunc([]string{metrics.TrainLoss, metrics.ValLoss}, func(key string) bool { return !near(key) }) {
			t.Errorf("%+v, want %+v", g, w)
		}
	}
}

package jobs

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"saltern/jobs/metrics"
)

// failuresJob is a training alone, of microbatches that three ranks do not divide.
const failuresJob = `
[corpus]
sources = ["$GOROOT/src/sort/*.go", "$GOROOT/src/strings/*.go"]
max_bytes = 100000
document_bytes = 2000
[tokenizer]
vocab_size = 300
[cluster]
heartbeat = 3
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 60, batch = 8, microbatch = 2, lr = 0.003, checkpoint_every = 7, eval_every = 20, eval_tokens = 256, log_every = 1 }
[llm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 4, batch = 8, microbatch = 2, lr = 0.003 }
`

var trainOnThree = []string{"launch", "-n", "3", "--", "train", "--only", "slm", "job.toml"}

// testFailures takes ranks from jobs of three.
func testFailures(t *testing.T, saltern program) {
	undisturbed := newJob(t, failuresJob)
	start(t, saltern, undisturbed, trainOnThree...).finish(t)
	t.Run("kills", func(t *testing.T) { testKills(t, saltern, undisturbed) })
	t.Run("stopped", func(t *testing.T) { testStoppedRank(t, saltern, undisturbed) })
	t.Run("elastic", func(t *testing.T) { testElastic(t, saltern, undisturbed) })
	t.Run("replaced", func(t *testing.T) { testReplaced(t, saltern, undisturbed) })
	t.Run("disk full", func(t *testing.T) { testFullDisk(t, saltern) })
}

// testKills kills one rank or another at any moment, again and again: the same command goes on, and ends in the bits of a run that nothing
// disturbed. A loss before all have met is no one's to notice but the launcher's.
func testKills(t *testing.T, saltern program, undisturbed string) {
	t.Parallel()
	dir := newJob(t, failuresJob)
	rng := rand.New(rand.NewPCG(1, 20))
	hasty := append(slices.Clone(trainOnThree), "--set", "cluster.heartbeat=1.5") // most of the time is waiting for that
	kills, saved := 0, 0
	for range 20 {
		p := start(t, saltern, dir, hasty...)
		lines := bytes.Count(metricsOf(dir), []byte("\n"))
		victim, moment, later := rng.IntN(3), "as they start", time.Duration(rng.IntN(800))*time.Millisecond
		if rng.IntN(4) > 0 {
			m := after("slm", lines+rng.IntN(6))
			if !p.at(t, m, 0) {
				break
			}
			moment, later = m.name, time.Duration(rng.IntN(30))*time.Millisecond
		}
		time.Sleep(later)
		for pid := 0; pid == 0 && !p.over(); time.Sleep(time.Millisecond) {
			if pid = rankOf(p, victim); pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		<-p.ended
		text := p.stderr.String()
		code := Kind(p.ProcessState.ExitCode())
		if code == OK {
			break
		}
		if code != Requeue && (code != Failed || strings.Contains(text, "device:")) {
			t.Fatalf("rank %d killed %s: %v\n%s", victim, moment, p.ProcessState, text)
		}
		named := regexp.MustCompile(`(?m)^saltern: .*\brank (\d)\b`).FindAllStringSubmatch(text, -1)
		switch n := len(named); {
		case n != 1 && (n == 0 || moment != "as they start"): // as they start one that is slow may say that it cannot join, too
			t.Errorf("rank %d killed %s: the culprit is named in %d lines:\n%s", victim, moment, n, text)
		case named[n-1][1] == strconv.Itoa(victim): // else another was too busy to be heard of, which is no mistake
			kills++
		}
		if strings.Contains(text, "which is saved") {
			saved++
		}
	}
	if kills < 10 || saved == 0 {
		t.Errorf("%d kills, after %d of which a checkpoint was saved", kills, saved)
	}
	t.Logf("%d kills, after %d of which a checkpoint was saved", kills, saved)
	start(t, saltern, dir, trainOnThree...).finish(t)
	sameTraining(t, undisturbed, dir, "slm")
}

// testStoppedRank: a rank that is silent is named by the others, who do not wait for it.
func testStoppedRank(t *testing.T, saltern program, undisturbed string) {
	t.Parallel()
	dir := newJob(t, failuresJob)
	p := start(t, saltern, dir, trainOnThree...)
	if !p.at(t, after("slm", 9), 0) {
		t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
	}
	if err := syscall.Kill(child(t, p, 1), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	want := `\nsaltern: rank 1 \(\S+\) is lost: it was silent for \S+; SLM stopped at step \d+ of 60, which is saved; the same command goes on from what is saved\nsaltern: the ranks have stopped, and the same command goes on\n$`
	if code := p.ProcessState.ExitCode(); code != int(Requeue) || !regexp.MustCompile(want).MatchString(p.stderr.String()) {
		t.Fatalf("%v\n%s\nwant %s", p.ProcessState, p.stderr.String(), want)
	}
	start(t, saltern, dir, trainOnThree...).finish(t)
	sameTraining(t, undisturbed, dir, "slm")
}

// testElastic kills a rank of a job that is to go on without it: the others redo the step that it was lost in, and all that follows, with
// its share among them. Every step is measured once, on the same text. With a sharded optimizer they go back to the last checkpoint.
func testElastic(t *testing.T, saltern program, undisturbed string) {
	for _, test := range []struct{ name, set, said string }{
		{"replicated", "cluster.elastic=true", `SLM stopped at step (\d+) of 60, which is saved; 2 ranks go on from what is saved`},
		{"sharded", "cluster.shard_optimizer=true", `SLM stopped at step \d+ of 60, and was saved at step (\d+), as that rank has taken its part of the optimizer's state along; 2 ranks go on from what is saved`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := newJob(t, failuresJob)
			p := start(t, saltern, dir, "launch", "-n", "3", "--", "train", "--only", "slm", "--set", "cluster.elastic=true", "--set", test.set, "job.toml")
			if !p.at(t, after("slm", 17), 0) {
				t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
			}
			if err := syscall.Kill(child(t, p, 1), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			p.finish(t)
			text := p.stderr.String()
			said := regexp.MustCompile(`rank 1 \(\S+\) is lost: it was silent for \S+; ` + test.said).FindStringSubmatch(text)
			if said == nil || strings.Count(text, "rank 1 (") != 1 {
				t.Fatalf("not said, or not once:\n%s", text)
			}
			again, _ := strconv.Atoi(said[1])
			want, got := measured(t, filepath.Join(undisturbed, "runs", "job", "slm")), measured(t, filepath.Join(dir, "runs", "job", "slm"))
			if len(want) != len(got) {
				t.Fatalf("%d lines of metrics, want %d", len(got), len(want))
			}
			for i, w := range want {
				tolerance := 1e-6
				if w.Step > again {
					tolerance = 1e-4
				}
				g := got[i]
				if g.Step != w.Step || g.Tokens != w.Tokens || math.Abs(g.Values[metrics.TrainLoss]-w.Values[metrics.TrainLoss]) > tolerance || math.Abs(g.Values[metrics.ValLoss]-w.Values[metrics.ValLoss]) > tolerance {
					t.Errorf("%+v, want %+v", g, w)
				}
			}
		})
	}
}

// testFullDisk: where the first rank cannot save, all end for that reason, and the checkpoint before stands.
func testFullDisk(t *testing.T, saltern program) {
	if ok, err := condition("tmpfs"); !ok {
		t.Skip("no file system may be mounted here", err)
	}
	dir := newJob(t, failuresJob)
	start(t, saltern, dir, "prepare", "job.toml").finish(t)
	shell := program{"unshare", saltern.cache}
	p := start(t, shell, dir, "-m", "sh", "-c", `set -e
cp -r runs prepared; mount -t tmpfs -o size=$(($(du -sk runs | cut -f1) + 500))k none runs; cp -r prepared/. runs
`+saltern.path+` `+strings.Join(trainOnThree, " ")+` || code=$?
ls runs/job/slm/checkpoints; exit $code`)
	<-p.ended
	text := p.stderr.String()
	if code := p.ProcessState.ExitCode(); code != int(DiskFull) || strings.Count(text, "no space left on device") != 1 || !strings.Contains(p.stdout.String(), "latest") {
		t.Errorf("%v\n%s%s", p.ProcessState, text, p.stdout.String())
	}
}

// over says that the process has ended.
func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// metricsOf is what the training of failuresJob has measured up to now.
func metricsOf(dir string) []byte {
	text, _ := os.ReadFile(filepath.Join(dir, "runs", "job", "slm", metrics.Name))
	return text
}

// rankOf is the process of a rank; 0: there is none.
func rankOf(p *process, rank int) int {
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid))
	for _, path := range children {
		text, _ := os.ReadFile(path)
		for _, pid := range strings.Fields(string(text)) {
			env, _ := os.ReadFile("/proc/" + pid + "/environ")
			if bytes.Contains(env, fmt.Appendf(nil, "\x00SALTERN_RANK=%d\x00", rank)) {
				n, _ := strconv.Atoi(pid)
				return n
			}
		}
	}
	return 0
}

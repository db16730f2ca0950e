package jobs

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"saltern/jobs/metrics"
)

// ranksJob is stoppedJob with more microbatches, and with all that has a part of its own in a training among ranks: the mixture of
// objectives, a teacher, and the decision to do without it.
const ranksJob = `
[corpus]
sources = ["$GOROOT/src/sort/*.go", "$GOROOT/src/strings/*.go"]
max_bytes = 200000
document_bytes = 2000
[tokenizer]
vocab_size = 400
[cluster]
heartbeat = 3
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { objective = "ul2", steps = 30, batch = 8, microbatch = 2, lr = 0.003, checkpoint_every = 7, eval_every = 10, eval_tokens = 256, log_every = 1 }
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 32 }
train = { objective = "ul2", steps = 30, batch = 8, microbatch = 2, lr = 0.003, checkpoint_every = 7, eval_every = 10, eval_tokens = 256, log_every = 1 }
[distill]
transition = "auto"
window = 5
kd_steps = 28
`

// testRanks holds jobs of several ranks against that of one.
func testRanks(t *testing.T, saltern program) {
	launch := func(n int, more ...string) []string {
		return append([]string{"launch", "-n", strconv.Itoa(n), "--"}, more...)
	}
	alone := newJob(t, ranksJob)
	start(t, saltern, alone, "run", "job.toml").finish(t)
	two := newJob(t, ranksJob)
	start(t, saltern, two, launch(2, "run", "job.toml")...).finish(t)

	t.Run("as one", func(t *testing.T) {
		four := newJob(t, ranksJob)
		start(t, saltern, four, launch(4, "run", "job.toml")...).finish(t)
		for _, training := range all {
			sameLosses(t, alone, two, training)
			sameLosses(t, alone, four, training)
		}
	})
	t.Run("passes and shards", func(t *testing.T) {
		ranks := newJob(t, ranksJob) // with the same SLM
		if err := os.CopyFS(filepath.Join(ranks, "runs"), os.DirFS(filepath.Join(alone, "runs"))); err != nil {
			t.Fatal(err)
		}
		for training, sets := range map[string][]string{
			"llm-rkd":     {"distill.method=rkd", "distill.labels=offline"},
			"llm-salt-ds": {"distill.method=salt-ds", "distill.transition=step", "distill.teacher=equal-entropy"},
		} {
			args := []string{"train", "job.toml", "--set", "cluster.shard_optimizer=true"}
			for _, s := range sets {
				args = append(args, "--set", s)
			}
			start(t, saltern, alone, args...).finish(t)
			start(t, saltern, ranks, launch(4, args...)...).finish(t)
			sameLosses(t, alone, ranks, training)
		}
		start(t, saltern, ranks, launch(2, "compare", "--seeds", "1", "--set", `compare.methods=["baseline"]`, "--set", `compare.controls=["baseline-70"]`, "job.toml")...).finish(t)
		if found, err := filepath.Glob(filepath.Join(ranks, "runs", "job", "compare", "llm-baseline-*", "held_out.json")); err != nil || len(found) != 1 {
			t.Errorf("of the control there is %v, %v", found, err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		dir := newJob(t, ranksJob)
		p := start(t, saltern, dir, launch(2, "run", "job.toml")...)
		if !p.at(t, after("llm-salt", 12), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		if err := p.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		said := regexp.MustCompile(`(?m)^saltern: SALT stopped at step \d+ of 30, saved in \S+; the same command goes on from there: .+\nsaltern: all 2 ranks have stopped\n$`)
		if code := p.ProcessState.ExitCode(); code != int(Interrupted) || !said.MatchString(p.stderr.String()) {
			t.Fatalf("%v, want exit code %d\n%s", p.ProcessState, Interrupted, p.stderr.String())
		}
		start(t, saltern, dir, launch(2, "run", "job.toml")...).finish(t)
		sameRuns(t, two, dir, all...)
	})
	t.Run("other number", func(t *testing.T) {
		t.Parallel()
		dir := newJob(t, ranksJob)
		p := start(t, saltern, dir, launch(4, "train", "--only", "slm", "job.toml")...)
		if !p.at(t, after("slm", 9), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		p = start(t, saltern, dir, "train", "--only", "slm", "job.toml")
		p.finish(t)
		if !strings.Contains(p.stderr.String(), "; ranks are 1, and were 4: sums have another order from here") {
			t.Errorf("not told:\n%s", p.stderr.String())
		}
		sameLosses(t, alone, dir, "slm")
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		dir, slm := newJob(t, ranksJob), launch(2, "train", "--only", "slm", "job.toml")
		for rank := range 2 {
			p := start(t, saltern, dir, slm...)
			if !p.at(t, after("slm", 9+6*rank), 0) {
				t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
			}
			victim := child(t, p, rank)
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			// Nothing is wrong with the job, so a queue is to start it again.
			want := []string{
				fmt.Sprintf(`\nsaltern: rank 0 of 2 \(process %d\) was ended by a signal: killed; the others have stopped, and the same command goes on from the last checkpoint\n$`, victim),
				fmt.Sprintf(`\nsaltern: rank 1 \(\S+\) is lost: it was silent for \S+; \w+ stopped at step \d+ of 30, .+; the same command goes on from what is saved\nsaltern: process %d was ended by a signal: killed; the other ranks have stopped, and the same command goes on\n$`, victim),
			}[rank]
			if code := p.ProcessState.ExitCode(); code != int(Requeue) || !regexp.MustCompile(want).MatchString(p.stderr.String()) {
				t.Fatalf("%v\n%s\nwant %s", p.ProcessState, p.stderr.String(), want)
			}
		}
		p := start(t, saltern, dir, slm...)
		if !p.at(t, after("slm", 23), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		orphans := []int{child(t, p, 0), child(t, p, 1)}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		for _, pid := range orphans {
			for limit := time.Now().Add(time.Minute); running(pid); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("rank %d outlives its launcher", pid)
				}
			}
		}
		start(t, saltern, dir, slm...).finish(t)
		sameRuns(t, two, dir, "slm")
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		for _, test := range []struct {
			args []string
			code Kind
			want string
		}{
			{launch(8, "train", "job.toml"), BadConfig, "slm.train.batch = 8 is 4 microbatches of 2, and each of the 8 ranks needs one; raise slm.train.batch, which is that of all ranks together, lower slm.train.microbatch to at most 1, or start fewer ranks"},
			{[]string{"launch", "-n", "2", "--restarts", "1", "train", "job.toml"}, Usage, "--restarts 1: ranks are replaced where the others go on meanwhile; set cluster.elastic = true, or leave it out"},
			{[]string{"launch", "-n", "2", "--restarts", "1", "compare", "--set", "cluster.elastic=true", "job.toml"}, Usage, "--restarts 1: compare stops when a rank is lost, and the same command goes on"},
			{launch(2, "train", "--set", "cluster.elastic=true", "--set", "cluster.teachers=1", "job.toml"), BadConfig, "elastic = true has those go on that are left, and cluster.teachers = 1 would not be who they were; leave out one of the two"},
			{launch(2, "train", "--set", "cluster.elastic=true", "--set", "cluster.sync=local", "job.toml"), BadConfig, `elastic = true lets fewer ranks go on, and with sync = "local" each has state of its own that goes with it; leave one of them out`},
			{launch(2, "prepare", "job.toml"), Usage, `"prepare" does not run on several ranks; those that do are run, train, finetune, compare, label`},
			{launch(2, "train", "--set", "llm.train.stepz=3", "job.toml"), BadConfig, "stepz"},
			{[]string{"launch", "train", "job.toml"}, Usage, "this machine has no GPU; say how many ranks are to share the processor"},
		} {
			p := start(t, saltern, newJob(t, ranksJob), test.args...)
			<-p.ended
			if code := p.ProcessState.ExitCode(); code != int(test.code) || !strings.Contains(p.stderr.String(), test.want) {
				t.Errorf("%v: %v, want exit code %d and %q\n%s", test.args, p.ProcessState, test.code, test.want, p.stderr.String())
			}
		}
	})
}

// sameLosses wants a training's measurements to be those of another run of it, but for the last digits.
func sameLosses(t *testing.T, wantDir, gotDir, training string) {
	t.Helper()
	nearLosses(t, measured(t, filepath.Join(wantDir, "runs", "job", training)), measured(t, filepath.Join(gotDir, "runs", "job", training)))
}

// nearLosses wants measurements to be the same but for the last digits.
func nearLosses(t *testing.T, want, got []metrics.Record) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d lines of metrics, want %d", len(got), len(want))
	}
	for i, w := range want {
		delete(got[i].Values, metrics.SentBytes) // one may have nobody to send to
		delete(w.Values, metrics.SentBytes)
		if g := got[i]; g.Step != w.Step || len(g.Values) != len(w.Values) {
			t.Fatalf("%+v, want %+v", g, w)
		}
		for key, v := range w.Values {
			tolerance := 1e-6
			if key != metrics.TrainLoss && key != metrics.ValLoss {
				tolerance = 1e-3 // of estimates that divide small differences, and of norms
			}
			if g := got[i].Values[key]; math.Abs(g-v) > tolerance*math.Max(1, math.Abs(v)) {
				t.Errorf("step %d: %s is %v, want %v", w.Step, key, g, v)
			}
		}
	}
}

// child is the process of a rank, once it is there.
func child(t *testing.T, p *process, rank int) int {
	t.Helper()
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		if pid := rankOf(p, rank); pid > 0 {
			return pid
		}
	}
	t.Fatalf("there is no rank %d", rank)
	return 0
}

// running says that a process is there and not only waiting to be buried.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := text[bytes.LastIndexByte(text, ')')+1:]
	return !bytes.HasPrefix(bytes.TrimSpace(after), []byte("Z"))
}

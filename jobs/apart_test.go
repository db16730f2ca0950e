package jobs

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"saltern/jobs/metrics"
	"saltern/model/checkpoint"
)

// apartJob is ranksJob with rounds of six steps, of which 30 steps have five.
var apartJob = strings.Replace(ranksJob, "[cluster]", "[cluster]\nsync = \"local\"\nlocal_steps = 6", 1)

// testApart holds jobs whose ranks train apart against each other, and against one whose ranks take every step together.
func testApart(t *testing.T, saltern program) {
	launch := func(n string, more ...string) []string { return append([]string{"launch", "-n", n, "--"}, more...) }
	run := launch("2", "run", "job.toml")
	all := []string{"slm", "llm-baseline", "llm-salt"}
	whole := newJob(t, apartJob)
	p := start(t, saltern, whole, run...)
	p.finish(t)
	t.Run("rounds", func(t *testing.T) {
		for _, want := range []string{
			"llm.train.eval_every = 10 becomes 12, the end of a round of cluster.local_steps = 6\n",
			"distill.window = 5 becomes 6, the end", "distill.kd_steps = 28 becomes 30, the end", "SALT: 2 ranks train apart and come together every 6 steps\n",
		} {
			if n := strings.Count(p.stderr.String(), want); n != 1 {
				t.Errorf("said %d times and not once: %s\n%s", n, want, p.stderr.String())
			}
		}
		list, err := checkpoint.List(filepath.Join(whole, "runs", "job", "llm-salt", "checkpoints"))
		steps := []int(nil)
		for _, c := range list {
			steps = append(steps, c.Step)
		}
		if err != nil || !slices.Equal(steps, []int{30, 24, 12}) {
			t.Errorf("checkpoints after the steps %v, %v", steps, err)
		}
	})
	t.Run("other text in every rank", func(t *testing.T) {
		together := newJob(t, ranksJob)
		start(t, saltern, together, launch("2", "train", "--only", "baseline", "job.toml")...).finish(t)
		want, got := measured(t, filepath.Join(together, "runs", "job", "llm-baseline")), measured(t, filepath.Join(whole, "runs", "job", "llm-baseline"))
		sent := func(list []metrics.Record) float64 { return list[30].Value(metrics.SentBytes) }
		if most := sent(want) / 6 / 3.9; !(sent(got) > 0 && sent(got) < most) { // a sixth of the exchanges, with a byte for each four
			t.Errorf("%v bytes were sent, want at most %v", sent(got), most)
		}
		for i := 6; i <= 30; i += 6 { // at the end of a round a step is that of all ranks, on the same batch
			if w, g := want[i].Value(metrics.Predicted), got[i].Value(metrics.Predicted); w != g {
				t.Errorf("step %d learned from %v tokens, want %v", i, g, w)
			}
		}
		if w, g := want[30].Value(metrics.ValLoss), got[30].Value(metrics.ValLoss); math.Abs(w-g) > 0.5 {
			t.Errorf("the held-out loss is %v, and %v where ranks take every step together", g, w)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		dir := newJob(t, apartJob)
		for i, m := range []moment{after("slm", 9), after("llm-salt", 12)} {
			p := start(t, saltern, dir, run...)
			if !p.at(t, m, 0) {
				t.Fatalf("%s: ended by itself: %v\n%s", m.name, p.ProcessState, p.stderr.String())
			}
			signal, code := os.Interrupt, Interrupted
			if i == 1 {
				signal, code = os.Kill, -1
			}
			_ = p.Process.Signal(signal)
			<-p.ended
			if got := p.ProcessState.ExitCode(); got != int(code) {
				t.Fatalf("%s: %v, want exit code %d\n%s", m.name, p.ProcessState, code, p.stderr.String())
			}
		}
		p := start(t, saltern, dir, run...)
		for strings.Contains(p.stderr.String(), "another process") { // the ranks of the one that was killed may still be ending
			<-p.ended
			p = start(t, saltern, dir, run...)
		}
		p.finish(t)
		sameApart(t, whole, dir, all...)
	})
	t.Run("delay", func(t *testing.T) {
		delayed := strings.Replace(apartJob, "local_steps = 6", "local_steps = 6\nouter_delay = 2", 1)
		want, dir := newJob(t, delayed), newJob(t, delayed)
		start(t, saltern, want, launch("2", "train", "job.toml")...).finish(t)
		p := start(t, saltern, dir, launch("2", "train", "job.toml")...)
		if !p.at(t, after("llm-salt", 14), 0) {
			t.Fatalf("ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
		}
		_ = p.Process.Signal(os.Interrupt)
		<-p.ended
		start(t, saltern, dir, launch("2", "train", "job.toml")...).finish(t)
		sameApart(t, want, dir, "slm", "llm-salt")
	})
	t.Run("diverged", func(t *testing.T) { // which the ranks find together, at the end of a round
		args := launch("2", "train", "--only", "baseline")
		for _, set := range []string{"lr=1", "clip_norm=0", "weight_decay=0", "warmup=0", "precision=float16", "max_skipped_steps=3"} {
			args = append(args, "--set", "llm.train."+set)
		}
		p := start(t, saltern, newJob(t, apartJob), append(args, "--set", "cluster.outer_lr=2", "job.toml")...)
		<-p.ended
		want := regexp.MustCompile(`saltern: BASELINE: \d+ steps in a row had no finite loss or gradient, up to step (12|18|24|30); lower lr`)
		if code := p.ProcessState.ExitCode(); code != int(Diverged) || !want.MatchString(p.stderr.String()) {
			t.Errorf("%v, want exit code %d and %s\n%s", p.ProcessState, Diverged, want, p.stderr.String())
		}
	})
	t.Run("refused", func(t *testing.T) {
		for _, test := range []struct {
			args []string
			want string
		}{
			{launch("3", "run", "job.toml"), "slm was begun with other settings: cluster.ranks was 2, now 3; set them back"},
			{[]string{"run", "job.toml"}, "slm was begun with other settings: cluster.sync was local, now every-step, train.eval_every was 12, now 10; set them back"},
			{launch("2", "run", "--set", "cluster.outer_lr=0.5", "job.toml"), "cluster.outer_lr was 0.7, now 0.5"},
			{launch("2", "run", "--set", "distill.transition=step", "--set", "distill.kd_steps=25", "job.toml"), "cluster.local_steps = 6 lets stage 1, distill.kd_steps = 25, end with its round at step 30, and the LLM has 30 steps; lower local_steps"},
			{launch("2", "run", "--set", "cluster.sync=sometimes", "job.toml"), `sync = "sometimes" is unknown; use "every-step" or "local"`},
		} {
			p := start(t, saltern, whole, test.args...)
			<-p.ended
			if code := p.ProcessState.ExitCode(); code != int(BadConfig) || !strings.Contains(p.stderr.String(), test.want) {
				t.Errorf("%v: %v, want exit code %d and %q\n%s", test.args, p.ProcessState, BadConfig, test.want, p.stderr.String())
			}
		}
	})
}

// sameApart is sameRuns for ranks that train apart, with what each has of its own.
func sameApart(t *testing.T, wantDir, gotDir string, trainings ...string) {
	t.Helper()
	sameRuns(t, wantDir, gotDir, trainings...)
	for _, training := range trainings {
		want, got := filepath.Join(wantDir, "runs", "job", training), filepath.Join(gotDir, "runs", "job", training)
		for _, file := range []string{"rank_0.safetensors", "rank_1.safetensors"} {
			if !bytes.Equal(lastFile(t, want, file), lastFile(t, got, file)) {
				t.Errorf("%s: %s of the last checkpoint differs", training, file)
			}
		}
	}
}

// TestRoundUp: what waits for the end of a round is the first multiple that is not before it.
func TestRoundUp(t *testing.T) {
	a := &apart{LocalSteps: 50}
	for n, want := range map[int64]int64{1: 50, 49: 50, 50: 50, 51: 100, 0: 0} {
		if got := a.roundUp(n); got != want {
			t.Errorf("%d becomes %d, want %d", n, got, want)
		}
	}
	if got := (*apart)(nil).roundUp(7); got != 7 {
		t.Errorf("without rounds 7 becomes %d", got)
	}
}

// TestSelectionOfRounds: stage 1 of "salt-ds" that grew to the end of a round has as many sequences as it reads.
func TestSelectionOfRounds(t *testing.T) {
	job, err := readJob("job.toml", []byte(apartJob), []string{"distill.method=salt-ds", "distill.transition=step", "distill.kd_steps=7", "select.early=0.4"})
	if err != nil {
		t.Fatal(err)
	}
	job.ranks = 2
	if err := job.settleRounds(func(string) {}); err != nil {
		t.Fatal(err)
	}
	if s, k := job.Select, job.Distill.KDSteps; k != 12 || s.Keep != 12*8 || s.Candidates < s.Keep {
		t.Errorf("n_KD = %d, %+v", k, s)
	}
	if pins := job.small("corpus").pins; !slices.Equal(pins, []int64{12}) {
		t.Errorf("the SLM is kept after the steps %v, and judges from there", pins)
	}
	if steps := job.student("corpus").plannedScoring().Steps; steps != 12 {
		t.Errorf("it judges from step %d", steps)
	}
}

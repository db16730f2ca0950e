package jobs

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"saltern/jobs/metrics"
)

// testAutoKilled kills and interrupts trainings whose own course says when the teacher leaves, at steps spread over all of it: each window says the
// same, each bucket ends at the same step, and the weights are the same bits, as in a training that nobody disturbed. The teacher is so
// bad that it leaves well before the end.
func testAutoKilled(t *testing.T, saltern program) {
	rng := rand.New(rand.NewPCG(9, 0))
	text := strings.Replace(stoppedJob, "kd_steps = 14", `transition = "auto"`, 1)
	for _, labels := range []string{"online", "offline"} {
		args := []string{"train", "--set", "distill.labels=" + labels, "--set", "distill.window=5", "--set", "slm.train.steps=8", "job.toml"}
		undisturbed, dir := newJob(t, text), newJob(t, text)
		start(t, saltern, undisturbed, args...).finish(t)
		killed := 0
		for from := 2; from < 30; from += 5 {
			p := start(t, saltern, dir, args...)
			if p.at(t, after("llm-salt", from+rng.IntN(4)), 0) {
				killed++
			}
			if from%2 == 0 { // saved after the step under way, which is the middle of a window
				_ = p.Process.Signal(os.Interrupt)
			} else {
				_ = p.Process.Kill()
			}
			<-p.ended
		}
		if killed < 3 {
			t.Errorf("%s: only %d of the moments were hit", labels, killed)
		}
		start(t, saltern, dir, args...).finish(t)
		sameTraining(t, undisturbed, dir, "llm-salt")
		last := 0
		for _, r := range measured(t, filepath.Join(dir, "runs", "job", "llm-salt")) {
			if _, asked := r.Values[metrics.KDLoss]; asked {
				last = r.Step
			}
		}
		if last < 6 || last > 27 {
			t.Errorf("%s: the case is too easy: the teacher helped up to step %d of 30", labels, last)
		}
	}
}

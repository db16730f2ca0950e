package jobs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"saltern/jobs/metrics"
)

// fleetMixedJob is long enough for weights to part that are not kept together: those of Mesa 22.3 and of 26 do within 50 steps.
const fleetMixedJob = `
[corpus]
sources = ["%s/*.md"]
max_bytes = 200000
document_bytes = 2000
[tokenizer]
vocab_size = 400
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 32 }
train = { steps = 300, batch = 12, microbatch = 2, lr = 0.003, eval_every = 50, eval_tokens = 4096, log_every = 10, precision = "float32" }
[distill]
method = "baseline"
`

// mixed trains one model on the drivers of all roots together, a rank on each, and holds its losses against those of the first root
// alone. That the weights have the same bits the ranks see themselves, before each evaluation.
func (f *fleet) mixed(t *testing.T) {
	roots := []string{"host", "trixie", "sid"}
	cache := t.TempDir()
	job := func() (dir string) { return newJob(t, fmt.Sprintf(fleetMixedJob, f.text)) }
	rank := func(dir, root string, env ...string) error {
		c := f.command(append(env, "SALTERN_CACHE="+cache), "run", root, f.saltern, "train", "job.toml")
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", root, err, out)
		}
		return os.WriteFile(filepath.Join(dir, root+".out"), out, 0o666)
	}
	alone, together := job(), job()
	if err := rank(alone, roots[0]); err != nil {
		t.Fatal(err)
	}
	meeting := t.TempDir()
	var all sync.WaitGroup
	for i, root := range roots {
		all.Go(func() {
			err := rank(together, root, fmt.Sprint("SALTERN_RANK=", i), fmt.Sprint("SALTERN_LOCAL_RANK=", i), "SALTERN_WORLD_SIZE=3", "SALTERN_LOCAL_SIZE=3",
				"SALTERN_NODE=0", "SALTERN_NODES=1", "SALTERN_RENDEZVOUS="+meeting, "SALTERN_JOB=mixed", "LP_NUM_THREADS=1")
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	said, err := os.ReadFile(filepath.Join(together, roots[0]+".out"))
	if err != nil || !strings.Contains(string(said), "devices differ, so each updates its part") {
		t.Errorf("%v\n%s", err, said)
	}
	want, got := heldOutLosses(t, alone, "llm-baseline"), heldOutLosses(t, together, "llm-baseline")
	if len(want) != 7 || len(got) != 7 {
		t.Fatalf("%d and %d held-out losses, want 7", len(want), len(got))
	}
	worst := furthest(want, got)
	if t.Logf("of %d held-out losses the worst is %.2g nats beside that of one driver, the last is %.4f", len(got), worst, got[6]); !(worst <= mixedBound) {
		t.Errorf("held-out losses differ by %g, want at most %g", worst, mixedBound)
	}
}

// heldOutLosses are all of a training in the run of a job's folder.
func heldOutLosses(t *testing.T, dir, training string) (list []float64) {
	t.Helper()
	for _, row := range measured(t, filepath.Join(dir, "runs", "job", training)) {
		if v, ok := row.Values[metrics.ValLoss]; ok {
			list = append(list, v)
		}
	}
	return list
}

// furthest is how far two lists of the same length are apart at the most.
func furthest(want, got []float64) (worst float64) {
	for i, w := range want {
		worst = max(worst, math.Abs(got[i]-w))
	}
	return worst
}

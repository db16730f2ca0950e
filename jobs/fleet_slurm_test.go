package jobs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fleetSlurmJob has three trainings, the last one with a teacher for its first half. Shares that follow the clock would have other bits in
// each turn. Labels are not drawn: a teacher's last bit may decide a draw, which is no rounding any more.
const fleetSlurmJob = `
[corpus]
sources = ["%s/*.md"]
max_bytes = 200000
document_bytes = 2000
[tokenizer]
vocab_size = 400
[cluster]
shares = "even"
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 60, batch = 12, microbatch = 2, lr = 0.01, eval_every = 20, eval_tokens = 4096, log_every = 1, precision = "float32" }
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 32 }
train = { steps = 120, batch = 12, microbatch = 2, lr = 0.003, eval_every = 20, eval_tokens = 4096, log_every = 1, precision = "float32" }
[distill]
kd_steps = 60
label_form = "top-k"
`

// mixedQueue is a queue whose jobs have nodes of several systems: each root of the fleet starts saltern with its own driver, as containers do.
type mixedQueue struct {
	*queue
	fleet  *fleet
	start  map[string]string // by root: the file that a node starts
	driver map[string]string // by root: as saltern calls it
	text   string            // of the job
}

// slurm runs heterogeneous jobs in a real queue, whose groups have other drivers.
func (f *fleet) slurm(t *testing.T) {
	for _, name := range []string{"slurmctld", "slurmd", "munged", "sbatch"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on this machine; make test-slurm installs Slurm", name)
		}
	}
	q := f.newQueue(t)
	alone, one := q.newJob(t, "alone", q.text), q.newJob(t, "one driver", q.text)
	start(t, q.saltern, alone, "run", "job.toml").finish(t)
	q.wait(t, one, q.submitted(t, one, "host", "host"), "COMPLETED")
	var taught string
	t.Run("teachers", func(t *testing.T) { taught = q.testTaught(t, one) })
	t.Run("both train", func(t *testing.T) { q.testBothTrain(t, alone) })
	t.Run("put back", func(t *testing.T) { q.testPutBack(t, taught) })
	t.Run("no driver", q.testNoDriver)
}

// newQueue starts a Slurm of this test's own, beside any other.
func (f *fleet) newQueue(t *testing.T) *mixedQueue {
	t.Helper()
	state, err := os.MkdirTemp("", "saltern-slurm-") // which munge's user can enter, unlike what is below t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	home, root := t.TempDir(), filepath.Dir(filepath.Dir(f.script))
	for name, value := range map[string]string{"SALTERN_SLURM": state, "SALTERN_SLURM_PORT": "17827", "SLURM_CONF": filepath.Join(state, "slurm.conf"), "SALTERN_VALIDATION": "1"} {
		t.Setenv(name, value)
	}
	q := &mixedQueue{queue: &queue{program{"", filepath.Join(home, "cache")}, root, home}, fleet: f, start: map[string]string{}, driver: map[string]string{}, text: fmt.Sprintf(fleetSlurmJob, f.text)}
	for _, root := range []string{"host", "trixie", "sid"} {
		q.start[root] = filepath.Join(home, root)
		wrapper := fmt.Sprintf("#!/bin/sh\nexec '%s' run %s '%s' \"$@\"\n", f.script, root, f.saltern)
		if err := os.WriteFile(q.start[root], []byte(wrapper), 0o777); err != nil {
			t.Fatal(err)
		}
		_, q.driver[root] = f.device(t, "run", root)
	}
	q.saltern.path = q.start["host"]
	slurm := filepath.Join(root, "scripts", "slurm.sh")
	t.Cleanup(func() { _ = exec.Command(slurm, "down").Run() })
	q.command(t, home, slurm, "up", "2")
	return q
}

// submitted hands a job to the ready script: two students on a node of one root, a teacher on that of another one.
func (q *mixedQueue) submitted(t *testing.T, dir, students, teachers string, args ...string) (id string) {
	t.Helper()
	t.Setenv("SALTERN_TEACHERS", q.start[teachers])
	own := *q.queue
	own.saltern.path = q.start[students]
	return own.sbatch(t, dir, append([]string{q.script("teachers.sbatch"), "job.toml"}, args...)...)
}

// testTaught has the students' driver train and another one teach: what it says hardly differs from what the students' own would have said.
func (q *mixedQueue) testTaught(t *testing.T, one string) (dir string) {
	dir = q.newJob(t, "teachers", q.text)
	q.wait(t, dir, q.submitted(t, dir, "host", "sid"), "COMPLETED")
	q.names(t, dir, "host", "host", "sid")
	for _, want := range []string{"so rank 0 updates the weights and gives them to the others", "SALT: step 60: the teacher helps no more, and its ranks train as well: 3 in all"} {
		if !strings.Contains(logs(dir), want) {
			t.Errorf("not said: %q\n%s", want, logs(dir))
		}
	}
	for _, training := range all {
		nearAllHeldOut(t, one, dir, training)
	}
	return dir
}

// testBothTrain has all ranks of both groups train.
func (q *mixedQueue) testBothTrain(t *testing.T, alone string) {
	dir := q.newJob(t, "both train", q.text)
	q.wait(t, dir, q.submitted(t, dir, "trixie", "host", "--set", "cluster.teachers=0"), "COMPLETED")
	q.names(t, dir, "trixie", "trixie", "host")
	if want := "so each updates its part of the weights and gives it to the others"; !strings.Contains(logs(dir), want) {
		t.Errorf("not said: %q\n%s", want, logs(dir))
	}
	for _, training := range all {
		nearAllHeldOut(t, alone, dir, training)
	}
}

// testPutBack tells the ranks of both groups in the middle that their time is up: they save and end with 75, the job is put back, and its
// next turn ends with the bits of one that nobody stopped.
func (q *mixedQueue) testPutBack(t *testing.T, undisturbed string) {
	if undisturbed == "" {
		t.Skip("there is no run to compare with; run teachers too")
	}
	dir := q.newJob(t, "put back", q.text)
	id := q.submitted(t, dir, "host", "sid")
	q.running(t, dir, after("llm-salt", 20))
	q.command(t, dir, "scancel", "--signal=USR1", id)
	q.wait(t, dir, id, "COMPLETED")
	if want := regexp.MustCompile(`SALT stopped at step \d+ of 120, saved in .+; the same command goes on from there: user defined signal 1`); !want.MatchString(logs(dir)) {
		t.Errorf("not said: %v\n%s", want, logs(dir))
	}
	sameRuns(t, undisturbed, dir, "llm-salt")
}

// testNoDriver has a group whose system brings no driver: the job ends for good, with the code of the ranks that are well, and its log says
// which one lacks a driver.
func (q *mixedQueue) testNoDriver(t *testing.T) {
	dir := q.newJob(t, "no driver", q.text)
	q.start["none"] = filepath.Join(q.home, "none")
	if err := os.WriteFile(q.start["none"], fmt.Appendf(nil, "#!/bin/sh\nexport VK_DRIVER_FILES=/none.json VK_ICD_FILENAMES=/none.json\nexec '%s' \"$@\"\n", q.fleet.saltern), 0o777); err != nil {
		t.Fatal(err)
	}
	id := q.submitted(t, dir, "host", "none")
	q.wait(t, dir, id, "FAILED")
	if out := q.command(t, dir, "scontrol", "show", "job", id); !strings.Contains(out, fmt.Sprintf("ExitCode=%d:0", RankLost)) {
		t.Errorf("the exit code is not %d:\n%s", RankLost, out)
	}
	if want := regexp.MustCompile(`(?m)^saltern: .*rank 2 \(node2\).*no Vulkan device found`); !want.MatchString(logs(dir)) {
		t.Errorf("not said: %v\n%s", want, logs(dir))
	}
}

// names wants each rank's own log to name its driver, and the first rank's to name those of all.
func (q *mixedQueue) names(t *testing.T, dir string, roots ...string) {
	t.Helper()
	said, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for rank, root := range roots {
		own, err := os.ReadFile(filepath.Join(dir, "runs", "job", "logs", fmt.Sprintf("rank_%d.log", rank)))
		want := fmt.Sprintf("(%s), rank %d of %d", q.driver[root], rank, len(roots))
		if err != nil || !strings.Contains(string(own), want) {
			t.Errorf("rank %d's log has no %q; %v\n%s", rank, want, err, own)
		}
		kind := regexp.MustCompile(regexp.QuoteMeta("("+q.driver[root]) + fmt.Sprintf(` on [^:]*\): rank [\d, ]*\b%d\b`, rank))
		if !kind.Match(said) {
			t.Errorf("rank 0's log has no %v\n%s", kind, said)
		}
	}
}

// nearAllHeldOut wants every held-out loss of a training within mixedBound of another run's, and the last below the first.
func nearAllHeldOut(t *testing.T, wantDir, gotDir, training string) {
	t.Helper()
	want, got := heldOutLosses(t, wantDir, training), heldOutLosses(t, gotDir, training)
	if len(got) < 4 || len(got) != len(want) {
		t.Fatalf("%s: %d held-out losses, on one driver %d; want some", training, len(got), len(want))
	}
	worst := furthest(want, got)
	t.Logf("%s: of %d held-out losses the worst is %.2g nats beside that of one driver, the last is %.4f", training, len(got), worst, got[len(got)-1])
	if !(worst <= mixedBound) || got[len(got)-1] >= got[0] {
		t.Errorf("%s: held-out losses %v, on one driver %v; want them within %g, and that something is learnt", training, got, want, mixedBound)
	}
}

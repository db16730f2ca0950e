package jobs

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var onSlurm = flag.Bool("slurm", false, "run TestSlurm on the Slurm that SLURM_CONF names, of scripts/slurm.sh; needs root")

// slurmJob is small enough to be trained in seconds by four ranks that share a processor or two.
const slurmJob = `
[corpus]
sources = ["$GOROOT/src/sort/*.go", "$GOROOT/src/strings/*.go"]
max_bytes = 200000
document_bytes = 2000
[tokenizer]
vocab_size = 300
[cluster]
heartbeat = 5
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 20, batch = 8, microbatch = 1, lr = 0.01, checkpoint_every = 5, eval_every = 10, eval_tokens = 256, log_every = 1 }
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 32 }
train = { steps = 20, batch = 8, microbatch = 1, lr = 0.01, checkpoint_every = 5, eval_every = 10, eval_tokens = 256, log_every = 1 }
[distill]
kd_steps = 10
[compare]
methods = ["salt"]
controls = ["none"]
seeds = 2
`

// all are slurmJob's trainings.
var all = []string{"slm", "llm-baseline", "llm-salt"}

// queue is a real Slurm and what runs in it.
type queue struct {
	saltern program
	root    string // of the project
	home    string // folder for jobs, not below /tmp
}

// TestSlurm is make test-slurm: the ready scripts, and those that "saltern submit" writes, in a real queue of four nodes.
func TestSlurm(t *testing.T) {
	if !*onSlurm {
		t.Skip("needs root and a Slurm of one's own: make test-slurm")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// The nodes share this folder and no /tmp; its name is one that scripts get wrong.
	home, err := os.MkdirTemp("/var/tmp", "saltern's test ")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	q := &queue{program{filepath.Join(home, "saltern"), filepath.Join(home, "cache")}, root, home}
	build := exec.Command("go", "build", "-o", filepath.Join(home, "program"), "saltern")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building saltern: %v\n%s", err, out)
	}
	// Each process has a /tmp of its own, as on sites whose nodes share none and whose jobs see none of each other's.
	wrapper := fmt.Sprintf("#!/bin/sh\nexec unshare -m sh -c 'mount -t tmpfs none /tmp && exec \"$0\" \"$@\"' \"%s\" \"$@\"\n", filepath.Join(home, "program"))
	if err := os.WriteFile(q.saltern.path, []byte(wrapper), 0o777); err != nil {
		t.Fatal(err)
	}
	alone := q.newJob(t, "alone", slurmJob)
	start(t, q.saltern, alone, "run", "job.toml").finish(t)
	t.Run("nodes", func(t *testing.T) { q.testNodes(t, alone) })
	t.Run("several at once", q.testSeveralAtOnce)
	t.Run("chain", func(t *testing.T) { q.testChain(t, alone) })
	t.Run("broken chain", q.testBrokenChain)
	t.Run("array", q.testArray)
	t.Run("time limit", q.testTimeLimit)
	t.Run("killed", func(t *testing.T) { q.testKilled(t, alone) })
	t.Run("nodefailure", func(t *testing.T) { q.testNodeFailure(t, alone) })
	t.Run("by hand", q.testByHand)
	t.Run("teachers", q.testTeachers)
	t.Run("canceled", q.testCanceled)
}

// newJob makes a folder with a job file in it.
func (q *queue) newJob(t *testing.T, name, text string) string {
	t.Helper()
	dir := filepath.Join(q.home, name)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "job.toml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs a command in a job's folder and gives what it prints.
func (q *queue) command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SALTERN="+q.saltern.path, "SALTERN_CACHE="+q.saltern.cache, "LP_NUM_THREADS=1")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, said.Bytes())
	}
	return string(out)
}

// script is one of the ready scripts.
func (q *queue) script(name string) string { return filepath.Join(q.root, "slurm", name) }

// sbatch puts a script into the queue and gives the job's id.
func (q *queue) sbatch(t *testing.T, dir string, args ...string) string {
	t.Helper()
	id := strings.TrimSpace(q.command(t, dir, "sbatch", append([]string{"--parsable", "--output=log"}, args...)...))
	t.Cleanup(func() { _ = exec.Command("scancel", id).Run() }) // an error says that it has ended
	return id
}

var stateOf = regexp.MustCompile(`JobState=(\w+)`)

// states are those of a job, of each task if it is an array, of each group if it is heterogeneous.
func (q *queue) states(t *testing.T, id string) []string {
	t.Helper()
	var list []string
	for _, m := range stateOf.FindAllStringSubmatch(q.command(t, q.home, "scontrol", "show", "job", id), -1) {
		list = append(list, m[1])
	}
	return list
}

// letBegin has a job that was put back begin now and not in two minutes: once Slurm has forgotten that it just ended it, which it takes
// for a reason not to start it.
func (q *queue) letBegin(t *testing.T, id string) {
	t.Helper()
	if strings.Contains(q.command(t, q.home, "scontrol", "show", "job", id), "Reason=BeginTime") {
		time.Sleep(3 * time.Second)
		_ = exec.Command("scontrol", "update", "JobId="+id, "StartTime=now").Run() // an error says that it has begun
	}
}

// wait waits until a job has ended and wants it to have done so in that state. A job that waits to begin again is let begin.
func (q *queue) wait(t *testing.T, dir, id, want string) {
	t.Helper()
	amiss := 0 // times in a row: a job that is about to be put back is a failed one for a moment
	for limit := time.Now().Add(4 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		ended, wrong := true, false
		list := q.states(t, id)
		for _, state := range list {
			switch state {
			case "PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED":
				ended = false
			case want:
			default:
				wrong = true
			}
		}
		switch {
		case ended && !wrong:
			return
		case ended && amiss < 30:
			amiss++
			continue
		case ended, time.Now().After(limit):
			t.Fatalf("job %s: %v, want %s\n%s", id, list, want, logs(dir))
		}
		amiss = 0
		q.letBegin(t, id)
	}
}

// logs is all that a job's ranks have said.
func logs(dir string) string {
	var b strings.Builder
	for _, pattern := range []string{"log", "slurm-*.out", "runs/job/logs/*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, f := range files {
			text, _ := os.ReadFile(f)
			fmt.Fprintf(&b, "== %s\n%s", f, text)
		}
	}
	return b.String()
}

// testNodes runs the whole job on one node and on several, with the losses of one process.
func (q *queue) testNodes(t *testing.T, alone string) {
	for name, nodes := range map[string][]string{
		"one task": {"--nodes=1"}, "two nodes": {"--nodes=2"}, "four nodes": {"--nodes=4"}, "two nodes, four tasks": {"--nodes=2", "--ntasks-per-node=2"},
	} {
		dir := q.newJob(t, name, slurmJob)
		id := q.sbatch(t, dir, append(nodes, q.script("salt.sbatch"), "job.toml")...)
		q.wait(t, dir, id, "COMPLETED")
		for _, training := range all {
			sameLosses(t, alone, dir, training)
		}
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil || bytes.ContainsAny(log, "\r\x1b") || bytes.Count(log, []byte("SALT: done")) != 1 {
			t.Errorf("%s: %v; the log is to be plain, and one rank's:\n%s", name, err, log)
		}
	}
}

// testSeveralAtOnce runs jobs of one user side by side on the same nodes.
func (q *queue) testSeveralAtOnce(t *testing.T) {
	type under struct{ dir, id string }
	var list []under
	for _, name := range []string{"first", "second"} {
		dir := q.newJob(t, name, slurmJob)
		list = append(list, under{dir, q.sbatch(t, dir, "--nodes=2", "--nodelist=node1,node2", q.script("salt.sbatch"), "job.toml")})
	}
	for _, j := range list {
		q.wait(t, j.dir, j.id, "COMPLETED")
	}
	sameRuns(t, list[0].dir, list[1].dir, all...)
}

// submitted are the ids that "saltern submit" prints.
func submitted(out string) (ids []string) {
	for _, m := range regexp.MustCompile(`(?m)^(\d+)  `).FindAllStringSubmatch(out, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// testChain has each step of the job wait for the one before.
func (q *queue) testChain(t *testing.T, alone string) {
	dir := q.newJob(t, "chain", slurmJob)
	ids := submitted(q.command(t, dir, q.saltern.path, "submit", "--chain", "--nodes", "2", "--program", q.saltern.path, "job.toml"))
	if len(ids) != 3 {
		t.Fatalf("submitted %v, want 3 jobs", ids)
	}
	for _, id := range ids {
		q.wait(t, dir, id, "COMPLETED")
	}
	sameLosses(t, alone, dir, "llm-salt")
}

// testBrokenChain has the first step fail: its log says so, and what waits for it is taken out of the queue.
func (q *queue) testBrokenChain(t *testing.T) {
	dir := q.newJob(t, "broken chain", strings.ReplaceAll(slurmJob, "$GOROOT/src", "$GOROOT/nothing"))
	ids := submitted(q.command(t, dir, q.saltern.path, "submit", "--chain", "--program", q.saltern.path, "job.toml"))
	if len(ids) != 3 {
		t.Fatalf("submitted %v, want 3 jobs", ids)
	}
	q.wait(t, dir, ids[0], "FAILED")
	for _, id := range ids[1:] {
		q.wait(t, dir, id, "CANCELLED")
	}
	if want := "job 1 of 3, job-prepare, failed with exit code 65; those that wait for it are not started"; !strings.Contains(logs(dir), want) {
		t.Errorf("the log does not say %q:\n%s", want, logs(dir))
	}
}

// testArray compares methods, a seed in each task of an array.
func (q *queue) testArray(t *testing.T) {
	dir := q.newJob(t, "array", slurmJob)
	ids := submitted(q.command(t, dir, q.saltern.path, "submit", "--seeds", "0-1", "--program", q.saltern.path, "job.toml"))
	if len(ids) != 3 {
		t.Fatalf("submitted %v, want 3 jobs", ids)
	}
	for _, id := range ids {
		q.wait(t, dir, id, "COMPLETED")
	}
	if !strings.Contains(logs(dir), "training 1 of 3 with seed 1: ") {
		t.Errorf("no task trained with seed 1 alone:\n%s", logs(dir))
	}
	joined := q.command(t, dir, q.saltern.path, "compare", "--report", "--json", "job.toml")
	if !strings.Contains(joined, `"arm": "SALT", "seeds": 2, `) {
		t.Errorf("the comparison is not of two seeds:\n%s\n%s", joined, logs(dir))
	}
}

// testTimeLimit stops a job of two nodes three times by its limit of a minute: it is put back each time, and goes on with the losses of one
// that nothing stopped, bit for bit. How many steps that takes depends on the machine, so neither comes to its end.
func (q *queue) testTimeLimit(t *testing.T) {
	text := strings.NewReplacer("steps = 20,", "steps = 100000,", "checkpoint_every = 5", "checkpoint_every = 100000", "eval_every = 10", "eval_every = 1000", "lr = 0.01", "lr = 0.001").Replace(slurmJob)
	undisturbed, dir := q.newJob(t, "undisturbed", text), q.newJob(t, "limited", text)
	id := q.sbatch(t, dir, "--nodes=2", "--time=1", "--signal=USR1@50", q.script("preemptible.sbatch"), "job.toml", "--set", "distill.method=baseline")
	other := q.sbatch(t, undisturbed, "--nodes=2", q.script("salt.sbatch"), "job.toml", "--set", "distill.method=baseline")
	for limit := time.Now().Add(5 * time.Minute); !strings.Contains(q.command(t, dir, "scontrol", "show", "job", id), "Restarts=3"); time.Sleep(time.Second) {
		if time.Now().After(limit) {
			t.Fatalf("it was not put back three times:\n%s", logs(dir))
		}
		q.letBegin(t, id)
	}
	q.letBegin(t, id)
	stops := regexp.MustCompile(`BASELINE stopped at step (\d+) of 100000, saved in .+; the same command goes on from there: user defined signal 1`).FindAllStringSubmatch(logs(dir), -1)
	if len(stops) < 3 {
		t.Fatalf("the log tells of %d stops, want 3:\n%s", len(stops), logs(dir))
	}
	last, err := strconv.Atoi(stops[2][1])
	if err != nil {
		t.Fatal(err)
	}
	q.running(t, dir, after("llm-baseline", last+10))
	q.running(t, undisturbed, after("llm-baseline", last+10))
	q.command(t, dir, "scancel", id, other)
	q.wait(t, dir, id, "CANCELLED")
	q.wait(t, undisturbed, other, "CANCELLED")
	want, got := measured(t, filepath.Join(undisturbed, "runs", "job", "llm-baseline")), measured(t, filepath.Join(dir, "runs", "job", "llm-baseline"))
	if n := last + 10; len(want) < n || len(got) < n || !reflect.DeepEqual(want[:n], got[:n]) {
		t.Errorf("%d and %d steps are measured, want %d and the same:\n%s", len(want), len(got), n, logs(dir))
	}
}

// running waits for a moment of a job.
func (q *queue) running(t *testing.T, dir string, m moment) {
	t.Helper()
	for limit := time.Now().Add(2 * time.Minute); !m.here(filepath.Join(dir, "runs", "job")); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s never came:\n%s", m.name, logs(dir))
		}
	}
}

// testKilled kills one rank of a job, as a node that runs out of memory does: the others say who is lost, and the job goes on in its next
// turn with the bits of one that nothing disturbed.
func (q *queue) testKilled(t *testing.T, alone string) {
	dir := q.newJob(t, "killed", slurmJob)
	id := q.sbatch(t, dir, "--nodes=2", q.script("salt.sbatch"), "job.toml")
	q.running(t, dir, after("llm-baseline", 5))
	victim := ""
	out, _ := exec.Command("pgrep", "-f", filepath.Join(q.home, "program")+" run").Output()
	for _, pid := range strings.Fields(string(out)) {
		env, _ := os.ReadFile("/proc/" + pid + "/environ")
		exe, _ := os.Readlink("/proc/" + pid + "/exe")
		if bytes.Contains(env, []byte("\x00SLURM_PROCID=1\x00")) && exe == filepath.Join(q.home, "program") {
			victim = pid
		}
	}
	q.command(t, dir, "kill", "-9", victim)
	q.wait(t, dir, id, "COMPLETED")
	for _, training := range all {
		sameLosses(t, alone, dir, training)
	}
	if said := regexp.MustCompile(`(?m)^saltern: rank 1 \(node2\) is lost: .+; the same command goes on from what is saved$`).FindAllString(logs(dir), -1); len(said) != 1 {
		t.Errorf("said %q, want one line that names rank 1 on node2:\n%s", said, logs(dir))
	}
}

// testNodeFailure ends one of two nodes at once: its slurmd, the step's daemon and its rank. The other says who is lost, where and why, and
// the job goes on elsewhere in its next turn, with the losses of one that nothing disturbed.
func (q *queue) testNodeFailure(t *testing.T, alone string) {
	dir := q.newJob(t, "nodefailure", slurmJob)
	id := q.sbatch(t, dir, "--nodes=2", q.script("salt.sbatch"), "job.toml")
	q.running(t, dir, after("llm-baseline", 5))
	state, err := os.ReadFile(filepath.Join(filepath.Dir(os.Getenv("SLURM_CONF")), "node2.pid"))
	if err != nil {
		t.Fatal(err)
	}
	victims := []string{strings.TrimSpace(string(state))} // before those that it watches
	processes, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range processes {
		env, _ := os.ReadFile(file) // an error says that it has ended
		if bytes.Contains(env, []byte("\x00SLURM_JOB_ID="+id+"\x00")) && bytes.Contains(env, []byte("\x00SLURMD_NODENAME=node2\x00")) {
			victims = append(victims, parentOf(t, filepath.Dir(file)), filepath.Base(filepath.Dir(file)))
		}
	}
	if len(victims) != 3 {
		t.Fatalf("slurmd, slurmstepd and a rank are to end, and there are %q", victims)
	}
	t.Cleanup(func() { q.command(t, q.home, filepath.Join(q.root, "scripts", "slurm.sh"), "up", "4") })
	q.command(t, dir, "kill", append([]string{"-9"}, victims...)...)
	q.wait(t, dir, id, "COMPLETED")
	for _, training := range all {
		sameLosses(t, alone, dir, training)
	}
	if said := regexp.MustCompile(`(?m)^saltern: rank 1 \(node2\) is lost: .+; the same command goes on from what is saved$`).FindAllString(logs(dir), -1); len(said) != 1 {
		t.Errorf("said %q, want one line that names rank 1 on node2:\n%s", said, logs(dir))
	}
}

// parentOf is the process that started that of a folder in /proc, which must be Slurm's.
func parentOf(t *testing.T, dir string) string {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(dir, "status"))
	m := regexp.MustCompile(`(?m)^PPid:\s+(\d+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no parent:\n%s", dir, text)
	}
	name, _ := os.ReadFile("/proc/" + string(m[1]) + "/comm")
	if !strings.HasPrefix(string(name), "slurmstepd") {
		t.Fatalf("%s was started by %s", dir, name)
	}
	return string(m[1])
}

// testByHand hands a script of "submit --dry-run" to sbatch, for a run folder that is not there yet, with a name that Slurm would take for a
// pattern.
func (q *queue) testByHand(t *testing.T) {
	dir := q.newJob(t, "by hand", slurmJob)
	script := q.command(t, dir, q.saltern.path, "submit", "--dry-run", "--program", q.saltern.path, "--set", "run_dir=runs/50%j", "--set", "distill.method=baseline", "job.toml")
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte(script), 0o666); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(q.command(t, dir, "sbatch", "--parsable", "script"))
	q.wait(t, dir, id, "COMPLETED")
	if log, err := os.ReadFile(filepath.Join(dir, "runs", "50%j", "slurm-"+id+".out")); err != nil || !strings.Contains(string(log), "BASELINE: done") {
		t.Errorf("%v; the log in the run folder is to be the job's:\n%s", err, log)
	}
}

// testTeachers has ranks on other nodes teach, which train when the teacher's help ends: a heterogeneous job, by the ready script and by
// what submit writes.
func (q *queue) testTeachers(t *testing.T) {
	dir, other := q.newJob(t, "teachers", slurmJob), q.newJob(t, "submitted teachers", slurmJob)
	q.wait(t, dir, q.sbatch(t, dir, q.script("teachers.sbatch"), "job.toml"), "COMPLETED")
	ids := submitted(q.command(t, other, q.saltern.path, "submit", "--tasks-per-node", "2", "--teacher-nodes", "1", "--program", q.saltern.path, "job.toml"))
	if len(ids) != 1 {
		t.Fatalf("submitted %v, want one job", ids)
	}
	q.wait(t, other, ids[0], "COMPLETED")
	sameRuns(t, dir, other, all...)
	if want := "SALT: step 10: the teacher helps no more, and its ranks train as well: 3 in all"; !strings.Contains(logs(dir), want) {
		t.Errorf("the log does not say %q:\n%s", want, logs(dir))
	}
}

// testCanceled ends a job by scancel: no process is left, and what it has saved serves the next.
func (q *queue) testCanceled(t *testing.T) {
	dir := q.newJob(t, "canceled", strings.ReplaceAll(slurmJob, "steps = 20,", "steps = 100000,"))
	id := q.sbatch(t, dir, "--nodes=2", q.script("salt.sbatch"), "job.toml")
	q.running(t, dir, after("slm", 9))
	q.command(t, dir, "scancel", id)
	q.wait(t, dir, id, "CANCELLED")
	for limit := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		out, _ := exec.Command("pgrep", "-f", filepath.Join(q.home, "program")).Output()
		if len(out) == 0 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("processes are left: %s\n%s", out, logs(dir))
		}
	}
	if !strings.Contains(logs(dir), "SLM stopped at step ") {
		t.Errorf("no rank saved what it had:\n%s", logs(dir))
	}
}

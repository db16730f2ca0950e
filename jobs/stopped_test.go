package jobs

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"saltern/jobs/metrics"
)

// stoppedJob saves often, so that many moments are close to a checkpoint.
const stoppedJob = `
[corpus]
sources = ["$GOROOT/src/sort/*.go", "$GOROOT/src/strings/*.go"]
max_bytes = 200000
document_bytes = 2000
[tokenizer]
vocab_size = 300
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 30, batch = 4, microbatch = 2, lr = 0.01, checkpoint_every = 3, eval_every = 10, eval_tokens = 256, log_every = 1 }
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 32 }
train = { steps = 30, batch = 4, microbatch = 2, lr = 0.01, checkpoint_every = 3, eval_every = 10, eval_tokens = 256, log_every = 1 }
[distill]
kd_steps = 14
`

// moment is a state of the run folder in which a process is to be stopped.
type moment struct {
	name string
	here func(run string) bool
}

// after waits for a training's metrics to have that many lines.
func after(training string, lines int) moment {
	return moment{fmt.Sprintf("%s, step %d", training, lines-1), func(run string) bool {
		text, _ := os.ReadFile(filepath.Join(run, training, metrics.Name))
		return bytes.Count(text, []byte("\n")) >= lines
	}}
}

// there waits for a path that matches the pattern.
func there(name, pattern string) moment {
	return moment{name, func(run string) bool {
		found, _ := filepath.Glob(filepath.Join(run, pattern))
		return len(found) > 0
	}}
}

// saving waits for a checkpoint under way once there is one before it.
func saving(training string) moment {
	root := filepath.Join(training, "checkpoints")
	before := there("", filepath.Join(root, "step_*"))
	now := there("saving a checkpoint of "+training, filepath.Join(root, ".tmp-step_*"))
	return moment{now.name, func(run string) bool { return before.here(run) && now.here(run) }}
}

// process is a saltern under way.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
}

func start(t *testing.T, saltern program, dir string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(saltern.path, args...), ended: make(chan struct{})}
	p.Env = append(os.Environ(), "SALTERN_CACHE="+saltern.cache)
	p.Dir, p.Stdout, p.Stderr = dir, &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // ProcessState tells
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill() // an error says that it has ended
		<-p.ended
	})
	return p
}

// at waits for the moment and a little longer; false when the process ended before.
func (p *process) at(t *testing.T, m moment, later time.Duration) bool {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for !m.here(filepath.Join(p.Dir, "runs", "job")) {
		select {
		case <-p.ended:
			return false
		case <-limit:
			t.Fatalf("%s never came", m.name)
		case <-time.After(100 * time.Microsecond):
		}
	}
	time.Sleep(later)
	return true
}

// finish lets it run to its end, which must be a good one.
func (p *process) finish(t *testing.T) {
	t.Helper()
	<-p.ended
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("saltern %v ended with %v\n%s", p.Args[1:], p.ProcessState, p.stderr.String())
	}
}

func newJob(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "job.toml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// testStopped holds runs that were stopped, gently or not, against one that never was.
func testStopped(t *testing.T, saltern program) {
	undisturbed := newJob(t, stoppedJob)
	start(t, saltern, undisturbed, "run", "job.toml").finish(t)
	t.Run("killed", func(t *testing.T) { testKilled(t, saltern, undisturbed) })
	t.Run("interrupted", func(t *testing.T) { testInterrupted(t, saltern, undisturbed) })
	t.Run("labels", func(t *testing.T) { testLabelsKilled(t, saltern, undisturbed) })
	t.Run("auto", func(t *testing.T) { testAutoKilled(t, saltern) })
}

// testKilled kills runs at moments spread over all that a job does, as a power cut or Slurm would: nothing but what lies on the
// disk helps the next.
func testKilled(t *testing.T, saltern program, undisturbed string) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	at := func(training string, from, to int) moment { return after(training, from+rng.IntN(to-from)) }
	dir := newJob(t, stoppedJob)
	killed := 0
	for _, m := range []moment{
		there("preparing", "corpus.part-*"),
		there("the end of preparing", "corpus/manifest.json"),
		at("slm", 2, 12), saving("slm"), at("slm", 16, 28),
		there("between SLM and baseline", "slm/result.json"),
		saving("llm-baseline"), at("llm-baseline", 10, 28),
		at("llm-salt", 2, 14), saving("llm-salt"), at("llm-salt", 17, 28),
	} {
		p := start(t, saltern, dir, "run", "job.toml")
		later := time.Duration(rng.IntN(3000)) * time.Microsecond
		reached := p.at(t, m, later)
		_ = p.Process.Kill()
		<-p.ended
		status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
		hit := reached && ok && status.Signaled()
		if hit {
			killed++
		} else if p.ProcessState.ExitCode() != 0 {
			t.Fatalf("%s: the run ended by itself: %v\n%s", m.name, p.ProcessState, p.stderr.String())
		}
		t.Logf("%s and %v: killed %v; on disk %s", m.name, later, hit, onDisk(filepath.Join(dir, "runs", "job")))
	}
	if killed < 8 {
		t.Errorf("only %d of the moments were hit", killed)
	}
	start(t, saltern, dir, "run", "job.toml").finish(t)
	sameRuns(t, undisturbed, dir, "slm", "llm-baseline", "llm-salt")
	left, err := filepath.Glob(filepath.Join(dir, "runs", "job", "*", "checkpoints", ".tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// testLabelsKilled kills the making of soft labels while the file grows, and once asks it to stop: what is there in the end is, byte for
// byte, what nobody disturbed.
func testLabelsKilled(t *testing.T, saltern program, undisturbed string) {
	rng := rand.New(rand.NewPCG(8, 0))
	label := []string{"label", "--set", "distill.method=rkd", "job.toml"}
	file := func(run string) string {
		found, _ := filepath.Glob(filepath.Join(run, "labels", "*", "soft_labels"))
		return strings.Join(found, "")
	}
	size := func(run string) int64 {
		info, err := os.Stat(file(run))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	start(t, saltern, undisturbed, label...).finish(t)
	whole := size(filepath.Join(undisturbed, "runs", "job"))
	dir, killed := newJob(t, stoppedJob), 0
	start(t, saltern, dir, "train", "--only", "slm", "job.toml").finish(t)
	for i := range int64(6) {
		enough := max(whole*(i+1)/8, size(filepath.Join(dir, "runs", "job"))) // so that the process itself wrote some
		p := start(t, saltern, dir, label...)
		grown := moment{fmt.Sprintf("labels, %d bytes of %d", enough, whole), func(run string) bool { return size(run) > enough }}
		if p.at(t, grown, time.Duration(rng.IntN(2000))*time.Microsecond) {
			if i == 3 {
				_ = p.Process.Signal(os.Interrupt)
			} else {
				_ = p.Process.Kill()
			}
		}
		<-p.ended
		if code := p.ProcessState.ExitCode(); code != 0 {
			killed++
			if i == 3 && (code != int(Interrupted) || !strings.Contains(p.stderr.String(), "the same command goes on from there: interrupt signal received")) {
				t.Errorf("interrupted: %v\n%s", p.ProcessState, p.stderr.String())
			}
		}
		t.Logf("%s: %v; %d bytes on disk", grown.name, p.ProcessState, size(filepath.Join(dir, "runs", "job")))
	}
	if killed < 4 {
		t.Errorf("only %d of the moments were hit", killed)
	}
	last := start(t, saltern, dir, label...)
	last.finish(t)
	var list [][]byte
	for _, d := range []string{undisturbed, dir} {
		data, err := os.ReadFile(file(filepath.Join(d, "runs", "job")))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data)
	}
	if !bytes.Equal(list[0], list[1]) {
		t.Errorf("%d bytes, undisturbed %d, or others", len(list[1]), len(list[0]))
	}
	// A student that was killed reads on where it was.
	student := []string{"train", "--only", "method", "--set", "distill.method=rkd", "--set", "distill.labels=offline", "job.toml"}
	start(t, saltern, undisturbed, student...).finish(t)
	p := start(t, saltern, dir, student...)
	if !p.at(t, after("llm-rkd", 12), 0) {
		t.Fatalf("the student ended by itself: %v\n%s", p.ProcessState, p.stderr.String())
	}
	_ = p.Process.Kill()
	<-p.ended
	start(t, saltern, dir, student...).finish(t)
	sameTraining(t, undisturbed, dir, "llm-rkd")
}

// onDisk words what the trainings have on disk.
func onDisk(run string) string {
	var words []string
	for _, training := range []string{"slm", "llm-baseline", "llm-salt"} {
		records, err := metrics.Read(filepath.Join(run, training))
		if err == nil && len(records) > 0 {
			latest, _ := os.ReadFile(filepath.Join(run, training, "checkpoints", "latest"))
			words = append(words, fmt.Sprintf("%s at %d, saved %s", training, records[len(records)-1].Step, strings.TrimSpace(string(latest))))
		}
	}
	return strings.Join(words, "; ")
}

// testInterrupted asks runs to stop by signal: the step under way is finished and saved, one sentence says so, and the exit code
// is that of an interruption.
func testInterrupted(t *testing.T, saltern program, undisturbed string) {
	dir := newJob(t, stoppedJob)
	stopped := regexp.MustCompile(`(?m)^saltern: (SLM|BASELINE|SALT) stopped at step (\d+) of 30, saved in (\S+); the same command goes on from there: (interrupt|terminated|user defined signal 1) signal received$`)
	for _, test := range []struct {
		m        moment
		signal   os.Signal
		label    string
		training string
	}{
		{after("slm", 8), os.Interrupt, "SLM", "slm"},
		{after("llm-baseline", 1), syscall.SIGTERM, "BASELINE", "llm-baseline"},
		{after("llm-salt", 12), syscall.SIGUSR1, "SALT", "llm-salt"},
	} {
		want := Interrupted
		if test.signal == syscall.SIGUSR1 {
			want = Requeue
		}
		p := start(t, saltern, dir, "run", "job.toml")
		if !p.at(t, test.m, 0) {
			t.Fatalf("%s: the run ended by itself: %v\n%s", test.m.name, p.ProcessState, p.stderr.String())
		}
		if err := p.Process.Signal(test.signal); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		if code := p.ProcessState.ExitCode(); code != int(want) {
			t.Fatalf("%s: %v, want exit code %d\n%s", test.m.name, p.ProcessState, want, p.stderr.String())
		}
		said := stopped.FindStringSubmatch(p.stderr.String())
		if said == nil || said[1] != test.label || !strings.HasSuffix(p.stderr.String(), said[0]+"\n") {
			t.Fatalf("%s: not told by a last sentence where it stopped:\n%s", test.m.name, p.stderr.String())
		}
		latest, err := os.ReadFile(filepath.Join(dir, "runs", "job", test.training, "checkpoints", "latest"))
		if want := fmt.Sprintf("step_%08s\n", said[2]); err != nil || string(latest) != want {
			t.Errorf("%s: latest is %q (%v), want %q", test.m.name, latest, err, want)
		}
		if p.stdout.Len() > 0 {
			t.Errorf("%s: a table of a job that is not done:\n%s", test.m.name, p.stdout.String())
		}
	}
	start(t, saltern, dir, "run", "job.toml").finish(t)
	sameRuns(t, undisturbed, dir, "slm", "llm-baseline", "llm-salt")
}

// sameRuns wants both folders' trainings of these names to have ended in the same bits, and to have measured the same on the way, but for time.
func sameRuns(t *testing.T, wantDir, gotDir string, trainings ...string) {
	t.Helper()
	for _, training := range trainings {
		sameTraining(t, wantDir, gotDir, training)
	}
}

func sameTraining(t *testing.T, wantDir, gotDir, training string) {
	t.Helper()
	want, got := filepath.Join(wantDir, "runs", "job", training), filepath.Join(gotDir, "runs", "job", training)
	if a, b := measured(t, want), measured(t, got); !reflect.DeepEqual(a, b) {
		t.Errorf("%s: the metrics differ:\n%v\n%v", training, a, b)
	} else if len(a) == 0 {
		t.Errorf("%s has no metrics", training)
	}
	if _, err := os.Stat(filepath.Join(got, "result.json")); err != nil {
		t.Errorf("%s has not ended: %v", training, err)
	}
	for _, file := range []string{"model.safetensors", "optimizer.safetensors", "tokenizer.json", "config.json"} {
		if a, b := lastFile(t, want, file), lastFile(t, got, file); !bytes.Equal(a, b) {
			t.Errorf("%s: %s of the last checkpoint differs", training, file)
		}
	}
}

// measured is a training's metrics without those that a clock made.
func measured(t *testing.T, training string) []metrics.Record {
	t.Helper()
	records, err := metrics.Read(training)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		delete(r.Values, metrics.Seconds)
		delete(r.Values, metrics.TokensPerSec)
		delete(r.Values, metrics.MFU)
		delete(r.Values, metrics.LabelWait)
		delete(r.Values, metrics.CheckSeconds)
		for _, key := range []string{metrics.TrainLoss, metrics.GradNorm, metrics.LR} {
			if _, ok := r.Values[key]; !ok && i > 0 {
				t.Fatalf("%s: step %d has no %s", training, r.Step, key)
			}
		}
	}
	return records
}

// lastFile reads a file of the checkpoint after the last step; of its revisions the last.
func lastFile(t *testing.T, training, name string) []byte {
	t.Helper()
	files := os.DirFS(filepath.Join(training, "checkpoints"))
	latest, err := fs.ReadFile(files, "latest")
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSpace(string(latest))
	text, err := fs.ReadFile(files, folder+"/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"saltern/compute"
)

var onFleet = flag.Bool("fleet", false, "run TestFleet on the Vulkan drivers of scripts/fleet.sh; needs root")

// fleet runs saltern and the tests of kernels on drivers of other systems, and gathers what docs/FLEET.md says.
type fleet struct {
	script, saltern, kernels string // paths: fleet.sh, the program, the tests of package compute
	text                     string // folder of what the small job reads
	executed                 []executor
	compiled                 []gpu
	wrong                    []string // kernels that the tuner rejected on the driver that miscompiles
	deaths                   int      // processes that it ended before the job was done
}

// executor is a root whose lavapipe executed.
type executor struct {
	root, device string
	driver       string
	passed       map[string]int // checks by operation
	losses       []float64      // held-out, of each model of the job
}

// gpu is one for which kernels were compiled.
type gpu struct {
	name, device, driver string
	rows                 []kernelRow
}

// kernelRow is a row of saltern kernels --json. What the driver does not tell is nil.
type kernelRow struct {
	Op, Kernel, Shape                           string
	Lanes, Registers, Spills, Occupancy, Cycles *int64
	Shared                                      int64  `json:"shared_bytes"`
	Scratch                                     *int64 `json:"scratch_bytes"`
}

// fleetJob is small enough to be trained in seconds by any driver; its text is this project's own pages.
const fleetJob = `
[corpus]
sources = ["%s/*.md"]
max_bytes = 60000
document_bytes = 2000
[tokenizer]
vocab_size = 300
[slm]
model = { width = 16, layers = 1, heads = 2, context = 32 }
train = { steps = 20, batch = 4, microbatch = 2, lr = 0.01, eval_tokens = 512 }
[llm]
model = { width = 32, layers = 2, heads = 4, kv_heads = 2, context = 32 }
train = { steps = 20, batch = 4, microbatch = 2, lr = 0.01, eval_tokens = 512 }
[distill]
kd_steps = 10
`

// TestFleet is make test-fleet: everything executes on the lavapipe of three Mesa versions and compiles for GPUs of four
// vendors, each under its own system's validation layer.
func TestFleet(t *testing.T) {
	if !*onFleet {
		t.Skip("needs root and some minutes: make test-fleet")
	}
	f := newFleet(t)
	for _, name := range strings.Fields(f.run(t, nil, "gpus")) {
		t.Run("compile/"+name, func(t *testing.T) { f.compile(t, name) })
	}
	for _, root := range []string{"host", "trixie", "sid"} {
		t.Run("execute/"+root, func(t *testing.T) { f.execute(t, root) })
	}
	t.Run("devices", f.devices)
	t.Run("several", f.several)
	t.Run("mixed", f.mixed)
	t.Run("slurm", f.slurm)
	t.Run("miscompiling", f.miscompiling)
	failed := t.Failed() // of all that ran before; the page's own test has not failed yet
	t.Run("page", func(t *testing.T) {
		if failed || len(f.compiled) == 0 || len(f.executed) < 3 || len(f.wrong) == 0 {
			t.Skip("not everything was run, or something failed: docs/FLEET.md stays as it is")
		}
		path := filepath.Join("..", "docs", "FLEET.md")
		if *fix {
			if err := os.WriteFile(path, []byte(f.page()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != f.page() {
			t.Errorf("docs/FLEET.md is not what was found; run: make test-fleet")
		}
	})
}

// newFleet builds what is to be run, and makes the roots that are missing.
func newFleet(t *testing.T) *fleet {
	bin := t.TempDir()
	script, err := filepath.Abs("../scripts/fleet.sh")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{script: script, saltern: filepath.Join(bin, "saltern"), kernels: filepath.Join(bin, "compute.test")}
	for _, args := range [][]string{{"build", "-o", f.saltern, "saltern"}, {"test", "-c", "-o", f.kernels, "saltern/compute"}} {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	t.Log(f.run(t, nil, "up"))
	f.text = filepath.Join(bin, "text")
	if err := os.Mkdir(f.text, 0o777); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages { // copied, as somebody may write one meanwhile
		text, err := os.ReadFile(page)
		if name := filepath.Base(page); err == nil && name != "FLEET.md" { // which this run changes
			err = os.WriteFile(filepath.Join(f.text, name), text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// command is fleet.sh with the arguments, the validation layer on.
func (f *fleet) command(env []string, args ...string) *exec.Cmd {
	c := exec.Command(f.script, args...)
	c.Env = append(append(os.Environ(), "SALTERN_VALIDATION=1"), env...)
	return c
}

// run gives the command's output; what it says on stderr is shown if it fails.
func (f *fleet) run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, err := f.command(env, args...).Output()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		t.Errorf("fleet.sh %v: %v\n%s", args, err, e.Stderr)
	} else if err != nil {
		t.Errorf("fleet.sh %v: %v", args, err)
	}
	return string(out)
}

// device names the device that saltern sees there, and its driver.
func (f *fleet) device(t *testing.T, args ...string) (name, driver string) {
	t.Helper()
	var list []struct{ Name, Driver string }
	decode(t, f.run(t, nil, append(args, f.saltern, "devices", "--json")...), &list)
	if len(list) == 0 {
		t.Fatalf("fleet.sh %v: no device", args)
	}
	return list[0].Name, list[0].Driver
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

// compile makes all kernels for a GPU. What cannot be made, what spills and is hot, and what the validation layer says fail
// the command.
func (f *fleet) compile(t *testing.T, name string) {
	g := gpu{name: name}
	g.device, g.driver = f.device(t, "gpu", name)
	decode(t, f.run(t, nil, "gpu", name, f.saltern, "kernels", "--strict", "--json"), &g.rows)
	if len(g.rows) == 0 {
		t.Errorf("%s compiled nothing", g.driver)
	}
	for _, r := range g.rows {
		if r.Spills == nil || r.Registers == nil {
			t.Errorf("%s tells no spills or no registers of %s/%s under a name that compute/measure.go knows", g.driver, r.Op, r.Kernel)
		}
	}
	f.compiled = append(f.compiled, g)
}

var passedCheck = regexp.MustCompile(`(?m)^    --- PASS: TestKernels\w*/(\w+)/`)

// execute runs the tests of all kernels and a small job.
func (f *fleet) execute(t *testing.T, root string) {
	e := executor{root: root, passed: map[string]int{}}
	e.device, e.driver = f.device(t, "run", root)
	tests := "^TestKernels$"
	if root == "host" { // elsewhere once is enough: compiling takes most of the time
		tests = "^TestKernels"
	}
	c := f.command(nil, "run", root, f.kernels, "-test.v", "-test.run", tests, "-test.timeout", "30m")
	c.Dir = "../compute"
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, failures(out))
	}
	for _, m := range passedCheck.FindAllSubmatch(out, -1) {
		e.passed[string(m[1])]++
	}
	for _, op := range compute.Table {
		if e.passed[op.Name] == 0 {
			t.Errorf("no check of %s passed", op.Name)
		}
	}
	e.losses, _ = f.train(t, nil, root, 0)
	f.executed = append(f.executed, e)
	f.sameLosses(t, root, e.losses)
}

// failures are the lines of a test's output that say what failed.
func failures(out []byte) []byte {
	var kept [][]byte
	lines := bytes.Split(out, []byte("\n"))
	for i, l := range lines {
		if bytes.Contains(l, []byte("--- FAIL")) || i > 0 && bytes.Contains(lines[i-1], []byte("--- FAIL")) || len(lines)-i < 40 && !bytes.Contains(l, []byte("--- PASS")) {
			kept = append(kept, l)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}

// train runs the small job and gives the held-out loss of each model. A driver may end the process so many times; the same
// command then goes on without the kernel in which it did.
func (f *fleet) train(t *testing.T, env []string, root string, most int) (losses []float64, deaths int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "job.toml"), fmt.Appendf(nil, fleetJob, f.text), 0o666); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for ; ; deaths++ {
		c := f.command(append(env, "SALTERN_CACHE="+dir), "run", root, f.saltern, "run", "--json", "job.toml")
		c.Dir = dir
		var stderr strings.Builder
		c.Stderr = &stderr
		var err error
		if out, err = c.Output(); err == nil {
			break
		}
		if c.ProcessState.ExitCode() != -1 || deaths == most { // -1: a signal
			t.Fatalf("%v, after %d deaths\n%s", err, deaths, stderr.String())
		}
	}
	var rows []struct {
		Loss float64 `json:"held_out_loss_nats"`
	}
	decode(t, string(out), &rows)
	for _, r := range rows {
		losses = append(losses, r.Loss)
	}
	return losses, deaths
}

// sameLosses holds a job's losses against those of the first executor: other kernels sum in another order, no more.
func (f *fleet) sameLosses(t *testing.T, who string, losses []float64) {
	t.Helper()
	if len(f.executed) == 0 { // only a part of the test was asked for
		t.Fatalf("%s: no losses to compare with; run execute/host too", who)
	}
	want := f.executed[0].losses
	if len(losses) != 3 || len(losses) != len(want) {
		t.Fatalf("%s: losses %v, on %s %v; want those of three models", who, losses, f.executed[0].root, want)
	}
	for i, l := range losses {
		if !(l < math.Log(300)) || math.Abs(l-want[i]) > 0.01*want[i] {
			t.Errorf("%s: losses %v, on %s %v; want them within 1%%, and below ln 300, where nothing was learnt", who, losses, f.executed[0].root, want)
			return
		}
	}
}

// miscompiling runs on a driver that is wrong for certain: Mesa 25.0's lavapipe with vectors of 512 bits gives wrong results
// for many texel fetches, without a word, and ends the process in loads of images. The tuner must reject the kernels that it meets
// there, say so, and train all the same.
func (f *fleet) miscompiling(t *testing.T) {
	env := []string{"LP_NATIVE_VECTOR_WIDTH=512", "SALTERN_CACHE=" + t.TempDir()}
	c := f.command(env, "run", "trixie", f.saltern, "tune", "--json", "--op", "matmul", "--set", "slm.model.layers=1", "--set", "llm.model.layers=1",
		"--set", "slm.train.sequence=32", "--set", "llm.train.sequence=32", "--set", "tokenizer.vocab_size=300")
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var rows []struct{ Shapes, Kernel, Verdict, Reason string }
	decode(t, string(out), &rows)
	chosen, shapes := 0, map[string]bool{}
	for _, r := range rows {
		name := "matmul/" + r.Kernel
		shapes[r.Shapes] = true
		switch r.Verdict {
		case "wrong":
			if !strings.Contains(stderr.String(), "warning: "+name+" is not used ") {
				t.Errorf("%s is wrong for %s (%s), and no warning says that it is not used", name, r.Shapes, r.Reason)
			}
			if !slices.Contains(f.wrong, name) {
				f.wrong = append(f.wrong, name)
			}
		case "chosen": // which a texel kernel may be on a processor with AVX-512, where some are right; the losses tell
			chosen++
		}
	}
	if chosen != len(shapes) || chosen == 0 || !slices.ContainsFunc(f.wrong, func(n string) bool { return strings.HasPrefix(n, "matmul/texel") }) {
		t.Errorf("%d kernels are chosen for %d products; rejected are %v, want some that load texels", chosen, len(shapes), f.wrong)
	}
	var losses []float64
	losses, f.deaths = f.train(t, env, "trixie", 30)
	f.sameLosses(t, "trixie with vectors of 512 bits", losses)
}

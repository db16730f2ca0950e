package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"saltern/compute"
)

// benchCommand measures this device.
func benchCommand() *Command {
	var flags struct {
		sets   listFlag
		device string
		runs   int
		large  bool
		json   bool
	}
	return &Command{
		Name:    "bench",
		Usage:   "SUITE [--runs N] [--large] [--device NAME] [--set key=value]... [--json] [job.toml]",
		Summary: "measure this device: matmul, elementwise, attention, loss, train, or all of them",
		Help: `Measures on this device, with the kernels that the tuner chooses for it:

  matmul       square float32 matrix products in the three forms of a training step, beside
               the plain register tile in the same runs
  elementwise  a copy, the device's own ceiling, and what only moves memory beside it
  attention    causal attention, forward and backward
  loss         output projection, softmax and cross entropy in one, forward and backward
  train        whole optimizer steps of a job's LLM on random tokens, and where their time
               goes; without a job file, of a model of a million parameters
  all          all of these

Each figure is the median of --runs runs after a warm-up, with the fastest and the slowest.
What a share is of is measured in the same process: a copy, or the best matrix product of
512 square on a CPU, 4096 on a GPU. "model" GFLOP/s count the arithmetic that a step is
defined by (6 per weight and token, and attention), "planned" that of the recorded programs,
with what is computed twice and the optimizer. Only an idle machine gives steady figures:
look at min and max.`,
		Example: `saltern bench matmul
saltern bench train --runs 10 job.toml
saltern bench all --json > bench.json`,
		Exits: []Kind{BadConfig, NoDevice, LacksFeature, NoMemory, Interrupted},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			fs.IntVar(&flags.runs, "runs", 5, "take the median of `N` runs, at least 5")
			fs.BoolVar(&flags.large, "large", false, "matmul: 2048 square too, and 4096 on a GPU")
			deviceFlag(fs, &flags.device)
			jsonFlag(fs, &flags.json)
		},
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			if len(args) == 0 {
				return fail(Usage, "bench needs a suite: matmul, elementwise, attention, loss, train or all; run: saltern help bench")
			}
			suites, err := findSuites(args[0])
			if err != nil {
				return err
			}
			if flags.runs < 5 {
				return fail(Usage, "bench: a median of %d runs says little; use --runs 5 or more", flags.runs)
			}
			job, err := jobOrBuiltin("bench", args[1:], flags.sets)
			if err != nil {
				return err
			}
			device, err := openDevice(io, either(flags.device, job.Config.Device))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, device.CloseChecked()) }()
			tuner, err := newTuner(io, device)
			if err != nil {
				return err
			}
			tuner.Progress = nil // a benchmark tunes a node here and a node there
			device.Choose = tuner.Choose
			b := &bench{io: io, job: job, device: device, tuner: tuner, runs: flags.runs, large: flags.large, json: flags.json}
			return b.run(ctx, suites)
		},
	}
}

// suite is one of the benchmarks: it adds its tables to b.
type suite struct {
	name string
	run  func(b *bench, ctx context.Context) error
}

func suites() []suite {
	return []suite{
		{"matmul", (*bench).matmul}, {"elementwise", (*bench).elementwise}, {"attention", (*bench).attention},
		{"loss", (*bench).loss}, {"train", (*bench).train},
	}
}

func findSuites(name string) ([]suite, error) {
	list := suites()
	if name == "all" {
		return list, nil
	}
	names := []string{"all"}
	for _, s := range list {
		if s.name == name {
			return []suite{s}, nil
		}
		names = append(names, s.name)
	}
	return nil, fail(Usage, "there is no benchmark %q%s", name, didYouMean(name, names, "saltern help bench"))
}

// bench is a benchmark under way.
type bench struct {
	io     IO
	job    *Job
	device *compute.Device
	tuner  *compute.Tuner
	runs   int
	large  bool
	json   bool

	tables map[string]json.RawMessage // of --json, by name
	best   float64                    // the best matmul rate of this process, GFLOP/s
}

func (b *bench) run(ctx context.Context, list []suite) error {
	info := b.device.Info()
	date, command := time.Now().UTC().Format("2006-01-02 15:04 UTC"), commandLine(os.Args[1:])
	b.tables = map[string]json.RawMessage{}
	if !b.json {
		fmt.Fprintf(b.io.Out, "device   %s\ndriver   %s\ndate     %s\ncommand  %s\n", info.Name, info.Driver, date, command)
	}
	for _, s := range list {
		if err := s.run(b, ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if !b.json {
		return nil
	}
	text, err := json.MarshalIndent(struct {
		Device  string                     `json:"device"`
		Driver  string                     `json:"driver"`
		UUID    string                     `json:"uuid"`
		Date    string                     `json:"date"`
		Command string                     `json:"command"`
		Runs    int                        `json:"runs"`
		Kernels map[string]string          `json:"kernels"`
		Tables  map[string]json.RawMessage `json:"tables"`
	}{info.Name, info.Driver, info.UUID, date, command, b.runs, b.tuner.Choices().Kernels, b.tables}, "", "  ")
	if err != nil {
		return fmt.Errorf("bug: %w", err)
	}
	_, err = fmt.Fprintf(b.io.Out, "%s\n", text)
	return err
}

// show writes a table now, or keeps it for --json.
func (b *bench) show(key, title string, t Table) error {
	if !b.json {
		fmt.Fprintf(b.io.Out, "\n%s\n", title)
		return t.Write(b.io.Out, false)
	}
	var text bytes.Buffer
	err := t.Write(&text, true)
	b.tables[key] = text.Bytes()
	return err
}

// spread is the median of some sorted runs between their ends, in milliseconds.
type spread struct{ median, min, max float64 }

func spreadOf(runs []time.Duration) spread {
	slices.Sort(runs)
	return spread{ms(runs[len(runs)/2]), ms(runs[0]), ms(runs[len(runs)-1])}
}

// rate is that of the median: GFLOP/s of FLOPs, GB/s of bytes.
func (s spread) rate(work int64) float64 { return float64(work) / s.median / 1e6 }

// timeColumns are the three of a spread.
func timeColumns() []Column {
	return []Column{
		{Key: "ms", Title: "median", Unit: "ms", Format: "%.3f"}, {Key: "ms_min", Title: "min", Unit: "ms", Format: "%.3f"},
		{Key: "ms_max", Title: "max", Unit: "ms", Format: "%.3f"},
	}
}

func (s spread) cells() []any { return []any{s.median, s.min, s.max} }

// percent shows a share; what it is of is unknown where of is 0.
func percent(part, of float64) any {
	if of == 0 || math.IsNaN(part) {
		return nil
	}
	return 100 * part / of
}

// timeNode measures a node with its chosen kernel alone.
func (b *bench) timeNode(n *compute.Node) (spread, *compute.Kernel, error) {
	list, err := b.tuner.TimeNode(n, b.runs)
	if err != nil {
		return spread{}, nil, err
	}
	return spreadOf(list[0].Runs), list[0].Kernel, nil
}

// timeProgram measures a whole program; prepare writes its inputs.
func (b *bench) timeProgram(ctx context.Context, p *compute.Program, prepare func() error) (spread, error) {
	defer b.device.Free(p.Storages()...)
	if err := b.tuner.Tune(ctx, p); err != nil {
		return spread{}, err
	}
	exes, err := b.device.Load(p)
	if err != nil {
		return spread{}, err
	}
	defer exes[0].Close()
	var runs []time.Duration
	for i := range b.runs + 1 {
		if err := prepare(); err != nil {
			return spread{}, err
		}
		start := time.Now()
		if err := exes[0].Run(); err != nil {
			return spread{}, err
		}
		if i > 0 {
			runs = append(runs, time.Since(start))
		}
	}
	return spreadOf(runs), nil
}

// record makes a program.
func record(f func(r *compute.Recorder)) (*compute.Program, error) {
	r := compute.NewRecorder()
	f(r)
	return r.Finish()
}

// state declares device memory.
func state(name string, shape ...int) *compute.Tensor {
	return compute.NewTensor(compute.State, name, compute.F32, shape...)
}

// label names a node's operation, with the form of a matrix product.
func label(n *compute.Node) string {
	if f, ok := n.Attr.(compute.Form); ok {
		return n.Op.Name + " " + f.String()
	}
	return n.Op.Name
}

// shapesOf words a node's inputs.
func shapesOf(n *compute.Node) string {
	text := ""
	for _, t := range n.Inputs() {
		text += t.Shape.String()
	}
	return text
}

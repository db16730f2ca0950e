package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"saltern/compute"
	"saltern/distill"
	"saltern/jobs/progress"
	"saltern/model"
)

// tuneCommand measures which kernels a job is to use, and shows what it measured.
func tuneCommand() *Command {
	var flags struct {
		sets   listFlag
		op     string
		device string
		json   bool
	}
	return &Command{
		Name:    "tune",
		Usage:   "[--op NAME] [--device NAME] [--set key=value]... [--json] [job.toml]",
		Summary: "measure which kernels this device is to use for a job's shapes",
		Help: `Most operations have several kernels, and which one is fastest depends on the device, its
driver and the shapes. A job measures that by itself before its first step and keeps the
choices in a cache; this command measures anew, replaces what the cache knows, and shows
every kernel with its time (the fastest of 5 runs, or of up to 20 of those that are close)
and its verdict:

  chosen   it is used for these shapes
  slower   by the factor shown; far slower ones were only timed on a part of the rows
  equal    within 3% of the fastest; the order of the kernels decided
  wrong    it did not reproduce the reference on this device, and is never used here

--op shows one operation only, such as matmul. Without a job file it takes a model of a
million parameters. Use it after a driver's update, or when a job is slower than expected.
The cache is tune.json in $SALTERN_CACHE, else in $XDG_CACHE_HOME/saltern or
~/.cache/saltern; it can be deleted at any time.`,
		Example: `saltern tune job.toml
saltern tune --op matmul --json`,
		Exits: []Kind{BadConfig, NoDevice, LacksFeature, NoMemory},
		Flags: func(fs *flag.FlagSet) {
			setFlag(fs, &flags.sets)
			fs.StringVar(&flags.op, "op", "", "measure and show this `operation` only")
			deviceFlag(fs, &flags.device)
			jsonFlag(fs, &flags.json)
		},
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			if err := knownOp(flags.op); err != nil {
				return err
			}
			job, err := jobOrBuiltin("tune", args, flags.sets)
			if err != nil {
				return err
			}
			device, err := openDevice(io, either(flags.device, job.Config.Device))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, device.CloseChecked()) }()
			job.settlePrecision(device.Limits())
			programs, err := jobPrograms(job, device.Limits().Memory)
			if err != nil {
				return err
			}
			for i, p := range programs {
				programs[i] = onlyOp(p, flags.op)
			}
			tuner, err := newTuner(io, device)
			if err != nil {
				return err
			}
			tuner.Again, tuner.All = true, true
			if err := tuner.Tune(ctx, programs...); err != nil {
				return err
			}
			return tuneTable(tuner.Measured(), flags.json).Write(io.Out, flags.json)
		},
	}
}

// openTuned opens the device that selector names, with the tuner that chooses its kernels. The caller ends with
// CloseChecked.
func openTuned(io IO, selector string) (*compute.Device, *compute.Tuner, error) {
	d, err := openDevice(io, selector)
	if err != nil {
		return nil, nil, err
	}
	t, err := newTuner(io, d)
	if err != nil {
		return nil, nil, errors.Join(err, d.CloseChecked())
	}
	d.Choose = t.Choose
	return d, t, nil
}

// newTuner is the tuner of a device with the user's cache. It shows progress and warnings on io.Err.
func newTuner(io IO, d *compute.Device) (*compute.Tuner, error) {
	t, err := compute.NewTuner(d, compute.CacheFile(io.Env))
	if err != nil {
		return nil, err
	}
	meter := newMeter(io, 0)
	t.Warn = func(message string) { meter.Message("warning: " + message) }
	start := time.Now()
	t.Progress = func(done, total int, what string) {
		s := progress.Sample{Unit: "tuning", Done: int64(done), Total: int64(total), Note: what}
		if done == total {
			meter.Done(s)
			return
		}
		now := time.Now()
		s.Left = progress.Left(now.Sub(start), int64(done), int64(total-done))
		meter.Update(now, s)
	}
	return t, nil
}

func knownOp(name string) error {
	if name == "" || compute.Find(name) != nil {
		return nil
	}
	var names []string
	for _, op := range compute.Table {
		names = append(names, op.Name)
	}
	return fail(Usage, "there is no operation %q%s", name, didYouMean(name, names, "saltern help tune"))
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// builtinJob is what tune and bench take where no job is named: a model of a million parameters and its teacher, as in
// examples/go-source.toml, which may not be at hand where the binary is.
const builtinJob = `
name = "small"
corpus.sources = ["unused"]
tokenizer.vocab_size = 2048
slm.model.preset = "0.25M"
llm.model.preset = "1M"
slm.train = { steps = 600, batch = 16, sequence = 128 }
llm.train = { steps = 600, batch = 16, sequence = 128 }
`

// jobOrBuiltin reads the job file that is the only argument, or takes builtinJob where there is none.
func jobOrBuiltin(command string, args []string, sets []string) (*Job, error) {
	if len(args) == 0 {
		return readJob("small job", []byte(builtinJob), sets)
	}
	return jobArgument(command, args, sets)
}

// jobPrograms are the programs that a job's trainings run, on a device with that much memory.
func jobPrograms(job *Job, memory int64) ([]*compute.Program, error) {
	var list []*compute.Program
	add := func(c ModelConfig, name string, objectives ...model.Objective) (train model.TrainConfig, err error) {
		m := model.New(c.Model, name, true)
		if train, err = model.ChooseMicrobatch(m, c.Train, memory, objectives...); err != nil {
			return train, fail(NoMemory, "%s: %w", name, err)
		}
		t, err := model.Programs(m, train, objectives...)
		if err != nil {
			return train, err
		}
		list = append(list, t.Programs()...)
		return train, nil
	}
	if c := job.Config.SLM; c != (ModelConfig{}) {
		if _, err := add(c, "slm", model.Plain); err != nil {
			return nil, err
		}
	}
	llm, teacher, err := job.taught()
	if err != nil {
		return nil, err
	}
	help, offline := (*teaching)(nil), teacher != nil && llm.Distill.Offline()
	if offline {
		help = llm.help(nil, nil)
	} else if teacher != nil || llm.Distill.Smooths() {
		help = llm.help(teacher, nil)
	}
	if llm.Train, err = add(job.Config.LLM, "llm", help.objectives()...); err != nil {
		return nil, err
	}
	if offline {
		l, err := distill.NewLabeler(teacher, llm.labelSettings(), llm.Train.Microbatch)
		if err != nil {
			return nil, err
		}
		list = append(list, l.Program())
	}
	if job.Distill.Method != "salt-ds" {
		return list, nil
	}
	p, err := scoringProgram(job, llm.Train)
	return append(list, p), err
}

// taught is the LLM's training with its teacher, whatever the method: the SLM for a job whose method has none, nil for one that has no
// SLM either.
func (j *Job) taught() (llm *training, teacher *model.Model, err error) {
	llm = j.student("")
	if llm.Distill = j.Distill; j.teaches() {
		llm.giveRoles(j.Cluster, 0)
	}
	config := j.SLM.Model
	if llm.teacher != nil || llm.named != nil {
		if err := llm.meetTeacher(); err != nil {
			return nil, nil, err
		}
		config = llm.teacherModel()
	}
	if config == (model.Config{}) {
		return llm, nil, nil
	}
	return llm, model.New(config, "teacher", false), nil
}

// scoringProgram is what judges text for a job's selection, beside an LLM's training.
func scoringProgram(job *Job, llm model.TrainConfig) (*compute.Program, error) {
	m := model.New(job.SLM.Model, "slm", false)
	m.Precision = job.SLM.Train.DType()
	s, err := model.NewScorer(m, readTokens(job.SLM.Train, scoringBatch(llm.Microbatch, llm.Sequence), llm.Sequence))
	if err != nil {
		return nil, err
	}
	return s.Program(), nil
}

// onlyOp keeps a program's nodes of the named operation; all of them if the name is empty.
func onlyOp(p *compute.Program, name string) *compute.Program {
	if name == "" {
		return p
	}
	kept := &compute.Program{}
	for _, n := range p.Nodes {
		if n.Op.Name == name {
			kept.Nodes = append(kept.Nodes, n)
		}
	}
	return kept
}

// tuneTable has a row for each kernel of each class of nodes. In text, a class is named once.
func tuneTable(list []*compute.Tuned, asJSON bool) Table {
	t := Table{Columns: []Column{
		{Key: "shapes", Title: "operation and shapes"}, {Key: "kernel", Title: "kernel"},
		{Key: "ms", Title: "median", Unit: "ms", Format: "%.3f"},
		{Key: "gflops", Title: "rate", Unit: "GFLOP/s", Format: "%.1f"}, {Key: "gbytes", Title: "traffic", Unit: "GB/s", Format: "%.2f"},
		{Key: "verdict", Title: "verdict"}, {Key: "reason", Title: "reason"},
	}}
	for _, m := range list {
		name, best := m.Class, time.Duration(0)
		for _, v := range m.Variants {
			if v.Kernel == m.Chosen {
				best = v.Time
			}
		}
		for _, v := range m.Variants {
			verdict, reason := verdictOf(m, v, best)
			row := []any{name, v.Kernel.Name, nil, nil, nil, verdict, orNil(reason)}
			if v.Time > 0 {
				row[2], row[3], row[4] = ms(v.Time), rate(m.FLOPs, v.Time), rate(m.Bytes, v.Time)
			}
			t.Rows = append(t.Rows, row)
			if !asJSON {
				name = ""
			}
		}
	}
	return t
}

// verdictOf words what became of a variant, and why.
func verdictOf(m *compute.Tuned, v compute.Variant, best time.Duration) (verdict, reason string) {
	switch {
	case v.Kernel == m.Chosen && v.Time == 0:
		return "chosen", "the only one"
	case v.Kernel == m.Chosen && m.Cut:
		return "chosen", "timed on a part of the rows"
	case v.Kernel == m.Chosen:
		return "chosen", ""
	case v.Wrong != "":
		return "wrong", v.Wrong
	case float64(v.Time) < 1.03*float64(best):
		return "equal", ""
	}
	return "slower", fmt.Sprintf("%.1f times", float64(v.Time)/float64(best))
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// rate is work per nanosecond: GFLOP/s of FLOPs, GB/s of bytes.
func rate(work int64, d time.Duration) float64 { return float64(work) / float64(d) }

// commandLine is how this process was called, for reports.
func commandLine(args []string) string { return "saltern " + strings.Join(args, " ") }

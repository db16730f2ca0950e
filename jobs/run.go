package jobs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"saltern/compute"
	"saltern/model"
)

// runCommand does a whole job: text, SLM, LLM with and without its help, comparison.
func runCommand() *Command {
	var flags struct {
		runFlags
		trace traceFlags
	}
	return &Command{
		Name:    "run",
		Usage:   "[--set key=value]... [--device D] [--fresh] [--json] [--trace FILE] job.toml",
		Summary: "do a whole job: prepare, train the SLM, train the LLM with and without it, compare",
		Help: `Prepares the text, trains the small model (SLM), then trains the same large model (LLM) twice
from the same seed on the same data: BASELINE alone, and by the job's method with the SLM's
help, or that of whom distill.teacher names; the SLM is trained only where it is asked.
Evaluates all on held-out documents, prints one table, and writes report.html.

Everything lies in the run folder (run_dir, usually runs/<name>). Interrupt it at any
moment: the same command goes on from the last checkpoint, and what is finished is not
done again. A run folder belongs to its settings; with others, the command refuses and says
which differ. --fresh removes the run's models, and soft labels with the SLM that made them,
and begins them anew (the prepared text is kept where it still fits).

` + traceHelp,
		Example: `saltern run examples/go-source.toml
saltern run --set distill.method=rkd --set name=go-rkd examples/go-source.toml`,
		Exits: []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Diverged, Interrupted, SickDevice},
		Ranks: func(args []string) (*Job, error) { return flags.job("run", args) },
		Flags: func(fs *flag.FlagSet) {
			flags.define(fs, "the run's models")
			flags.trace.define(fs)
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			job, err := flags.job("run", args)
			if err != nil {
				return err
			}
			done, err := runTrainings(ctx, io, job, flags.fresh, flags.trace, func(*training) bool { return true })
			if err != nil {
				return err
			}
			if err := resultTable(done).Write(io.Out, flags.json); err != nil {
				return err
			}
			if io.Rank > 0 {
				return nil
			}
			path, err := writeReport(job, done)
			if err != nil {
				return err
			}
			fmt.Fprintf(io.Err, "report: %s\n", path)
			return nil
		},
	}
}

// trainCommand trains one of the job's models.
func trainCommand() *Command {
	var flags struct {
		runFlags
		only  string
		trace traceFlags
	}
	return &Command{
		Name:    "train",
		Usage:   "[--only slm|baseline|method] [--set key=value]... [--device D] [--fresh] [--json] [--trace FILE] job.toml",
		Summary: "train a job's LLM by its method, and the SLM before it where there is none yet",
		Help: `Trains the job's LLM by the job's method; the text is prepared and the SLM trained first where
that is not done yet. --only slm trains the SLM alone, --only baseline the LLM without help.
Goes on from the last checkpoint; checkpoints are folders that Hugging Face's Llama loads.

` + traceHelp,
		Example: `saltern train --only slm job.toml
saltern train job.toml`,
		Exits: []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Diverged, Interrupted, SickDevice},
		Ranks: func(args []string) (*Job, error) { return flags.job("train", args) },
		Flags: func(fs *flag.FlagSet) {
			flags.define(fs, "the run's models")
			fs.StringVar(&flags.only, "only", "", "train only this `model`: slm, baseline, or method (the LLM by the job's method)")
			flags.trace.define(fs)
		},
		Run: func(ctx context.Context, io IO, args []string) error {
			job, err := flags.job("train", args)
			if err != nil {
				return err
			}
			want, err := trainingFilter(job, flags.only)
			if err != nil {
				return err
			}
			done, err := runTrainings(ctx, io, job, flags.fresh, flags.trace, want)
			if err != nil {
				return err
			}
			return resultTable(done).Write(io.Out, flags.json)
		},
	}
}

// finishedTraining is a training and what came of it.
type finishedTraining struct {
	*training
	*outcome
	bitsPerByte float64
}

// runTrainings prepares the text and runs those of the job's trainings that are wanted.
func runTrainings(ctx context.Context, io IO, job *Job, fresh bool, trace traceFlags, want func(*training) bool) (done []finishedTraining, err error) {
	if err := trace.check(); err != nil {
		return nil, err
	}
	s, err := openJob(ctx, io, job)
	if err != nil {
		return nil, err
	}
	defer func() { err = s.done(err) }()
	fresh = fresh && !s.ranks.isLate() // the others have begun anew
	return done, s.overLosses(ctx, func() (err error) {
		done, err = trainAll(ctx, s, &fresh, trace, want)
		return err
	})
}

// trainAll runs the wanted trainings of the session's job, where fresh says so after removing them, which is done once.
func trainAll(ctx context.Context, s *session, fresh *bool, trace traceFlags, want func(*training) bool) (done []finishedTraining, err error) {
	manifest := s.set.Manifest
	list := slices.DeleteFunc(trainings(s.job, manifest.Key), func(t *training) bool { return !want(t) })
	if err := s.ranks.first(ctx, func() error { return sameSettings(list, *fresh) }); err != nil {
		return nil, err
	}
	if err := errors.Join(enoughText(s, list), enoughStudents(s, list)); err != nil {
		return nil, err
	}
	for _, t := range list {
		if *fresh {
			if err := s.ranks.first(ctx, t.remove); err != nil {
				return nil, err
			}
		}
	}
	*fresh = false
	for i, t := range list {
		if i == len(list)-1 && s.ranks.leads() {
			t.trace = trace
		}
		o, err := t.train(ctx, s)
		if err != nil {
			return nil, err
		}
		done = append(done, finishedTraining{t, o, manifest.HeldOut.BitsPerByte(o.HeldOut.NLL)})
	}
	return done, nil
}

// openJob meets the other ranks, where there are some, prepares the job's text, opens its device, and settles what the job leaves to
// that. Close the session.
func openJob(ctx context.Context, io IO, job *Job) (*session, error) {
	r, err := joinRanks(ctx, io, job)
	if err != nil {
		return nil, err
	}
	if !r.isLate() { // the others have prepared it
		err = r.first(ctx, func() error {
			if err := writeResolved(job); err != nil {
				return err
			}
			_, err := prepareCorpus(ctx, io, job)
			return err
		})
	}
	var s *session
	if err == nil {
		s, err = openSession(io, job, r)
	}
	if err != nil {
		return nil, errors.Join(err, r.close(err))
	}
	return s.enter(ctx)
}

// tooFewMicrobatches is an error where a training has none for some rank.
func tooFewMicrobatches(plans []plan) error {
	for _, p := range plans {
		c, key := p.train, "llm.train"
		if p.label == "SLM" {
			key = "slm.train"
		}
		if n := c.Batch / c.Microbatch; n < p.ranks {
			return fail(BadConfig, "%s.batch = %d is %d microbatches of %d, and each of the %d ranks needs one; raise %s.batch, which is that of all ranks together, lower %s.microbatch to at most %d, or start fewer ranks",
				key, c.Batch, n, c.Microbatch, p.ranks, key, key, max(1, c.Batch/p.ranks))
		}
	}
	return nil
}

// settlePrecision chooses the precisions that the job leaves to the devices: where crews train, to theirs.
func (j *Job) settlePrecision(l *compute.Limits) {
	j.SLM.Train, j.LLM.Train = j.SLM.Train.OnDevice(j.seating.SLM.limits(l)), j.LLM.Train.OnDevice(j.seating.LLM.limits(l))
}

// settle settles what jobs leave to the device and to the text, once for all trainings of the same model on batches of the same shape:
// precision and microbatch are orders of summation, and a comparison wants the same in each.
func (s *session) settle(jobs []*Job) error {
	type shape struct {
		model.Config
		batch, sequence, asked int
		precision              string
	}
	of := func(m model.Config, t model.TrainConfig, asked int) shape {
		return shape{m, t.Batch, t.Sequence, asked, t.Precision}
	}
	least, said := map[shape]int{}, []string(nil)
	once := func(line string) {
		if !slices.Contains(said, line) {
			s.say("%s", line)
			said = append(said, line)
		}
	}
	for _, j := range jobs {
		j.Config = j.withTokenizer(s.set.Manifest.VocabSize, s.set.Manifest.DocumentStart)
		if err := errors.Join(j.checkVocab(s.set.Manifest.VocabSize), j.checkTeacher(s.tokenizer, s.set)); err != nil {
			return err
		}
		if err := s.seat(j, jobs[0], once); err != nil {
			return err
		}
		s.settleMixed(j, once)
		j.settlePrecision(&s.limits)
		j.ranks = s.ranks.size()
		err := j.settleRounds(once)
		if err != nil {
			return err
		}
		plans, err := planJob(j, s.limits.Memory)
		if err == nil {
			err = errors.Join(tooLarge(plans), tooFewMicrobatches(plans))
		}
		if err != nil {
			return err
		}
		for _, p := range plans {
			asked := j.LLM.Train.Microbatch
			if p.label == "SLM" {
				asked = j.SLM.Train.Microbatch
			}
			k := of(p.model, p.train, asked)
			if n := least[k]; n == 0 || p.train.Microbatch < n {
				least[k] = p.train.Microbatch
			}
		}
	}
	for _, j := range jobs {
		for _, m := range []*ModelConfig{&j.SLM, &j.LLM} {
			if n := least[of(m.Model, m.Train, m.Train.Microbatch)]; n > 0 {
				m.Train.Microbatch = n
			}
		}
	}
	return nil
}

// writeResolved keeps the job as it was resolved in the run folder.
func writeResolved(job *Job) error {
	if err := os.MkdirAll(job.Config.RunDir, 0o777); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := job.WriteTOML(&text); err != nil {
		return err
	}
	return writeWhole(filepath.Join(job.Config.RunDir, "job.toml"), text.Bytes())
}

// resultTable is the job's comparison.
func resultTable(done []finishedTraining) Table {
	t := Table{Columns: []Column{
		{Key: "run", Title: "run"}, {Key: "params", Title: "parameters"}, {Key: "steps", Title: "steps"}, {Key: "tokens", Title: "tokens"},
		{Key: "held_out_loss_nats", Title: "held-out loss", Unit: "nats/token", Format: "%.4f"}, {Key: "perplexity", Title: "perplexity", Unit: "per token", Format: "%.2f"},
		{Key: "accuracy", Title: "accuracy", Unit: "next token", Format: "%.3f"}, {Key: "bits_per_byte", Title: "bits per byte", Format: "%.4f"},
		{Key: "perplexity_per_byte", Title: "perplexity", Unit: "per byte", Format: "%.4f"},
		{Key: "tflops", Title: "compute", Unit: "TFLOP", Format: "%.2f"}, {Key: "seconds", Title: "time", Unit: "s", Format: "%.1f"},
	}}
	for _, d := range done {
		nll := d.HeldOut.NLL
		t.Rows = append(t.Rows, []any{d.label, d.Params, d.Steps, d.Tokens, nll, perplexity(nll), d.HeldOut.Accuracy, d.bitsPerByte, exp2(d.bitsPerByte), d.FLOPs / 1e12, d.Seconds})
	}
	return t
}

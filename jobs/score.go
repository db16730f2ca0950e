package jobs

import (
	"context"
	"errors"
	"flag"

	"saltern/distill/scores"
)

// scoreCommand has an early SLM judge text, for a selection.
func scoreCommand() *Command {
	var flags runFlags
	return &Command{
		Name:    "score",
		Usage:   "[--set key=value]... [--device D] [--fresh] [--json] job.toml",
		Summary: "have an early SLM judge the candidates that a selection is made from",
		Help: `Reads the SLM's checkpoint of an early step (select.early; the SLM's training keeps it) and runs it
once over the candidates (select.candidates): sequences of the training text that it has not
been trained on. Of each token it stores the loss and the rank of the right token among the
SLM's predictions, in about 2.5 bytes, so that "saltern select" can make a selection by any
rule without asking the model again. "saltern run" and "saltern train" do this by themselves
where the method is "salt-ds".

The scores lie in the run folder, score/scores.bin. Interrupt it at any moment: the same
command goes on from the last whole block and leaves the same bytes. With more candidates it
adds to what is there.`,
		Example: `saltern train --only slm job.toml
saltern score job.toml
saltern score --set select.candidates=100000 job.toml`,
		Exits: []Kind{BadConfig, BadData, NoDevice, LacksFeature, NoMemory, BadCheckpoint, DiskFull, Interrupted, SickDevice},
		Flags: func(fs *flag.FlagSet) { flags.define(fs, "the scores") },
		Run: func(ctx context.Context, io IO, args []string) (err error) {
			job, err := flags.job("score", args)
			if err != nil {
				return err
			}
			if err := job.needsSLM(); err != nil {
				return err
			}
			s, err := openJob(ctx, io, job)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.close(err)) }()
			if flags.fresh {
				if err := removeFolder(job.scoreDir(), scoresName); err != nil {
					return err
				}
			}
			student := job.student(s.set.Manifest.Key)
			student.judge, student.Select = job.small(s.set.Manifest.Key), &job.Select // whatever the method
			if err := sameSettings([]*training{student.judge}, false); err != nil {
				return err
			}
			c, candidates, err := student.newScoring(s)
			if err != nil {
				return err
			}
			if err := c.run(ctx, s, candidates); err != nil {
				return err
			}
			t, err := c.table(s)
			if err != nil {
				return err
			}
			return t.Write(io.Out, flags.json)
		},
	}
}

// needsSLM is an error where the job has none.
func (j *Job) needsSLM() error {
	if j.Distill.Method == "baseline" || j.SLM == (ModelConfig{}) || j.SLM.From != "" {
		return fail(BadConfig, `%s: distill: method = %q has no small model to judge text; use "salt-ds", or another method, with [slm.model] and [slm.train]`, j.File, j.Distill.Method)
	}
	return nil
}

// table says what was scored, and what the early SLM makes of it.
func (c *scoring) table(s *session) (t Table, err error) {
	f, err := scores.Open(c.file())
	if err != nil {
		return t, err
	}
	defer f.Close()
	var loss float64
	first, within, k := 0, 0, s.job.Select.TopK
	if err := f.Each(f.Sequences(), func(q scores.Sequence) error {
		for i, rank := range q.Rank {
			loss += float64(q.Loss[i])
			if rank == 0 {
				first++
			}
			if int(rank) < k {
				within++
			}
		}
		return nil
	}); err != nil {
		return t, err
	}
	seconds, err := secondsSpent(c.dir)
	if err != nil {
		return t, err
	}
	n := f.Sequences() * c.Sequence
	t.Columns = []Column{
		{Key: "slm_step", Title: "SLM", Unit: "step"}, {Key: "sequences", Title: "sequences"}, {Key: "tokens", Title: "tokens"},
		{Key: "loss_nats", Title: "loss", Unit: "nats/token", Format: "%.4f"}, {Key: "accuracy", Title: "accuracy", Unit: "next token", Format: "%.3f"},
		{Key: "top_k", Title: "k"}, {Key: "in_top_k", Title: "in top k", Unit: "share", Format: "%.3f"},
		{Key: "bytes", Title: "scores", Unit: "bytes"}, {Key: "bytes_per_token", Title: "bytes", Unit: "per token", Format: "%.2f"},
		{Key: "tflops", Title: "compute", Unit: "TFLOP", Format: "%.2f"}, {Key: "seconds", Title: "time", Unit: "s", Format: "%.1f"},
	}
	t.Rows = [][]any{{
		c.Steps, f.Sequences(), n, loss / float64(n), float64(first) / float64(n), k, float64(within) / float64(n),
		f.Bytes(), bytesPerToken(f), c.flops(c.judge.Model, int64(f.Sequences())) / 1e12, seconds,
	}}
	return t, nil
}

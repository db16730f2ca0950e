package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"saltern/distill"
	"saltern/distill/labels"
	"saltern/model"
)

// labels measures what it costs a training step to read and decode its soft labels: steps with labels at hand and steps with
// labels from a file, taking turns.
func (b *bench) labels(ctx context.Context) error {
	c := b.job.Config.LLM
	c.Train = c.Train.OnDevice(b.device.Limits())
	offline := &distill.Offline{Count: b.job.Distill.LabelCount}
	m := model.New(c.Model, "llm", true)
	defer func() { b.device.Free(append(m.Storages(), offline.Storages()...)...) }()
	var err error
	if c.Train, err = model.ChooseMicrobatch(m, c.Train, b.device.Limits().Memory, distill.Objective(offline)); err != nil {
		return fail(NoMemory, "%w", err)
	}
	trainer, err := model.Programs(m, c.Train, distill.Objective(offline))
	if err != nil {
		return err
	}
	if err := b.tuner.Tune(ctx, trainer.Programs()...); err != nil {
		return err
	}
	if err := errors.Join(m.Init(b.device, b.job.Config.Seed), trainer.Load(b.device)); err != nil {
		return err
	}
	defer trainer.Close()
	f, err := inventLabels(c, offline.Count)
	if err != nil {
		return err
	}
	defer f.Close()
	tokens := int64(c.Train.Batch) * int64(c.Train.Sequence)
	step := row{suite: "labels", dtype: m.Precision, limit: "matmul", dims: append(stepDims(c), dim{"labels", offline.Count}), tokens: tokens,
		flops: int64(c.Model.FLOPsPerToken(c.Train.Sequence) * float64(tokens))}
	var ahead, decoding []time.Duration
	added := ""
	step.op = "step, labels at hand"
	if err := b.add(ctx, step, func() (atHand []time.Duration, _ string, err error) {
		atHand, ahead, err = b.labeledSteps(ctx, trainer, offline, f, c)
		added = pairs("reading and decoding ahead adds", atHand, ahead)
		return atHand, "", err
	}); err != nil {
		return err
	}
	step.op = "step, labels read ahead"
	if err := b.add(ctx, step, func() ([]time.Duration, string, error) { return ahead, "", nil }); err != nil {
		return err
	}
	if decoding, err = timeDecoding(f, c.Train.Batch, b.runs); err != nil {
		return err
	}
	decode := row{suite: "labels", op: "decode", dims: step.dims, tokens: tokens, spread: spreadOf(decoding)}
	fmt.Fprintf(b.io.Err, "%s; one processor decodes a step's labels in %.2f%% of its time\n", added, 100*decode.median/b.rows[len(b.rows)-1].median)
	b.rows = append(b.rows, decode)
	return nil
}

// inventLabels writes a file of draws for a batch, those of a weak teacher, which take longest to decode, and opens it.
func inventLabels(c ModelConfig, count int) (*labels.File, error) {
	dir, err := os.MkdirTemp("", "saltern-labels-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path, T := filepath.Join(dir, "soft_labels"), c.Train.Sequence
	w, err := labels.Append(path, labels.Settings{Form: labels.Sample, Count: count, Sequence: T, Vocab: c.Model.Vocab, Temperature: 1})
	if err != nil {
		return nil, err
	}
	teacher, l := labels.NewWeakTeacher(c.Model.Vocab, 2), labels.New(T, count)
	for sequence := range c.Train.Batch {
		teacher.Fill(l)
		if err := w.Add(int64(sequence), l); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return labels.Open(path) // stays open when its folder is gone
}

// labeledSteps trains in pairs: a step whose labels were decoded before, and one whose labels come from the file.
func (b *bench) labeledSteps(ctx context.Context, trainer *model.Trainer, offline *distill.Offline, f *labels.File, c ModelConfig) (atHand, ahead []time.Duration, err error) {
	batch := int64(c.Train.Batch)
	same := func(sample int64) int64 { return sample % batch }
	feed := distill.NewFeed(f, false, c.Train.Microbatch, distill.Microbatches(0, math.MaxInt64/2, c.Train.Microbatch), same)
	defer feed.Close()
	fixed := labels.New(c.Train.Microbatch*c.Train.Sequence, offline.Count)
	for i := range c.Train.Microbatch {
		if err := f.Sequence(int64(i), fixed.Rows(i*c.Train.Sequence, (i+1)*c.Train.Sequence)); err != nil {
			return nil, nil, err
		}
	}
	text, number, sample := randomTokens(c.Model.Vocab), int64(0), int64(0)
	step := func(next func() (*labels.Labels, error)) (time.Duration, error) {
		start := time.Now()
		_, err := trainer.Step(number, 0, 0.5, 1, func(first int, ids, targets []uint32) error {
			l, err := next()
			if err != nil {
				return err
			}
			return errors.Join(offline.Write(b.device, l), text(first, ids, targets))
		})
		number++
		return time.Since(start), err
	}
	for i := range warmSteps + b.runs {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		one, err := step(func() (*labels.Labels, error) { return fixed, nil })
		if err != nil {
			return nil, nil, err
		}
		two, err := step(func() (*labels.Labels, error) {
			sample += int64(c.Train.Microbatch)
			return feed.Next(sample - int64(c.Train.Microbatch))
		})
		if err != nil {
			return nil, nil, err
		}
		if i >= warmSteps {
			atHand, ahead = append(atHand, one), append(ahead, two)
		}
	}
	return atHand, ahead, nil
}

// pairs words how much longer the second of each pair takes, what it is that adds it first; there may be none, after an error.
func pairs(what string, one, two []time.Duration) string {
	if len(one) == 0 {
		return ""
	}
	var percent []float64
	for i := range one {
		percent = append(percent, 100*(float64(two[i])/float64(one[i])-1))
	}
	slices.Sort(percent)
	n := len(percent)
	return fmt.Sprintf("%s %.1f%% to a step (median of %d pairs, the middle half from %.1f%% to %.1f%%)",
		what, percent[n/2], n, percent[n/4], percent[n-1-n/4])
}

// timeDecoding times the labels of whole steps.
func timeDecoding(f *labels.File, sequences, runs int) (list []time.Duration, err error) {
	l := labels.New(f.Settings.Sequence, f.Count)
	for range runs {
		start := time.Now()
		for i := range sequences {
			err = errors.Join(err, f.Sequence(int64(i), l))
		}
		list = append(list, time.Since(start))
	}
	return list, err
}

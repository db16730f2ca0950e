package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"saltern/compute/vk"
	"saltern/model"
)

// warmSteps are run before the timed ones: the first compiles, the second finds everything in place.
const warmSteps = 2

// train measures whole optimizer steps of the job's LLM, and where their time goes.
func (b *bench) train(ctx context.Context) error {
	c := b.job.Config.LLM
	c.Train = c.Train.OnDevice(b.device.Limits())
	m := model.New(c.Model, "llm", true)
	defer b.device.Free(m.Storages()...)
	var err error
	if c.Train, err = model.ChooseMicrobatch(m, c.Train, b.device.Limits().Memory, model.Plain); err != nil {
		return fail(NoMemory, "%w", err)
	}
	trainer, err := model.Programs(m, c.Train, model.Plain)
	if err != nil {
		return err
	}
	if err := b.tuner.Tune(ctx, trainer.Programs()...); err != nil {
		return err
	}
	if err := m.Init(b.device, b.job.Config.Seed); err != nil {
		return err
	}
	t := &tracer{Device: b.device}
	if err := trainer.Load(t); err != nil {
		return err
	}
	defer trainer.Close()
	step := randomSteps(trainer, c)
	tokens := int64(c.Train.Batch) * int64(c.Train.Sequence)
	r := row{suite: "train", op: "step", dtype: m.Precision, limit: "matmul", dims: stepDims(c), tokens: tokens,
		flops: int64(c.Model.FLOPsPerToken(c.Train.Sequence) * float64(tokens))}
	if err := b.add(ctx, r, func() ([]time.Duration, string, error) {
		runs, err := timeSteps(ctx, step, b.runs)
		return runs, "", err
	}); err != nil {
		return err
	}
	for range b.runs {
		traced, err := t.step(step)
		if errors.Is(err, vk.ErrMemory) {
			fmt.Fprintln(b.io.Err, "where a step's time goes is not known: there is no memory for a second recording")
			return nil
		}
		if err != nil {
			return err
		}
		if !traced {
			fmt.Fprintln(b.io.Err, "where a step's time goes is not known: the device has no timestamps")
			return nil
		}
	}
	b.profiled = t.profile()
	return nil
}

// stepDims is the model and the batch.
func stepDims(c ModelConfig) dims {
	tied := 0
	if c.Model.TieEmbeddings {
		tied = 1
	}
	return dims{
		{"parameters", int(c.Model.Params())}, {"layers", c.Model.Layers}, {"width", c.Model.Width}, {"heads", c.Model.Heads},
		{"kv_heads", c.Model.KVHeads}, {"head_size", c.Model.HeadSize}, {"ffn", c.Model.FFN}, {"vocabulary", c.Model.Vocab}, {"tied", tied},
		{"batch", c.Train.Batch}, {"microbatch", c.Train.Microbatch}, {"sequence", c.Train.Sequence},
	}
}

// randomSteps gives a function that trains one step after the other on random tokens.
func randomSteps(t *model.Trainer, c ModelConfig) func() error {
	fill, number := randomTokens(c.Model.Vocab), int64(0)
	return func() error {
		_, err := t.Step(number, 0, 0, 1, fill)
		number++
		return err
	}
}

// randomTokens fills microbatches with ids of a vocabulary.
func randomTokens(vocab int) model.Fill {
	rng := rand.New(rand.NewPCG(1, 1))
	return func(_ int, ids, labels []uint32) error {
		for i := range ids {
			// Small ids more often, as tokens are: the embedding's gradient meets runs of equal ones.
			ids[i] = rng.Uint32N(1 + rng.Uint32N(uint32(vocab)))
			labels[i] = rng.Uint32N(uint32(vocab))
		}
		return nil
	}
}

// timeSteps times steps after some to warm up.
func timeSteps(ctx context.Context, step func() error, runs int) ([]time.Duration, error) {
	var list []time.Duration
	for i := range warmSteps + runs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		start := time.Now()
		if err := step(); err != nil {
			return nil, err
		}
		if i >= warmSteps {
			list = append(list, time.Since(start))
		}
	}
	return list, nil
}

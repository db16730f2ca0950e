package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"saltern/distill"
	"saltern/model"
)

// auto measures what transition "auto" adds to a step with the teacher at hand: steps with one weight for all tokens and steps whose
// tokens are watched and weighed by their teacher's entropy, taking turns.
func (b *bench) auto(ctx context.Context) error {
	c := b.job.Config.LLM
	c.Train = c.Train.OnDevice(b.device.Limits())
	m, teacher := model.New(c.Model, "llm", true), model.New(b.job.Config.SLM.Model, "teacher", false)
	source := distill.Online{Teacher: teacher}
	a := &adaptive{Adaptive: &distill.Adaptive{Source: source}, T: c.Train.Sequence, rule: distill.Rule{Weight: 0.5, Window: 2, Vocab: c.Model.Vocab}}
	defer func() {
		b.device.Free(append(append(m.Storages(), teacher.Storages()...), a.Storages()...)...)
	}()
	objectives := []model.Objective{distill.Objective(source), a.Objective}
	var err error
	if c.Train, err = model.ChooseMicrobatch(m, c.Train, b.device.Limits().Memory, objectives...); err != nil {
		return fail(NoMemory, "%w", err)
	}
	trainer, err := model.Programs(m, c.Train, objectives...)
	if err != nil {
		return err
	}
	if err := b.tuner.Tune(ctx, trainer.Programs()...); err != nil {
		return err
	}
	if err := errors.Join(m.Init(b.device, b.job.Config.Seed), teacher.Init(b.device, b.job.Config.Seed), trainer.Load(b.device), a.begin(b.device, &progressState{})); err != nil {
		return err
	}
	defer trainer.Close()
	tokens := int64(c.Train.Batch) * int64(c.Train.Sequence)
	step := row{suite: "auto", dtype: m.Precision, limit: "matmul", dims: stepDims(c), tokens: tokens,
		flops: int64((c.Model.FLOPsPerToken(c.Train.Sequence) + teacher.FLOPsPerToken(c.Train.Sequence)/3) * float64(tokens))}
	var watched []time.Duration
	added := ""
	step.op = "step, one weight"
	if err := b.add(ctx, step, func() (plain []time.Duration, _ string, err error) {
		plain, watched, err = b.watchedSteps(ctx, trainer, a, c)
		added = pairs("watching the teacher adds", plain, watched)
		return plain, "", err
	}); err != nil {
		return err
	}
	step.op = "step, auto"
	if err := b.add(ctx, step, func() ([]time.Duration, string, error) { return watched, "", nil }); err != nil {
		return err
	}
	fmt.Fprintln(b.io.Err, added)
	return nil
}

// watchedSteps trains in pairs: a step by the first objective, and one by the second with all that "auto" does beside it.
func (b *bench) watchedSteps(ctx context.Context, trainer *model.Trainer, a *adaptive, c ModelConfig) (plain, watched []time.Duration, err error) {
	text, number := randomTokens(c.Model.Vocab), int64(0)
	step := func(objective int) (time.Duration, error) {
		start := time.Now()
		_, err := trainer.Step(number, objective, a.rule.Weight, 1, func(first int, ids, targets []uint32) error {
			if objective == 0 {
				return text(first, ids, targets)
			}
			err := a.collect(b.device)
			a.expect()
			return errors.Join(err, text(first, ids, targets))
		})
		if number++; err == nil && objective == 1 {
			if err = a.collect(b.device); err == nil {
				_, err = a.end(b.device, number)
			}
		}
		return time.Since(start), err
	}
	for i := range warmSteps + b.runs {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		var took [2]time.Duration
		for j := range took {
			objective := (i + j) % 2 // each goes first in half of the pairs
			if took[objective], err = step(objective); err != nil {
				return nil, nil, err
			}
		}
		if i >= warmSteps {
			plain, watched = append(plain, took[0]), append(watched, took[1])
		}
	}
	return plain, watched, nil
}

package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"saltern/compute"
	"saltern/compute/vk"
	"saltern/model"
)

// warmSteps are run before the timed ones: the first compiles, the second finds everything in place.
const warmSteps = 2

// train measures whole optimizer steps of the job's LLM, and where their time goes.
func (b *bench) train(ctx context.Context) error {
	peak, err := b.matmulRate()
	if err != nil {
		return err
	}
	c := b.job.Config.LLM
	c.Train = c.Train.OnDevice(b.device.Limits())
	m := model.New(c.Model, "llm", true)
	defer b.device.Free(m.Storages()...)
	c.Train, err = model.ChooseMicrobatch(m, c.Train, b.device.Limits().Memory, model.Plain)
	if err != nil {
		return fail(NoMemory, "%w", err)
	}
	trainer, err := model.Programs(m, c.Train, model.Plain)
	if err != nil {
		return err
	}
	micro, update := trainer.Program(0), trainer.Program(2) // 1 is the evaluation
	if err := b.tuner.Tune(ctx, micro, update); err != nil {
		return err
	}
	if err := m.Init(b.device, b.job.Config.Seed); err != nil {
		return err
	}
	if err := trainer.Load(b.device); err != nil {
		return err
	}
	defer trainer.Close()
	steps, err := b.steps(ctx, trainer, c)
	if err != nil {
		return err
	}
	again, err := b.matmulRate() // on both sides of the steps, as machines change their speed
	if err != nil {
		return err
	}
	peak = max(peak, again)
	if err := b.showSteps(c, trainer, steps, peak); err != nil {
		return err
	}
	parts, wall, err := b.breakdown(part{micro, c.Train.Batch / c.Train.Microbatch}, part{update, 1})
	if errors.Is(err, vk.ErrMemory) {
		fmt.Fprintln(b.io.Err, "no breakdown of the step: there is no memory for a second arena; lower llm.train.microbatch")
		return nil
	}
	if err != nil {
		return err
	}
	if parts == nil {
		fmt.Fprintln(b.io.Err, "no breakdown of the step: the device has no timestamps")
		return nil
	}
	return b.showBreakdown(parts, wall, steps, peak)
}

// steps times optimizer steps on random tokens.
func (b *bench) steps(ctx context.Context, t *model.Trainer, c ModelConfig) (spread, error) {
	rng := rand.New(rand.NewPCG(1, 1))
	fill := func(_ int, ids, labels []uint32) error {
		for i := range ids {
			// Small ids more often, as tokens are: the embedding's gradient meets runs of equal ones.
			ids[i] = rng.Uint32N(1 + rng.Uint32N(uint32(c.Model.Vocab)))
			labels[i] = rng.Uint32N(uint32(c.Model.Vocab))
		}
		return nil
	}
	var runs []time.Duration
	for i := range warmSteps + b.runs {
		if err := ctx.Err(); err != nil {
			return spread{}, err
		}
		start := time.Now()
		if _, err := t.Step(int64(i), 0, 0, 1, fill); err != nil {
			return spread{}, err
		}
		if i >= warmSteps {
			runs = append(runs, time.Since(start))
		}
	}
	return spreadOf(runs), nil
}

func (b *bench) showSteps(c ModelConfig, trainer *model.Trainer, s spread, peak float64) error {
	tokens := int64(c.Train.Batch) * int64(c.Train.Sequence)
	flops := int64(c.Model.FLOPsPerToken(c.Train.Sequence) * float64(tokens))
	t := Table{Columns: append([]Column{{Key: "parameters", Title: "parameters"}, {Key: "batch", Title: "batch"}, {Key: "microbatch", Title: "micro"}, {Key: "sequence", Title: "T"}}, timeColumns()...)}
	t.Columns = append(t.Columns, Column{Key: "tokens_per_second", Title: "tokens", Unit: "1/s", Format: "%.0f"},
		Column{Key: "gflops", Title: "model", Unit: "GFLOP/s", Format: "%.1f"}, Column{Key: "planned_gflops", Title: "planned", Unit: "GFLOP/s", Format: "%.1f"},
		Column{Key: "matmul_gflops", Title: "matmul", Unit: "GFLOP/s", Format: "%.1f"}, Column{Key: "share", Title: "model of matmul", Unit: "%", Format: "%.0f"})
	t.Rows = append(t.Rows, append(append([]any{c.Model.Params(), c.Train.Batch, c.Train.Microbatch, c.Train.Sequence}, s.cells()...),
		1000*float64(tokens)/s.median, s.rate(flops), s.rate(trainer.FLOPs(0)), peak, percent(s.rate(flops), peak)))
	return b.show("train", fmt.Sprintf("Optimizer steps of the LLM of %s", b.job.File), t)
}

// part is a program that a step runs so many times.
type part struct {
	program *compute.Program
	times   int
}

// opTime is what one kind of node takes of a step.
type opTime struct {
	label        string
	count        int
	ns           float64
	flops, bytes int64
}

// breakdown runs each program b.runs times with a timestamp after every node and sums, by operation, the medians of the
// nodes' times; wall is the median time of the same runs by the clock, in nanoseconds. It is nil where the device has no
// timestamps.
func (b *bench) breakdown(parts ...part) (list []opTime, wall float64, err error) {
	at := map[string]int{}
	for _, p := range parts {
		times, took, err := b.profile(p.program)
		if err != nil || times == nil {
			return nil, 0, err
		}
		wall += float64(p.times) * took
		for i, n := range p.program.Nodes {
			name := label(n)
			if _, ok := at[name]; !ok {
				at[name] = len(list)
				list = append(list, opTime{label: name})
			}
			o := &list[at[name]]
			flops, bytes := n.Op.Cost(n)
			o.count += p.times
			o.ns += float64(p.times) * times[i]
			o.flops, o.bytes = o.flops+int64(p.times)*flops, o.bytes+int64(p.times)*bytes
		}
	}
	slices.SortFunc(list, func(a, b opTime) int { return cmp.Compare(b.ns, a.ns) })
	return list, wall, nil
}

// profile gives the median nanoseconds of each of a program's nodes, and of the whole by the clock.
func (b *bench) profile(p *compute.Program) (medians []float64, wall float64, err error) {
	run, err := b.device.Profile(p)
	if err != nil {
		return nil, 0, err
	}
	defer run.Close()
	nodes := make([][]float64, len(p.Nodes))
	var walls []float64
	for i := range b.runs + 1 {
		start := time.Now()
		if err := run.Run(); err != nil {
			return nil, 0, err
		}
		took := time.Since(start)
		times, err := run.Times()
		if err != nil || times == nil {
			return nil, 0, err
		}
		if i == 0 {
			continue
		}
		walls = append(walls, float64(took))
		for j, ns := range times {
			nodes[j] = append(nodes[j], ns)
		}
	}
	for _, runs := range nodes {
		medians = append(medians, middle(runs))
	}
	return medians, middle(walls), nil
}

func middle(runs []float64) float64 {
	slices.Sort(runs)
	return runs[len(runs)/2]
}

func (b *bench) showBreakdown(list []opTime, wall float64, step spread, peak float64) error {
	t := Table{Columns: []Column{
		{Key: "op", Title: "operation"}, {Key: "count", Title: "launches"}, {Key: "ms", Title: "time", Unit: "ms", Format: "%.3f"},
		{Key: "share", Title: "of the clock", Unit: "%", Format: "%.1f"},
		{Key: "gflops", Title: "rate", Unit: "GFLOP/s", Format: "%.1f"}, {Key: "of_matmul", Title: "of matmul", Unit: "%", Format: "%.0f"},
		{Key: "gbytes", Title: "traffic", Unit: "GB/s", Format: "%.2f"},
	}}
	total := opTime{label: "all of these"}
	row := func(o opTime) {
		rate := float64(o.flops) / o.ns
		t.Rows = append(t.Rows, []any{o.label, o.count, o.ns / 1e6, percent(o.ns, wall), rate, percent(rate, peak), float64(o.bytes) / o.ns})
	}
	for _, o := range list {
		row(o)
		total.count, total.ns, total.flops, total.bytes = total.count+o.count, total.ns+o.ns, total.flops+o.flops, total.bytes+o.bytes
	}
	row(total)
	return b.show("train_breakdown", fmt.Sprintf(
		"Where a step's time goes: the operations account for %.1f of the %.1f ms that the device's programs took with timestamps; a step without them takes %.1f ms",
		total.ns/1e6, wall/1e6, step.median), t)
}

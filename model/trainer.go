package model

import (
	"math"
	"time"

	"saltern/compute"
)

// Objective records the loss of one microbatch on the model's hidden states and returns its statistics [N, 8], in the
// columns of compute.LossStats. Plain is the usual one; distill supplies those with a teacher. params are the loss's
// per-step numbers, which the trainer writes.
type Objective func(r *compute.Recorder, m *Model, hidden *compute.Tensor, t *Tokens, params *compute.Tensor, gradient bool) *compute.Tensor

// Plain is the next-token loss NLL alone.
func Plain(r *compute.Recorder, m *Model, hidden *compute.Tensor, t *Tokens, params *compute.Tensor, gradient bool) *compute.Tensor {
	return r.LinearLoss(compute.LossInputs{Hidden: hidden, Weight: m.Head(), Labels: t.Labels, Params: params, Gradient: gradient, Precision: m.Precision})
}

// Trainer holds the programs that train one model on one backend.
type Trainer struct {
	*Evaluator
	Config TrainConfig
	Memory compute.Memory
	Scale  LossScale

	scale     float64    // of the gradient of the step under way
	gradients *gradients // on their way to other ranks; nil: there are none
	apart     bool       // other ranks take steps of their own: see Apart

	programs []*compute.Program   // one per objective: forward, backward, gradients accumulated; evaluation; update
	micro    []compute.Executable // of the objectives
	update   compute.Executable
	clip     *compute.Tensor // Host [4]: 1 / tokens, clip norm
	adam     *compute.Tensor // Host [8]
	control  *compute.Tensor // Host [4]: multiplier, finite, norm
}

// Step is what one optimizer step did.
type Step struct {
	Stats
	LR      float64
	Norm    float64 // of the whole gradient, before clipping
	Skipped bool    // loss or gradient not finite: weights and optimizer untouched
}

// Programs records what training needs without a device: one program per objective, then evaluation, then the update.
// c.Microbatch must be set. The model takes on c's precision.
func Programs(m *Model, c TrainConfig, objectives ...Objective) (*Trainer, error) {
	m.Precision = c.DType()
	e, err := newEvaluator(m, c.NewTokens())
	if err != nil {
		return nil, err
	}
	t := &Trainer{Evaluator: e, Config: c, Scale: newLossScale(c.Precision), clip: host("clip_params", 4), adam: host("adam_params", 8), control: host("control", 4)}
	record := func(f func(r *compute.Recorder)) error {
		r := compute.NewRecorder()
		f(r)
		p, err := r.Finish()
		t.programs = append(t.programs, p)
		return err
	}
	for _, o := range objectives {
		if err := record(func(r *compute.Recorder) {
			m.track(r)
			r.SumInto(t.stats, o(r, m, m.Hidden(r, t.tokens), t.tokens, t.loss, true))
			r.Backward()
		}); err != nil {
			return nil, err
		}
	}
	t.programs = append(t.programs, e.program)
	if err := record(t.recordUpdate); err != nil {
		return nil, err
	}
	t.Memory = compute.PlanMemory(t.programs...)
	return t, nil
}

func host(name string, n int) *compute.Tensor {
	return compute.NewTensor(compute.Host, name, compute.F32, n)
}

func (t *Trainer) recordUpdate(r *compute.Recorder) {
	var grads []*compute.Tensor
	for _, b := range t.Model.Buckets {
		grads = append(grads, b.flat(b.Grad))
	}
	r.GradNorm(t.control, t.clip, grads)
	for _, b := range t.Model.Buckets {
		if b.own == 0 {
			continue
		}
		r.AdamW(b.segment(b.P), b.segment(b.Grad), b.Mean.View(compute.F32, 0, b.own), b.MeanSq.View(compute.F32, 0, b.own), t.adam, t.control, b.decayed())
	}
}

// Load puts the programs on a backend.
func (t *Trainer) Load(b compute.Backend) error {
	exes, err := b.Load(t.programs...)
	if err != nil {
		return err
	}
	n := len(exes)
	t.backend, t.micro, t.exe, t.update = b, exes[:n-2], exes[n-2], exes[n-1]
	return nil
}

// Close frees the programs and what they read and write, not the model.
func (t *Trainer) Close() {
	if t.backend == nil {
		return
	}
	for _, x := range append(t.micro, t.update) {
		x.Close()
	}
	t.backend.Free(t.clip.Storage, t.adam.Storage, t.control.Storage)
	t.Evaluator.Close()
}

// Programs are all that training runs: one per objective, evaluation, the update.
func (t *Trainer) Programs() []*compute.Program { return t.programs }

// Program is what the objective's microbatch runs, for plans, profiles and tests.
func (t *Trainer) Program(objective int) *compute.Program { return t.programs[objective] }

// FLOPs is the arithmetic of one step with the given objective as the planned programs do it, recomputation included.
func (t *Trainer) FLOPs(objective int) int64 {
	micro, _ := t.programs[objective].Cost()
	update, _ := t.programs[len(t.programs)-1].Cost()
	return micro*int64(t.Config.Batch/t.Config.Microbatch) + update
}

// backward adds up the gradient of the batch, over all ranks unless they train apart.
func (t *Trainer) backward(objective int, w, temperature float64, fill Fill) (Stats, error) {
	x, start := t.micro[objective], time.Now()
	sums, err := t.sums(func(last bool) error {
		if last && t.gradients != nil {
			t.gradients.carry(t.Scale.Value)
			return t.gradients.run(t.backend, x, objective)
		}
		return x.Run()
	}, t.Config.Batch, t.Scale.Value, w, temperature, fill)
	if err != nil {
		return Stats{}, err
	}
	if t.apart {
		return newStats(sums)
	}
	if t.ranks != nil {
		if t.ranks.Measured != nil {
			first, end := t.ranks.share(t.Config.Batch / t.Config.Microbatch)
			t.ranks.Measured(t.gradients.computed.Sub(start) / time.Duration(end-first))
		}
		sums = append(sums, t.ranks.Also...)
	}
	if err := t.ranks.sum(sums); err != nil {
		return Stats{}, err
	}
	if t.ranks != nil {
		copy(t.ranks.Also, sums[compute.StatsColumns:])
	}
	return newStats(sums)
}

// Step runs one optimizer step, counted from 0: gradients of all microbatches, then the update. w and temperature are for
// objectives with a teacher.
func (t *Trainer) Step(step int64, objective int, w, temperature float64, fill Fill) (Step, error) {
	s := Step{LR: t.Config.LearningRate(step)}
	stats, err := t.backward(objective, w, temperature, fill)
	if err != nil {
		return s, err
	}
	s.Stats = stats
	c := t.Config
	n := float64(step + 1)
	t.scale = 1 / (math.Max(1, float64(s.Tokens)) * t.Scale.Value)
	if err := t.backend.Write(t.clip, []float32{float32(t.scale), float32(c.ClipNorm), 0, 0}); err != nil {
		return s, err
	}
	if err := t.backend.Write(t.adam, []float32{
		float32(s.LR), float32(c.Beta1), float32(c.Beta2), float32(c.Eps), float32(c.WeightDecay),
		float32(1 / (1 - math.Pow(c.Beta1, n))), float32(1 / (1 - math.Pow(c.Beta2, n))), 0,
	}); err != nil {
		return s, err
	}
	update := t.update.Run
	if t.Model.sharded {
		update = t.updateShard
	} else if t.ranks != nil && t.ranks.Follow != nil && !t.apart {
		update = t.updateFirst
	}
	if err := update(); err != nil {
		return s, err
	}
	var control [4]float32
	if err := t.backend.Read(t.control, control[:]); err != nil {
		return s, err
	}
	s.Norm = float64(control[2])
	s.Skipped = control[1] != 1
	if c.Precision == Float16 {
		t.Scale = t.Scale.after(s.Skipped)
	}
	return s, nil
}

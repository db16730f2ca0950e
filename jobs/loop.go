package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"saltern/distill"
	"saltern/jobs/metrics"
	"saltern/jobs/progress"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/corpus"
	"saltern/model/ul2"
)

// loop is a training under way.
type loop struct {
	*training
	s        *session
	model    *model.Model
	trainer  *model.Trainer
	teaching *teaching // nil: without a teacher
	stage    *stage    // stage 1 with teachers on other ranks; nil: all ranks train
	tracer   *tracer
	health   *health // nil: nobody checks the devices
	goesBack bool    // a device was wrong: what was learned since is not to be saved
	rounds   *rounds // nil unless ranks train apart
	peak     float64 // GFLOP/s that MFU is a share of; 0: unknown
	log      *metrics.Writer
	order    corpus.Order // the ordinary stream
	step     int64        // steps done
	state    progressState
	inARow   int      // steps skipped, up to now
	tau      *float64 // of the last window, with transition "auto"
	saved    int64    // step of the last checkpoint
	ended    int64    // the last step of which all is done: decided, measured, recorded
	sent     int64    // bytes that were counted
	due      bool     // a checkpoint, once a step was not skipped
	last     model.Stats
	shown    *progress.Sample // the last one; nil: none yet
	began    time.Time        // of this run, which goes on from
	before   float64          // seconds of earlier runs
	from     int64            // step that this run began at, and when: what is left is judged by that
	steady   time.Time

	denoising *denoising             // nil: causal
	denoised  map[string]model.Stats // what the last evaluation found
}

func (l *loop) restore() error {
	var err error
	if l.order, err = l.dataOrder(l.s); err != nil {
		return err
	}
	if l.s.ranks != nil {
		l.sent = l.s.ranks.Sent()
	}
	introduces, late := l.introduces()
	if introduces && late {
		return l.handOver(true)
	}
	c, err := checkpoint.Open(l.checkpoints())
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		if err := l.begin(l.s.device, l.model); err != nil {
			return err
		}
		if err := l.rounds.begin(); err != nil {
			return err
		}
		if l.scoring != nil {
			l.state.FLOPs, l.state.Seconds = l.scoring.cost.FLOPs, l.scoring.cost.Seconds
		}
		if c := l.teaching.labeled(); c != nil {
			l.state.FLOPs, l.state.Seconds = l.state.FLOPs+c.FLOPs, l.state.Seconds+c.Seconds
		}
	case err != nil:
		return err
	default:
		if err := l.model.LoadWeights(l.s.device, c); err != nil {
			return err
		}
		resume, err := l.resume(c)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(resume.Job, &l.state); err != nil {
			return fmt.Errorf("%w: %s: %w", checkpoint.ErrCorrupt, c.Dir, err)
		}
		if resume.Scale.Value > 0 { // none was kept before there was float16
			l.trainer.Scale = resume.Scale
		}
		l.step, l.saved, l.ended, l.inARow = int64(c.Step), int64(c.Step), int64(c.Step), resume.Skipped
		l.s.say("%s: going on from step %d%s", l.label, l.step, l.otherRanks())
	}
	if !introduces {
		if err := l.s.ranks.same(context.Background(), "the last checkpoint of "+l.label, fmt.Sprint("step ", l.step)); err != nil {
			return err
		}
	}
	if l.state.Ranks = l.s.ranks.world(); l.state.Ranks == 1 {
		l.state.Ranks = 0
	}
	if introduces {
		if err := l.handOver(false); err != nil {
			return err
		}
	}
	if err := l.openShares(l.step+2 < firstWindow); err != nil || !l.s.ranks.leads() {
		return err
	}
	l.log, err = metrics.Open(l.dir, int(l.step))
	return err
}

func (l *loop) run(ctx context.Context) (o *outcome, err error) {
	l.began, l.before = time.Now(), l.state.Seconds
	l.openHealth()
	defer func() {
		if l.shown != nil {
			l.s.meter.Done(*l.shown) // else the live line would stand in what follows
		}
		if l.log != nil {
			err = errors.Join(err, l.log.Close())
		}
	}()
	if l.step == 0 {
		if err := l.evaluate(ctx, metrics.Record{Values: map[string]float64{}}); err != nil {
			return nil, err
		}
	}
	if l.denoising != nil {
		l.s.say("%s: objective %q predicts some %.0f%% of the tokens that it reads", l.label, l.Train.Objective, 100*ul2.Predicted(l.Train.Sequence))
	}
	if a := l.Apart; a != nil {
		l.s.say("%s: %d ranks train apart and come together every %d steps", l.label, a.Ranks, a.LocalSteps)
	}
	l.from, l.steady = l.step, time.Now()
	if err := l.teaching.begin(l); err != nil {
		return nil, err
	}
	for l.step < l.Train.Steps {
		if l.stopping(ctx) {
			return nil, l.interrupted(ctx)
		}
		if l.s.ranks.wanted() {
			return nil, l.open(ctx)
		}
		if err := l.regroup(); err != nil {
			return nil, err
		}
		if err := l.oneStep(ctx); err != nil {
			return nil, l.lose(ctx, err)
		}
	}
	if f := l.training.trace; f.file != "" && l.from+f.step > l.step {
		l.s.say("%s: %d steps were trained, so step %d was not traced and %s not written", l.label, l.step-l.from, f.step, f.file)
	}
	return l.finish()
}

// oneStep trains one step and does what is due after it: a line of metrics, an evaluation, a checkpoint. The step that is to be
// traced is, with all of that.
func (l *loop) oneStep(ctx context.Context) error {
	if l.training.trace.file == "" || l.step+1 != l.from+l.training.trace.step {
		return l.trainStep(ctx, func(run func() error) error { return run() })
	}
	traced := false
	err := l.trainStep(ctx, func(run func() error) (err error) {
		traced, err = l.tracer.step(run)
		return err
	})
	if err != nil {
		return err
	}
	if !traced {
		l.s.say("%s: step %d is not traced, as the device has no timestamps", l.label, l.step)
		return nil
	}
	return l.writeTrace()
}

// trainStep is oneStep; around runs the step itself.
func (l *loop) trainStep(ctx context.Context, around func(run func() error) error) error {
	c := l.Train
	w, objective := 0.0, 0
	if l.teaching.helps() {
		if w = l.Distill.WeightAt(l.step, c.Steps); w > 0 {
			objective = 1
		}
	}
	l.health.before(l.step+1, c.Steps)
	if err := l.s.spoil(l.step + 1); err != nil {
		return err
	}
	start := time.Now()
	if l.rounds == nil {
		l.s.ranks.vote(ctx)
	}
	l.s.ranks.takeShares(l.step, c)
	l.teaching.nextStep()
	var step model.Step
	err := around(func() (err error) {
		step, err = l.trainer.Step(l.step, objective, w, l.Distill.Temperature, func(first int, ids, labels []uint32) error {
			sample := l.step*int64(c.Batch) + int64(first)
			if objective == 1 {
				if err := l.teaching.write(l.tracer, sample); err != nil {
					return err
				}
				l.s.ranks.waiting(l.teaching.waited.Seconds())
			}
			defer l.tracer.passing("read the text", time.Now())
			return l.read(l.step, sample, ids, labels)
		})
		if err == nil && objective == 1 {
			err = l.teaching.adaptive.collect(l.tracer)
		}
		if err == nil {
			err = l.rounds.after(ctx, l, &step)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s, step %d: %w", l.label, l.step+1, err)
	}
	took := time.Since(start)
	l.step++
	flops := l.stepFLOPs(objective == 1 && l.teaching.labeled() == nil) // that of soft labels was counted before the first step
	l.state.FLOPs += flops
	l.countSent()
	if err := l.judgeShares(); err != nil {
		return err
	}
	checked, err := l.checkHealth(ctx)
	if err != nil {
		return err
	}
	if err := l.countSkip(ctx, step); err != nil {
		return err
	}
	values := map[string]float64{}
	if objective == 1 && l.teaching.adaptive != nil {
		if w, err = l.teaching.adaptive.decide(l, step.Skipped, values); err != nil {
			return err
		}
	}
	l.show(step, w, took, flops)
	l.report(step, w, took, values)

	done, windowEnds := l.step == c.Steps, len(values) > 0
	r := metrics.Record{Step: int(l.step), Tokens: l.step * int64(c.Batch*c.Sequence), Values: map[string]float64{
		metrics.TrainLoss: step.NLL, metrics.LR: step.LR, metrics.GradNorm: step.Norm, metrics.TokensPerSec: float64(c.Batch*c.Sequence) / took.Seconds(),
		metrics.FLOPs: l.state.FLOPs, metrics.Seconds: l.seconds(), metrics.Skipped: float64(l.state.Skipped),
		metrics.LossScale: l.trainer.Scale.Value,
	}}
	if l.peak > 0 {
		r.Values[metrics.MFU] = flops / took.Seconds() / (1e9 * l.peak)
	}
	if l.denoising != nil {
		r.Values[metrics.Predicted] = float64(step.Tokens)
	}
	if l.teaching != nil {
		r.Values[metrics.KDWeight] = w
	}
	if l.s.ranks != nil {
		r.Values[metrics.SentBytes] = float64(l.state.Sent)
	}
	if objective == 1 {
		r.Values[metrics.KDLoss] = step.KD - step.Entropy
	}
	if l.stage != nil {
		r.Values[metrics.LabelWait] = l.judgeWait(took)
	}
	if checked > 0 {
		r.Values[metrics.CheckSeconds] = checked.Seconds()
	}
	maps.Copy(r.Values, values)
	l.s.exporter.observe(l.label, r)
	switch {
	case l.step%c.EvalEvery == 0 || done:
		err = l.evaluate(ctx, r)
	case l.step%c.LogEvery == 0 || windowEnds || checked > 0:
		err = l.record(r)
	}
	if err == nil {
		l.ended = l.step
	}
	// A step that was skipped is not what anybody wants to go on from: good checkpoints would be pruned for its like.
	l.due = l.due || l.step%c.CheckpointEvery == 0
	if err == nil && (done || slices.Contains(l.pins, l.step) || l.due && l.sound() && l.rounds.open()) {
		l.due = false
		err = l.save(ctx)
	}
	if err == nil {
		err = l.rounds.leave(l)
	}
	return err
}

// seconds is the wall clock that the training took, scoring, labels, evaluations and checkpoints included, over all its restarts.
func (l *loop) seconds() float64 { return l.before + time.Since(l.began).Seconds() }

// lastGood says where to go on from after a failure.
func (l *loop) lastGood() string {
	if list, err := checkpoint.List(l.checkpoints()); err == nil && len(list) > 0 {
		return "the last good checkpoint is intact in " + list[0].Dir
	}
	return "there was no checkpoint yet"
}

func (l *loop) show(step model.Step, w float64, took time.Duration, flops float64) {
	note := ""
	if w > 0 {
		note = fmt.Sprintf("teacher w %.2f", w)
	}
	if l.Distill.Selects(l.step - 1) {
		note = strings.TrimPrefix(note+", selected text", ", ")
	}
	l.shown = &progress.Sample{
		Unit: l.label + " step", Done: l.step, Total: l.Train.Steps, Loss: step.NLL, Norm: step.Norm, LR: step.LR, Each: took,
		TokensPerSec: float64(l.Train.Batch*l.Train.Sequence) / took.Seconds(), FLOPS: flops / took.Seconds(), Peak: 1e9 * l.peak,
		Left: progress.Left(time.Since(l.steady), l.step-l.from, l.Train.Steps-l.step), Note: note,
	}
	l.s.meter.Update(time.Now(), *l.shown)
}

// evaluate measures the held-out loss and writes it with the step's record.
func (l *loop) evaluate(ctx context.Context, r metrics.Record) error {
	defer l.tracer.after("evaluate", time.Now())
	if err := l.alike(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := l.measure(context.WithoutCancel(ctx)); err != nil { // not to be canceled: a step and its line of metrics are one
		return err
	}
	r.Values[metrics.ValLoss] = l.last.NLL
	for denoiser, s := range l.denoised {
		r.Values[valKeys[denoiser]] = s.NLL
	}
	l.s.say("%s: step %d/%d  held-out loss %.4f  accuracy %.1f%%%s", l.label, l.step, l.Train.Steps, l.last.NLL, 100*l.last.Accuracy, describeDenoisers(l.denoised))
	return l.record(r)
}

// record writes a line of metrics, which the first rank does for all.
func (l *loop) record(r metrics.Record) error {
	l.s.exporter.observe(l.label, r) // with what was measured on held-out text
	if l.log == nil {
		return nil
	}
	return l.log.Write(r)
}

// measure evaluates the model as it is.
func (l *loop) measure(ctx context.Context) error {
	return l.rounds.shown(func() (err error) {
		if l.examples != nil {
			l.last, err = l.examples.evaluate(ctx, l.trainer.Evaluator, l.Train.EvalTokens)
			return err
		}
		if l.last, err = l.trainer.EvaluateText(ctx, l.s.set.HeldOut, l.Train.EvalTokens); err != nil {
			return err
		}
		l.denoised, err = l.denoising.evaluate(ctx, l.trainer.Evaluator, l.s.set.HeldOut, l.Train.EvalTokens)
		return err
	})
}

// save writes a checkpoint; the metrics up to it are on disk before it is.
func (l *loop) save(ctx context.Context) error {
	if l.saved == l.step && l.step > 0 {
		return nil
	}
	defer l.tracer.after("checkpoint", time.Now())
	ctx = context.WithoutCancel(ctx)
	parts, err := l.parts(ctx)
	if err != nil {
		return err
	}
	var help func() error
	if l.shard {
		help = func() error { return l.model.HelpSave(l.s.device) }
	}
	if err := l.s.ranks.helped(ctx, func() error { return l.write(ctx, parts) }, help); err != nil {
		return err
	}
	l.saved = l.step
	return nil
}

// write writes the checkpoint.
func (l *loop) write(ctx context.Context, parts []rankPart) error {
	if err := l.log.Sync(); err != nil {
		return err
	}
	l.state.Seconds = l.seconds()
	state, err := json.Marshal(l.state)
	if err != nil {
		return err
	}
	return l.writeCheckpoint(ctx, model.Resume{Sample: l.step * int64(l.Train.Batch), Skipped: l.inARow, Scale: l.trainer.Scale, Job: state}, parts,
		checkpoint.Keep{Newest: l.Train.KeepCheckpoints, This: slices.Contains(l.pins, l.step), Good: int(l.state.Good)})
}

// read gives the samples from first on, as a step reads them.
func (l *loop) read(step, first int64, ids, labels []uint32) error {
	if l.examples != nil {
		l.examples.batch(l.order, first, ids, labels)
		return nil
	}
	return l.denoising.batch(l.s.set.Train, l.orderAt(l.order, step), first, l.Train.Sequence, ids, labels, l.trainer.Seen)
}

func (l *loop) interrupted(ctx context.Context) error {
	if err := l.save(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%s stopped at step %d of %d, saved in %s; the same command goes on from there: %w", l.label, l.step, l.Train.Steps, l.checkpoints(), l.s.ranks.cause(ctx))
}

// stopping says that the training is to stop before its next step. Ranks agree on that in the step before.
func (l *loop) stopping(ctx context.Context) bool {
	if l.s.ranks == nil {
		return ctx.Err() != nil
	}
	return l.s.ranks.agreed()
}

func (l *loop) finish() (*outcome, error) {
	if l.last.Tokens == 0 { // resumed after its last step: measured again
		if err := l.measure(context.Background()); err != nil {
			return nil, err
		}
	}
	info := l.s.device.Info()
	o := &outcome{
		Label: l.label, Steps: l.Train.Steps, Tokens: l.Train.Steps * int64(l.Train.Batch*l.Train.Sequence), Skipped: l.state.Skipped,
		FLOPs: l.state.FLOPs, Seconds: l.seconds(), HeldOut: l.last, Denoisers: l.denoised, Params: l.Model.Params(), Device: info.Name, Driver: info.Driver, Finished: time.Now().UTC().Truncate(time.Second),
	}
	if l.scoring != nil {
		o.Scoring = &l.scoring.cost
	}
	o.Buckets = bucketOutcomes(l.state.Auto)
	o.Labeling = l.teaching.labeled()
	if loss := o.HeldOut.NLL; math.IsNaN(loss) || math.IsInf(loss, 0) {
		return nil, fail(Diverged, "%s: the held-out loss is %g after the last step; lower lr (%g) or raise warmup (%d)", l.label, loss, l.Train.LR, l.Train.Warmup)
	}
	return o, l.s.ranks.first(context.Background(), func() error { return writeJSON(filepath.Join(l.dir, "result.json"), o) })
}

// otherRanks says that the checkpoint is of another number of ranks.
func (l *loop) otherRanks() string {
	was, now := max(1, l.state.Ranks), l.s.ranks.world()
	if was == now {
		return ""
	}
	return fmt.Sprintf("; ranks are %d, and were %d: sums have another order from here, so losses may differ in their last digits", now, was)
}

// progressState is what a run carries through its checkpoints beside the tensors.
type progressState struct {
	Seconds float64 `json:"seconds"`
	FLOPs   float64 `json:"flops"`
	Skipped int64   `json:"skipped"`
	Sent    int64   `json:"sent,omitempty"`  // bytes, by rank 0 to other ranks
	Ranks   int     `json:"ranks,omitempty"` // 0: one
	Good    int64   `json:"good,omitempty"`  // the step after which the devices were last found right; 0: none

	Auto *distill.Auto `json:"auto,omitempty"` // of transition "auto", once the teacher helped
}

package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"saltern/distill"
	"saltern/jobs/metrics"
	"saltern/jobs/progress"
	"saltern/model"
	"saltern/model/checkpoint"
	"saltern/model/corpus"
)

// training is one model's training within a job. Its exported fields are all that decides the result, bit by bit on one
// device; they are kept beside the checkpoints so that no run goes on with other settings than it began with.
type training struct {
	Model   model.Config      `toml:"model"`
	Train   model.TrainConfig `toml:"train"`
	Distill distill.Config    `toml:"distill"` // method "baseline" where there is no teacher
	Seed    int64             `toml:"seed"`
	Corpus  string            `toml:"corpus"`  // key of the prepared corpus
	Teacher string            `toml:"teacher"` // weights' checksum of the teacher's last checkpoint; empty without

	name    string // the folder within the run's
	label   string // for people
	dir     string
	teacher string // folder of the teacher's checkpoints
}

// outcome is what a finished training leaves in result.json.
type outcome struct {
	Label    string      `json:"label"`
	Steps    int64       `json:"steps"`
	Tokens   int64       `json:"tokens"`
	Skipped  int64       `json:"skipped"`
	FLOPs    float64     `json:"flops"` // model FLOPs, the teacher's forward passes included
	Seconds  float64     `json:"seconds"`
	HeldOut  model.Stats `json:"held_out"`
	Params   int64       `json:"params"`
	Device   string      `json:"device"`
	Driver   string      `json:"driver"`
	Finished time.Time   `json:"finished"`
}

// progressState is what a run carries through its checkpoints beside the tensors.
type progressState struct {
	Seconds float64 `json:"seconds"`
	FLOPs   float64 `json:"flops"`
	Skipped int64   `json:"skipped"`
}

func (t *training) checkpoints() string { return filepath.Join(t.dir, "checkpoints") }

// finished reads the outcome of a training that is done already.
func (t *training) finished() (*outcome, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, "result.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var o outcome
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to train again", filepath.Join(t.dir, "result.json"), err)
	}
	return &o, nil
}

// settings is the training as TOML, without what may change between two runs of it: how often something is written.
func (t *training) settings() ([]byte, error) {
	c := *t
	c.Train.CheckpointEvery, c.Train.KeepCheckpoints, c.Train.LogEvery, c.Train.MaxSkippedSteps = 0, 0, 0, 0
	return toml.Marshal(c)
}

// settingsFile is where a training's settings stand.
func (t *training) settingsFile() string { return filepath.Join(t.dir, "training.toml") }

// claim writes the training's settings into its folder, or compares them with those that are there.
func (t *training) claim() error {
	if err := t.compare(false); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	now, err := t.settings()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir, 0o777); err != nil {
		return err
	}
	return writeWhole(t.settingsFile(), now)
}

// compare is an error where the folder was begun with other settings, or is os.ErrNotExist where it was not begun. Early, the
// teacher is not known yet.
func (t *training) compare(early bool) error {
	now, err := t.settings()
	if err != nil {
		return err
	}
	was, err := os.ReadFile(t.settingsFile())
	if err != nil {
		return err
	}
	diff := differences(was, now)
	if early {
		diff = slices.DeleteFunc(diff, func(d string) bool { return d == teacherDiffers })
	}
	if len(diff) > 0 {
		return fail(BadConfig, "%s was begun with other settings: %s; set them back, give the job another name, or start anew with --fresh", t.dir, join(diff))
	}
	return nil
}

// start lays out the model and loads the programs, choosing the microbatch where the job leaves that open.
func (t *training) start(ctx context.Context, s *session, teacher *model.Model) (*model.Model, *model.Trainer, error) {
	m := model.New(t.Model, t.name, true)
	objectives := []model.Objective{model.Plain}
	if teacher != nil {
		objectives = append(objectives, distill.Objective(teacher))
	}
	trainer, err := model.Programs(m, t.Train, objectives...)
	if err != nil {
		return nil, nil, err
	}
	if err := t.settleKernels(ctx, s, trainer.Programs()); err != nil {
		return nil, nil, err
	}
	return m, trainer, trainer.Load(s.device)
}

// run trains to the end, going on from the last checkpoint if there is one. A canceled context ends it after the step
// under way, with a checkpoint.
func (t *training) run(ctx context.Context, s *session) (*outcome, error) {
	var teacher *model.Model
	if t.teacher != "" {
		m, _, err := model.Load(s.device, t.teacher, t.name+".teacher")
		if err != nil {
			return nil, badCheckpoint(err, "")
		}
		defer s.device.Free(m.Storages()...)
		teacher = m
	}
	if err := t.claim(); err != nil {
		return nil, err
	}
	if o, err := t.finished(); o != nil || err != nil {
		return o, err
	}
	m, trainer, err := t.start(ctx, s, teacher)
	if err != nil {
		return nil, err
	}
	defer func() {
		trainer.Close()
		s.device.Free(m.Storages()...)
	}()
	l := &loop{training: t, s: s, model: m, trainer: trainer, withTeacher: teacher}
	if err := l.restore(); err != nil {
		return nil, badCheckpoint(err, "or move the damaged folder and the file `latest` beside it away, and the same command goes on from what is left")
	}
	return l.run(ctx)
}

// loop is a training under way.
type loop struct {
	*training
	s           *session
	model       *model.Model
	trainer     *model.Trainer
	withTeacher *model.Model
	log         *metrics.Writer
	order       corpus.Order
	step        int64 // steps done
	state       progressState
	inARow      int   // steps skipped, up to now
	saved       int64 // step of the last checkpoint
	due         bool  // a checkpoint, once a step was not skipped
	last        model.Stats
	shown       *progress.Sample // the last one; nil: none yet
	began       time.Time        // of this run, which goes on from
	before      float64          // seconds of earlier runs
	from        int64            // step that this run began at, and when: what is left is judged by that
	steady      time.Time
}

func (l *loop) restore() error {
	sequences := l.s.set.Train.Sequences(l.Train.Sequence)
	if sequences < 1 {
		return fail(BadData, "the training text has %d tokens, not even one sequence of %d; add text or shorten train.sequence", l.s.set.Train.Len(), l.Train.Sequence)
	}
	l.order = corpus.Order{Seed: uint64(l.Seed), Sequences: sequences}
	c, err := checkpoint.Open(l.checkpoints())
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		if err := l.model.Init(l.s.device, l.Seed); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := l.model.LoadWeights(l.s.device, c); err != nil {
			return err
		}
		resume, err := l.model.LoadOptimizer(l.s.device, c)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(resume.Job, &l.state); err != nil {
			return fmt.Errorf("%w: %s: %w", checkpoint.ErrCorrupt, c.Dir, err)
		}
		l.step, l.saved, l.inARow = int64(c.Step), int64(c.Step), resume.Skipped
		l.s.say("%s: going on from step %d", l.label, l.step)
	}
	l.log, err = metrics.Open(l.dir, int(l.step))
	return err
}

func (l *loop) run(ctx context.Context) (o *outcome, err error) {
	l.began, l.before = time.Now(), l.state.Seconds
	defer func() {
		if l.shown != nil {
			l.s.meter.Done(*l.shown) // else the live line would stand in what follows
		}
		err = errors.Join(err, l.log.Close())
	}()
	if l.step == 0 {
		if err := l.evaluate(ctx, metrics.Record{Values: map[string]float64{}}); err != nil {
			return nil, err
		}
	}
	l.from, l.steady = l.step, time.Now()
	for l.step < l.Train.Steps {
		if ctx.Err() != nil {
			return nil, l.interrupted(ctx)
		}
		if err := l.oneStep(ctx); err != nil {
			return nil, err
		}
	}
	return l.finish()
}

// oneStep trains one step and does what is due after it: a line of metrics, an evaluation, a checkpoint.
func (l *loop) oneStep(ctx context.Context) error {
	c := l.Train
	w := l.Distill.WeightAt(l.step, c.Steps)
	objective := 0
	if w > 0 && l.withTeacher != nil {
		objective = 1
	}
	start := time.Now()
	step, err := l.trainer.Step(l.step, objective, w, l.Distill.Temperature, func(first int, ids, labels []uint32) error {
		return l.s.set.Train.Batch(l.order, l.step*int64(c.Batch)+int64(first), c.Microbatch, c.Sequence, ids, labels)
	})
	if err != nil {
		return fmt.Errorf("%s, step %d: %w", l.label, l.step+1, err)
	}
	took := time.Since(start)
	l.step++
	flops := l.stepFLOPs(objective == 1)
	l.state.FLOPs += flops
	l.inARow++
	if !step.Skipped {
		l.inARow = 0
	} else {
		l.state.Skipped++
		l.s.say("%s: step %d skipped: loss %g, gradient norm %g", l.label, l.step, step.NLL, step.Norm)
		if l.inARow > c.MaxSkippedSteps {
			return fail(Diverged, "%s: %d steps in a row had no finite loss or gradient, up to step %d; lower lr (%g) or raise warmup (%d); %s",
				l.label, l.inARow, l.step, c.LR, c.Warmup, l.lastGood())
		}
	}
	l.show(step, w, took, flops)

	done := l.step == c.Steps
	r := metrics.Record{Step: int(l.step), Tokens: l.step * int64(c.Batch*c.Sequence), Values: map[string]float64{
		metrics.TrainLoss: step.NLL, metrics.LR: step.LR, metrics.GradNorm: step.Norm, metrics.TokensPerSec: float64(step.Tokens) / took.Seconds(),
		metrics.FLOPs: l.state.FLOPs, metrics.Seconds: l.seconds(), metrics.Skipped: float64(l.state.Skipped),
	}}
	if l.withTeacher != nil {
		r.Values[metrics.KDWeight] = w
	}
	if objective == 1 {
		r.Values[metrics.KDLoss] = step.KD - step.Entropy
	}
	switch {
	case l.step%c.EvalEvery == 0 || done:
		err = l.evaluate(ctx, r)
	case l.step%c.LogEvery == 0:
		err = l.log.Write(r)
	}
	// A step that was skipped is not what anybody wants to go on from: good checkpoints would be pruned for its like.
	l.due = l.due || l.step%c.CheckpointEvery == 0
	if err == nil && (done || l.due && l.inARow == 0) {
		l.due = false
		err = l.save(ctx)
	}
	return err
}

// seconds is the wall clock that the training took, evaluations and checkpoints included, over all its restarts.
func (l *loop) seconds() float64 { return l.before + time.Since(l.began).Seconds() }

// lastGood says where to go on from after a failure.
func (l *loop) lastGood() string {
	if list, err := checkpoint.List(l.checkpoints()); err == nil && len(list) > 0 {
		return "the last good checkpoint is intact in " + list[0].Dir
	}
	return "there was no checkpoint yet"
}

// stepFLOPs is the model arithmetic of one step: 6 N plus attention per token, and with a teacher its forward pass, a
// third of that.
func (l *loop) stepFLOPs(teacher bool) float64 {
	tokens := float64(l.Train.Batch * l.Train.Sequence)
	f := l.Model.FLOPsPerToken(l.Train.Sequence) * tokens
	if teacher {
		f += l.withTeacher.FLOPsPerToken(l.Train.Sequence) / 3 * tokens
	}
	return f
}

func (l *loop) show(step model.Step, w float64, took time.Duration, flops float64) {
	note := ""
	if w > 0 {
		note = fmt.Sprintf("teacher w %.2f", w)
	}
	l.shown = &progress.Sample{
		Unit: l.label + " step", Done: l.step, Total: l.Train.Steps, Loss: step.NLL, Norm: step.Norm, LR: step.LR, Each: took,
		TokensPerSec: float64(step.Tokens) / took.Seconds(), FLOPS: flops / took.Seconds(),
		Left: progress.Left(time.Since(l.steady), l.step-l.from, l.Train.Steps-l.step), Note: note,
	}
	l.s.meter.Update(time.Now(), *l.shown)
}

// evaluate measures the held-out loss and writes it with the step's record.
func (l *loop) evaluate(ctx context.Context, r metrics.Record) error {
	// Not to be canceled: a step and its line of metrics are one.
	stats, err := l.trainer.EvaluateText(context.WithoutCancel(ctx), l.s.set.HeldOut, l.Train.EvalTokens)
	if err != nil {
		return err
	}
	l.last = stats
	r.Values[metrics.ValLoss] = stats.NLL
	l.s.say("%s: step %d/%d  held-out loss %.4f  accuracy %.1f%%", l.label, l.step, l.Train.Steps, stats.NLL, 100*stats.Accuracy)
	return l.log.Write(r)
}

// save writes a checkpoint; the metrics up to it are on disk before it is.
func (l *loop) save(ctx context.Context) error {
	if l.saved == l.step && l.step > 0 {
		return nil
	}
	if err := l.log.Sync(); err != nil {
		return err
	}
	l.state.Seconds = l.seconds()
	state, err := json.Marshal(l.state)
	if err != nil {
		return err
	}
	l.saved = l.step
	_, err = l.model.Save(context.WithoutCancel(ctx), l.s.device, l.checkpoints(), l.step, l.s.tokenizer, l.s.set.Manifest.EndOfText,
		model.Resume{Sample: l.step * int64(l.Train.Batch), Skipped: l.inARow, Job: state}, l.Train.KeepCheckpoints)
	return err
}

func (l *loop) interrupted(ctx context.Context) error {
	if err := l.save(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%s stopped at step %d of %d, saved in %s; the same command goes on from there: %w", l.label, l.step, l.Train.Steps, l.checkpoints(), context.Cause(ctx))
}

func (l *loop) finish() (*outcome, error) {
	info := l.s.device.Info()
	o := &outcome{
		Label: l.label, Steps: l.Train.Steps, Tokens: l.Train.Steps * int64(l.Train.Batch*l.Train.Sequence), Skipped: l.state.Skipped,
		FLOPs: l.state.FLOPs, Seconds: l.seconds(), HeldOut: l.last, Params: l.Model.Params(), Device: info.Name, Driver: info.Driver, Finished: time.Now().UTC().Truncate(time.Second),
	}
	if o.HeldOut.Tokens == 0 { // resumed after its last step: measured again
		stats, err := l.trainer.EvaluateText(context.Background(), l.s.set.HeldOut, l.Train.EvalTokens)
		if err != nil {
			return nil, err
		}
		o.HeldOut = stats
	}
	if loss := o.HeldOut.NLL; math.IsNaN(loss) || math.IsInf(loss, 0) {
		return nil, fail(Diverged, "%s: the held-out loss is %g after the last step; lower lr (%g) or raise warmup (%d)", l.label, loss, l.Train.LR, l.Train.Warmup)
	}
	return o, writeJSON(filepath.Join(l.dir, "result.json"), o)
}

// writeJSON writes a file whole or not at all.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(path, append(text, '\n'))
}

// writeWhole writes a file under a temporary name, syncs it and renames it into place.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

const teacherDiffers = "the SLM that teaches was trained anew and is another"

// differences names the keys, dotted, in which two TOML documents differ, with both values.
func differences(was, now []byte) []string {
	var a, b map[string]any
	if toml.Unmarshal(was, &a) != nil || toml.Unmarshal(now, &b) != nil {
		return []string{"its settings cannot be read"}
	}
	var list []string
	var walk func(prefix string, a, b map[string]any)
	walk = func(prefix string, a, b map[string]any) {
		for k, v := range b {
			old := a[k]
			inner, ok := v.(map[string]any)
			before, was := old.(map[string]any)
			switch {
			case ok && was:
				walk(prefix+k+".", before, inner)
			case fmt.Sprint(old) == fmt.Sprint(v):
			case prefix+k == "teacher": // two checksums tell nobody anything
				list = append(list, teacherDiffers)
			case prefix+k == "corpus":
				list = append(list, "the text or its tokenizer is another ([corpus], [tokenizer], or the files themselves)")
			default:
				list = append(list, fmt.Sprintf("%s was %v, now %v", prefix+k, old, v))
			}
		}
	}
	walk("", a, b)
	slices.Sort(list)
	return list
}

func join(list []string) string {
	if len(list) > 4 {
		list = append(slices.Clone(list[:4]), fmt.Sprintf("and %d more", len(list)-4))
	}
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += s
	}
	return out
}

// perplexity is e to the loss.
func perplexity(loss float64) float64 { return math.Exp(loss) }

// teacherSum is the checksum of the weights of a run's last checkpoint: another teacher is another training.
func teacherSum(root string) (string, error) {
	c, err := checkpoint.Open(root)
	if err != nil {
		return "", err
	}
	for _, f := range c.Files {
		if f.Name == "model.safetensors" {
			return f.SHA256, nil
		}
	}
	return "", fmt.Errorf("%w: %s lists no weights", checkpoint.ErrCorrupt, c.Dir)
}

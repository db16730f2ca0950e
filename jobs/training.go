package jobs

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"saltern/cluster"
	"saltern/compute"
	"saltern/distill"
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

	// Of "salt-ds" alone: the rule of the selection, and the checksum of the ids that it selected.
	Select    *distill.SelectConfig `toml:"select,omitempty"`
	Selection string                `toml:"selection,omitempty"`

	// Of the teacher "equal-entropy" alone: the weight that was found.
	Smoothing float64 `toml:"smoothing,omitempty"`

	// The checksum of the weights that it begins with, where these are not drawn.
	Start string `toml:"start,omitempty"`

	// Of ranks that round gradients on their way to each other alone: how.
	Wire string `toml:"wire,omitempty"`

	// Of ranks that train apart alone.
	Apart *apart `toml:"cluster,omitempty"`

	examples *examples // that it reads instead of the text; nil: the text

	name   string                 // the folder within the run's
	from   string                 // the folder of the model that it begins with; empty: none
	begins *checkpoint.Checkpoint // that model, once findStart has opened it
	label  string                 // for people
	dir    string
	made   string // the command that trains it
	trace  traceFlags

	order    []int // by seat, the ranks of the job; nil: as they are numbered; see seating.go
	party    int   // of them, in the first seats, that have a part in it; 0: all
	ranks    int   // of these the first, that share its batches; 0: one
	memory   int64 // bytes that their devices have, each; 0: unknown
	shard    bool  // each of them keeps its part of the optimizer's state
	teachers int   // in the last seats, that run the teacher in its stead while it helps; see roles.go
	teaching int64 // bytes that their devices have, each; 0: unknown
	prefetch int   // steps that these may be ahead

	shares string // how the ranks' shares are found: see cluster.Config

	keepLabels bool // what they say is written to a file as well

	teacher *training     // whose last checkpoint teaches, or says how uncertain it is; nil without
	named   *namedTeacher // who teaches in its place; nil without
	judge   *training     // the SLM whose early checkpoint selects text; nil without
	scores  string        // folder of its scores
	weights string        // checksum of the last checkpoint's, once somebody has asked; see findTeacher

	pins     []int64  // after each of these steps there is a checkpoint, kept for good
	selected []int64  // ids of the sequences that stage 1 reads; nil: those of the ordinary stream
	scoring  *scoring // what they were selected by
}

// outcome is what a finished training leaves in result.json.
type outcome struct {
	Label    string      `json:"label"`
	Steps    int64       `json:"steps"`
	Tokens   int64       `json:"tokens"`
	Skipped  int64       `json:"skipped"`
	FLOPs    float64     `json:"flops"`    // model FLOPs, the teacher's forward passes, Scoring and Labeling included
	Seconds  float64     `json:"seconds"`  // these two included
	HeldOut  model.Stats `json:"held_out"` // of every token from those before it, whatever the objective
	Params   int64       `json:"params"`
	Device   string      `json:"device"`
	Driver   string      `json:"driver"`
	Finished time.Time   `json:"finished"`

	Denoisers map[string]model.Stats `json:"held_out_denoisers,omitempty"` // of objective "ul2", by denoiser

	Scoring *scoringCost `json:"scoring,omitempty"` // of the candidates that stage 1's sequences were selected from

	Buckets []bucketOutcome `json:"buckets,omitempty"` // of transition "auto": when the teacher's help ended, and where

	Labeling *labelingCost `json:"labeling,omitempty"` // of the soft labels of an offline student, before its first step
}

func (t *training) checkpoints() string { return filepath.Join(t.dir, "checkpoints") }

// dataOrder is the order in which the training reads the sequences of the text, but for those of a selection.
func (t *training) dataOrder(s *session) (corpus.Order, error) {
	n := s.set.Train.Sequences(t.Train.Sequence)
	if t.examples != nil {
		n = int64(t.examples.train.count())
	}
	if n < 1 {
		return corpus.Order{}, fail(BadData, "the training text has %d tokens, not even one sequence of %d; add text or shorten train.sequence", s.set.Train.Len(), t.Train.Sequence)
	}
	return corpus.Order{Seed: uint64(t.Seed), Sequences: n}, nil
}

// orderAt is the order in which sequences come at a step, counted from 0. A sample's number counts through both stages, so that in
// stage 2 each step reads what the same step of another method reads.
func (t *training) orderAt(ordinary corpus.Order, step int64) corpus.Order {
	if !t.Distill.Selects(step) {
		return ordinary
	}
	return corpus.Order{Seed: ordinary.Seed, Sequences: int64(len(t.selected)), Only: t.selected}
}

// finished reads the outcome of a training that is done already; nil where it is not.
func (t *training) finished() (o *outcome, err error) {
	return o, readJSON(filepath.Join(t.dir, "result.json"), &o, "remove it to train again")
}

// layOut is the model that the training trains, as the rank of that number has it.
func (t *training) layOut(rank int) *model.Model {
	m := model.New(t.Model, t.name, true)
	if t.shard && t.ranks > 1 {
		m.Shard(rank, t.ranks)
	}
	return m
}

// start lays out the model and makes the programs ready to be loaded on the backend, which is the session's device or a look at it.
func (t *training) start(ctx context.Context, s *session, b compute.Backend, objectives ...model.Objective) (*model.Model, *model.Trainer, *rounds, error) {
	m := t.layOut(s.ranks.rank())
	trainer, err := model.Programs(m, t.Train, objectives...)
	if err != nil {
		return nil, nil, nil, err
	}
	programs := trainer.Programs()
	if t.rests(s.ranks) {
		programs = nil // it could not hold them, and only teaches
	}
	settle := func() error { return s.settleKernels(ctx, t.label, t.dir, programs) }
	if err := s.ranks.firstOfNode(ctx, settle); err != nil { // to measure undisturbed by others
		return nil, nil, nil, err
	}
	if err := s.sameKernels(ctx, programs); err != nil {
		return nil, nil, nil, err
	}
	var r *rounds
	switch {
	case t.Apart != nil:
		r = &rounds{ranks: s.ranks}
		r.Outer, err = trainer.Apart(s.ranks.training(b), t.Apart.outer(), t.Apart.sums(s.ranks, len(m.Buckets)))
	case s.ranks != nil && !t.rests(s.ranks):
		err = s.ranks.among(t.ranks, func() error {
			own := s.ranks.training(b)
			s.ranks.round(cluster.Config{Wire: t.Wire}.Format(), len(m.Buckets))
			s.ranks.follows(t.shard)
			return trainer.Across(own)
		})
	}
	if err != nil {
		return nil, nil, nil, err
	}
	return m, trainer, r, t.settleLabeler(ctx, s)
}

// earlyStep is the step of an SLM's training after which it judges the text.
func (t *training) earlyStep(c *distill.SelectConfig) int64 {
	return min(t.Apart.roundUp(c.EarlyStep(t.Train.Steps)), t.Train.Steps)
}

// run trains to the end, going on from the last checkpoint if there is one. A canceled context ends it after the step
// under way, with a checkpoint.
func (t *training) run(ctx context.Context, s *session) (o *outcome, err error) {
	defer s.ranks.arrange(t.order)()
	if err := s.ranks.first(ctx, t.claim); err != nil {
		return nil, err
	}
	settings, err := t.settings()
	if err == nil {
		err = s.ranks.same(ctx, "the settings of "+t.label, string(settings))
	}
	if err != nil {
		return nil, err
	}
	if o, err := t.finished(); o != nil || err != nil {
		if t.trace.file != "" && err == nil {
			s.say("%s: done already, so no step is traced; --fresh trains it anew", t.label)
		}
		return o, err
	}
	release := func() error { return nil }
	err = s.ranks.first(ctx, func() (err error) {
		release, err = t.own()
		return err
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	part := t.ranks
	if t.teachers > 0 {
		part = t.party
	}
	if s.ranks.leaves(part) {
		if s.ranks.rank() >= part {
			return t.rest(ctx, s)
		}
		leave := s.ranks.enter(part)
		defer func() { err = leave(err) }()
	}
	var help *teaching
	if t.Distill.Method != "baseline" {
		if help, err = t.teach(ctx, s); err != nil {
			return nil, err
		}
	}
	defer func() { err = errors.Join(err, help.close(s.device)) }()
	peak := 0.0
	err = s.ranks.first(ctx, func() (err error) {
		peak, err = s.peak(t.Train.DType())
		peak *= float64(s.ranks.size())
		return err
	})
	if err != nil {
		return nil, err
	}
	trace := &tracer{Device: s.device, slowdown: s.io.slowdown()}
	m, trainer, r, err := t.start(ctx, s, trace, help.objectives()...)
	if err != nil {
		return nil, err
	}
	defer func() {
		trainer.Close()
		s.device.Free(m.Storages()...)
	}()
	d, err := t.denoising(s)
	if err != nil {
		return nil, err
	}
	l := &loop{training: t.withSmoothing(), s: s, model: m, trainer: trainer, rounds: r, denoising: d, teaching: help, tracer: trace, peak: peak}
	return l.inRoles(ctx)
}

// teacherSum is the checksum of the weights of a run's last checkpoint: another teacher is another training.
func teacherSum(root string) (string, error) {
	c, err := checkpoint.Open(root)
	if err != nil {
		return "", err
	}
	return c.WeightsSum()
}

// stepFLOPs is the model arithmetic of one step: 6 N plus attention per token, counted as causal, and with a teacher its forward pass,
// a third of that, which its soft labels take as well.
func (t *training) stepFLOPs(teacher bool) float64 {
	tokens := float64(t.Train.Batch * t.Train.Sequence)
	f := t.Model.FLOPsPerToken(t.Train.Sequence) * tokens
	if teacher && (t.teacher != nil || t.named != nil) && !t.Distill.Smooths() {
		f += t.teacherModel().FLOPsPerToken(t.Train.Sequence) / 3 * tokens
	}
	return f
}

// modelFLOPs is that of the whole training, scoring before it included: of at most as many candidates as were asked for.
func (t *training) modelFLOPs() float64 {
	helped := float64(t.Distill.TeacherSteps(t.Train.Steps))
	f := helped*t.stepFLOPs(true) + (float64(t.Train.Steps)-helped)*t.stepFLOPs(false)
	if t.Select != nil {
		f += t.plannedScoring().flops(t.judge.Model, t.Select.Candidates)
	}
	return f
}

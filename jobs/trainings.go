package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"saltern/distill"
	"saltern/model/checkpoint"
)

// trainings lists what a job trains, in order: the SLM where there is use for it, BASELINE, and the LLM by the job's method.
func trainings(job *Job, corpusKey string) []*training {
	baseline, student := job.baseline(corpusKey), job.student(corpusKey)
	var list []*training
	for _, t := range append(student.needs(), baseline, student) {
		if !slices.ContainsFunc(list, func(u *training) bool { return u.name == t.name }) {
			list = append(list, t)
		}
	}
	return list
}

// training is one of the job's, in the run folder.
func (j *Job) training(name, label string, m ModelConfig, d distill.Config, corpusKey string) *training {
	crew := j.seating.of(name)
	return &training{
		Model: m.Model, Train: m.Train, Distill: d, Seed: j.Seed, Corpus: corpusKey,
		name: name, label: label, dir: filepath.Join(j.RunDir, name), scores: j.scoreDir(), ranks: cmp.Or(crew.Ranks, j.ranks), memory: crew.Limits.Memory, order: j.seating.Order, party: j.seating.Party,
		shard: j.Cluster.ShardOptimizer, shares: j.Cluster.Shares, Apart: j.apart(), Wire: j.rounding(),
	}
}

// baseline is the LLM's without help.
func (j *Job) baseline(corpusKey string) *training {
	t := j.training(methodName("baseline"), methodLabel("baseline"), j.LLM, distill.Config{Method: "baseline"}, corpusKey)
	t.from = j.LLM.From
	t.made = "saltern train --only baseline " + j.File
	return t
}

// small is the SLM's.
func (j *Job) small(corpusKey string) *training {
	t := j.training("slm", "SLM", j.SLM, distill.Config{Method: "baseline"}, corpusKey)
	t.made = "saltern train --only slm " + j.File
	t.pins = []int64{t.earlyStep(&j.Select)}
	return t
}

// student is the LLM's by the job's method, with whom it learns from.
func (j *Job) student(corpusKey string) *training {
	if j.Distill.Method == "baseline" {
		return j.baseline(corpusKey)
	}
	t := j.training(methodName(j.Distill.Method), methodLabel(j.Distill.Method), j.LLM, j.Distill, corpusKey)
	t.from = j.LLM.From
	if j.teaches() {
		t.giveRoles(j.Cluster, j.seating.Teaching)
	}
	var slm *training
	if j.Distill.NeedsSLM() {
		slm = j.small(corpusKey)
	}
	switch j.Distill.Teacher {
	case distill.SLM:
		t.teacher = slm
	case distill.EqualEntropy:
		t.teacher = slm
		t.label += ", label smoothing"
	case distill.Self:
		t.teacher = j.baseline(corpusKey)
		t.label += ", self-distillation"
	case distill.Uniform:
		t.label += ", label smoothing"
	}
	if j.Distill.Named() {
		if j.named == nil || j.named.path != j.Distill.Teacher {
			j.named = &namedTeacher{path: j.Distill.Teacher}
		}
		t.named = j.named
	}
	if j.Distill.Method == "salt-ds" {
		t.judge, t.Select = slm, &j.Select
	}
	return t
}

// needs lists the trainings that must have ended before this one begins, each once.
func (t *training) needs() (list []*training) {
	for _, d := range []*training{t.judge, t.teacher} {
		if d != nil && !slices.Contains(list, d) {
			list = append(append(list, d.needs()...), d)
		}
	}
	return list
}

func methodName(method string) string { return "llm-" + method }

func methodLabel(method string) string {
	return map[string]string{"baseline": "BASELINE", "rkd": "RKD", "salt": "SALT", "salt-ds": "SALT_DS"}[method]
}

// trainingFilter tells which of the job's trainings --only means.
func trainingFilter(job *Job, only string) (func(*training) bool, error) {
	student, wanted := job.student(""), []string(nil)
	switch only {
	case "":
		wanted = []string{student.name}
		for _, t := range student.needs() {
			wanted = append(wanted, t.name)
		}
	case "slm":
		wanted = []string{"slm"}
	case "baseline":
		wanted = []string{methodName("baseline")}
	case "method":
		wanted = []string{student.name}
	default:
		return nil, fail(Usage, "there is no model %q; use --only slm, --only baseline or --only method", only)
	}
	return func(t *training) bool { return slices.Contains(wanted, t.name) }, nil
}

// train gets ready what the training learns from besides the text, and runs it to its end. What it needs has been trained.
func (t *training) train(ctx context.Context, s *session) (*outcome, error) {
	if err := errors.Join(t.findStart(), t.findTeacher()); err != nil {
		return nil, err
	}
	if err := t.selectText(ctx, s); err != nil {
		return nil, err
	}
	if err := t.findSmoothing(ctx, s); err != nil {
		return nil, err
	}
	o, err := t.run(ctx, s)
	if err != nil {
		return nil, err
	}
	s.say("%s: done, held-out loss %.4f after %d steps, %.0f s", t.label, o.HeldOut.NLL, o.Steps, o.Seconds)
	return o, nil
}

// remove removes a training, and the scores that it selects by, or the soft labels that it would be the teacher of. One that another
// process is at work on is an error.
func (t *training) remove() (err error) {
	release, err := t.own()
	if errors.Is(err, os.ErrNotExist) {
		release, err = func() error { return nil }, nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if t.name == "slm" {
		if err := removeFolder(filepath.Join(filepath.Dir(t.dir), "labels"), filepath.Join("*", labelsName)); err != nil {
			return err
		}
	}
	if t.Select != nil {
		if err := removeFolder(t.scores, scoresName); err != nil {
			return err
		}
	}
	return os.RemoveAll(t.dir)
}

// findTeacher says which teacher the training has, if it has one, which has been trained.
func (t *training) findTeacher() (err error) {
	if t.named != nil {
		err = t.meetTeacher()
		t.Teacher = t.named.weights
		return err
	}
	if t.teacher == nil {
		return nil
	}
	if t.teacher.weights == "" {
		t.teacher.weights, err = teacherSum(t.teacher.checkpoints()) // which reads all of it
	}
	if t.Teacher = t.teacher.weights; errors.Is(err, checkpoint.ErrNone) {
		return badCheckpoint(err, fmt.Sprintf("train the %s first: %s", t.teacher.label, t.teacher.made))
	} else if err != nil {
		result := filepath.Join(t.teacher.dir, "result.json")
		return badCheckpoint(err, "or move the damaged folder, the file `latest` beside it and "+result+" away, and the same command trains the "+t.teacher.label+" on from what is left")
	}
	return nil
}

// enoughText refuses a selection of more text than there is before anything is trained.
func enoughText(s *session, list []*training) error {
	for _, t := range list {
		if t.Select == nil {
			continue
		}
		if _, err := t.plannedScoring().candidates(s.set.Train, *t.Select); err != nil {
			return err
		}
	}
	return nil
}

// sameSettings refuses a run folder that was begun with other settings before anything is trained. What the teacher is, only
// its training can tell: claim compares that.
func sameSettings(list []*training, fresh bool) error {
	if fresh {
		return nil
	}
	for _, t := range list {
		if err := t.compare(true); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

package watch

import (
	"math"
	"slices"
	"time"

	"saltern/distill"
	"saltern/jobs/metrics"
	"saltern/jobs/report"
	"saltern/model"
)

// State is all that a picture shows.
type State struct {
	Name      string    // of the run
	Now       time.Time // which all ages are measured by
	Trainings []Training
	Ranks     []Rank // by number; none where nobody is heard
	Log       Log
	Notes     []string // what cannot be shown, and why
	Ended     bool     // the job has: there will be nothing new
}

// Training is one of the run's.
type Training struct {
	Folder, Label string
	Settings      settings
	Records       []metrics.Record
	Changed       time.Time // when there was something new last
	Outcome       *outcome  // nil: not finished
}

// settings are what of training.toml is shown.
type settings struct {
	Model   model.Config      `toml:"model"`
	Train   model.TrainConfig `toml:"train"`
	Distill distill.Config    `toml:"distill"`
	Seed    int64             `toml:"seed"`
}

// outcome is what of result.json is shown.
type outcome struct {
	Seconds  float64     `json:"seconds"`
	HeldOut  model.Stats `json:"held_out"`
	Finished time.Time   `json:"finished"`
}

// alone says that the training never has a teacher.
func (t *Training) alone() bool {
	return t.Settings.Distill.Method == "baseline" || t.Settings.Distill.Method == ""
}

// steps is how many were done.
func (t *Training) steps() int64 {
	if t.Outcome != nil {
		return t.Settings.Train.Steps
	}
	if n := len(t.Records); n > 0 {
		return int64(t.Records[n-1].Step)
	}
	return 0
}

// last is the newest value of a key and its step; NaN where there is none.
func (t *Training) last(key string) (value float64, step int64) {
	for _, r := range slices.Backward(t.Records) {
		if v, ok := r.Values[key]; ok {
			return v, int64(r.Step)
		}
	}
	return math.NaN(), 0
}

// points are a key's values by step.
func (t *Training) points(key string) (list []report.Point) {
	for _, r := range t.Records {
		if v, ok := r.Values[key]; ok {
			list = append(list, report.Point{X: float64(r.Step), Y: v})
		}
	}
	return list
}

// smoothed is the training loss without most of its noise.
func (t *Training) smoothed() []report.Point {
	raw := t.points(metrics.TrainLoss)
	return report.Smooth(raw, max(1, min(5, len(raw)/4), len(raw)/25))
}

// pace is how many records were looked at to judge how fast a training is.
const pace = 50

// perStep is the seconds of wall clock that a step has taken lately, evaluations and checkpoints included; 0 where that is not known.
func (t *Training) perStep() float64 {
	to, end := t.last(metrics.Seconds)
	for _, r := range t.Records[max(0, len(t.Records)-pace):] {
		if from, ok := r.Values[metrics.Seconds]; ok && int64(r.Step) < end && from < to {
			return (to - from) / float64(end-int64(r.Step))
		}
	}
	return 0
}

// left is how long the training will take from now on; 0 where that is not known.
func (t *Training) left(done int64, now time.Time) time.Duration {
	s := t.perStep() * float64(t.Settings.Train.Steps-done)
	if s <= 0 || s > 100*365*86400 {
		return 0
	}
	d := time.Duration(s * float64(time.Second))
	return max(time.Second, d-max(0, min(now.Sub(t.Changed), d)))
}

// patience is after how long without anything new one may wonder.
func (t *Training) patience() time.Duration {
	n := min(len(t.Records), pace)
	if n < 2 {
		return 2 * time.Minute // kernels are tuned, a teacher is loaded
	}
	steps := t.Records[len(t.Records)-1].Step - t.Records[len(t.Records)-n].Step
	each := t.perStep() * float64(steps) / float64(n-1)
	return max(time.Minute, time.Duration(5*each*float64(time.Second)))
}

// left by the teacher: after which step it left, if it has, or is going to; 0 where that is not known.
func (t *Training) teacherLeft() (step int64, planned bool) {
	if t.alone() {
		return 0, false
	}
	helped, left := false, int64(0)
	for _, r := range t.Records {
		switch w, ok := r.Values[metrics.KDWeight]; {
		case ok && w > 0:
			helped, left = true, 0
		case ok && helped && left == 0:
			left = int64(r.Step)
		}
	}
	c := t.Settings.Distill
	if c.Method == "rkd" || c.Transition == "auto" {
		return left, false
	}
	return c.KDSteps, t.steps() < c.KDSteps // records are not of every step, the schedule is
}

// current is the training that a picture is about: of those under way the one that wrote last, else the one that finished last; nil where
// none has begun.
func (s *State) current() *Training {
	var found *Training
	for i := range s.Trainings {
		t := &s.Trainings[i]
		switch {
		case found == nil, found.Outcome != nil && t.Outcome == nil:
			found = t
		case found.Outcome == nil && t.Outcome == nil && t.Changed.After(found.Changed):
			found = t
		case found.Outcome != nil && t.Outcome != nil && !t.Outcome.Finished.Before(found.Outcome.Finished):
			found = t
		}
	}
	return found
}

// beside is the training that t is compared with: BASELINE for one with a teacher, and the other way round. Nil where there is none.
func (s *State) beside(t *Training) *Training {
	var found *Training
	for i := range s.Trainings {
		u := &s.Trainings[i]
		if u.alone() == t.alone() || len(u.Records) == 0 || u.Settings.Model != t.Settings.Model || u.Settings.Seed != t.Settings.Seed ||
			u.Settings.Train.Steps != t.Settings.Train.Steps {
			continue
		}
		if found == nil || u.Changed.After(found.Changed) {
			found = u
		}
	}
	return found
}

// at is the held-out loss that was measured at a step; NaN where there was none.
func (t *Training) at(step int64) float64 {
	for _, r := range t.Records {
		if v, ok := r.Values[metrics.ValLoss]; ok && int64(r.Step) == step {
			return v
		}
	}
	return math.NaN()
}

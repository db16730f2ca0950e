package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// comparison is a study under way: its arms and seeds, and the trainings that they need, each once.
type comparison struct {
	s     *session
	job   *Job
	own   *Job // the job settled as the arms are
	dir   string
	again string // the command that goes on with it
	arms  []arm
	seeds []int64
	cells [][]*compared // by arm and seed
	slms  []*compared   // the job's own SLM by seed; nil where no arm needs it
	order []*compared   // each after those that it needs, one seed after the other
}

// compared is a training of a comparison and what came of it.
type compared struct {
	*training
	address string
	arms    []string // who needs it
	seeds   int      // that have been begun with it, counted from 1
	outcome *outcome // nil: not finished
	failed  error    // why it cannot be
	lacks   bool     // as one that it needs failed
}

// newComparison expands the job's arms and seeds. Nothing is trained yet.
func newComparison(s *session) (*comparison, error) {
	c := &comparison{s: s, job: s.job, dir: filepath.Join(s.job.RunDir, "compare")}
	var err error
	if c.arms, err = c.job.arms(); err != nil {
		return nil, err
	}
	if c.own, err = c.job.with("", nil); err != nil {
		return nil, err
	}
	jobs := []*Job{c.own}
	for _, a := range c.arms {
		j, err := a.job(c.job)
		if err != nil {
			return nil, err
		}
		j.RunDir = c.job.RunDir
		if j.Origin("llm.train.keep_checkpoints") == "default" { // there will be many trainings, and only their last are asked for
			j.LLM.Train.KeepCheckpoints = 1
		}
		if j.Origin("slm.train.keep_checkpoints") == "default" {
			j.SLM.Train.KeepCheckpoints = 1
		}
		jobs = append(jobs, j)
	}
	if err := s.settle(jobs); err != nil {
		return nil, err
	}
	c.cells = make([][]*compared, len(c.arms))
	for k := range int64(c.job.Compare.Seeds) {
		seed := c.job.Seed + k
		c.seeds = append(c.seeds, seed)
		for i, a := range c.arms {
			j := *jobs[i+1]
			j.Seed = seed
			t, err := c.add(j.student(s.set.Manifest.Key), a, true)
			if err != nil {
				return nil, err
			}
			c.cells[i] = append(c.cells[i], t)
		}
		slm, err := c.findSLM(seed)
		if err != nil {
			return nil, err
		}
		c.slms = append(c.slms, slm)
	}
	for i, a := range c.arms {
		if j := slices.IndexFunc(c.cells, func(cells []*compared) bool { return slices.Equal(cells, c.cells[i]) }); j < i {
			s.say("%s is the same as %s: what sets them apart has no effect", a.name, c.arms[j].name)
		}
	}
	var list []*training
	for _, t := range c.order {
		list = append(list, t.training)
	}
	return c, errors.Join(enoughText(s, list), enoughStudents(s, list))
}

// findSLM finds the job's own SLM of a seed among the trainings; nil: nobody needs it.
func (c *comparison) findSLM(seed int64) (*compared, error) {
	if c.own.SLM == (ModelConfig{}) {
		return nil, nil
	}
	t := c.own.small(c.s.set.Manifest.Key)
	t.Seed = seed
	c.share(t)
	address, err := t.address()
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(c.order, func(u *compared) bool { return u.address == address }); i >= 0 {
		return c.order[i], nil
	}
	return nil, nil
}

// share gives an SLM the job's seed, where it is one for all seeds.
func (c *comparison) share(t *training) {
	if c.job.Compare.Teacher == "shared" && t.name == "slm" {
		t.Seed = c.job.Seed
	}
}

// add gives a training, and first those that it needs, its place among those of the comparison, or finds it there. own: it is the
// arm's own, and not one that it needs.
func (c *comparison) add(t *training, a arm, own bool) (*compared, error) {
	c.share(t)
	for _, role := range []**training{&t.judge, &t.teacher} {
		if *role != nil {
			d, err := c.add(*role, a, false)
			if err != nil {
				return nil, err
			}
			*role = d.training
		}
	}
	address, err := t.address()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.order, func(u *compared) bool { return u.address == address })
	if i < 0 {
		i = len(c.order)
		t.dir = filepath.Join(c.dir, t.name+"-"+address)
		t.made = "saltern compare " + c.job.File
		switch {
		case own:
			t.label = a.label
		case !t.sameAs(c.own.small(t.Corpus)) && !t.sameAs(c.own.baseline(t.Corpus)):
			t.label += " of " + a.label
		}
		t.label += fmt.Sprintf(", seed %d", t.Seed)
		if t.judge != nil {
			t.scores = filepath.Join(c.dir, "scores-"+c.scoresAddress(t))
		}
		c.order = append(c.order, &compared{training: t, address: address, seeds: len(c.seeds)})
	}
	known := c.order[i]
	for _, p := range t.pins {
		if !slices.Contains(known.pins, p) {
			known.pins = append(known.pins, p)
		}
	}
	if !slices.Contains(known.arms, a.name) {
		known.arms = append(known.arms, a.name)
	}
	return known, nil
}

// sameAs says that two trainings differ in their seeds at most.
func (t *training) sameAs(u *training) bool {
	a, b := *t, *u
	a.Seed, b.Seed = 0, 0
	x, errX := a.address()
	y, errY := b.address()
	return x == y && errX == nil && errY == nil
}

// scoresAddress names what decides a training's scores: whoever differs in the rule alone reads the same.
func (c *comparison) scoresAddress(t *training) string {
	judge, _ := t.judge.address() // which add has asked for
	p := t.plannedScoring()
	sum := sha256.Sum256(fmt.Append(nil, judge, p.Steps, p.Seed, p.Sequence, p.Microbatch))
	return hex.EncodeToString(sum[:6])
}

// remove removes all of the comparison, unless another process is at work on it.
func (c *comparison) remove() error {
	for _, t := range c.order {
		if err := t.remove(); err != nil {
			return err
		}
	}
	return os.RemoveAll(c.dir)
}

// look finds out what has been done already, here or by "saltern run". What learned from a training that is to be done itself waits
// for that one: which teacher it had cannot be told yet.
func (c *comparison) look() error {
	for _, t := range c.order {
		var o *outcome
		if !slices.ContainsFunc(t.needs(), func(d *training) bool { return c.of(d).outcome == nil }) {
			var err error
			if o, err = t.finished(); err != nil {
				return err
			}
			if o == nil {
				o = c.adopt(t)
			}
		}
		if o == nil {
			if text, err := os.ReadFile(t.failureFile()); err == nil {
				t.failed = fail(Diverged, "%s; to try it again, remove %s", strings.TrimSpace(string(text)), t.failureFile())
			}
			continue
		}
		if err := t.findTeacher(); err != nil {
			return err
		}
		if err := t.compare(false); err != nil {
			return err
		}
		t.outcome = o
	}
	return nil
}

// of finds a training among those of the comparison.
func (c *comparison) of(t *training) *compared {
	return c.order[slices.IndexFunc(c.order, func(u *compared) bool { return u.training == t })]
}

// adopt takes a training from the run folder, where there is one that ended and had the same settings; those that it needs have
// ended.
func (c *comparison) adopt(t *compared) *outcome {
	own := t.dir
	t.dir = filepath.Join(c.job.RunDir, t.name)
	if o, err := t.finished(); err == nil && o != nil && t.findTeacher() == nil && t.compare(false) == nil {
		return o
	}
	t.dir = own
	return nil
}

// failureFile says why a training diverged, so that no other run finds that out again.
func (t *training) failureFile() string { return filepath.Join(t.dir, "diverged.txt") }

// run trains what has not been trained. A training that cannot be leaves the others to go on; report is called after each seed with
// which there was something to do, and at the end.
func (c *comparison) run(ctx context.Context, report func() error) error {
	news := false
	for i, t := range c.order {
		if t.outcome == nil && t.failed == nil {
			news = true
			c.s.say("training %d of %d: %s%s", i+1, len(c.order), t.label, c.left())
			if err := c.train(ctx, t); err != nil {
				return errors.Join(err, report())
			}
		}
		if t.failed != nil {
			c.s.say("%s: failed: %v", t.label, t.failed)
		} else if err := c.measure(ctx, t); err != nil {
			return errors.Join(err, report())
		}
		if i+1 == len(c.order) || news && c.order[i+1].seeds != t.seeds {
			news = false
			if err := report(); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure has the first rank measure t's held-out loss, where that is not known.
func (c *comparison) measure(ctx context.Context, t *compared) error {
	return c.s.ranks.first(ctx, func() error {
		_, err := c.heldOut(ctx, t)
		return err
	})
}

// runSeed trains what has one seed and has not been trained. Other processes may do the same with the other seeds.
func (c *comparison) runSeed(ctx context.Context, seed string) error {
	only, err := strconv.ParseInt(seed, 10, 64)
	if err != nil || !slices.Contains(c.seeds, only) {
		return fail(Usage, "compare: --only-seed %s is none of the comparison's seeds, %d to %d; see seed and compare.seeds", seed, c.seeds[0], c.seeds[len(c.seeds)-1])
	}
	mine := slices.DeleteFunc(slices.Clone(c.order), func(t *compared) bool { return t.Seed != only })
	for i, t := range mine {
		if t.outcome == nil && t.failed == nil {
			c.s.say("training %d of %d with seed %d: %s", i+1, len(mine), only, t.label)
			if err := c.train(ctx, t); err != nil {
				return err
			}
		}
		if t.failed != nil {
			c.s.say("%s: failed: %v", t.label, t.failed)
		} else if err := c.measure(ctx, t); err != nil {
			return err
		}
	}
	return c.failures()
}

// train trains t. What is wrong with it alone is noted there and is no error.
func (c *comparison) train(ctx context.Context, t *compared) error {
	for _, d := range t.needs() {
		if failed := c.of(d).failed; failed != nil {
			t.failed, t.lacks = fmt.Errorf("it needs %s, which failed: %w", d.label, failed), true
			return nil
		}
	}
	o, err := t.train(ctx, c.s)
	switch KindOf(err) {
	case OK:
		t.outcome = o
		return nil
	case Diverged:
		t.failed = err
		return c.s.ranks.first(ctx, func() error { return writeWhole(t.failureFile(), []byte(err.Error()+"\n")) })
	case BadData, BadCheckpoint, NoMemory:
		if c.s.ranks != nil { // the others may have got further
			return err
		}
		t.failed = err
		return nil
	}
	return err
}

// failures joins what went wrong with the trainings that failed by themselves.
func (c *comparison) failures() error {
	var list []error
	for _, t := range c.order {
		if t.failed != nil && !t.lacks {
			list = append(list, t.failed)
		}
	}
	return errors.Join(list...)
}

// secondsPerFLOP is what the trainings that ended took, those of the same model if there are any; 0: none has ended.
func (c *comparison) secondsPerFLOP(name string) float64 {
	var seconds, flops, allSeconds, allFLOPs float64
	for _, t := range c.order {
		if t.outcome == nil {
			continue
		}
		allSeconds, allFLOPs = allSeconds+t.outcome.Seconds, allFLOPs+t.outcome.FLOPs
		if (t.name == "slm") == (name == "slm") {
			seconds, flops = seconds+t.outcome.Seconds, flops+t.outcome.FLOPs
		}
	}
	switch {
	case flops > 0:
		return seconds / flops
	case allFLOPs > 0:
		return allSeconds / allFLOPs
	}
	return 0
}

// toGo is what a training that has not been done will take, in FLOPs and seconds; of seconds 0 means that nothing is known.
func (c *comparison) toGo(t *compared) (flops, seconds float64) {
	if t.outcome != nil || t.failed != nil {
		return 0, 0
	}
	flops = t.modelFLOPs()
	return flops, flops * c.secondsPerFLOP(t.name)
}

// left says how long all that has not been done will take, where something is known of it.
func (c *comparison) left() string {
	sum := 0.0
	for _, t := range c.order {
		_, seconds := c.toGo(t)
		sum += seconds
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf(" (about %v left in all)", time.Duration(sum*float64(time.Second)).Round(time.Second))
}

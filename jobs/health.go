package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"saltern/compute"
	"saltern/compute/vk"
	"saltern/model"
)

// A device that was right when a job began may be wrong later, without a word: memory that fails, heat, a driver that was replaced. What it computes
// goes into every rank's weights. So now and then, while a training stands still between two steps, each rank holds the kernels that it
// runs against the reference once more; and where ranks have the same weights, all compute the gradient of the same microbatch and
// compare. Ranks that teach are asked by the first one; a process that is alone has the reference only. What becomes of a rank that
// is wrong is in sick.go.

// How long a job goes on without a check that names no steps, and how long before the end of a training there was one at the most: a check
// takes seconds.
const (
	checkEvery  = time.Hour
	checkAtLast = 10 * time.Minute
)

// Deviations of a bucket's gradient that are more than rounding, as a part of it.
const (
	mostDeviation     = 0.01
	mostDeviationHalf = 0.2 // of 16-bit matrix products
)

// health is when the ranks of a training are checked next.
type health struct {
	every int64     // steps; 0: by the clock of the first rank
	step  int64     // after which there was a check, or that it began with
	last  time.Time // when that was
	ends  bool      // with the step under way the training does
	said  bool      // what a check takes
}

// openHealth begins, on every rank.
func (l *loop) openHealth() {
	l.health = nil
	if n := l.s.job.Cluster.CheckEvery; n >= 0 {
		l.health = &health{every: n, step: l.step, last: time.Now()}
	}
	if r := l.s.ranks; r != nil {
		r.health = l.health
	}
}

// before is done before each step.
func (h *health) before(step, steps int64) {
	if h != nil {
		h.ends = step == steps
	}
}

// wish says whether this rank asks for a check after the step under way, by its clock: the first one's decides.
func (h *health) wish(now time.Time) bool {
	if h == nil || h.every > 0 {
		return false
	}
	since := now.Sub(h.last)
	return since > checkEvery || h.ends && since > checkAtLast
}

// passed says that a step is one after which there is a check, where steps say so: the first that is not before the next multiple of every, and the last.
func (h *health) passed(step int64) bool {
	return h.every > 0 && (step/h.every > h.step/h.every || h.ends)
}

// checkDue says that there is a check after the step that was just done. Ranks that train apart wait for the end of the round, when they
// share weights.
func (l *loop) checkDue() bool {
	h, r := l.health, l.s.ranks
	switch {
	case h == nil || !l.rounds.open():
		return false
	case r == nil:
		return h.passed(l.step) || h.wish(time.Now())
	}
	return h.passed(l.step) || r.now.Also[alsoHealth] > 0
}

// checkup is what a check finds on a rank.
type checkup struct {
	Sketches []model.Sketch // of the gradient; none where there is nobody to compare with
	Wrong    string         // the first check that a kernel fails, and how; empty: none
}

// checkHealth checks the ranks, where that is due after the step that was just done, and says how long it took; 0: it was not due.
func (l *loop) checkHealth(ctx context.Context) (took time.Duration, err error) {
	if !l.checkDue() {
		return 0, nil
	}
	return l.check(ctx, l.s.ranks.size() > 1)
}

// check checks the ranks, all at the same step, and compares their gradients if asked to.
func (l *loop) check(ctx context.Context, compare bool) (took time.Duration, err error) {
	if l.health == nil {
		return 0, nil
	}
	start, h, r := time.Now(), l.health, l.s.ranks
	defer l.tracer.after("check the devices", start)
	ctx = context.WithoutCancel(ctx)
	if err := l.askTeachers(); err != nil {
		return 0, err
	}
	mine, err := l.examine(ctx, compare)
	if err != nil {
		return 0, err
	}
	all, err := everybody(ctx, r, mine)
	if err != nil {
		return 0, err
	}
	teachers, err := l.hearTeachers(ctx)
	if err != nil {
		return 0, err
	}
	bound := mostDeviation
	if l.Train.Precision != model.Float32 {
		bound = mostDeviationHalf
	}
	var sketches [][]model.Sketch
	var kernels []string
	for _, c := range all {
		sketches, kernels = append(sketches, c.Sketches), append(kernels, c.Wrong)
	}
	d := diagnose(disagreements(sketches, bound), len(all), append(kernels, teachers...), l.s.seatOf)
	if d.words != "" {
		return 0, l.sick(ctx, d)
	}
	h.step, h.last, l.state.Good = l.step, time.Now(), l.step
	took = time.Since(start)
	l.sayHealthy(len(all)+len(teachers), took)
	return took, nil
}

// sayHealthy says that a check found nothing: the first, and those by the clock.
func (l *loop) sayHealthy(ranks int, took time.Duration) {
	h := l.health
	if !l.s.ranks.leads() || h.said && h.every > 0 {
		return
	}
	what, next := "each kernel agrees with the reference", "in an hour"
	if ranks > 1 {
		what = fmt.Sprintf("%d ranks agree with each other, and their kernels with the reference", ranks)
	}
	if h.every > 0 {
		next = fmt.Sprintf("every %d steps", h.every)
	}
	h.said = true
	l.s.say("%s: step %d: %s; the check took %.2g s, and is done again %s", l.label, l.step, what, took.Seconds(), next)
}

// examine checks this rank: its kernels against the reference, and what it has to compare with others.
func (l *loop) examine(ctx context.Context, compare bool) (f checkup, err error) {
	if f.Wrong, err = l.s.recheck(ctx, l.trainer.Programs()...); err != nil || !compare {
		return f, err
	}
	err = l.rounds.shown(func() (err error) {
		f.Sketches, err = l.trainer.Probe(func(first int, ids, labels []uint32) error {
			sample := l.step * int64(l.Train.Batch) // of the next step, as all ranks have it
			return l.read(min(l.step, l.Train.Steps-1), sample, ids, labels)
		})
		return err
	})
	return f, err
}

// alike is an error where not all ranks have the same weights, which means that a device, its driver or the network is not to be trusted.
// Each rank reads its weights, so it is done where a training pauses anyway: before evaluations.
func (l *loop) alike(ctx context.Context) error {
	r := l.s.ranks
	if r == nil || l.rounds != nil {
		return nil
	}
	sums, err := l.model.Checksums(l.s.device)
	if err != nil {
		return err
	}
	all, err := everybody(ctx, r, sums)
	if err != nil {
		return err
	}
	odd := unlike(all)
	if len(odd) == 0 {
		return nil
	}
	wrong, err := l.s.recheck(ctx, l.trainer.Programs()...)
	if err != nil {
		return err
	}
	kernels, err := everybody(ctx, r, wrong)
	if err != nil {
		return err
	}
	d := diagnose(odd, len(all), kernels, l.s.seatOf)
	if l.health == nil { // nothing is known of when all was right
		return agreed{fail(SickDevice, "%s: after step %d %s; %s; start it without that device", l.label, l.step, d.words, l.lastGood())}
	}
	return l.sick(ctx, d)
}

// recheck names the first check that the programs' kernels fail. Where there is not even memory for these small ones, it is not known
// that any fails.
func (s *session) recheck(ctx context.Context, programs ...*compute.Program) (wrong string, err error) {
	wrong, err = s.tuner.Recheck(ctx, programs...)
	if errors.Is(err, vk.ErrMemory) {
		s.say("too little device memory is left to hold the kernels against the reference: %v", err)
		return "", nil
	}
	return wrong, err
}

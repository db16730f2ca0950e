package jobs

import (
	"context"
	"errors"
	"fmt"

	"saltern/cluster"
	"saltern/model/checkpoint"
)

// lost is the rank whose loss has ended the waits for all; nil: there is none.
func (r *ranks) lost() *cluster.RankLost {
	if r == nil || r.all.Err() == nil {
		return nil
	}
	l := (*cluster.RankLost)(nil)
	errors.As(context.Cause(r.all), &l)
	return l
}

// mourn is the error of a job whose ranks cannot go on, err, as a person is to read it: who was lost, why, and what is left. Any other
// error is what it was.
func (r *ranks) mourn(err error) error {
	lost := (*cluster.RankLost)(nil)
	if r.lost() == nil || !errors.As(err, &lost) {
		return err
	}
	return fmt.Errorf("%w%s; the same command goes on from what is saved", lost, r.left)
}

// overLosses does a job's work, and where a rank is lost and the job is elastic, again with those that are left, and where one comes in its
// place, again with that: what is done lies on disk, and is not done again.
func (s *session) overLosses(ctx context.Context, work func() error) error {
	seated := func() error {
		if err := s.seated(ctx); err != nil {
			return err
		}
		return work()
	}
	run := work
	if s.ranks.isLate() {
		run = seated
	}
	for {
		err := run()
		if errors.Is(err, errApplied) {
			if err = s.admit(ctx); err == nil {
				run = seated
				continue
			}
		}
		lost := s.ranks.lost()
		if lost == nil || s.ranks.regroup == nil || !errors.As(err, new(*cluster.RankLost)) {
			return err
		}
		if err := s.ranks.regroup(ctx); err != nil {
			return err
		}
		s.say("%v%s; %d ranks go on from what is saved", lost, s.ranks.left, s.ranks.size())
		s.ranks.left = ""
		s.job.ranks = s.ranks.size()
		run = seated
	}
}

// lose is what a training does about an error: where it is the loss of a rank, the first rank saves the last step that all have done,
// where it can. A step that the loss has cut short has changed neither weights nor optimizer.
func (l *loop) lose(ctx context.Context, err error) error {
	r := l.s.ranks
	if r.lost() == nil || !errors.As(err, new(*cluster.RankLost)) || !r.leads() {
		return err
	}
	r.left = fmt.Sprintf("; %s stopped at step %d of %d", l.label, l.step, l.Train.Steps)
	last := l.lastSaved()
	before := fmt.Sprintf(", and was saved at step %d", last)
	switch {
	case l.goesBack:
		r.left += fmt.Sprintf(", and goes back to step %d", last)
	case last == l.step:
		r.left += ", which is saved"
	case l.shard && l.training.ranks > 1:
		r.left += before + ", as that rank has taken its part of the optimizer's state along"
	case l.rounds != nil || l.trainer.Rounds(): // each rank has a part that nobody else knows
		r.left += before
	case l.ended != l.step || l.inARow > 0:
		r.left += before
	default:
		if failed := l.write(ctx, nil); failed != nil {
			r.left += fmt.Sprintf("%s, as it could not be saved now: %v", before, failed)
		} else {
			r.left += ", which is saved"
		}
	}
	return err
}

// lastSaved is the step of the last checkpoint; 0: there is none.
func (l *loop) lastSaved() int64 {
	list, err := checkpoint.List(l.checkpoints())
	if err != nil || len(list) == 0 {
		return 0
	}
	return int64(list[0].Step)
}

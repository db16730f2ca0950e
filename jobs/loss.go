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
	lost := r.lost()
	if lost == nil || !errors.As(err, new(*cluster.RankLost)) {
		return err
	}
	left := r.left
	if left == "" {
		left = "the same command goes on from what is saved"
	}
	return fmt.Errorf("%w; %s", lost, left)
}

// lose is what a training does about an error: where it is the loss of a rank, the first rank saves the last step that all have done,
// where it can. A step that the loss has cut short has changed neither weights nor optimizer.
func (l *loop) lose(ctx context.Context, err error) error {
	r := l.s.ranks
	if r.lost() == nil || !errors.As(err, new(*cluster.RankLost)) || !r.leads() {
		return err
	}
	r.left = fmt.Sprintf("%s stopped at step %d of %d; the same command goes on from ", l.label, l.step, l.Train.Steps)
	switch last := l.lastSaved(); {
	case last == l.step:
		r.left += "there"
	case l.shard && l.training.ranks > 1:
		r.left += fmt.Sprintf("the last checkpoint, of step %d, as the rank took its part of the optimizer's state along", last)
	case l.ended != l.step || l.inARow > 0:
		r.left += fmt.Sprintf("the last checkpoint, of step %d", last)
	default:
		if failed := l.write(ctx); failed != nil {
			r.left += fmt.Sprintf("the last checkpoint, of step %d, as this one could not be saved: %v", last, failed)
		} else {
			r.left += "there, which is saved"
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

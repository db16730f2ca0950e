package jobs

import (
	"context"
	"fmt"

	"saltern/cluster/wire"
	"saltern/model"
	"saltern/model/checkpoint"
)

// rounding is the format that gradients of every step are rounded to on their way; empty where they are not. It decides the result of a
// training that is shared by ranks, however many there are.
func (j *Job) rounding() string {
	if c := j.Cluster; !c.Local() && c.Format() != wire.Float32 {
		return c.Wire
	}
	return ""
}

// rounding is how the ranks round gradients, and what each of the model's buckets has lost by that so far.
type rounding struct {
	format wire.Format
	lost   []*wire.Feedback
}

// round has the gradients of the training under way written in a format, of a model with so many buckets.
func (r *ranks) round(f wire.Format, buckets int) {
	r.rounding = rounding{format: f}
	if f != wire.Float32 {
		for range buckets {
			r.rounding.lost = append(r.rounding.lost, &wire.Feedback{})
		}
	}
	r.now.Sums = r.sums()
}

// sums are the ways of gradients in the group as it is; nil where nothing is rounded.
func (r *ranks) sums() (list []model.Sum) {
	for _, lost := range r.rounding.lost {
		list = append(list, model.Sum{Exchange: r.heard(r.With(r.rounding.format).Feedback(lost)), Lost: lost})
	}
	return list
}

// rankPart is what a rank adds to a checkpoint.
type rankPart struct {
	File   checkpoint.FileSum
	State  model.RankState
	Kind   Kind
	Failed string
}

// parts has every rank write what it has of its own, where ranks do: those that train apart, and those that round gradients.
func (l *loop) parts(ctx context.Context) ([]rankPart, error) {
	save := l.trainer.SavePart
	switch {
	case l.rounds != nil:
		save = l.rounds.SavePart
	case !l.trainer.Rounds():
		return nil, nil
	}
	file, err := save(ctx, l.checkpoints())
	p := rankPart{File: file, State: model.RankState{Skipped: l.inARow, Scale: l.trainer.Scale}}
	if err != nil {
		p.Kind, p.Failed = KindOf(err), err.Error()
	}
	all, err := everybody(ctx, l.s.ranks, p)
	if err != nil {
		return nil, err
	}
	for rank, p := range all {
		if p.Failed != "" {
			return nil, agreed{&Error{p.Kind, fmt.Errorf("rank %d: %s", rank, p.Failed)}}
		}
	}
	return all, nil
}

package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"saltern/compute"
)

// dying is an Exchange of a rank that is lost at a call, before it or after it, which ends the waits of all.
type dying struct {
	Exchange
	calls *int // left until then
	after bool
	lose  func(error)
}

var errDied = errors.New("a rank has died")

func (d dying) call(do func() error) error {
	if *d.calls--; *d.calls != 0 {
		return do()
	}
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	d.lose(errDied)
	return errDied
}

func (d dying) AllReduce(ctx context.Context, x []float32) error {
	return d.call(func() error { return d.Exchange.AllReduce(ctx, x) })
}

func (d dying) AllReduce64(ctx context.Context, x []float64) error {
	return d.call(func() error { return d.Exchange.AllReduce64(ctx, x) })
}

func (d dying) ReduceScatter(ctx context.Context, x []float32) (first, n int, err error) {
	err = d.call(func() error {
		first, n, err = d.Exchange.ReduceScatter(ctx, x)
		return err
	})
	return first, n, err
}

// state is all that a step changes, of this rank's part.
func (r *rankOf) state(t *testing.T) (all [][]float32) {
	t.Helper()
	for _, k := range r.Model.Buckets {
		p := make([]float32, k.Len)
		if err := r.b.Read(k.flat(k.P), p); err != nil {
			t.Error(err)
		}
		all = append(all, p)
		if k.own == 0 {
			continue
		}
		mean, square := make([]float32, k.own), make([]float32, k.own)
		if err := errors.Join(r.b.Read(k.Mean.View(compute.F32, 0, k.own), mean), r.b.Read(k.MeanSq.View(compute.F32, 0, k.own), square)); err != nil {
			t.Error(err)
		}
		all = append(all, mean, square)
	}
	return all
}

// TestLossMidStep: wherever in a step a rank of three is lost, before a sum or after it, the others have done the step or changed nothing;
// none has done it unless all gradients were summed everywhere. Of a sharded model this holds until the weights are handed round.
func TestLossMidStep(t *testing.T) {
	c, tc := tiny(true), tinyTraining()
	tc.Batch, tc.Microbatch = 8, 2
	buckets := len(New(c, "test", true).Buckets)
	for _, shard := range []bool{false, true} {
		calls := buckets + 1 // of a step: gradients, statistics
		if shard {
			calls++ // the norm
		}
		for _, after := range []bool{false, true} {
			for at := range calls + 1 {
				if at == 0 || at > 1 && at < buckets { // of the gradients the first and the last
					continue
				}
				if shard && after && at == calls { // then it is the handing round that ends
					continue
				}
				name := fmt.Sprintf("sharded %v, call %d, after it %v", shard, at, after)
				all, lose := context.WithCancelCause(context.Background())
				var mu sync.Mutex
				done := 0
				ranksOf(t, 3, shard, device, c, tc, func(r *rankOf) {
					r.train(0, 1)
					before := r.state(t)
					x := r.ranks
					x.Context = all
					if left := at; x.Rank() == 2 {
						x.Exchange = dying{x.Exchange, &left, after, lose}
					}
					_, err := r.Step(1, 0, 0, 1, randomFill(1, r.Model.Vocab, r.T))
					now := r.state(t)
					same := slices.EqualFunc(before, now, slices.Equal)
					switch {
					case err != nil && !errors.Is(err, errDied):
						t.Errorf("%s: rank %d: %v", name, x.Rank(), err)
					case err != nil && !same:
						t.Errorf("%s: rank %d has changed something in a step that it has not done", name, x.Rank())
					case err == nil && same:
						t.Errorf("%s: rank %d has changed nothing in a step that it has done", name, x.Rank())
					}
					if err == nil {
						mu.Lock()
						done++
						mu.Unlock()
					}
				})
				if committed := after && at >= buckets+1; done > 0 && !committed {
					t.Errorf("%s: %d ranks have done a step without all gradients", name, done)
				}
				lose(nil)
			}
		}
	}
}

package model

import (
	"context"
	"errors"
	"fmt"
	"time"

	"saltern/compute"
)

// Exchange adds up what the ranks of one training have; cluster/collective's Group is one. Every rank calls the same methods in
// the same order. A sum has the same bits on every rank and from run to run.
type Exchange interface {
	Rank() int
	Size() int
	// AllReduce and AllReduce64 make of x the sum over all ranks, the latter in their order.
	AllReduce(ctx context.Context, x []float32) error
	AllReduce64(ctx context.Context, x []float64) error
	// ReduceScatter sums x in the rank's own segment of it, from first on, n elements; AllGather gives each rank's segment to all.
	ReduceScatter(ctx context.Context, x []float32) (first, n int, err error)
	AllGather(ctx context.Context, x []float32) error
}

// Ranks is a trainer's place among several that train one model, each on its share of every batch.
type Ranks struct {
	Exchange
	// Context ends the waits for other ranks. A step that one rank leaves, no other can end: it is not the one by which a user
	// asks for a stop.
	Context context.Context
	// Also are numbers of the caller's own that a step sums over the ranks with its statistics: a wish to stop, for example.
	Also []float64
	// Counts are how many microbatches of a step each rank takes, by rank, at least one; nil: as even as they go. It may change
	// between steps, alike on all ranks.
	Counts []int
	// Measured, if set, is told in each step, before Also is summed, how long this rank took for one of its microbatches, without what
	// it waited for others.
	Measured func(each time.Duration)
	// Follow, if set, makes x on every rank what it is on rank 0, which then alone updates the weights, and the others take them:
	// devices that round differently would let them part.
	Follow func(x []float32) error
	// Sums are the ways of the buckets' gradients, by bucket, where they are rounded, each with what it has Lost; nil: Exchange adds them up as
	// they are.
	Sums []Sum
	// Observe, if set, is told of each bucket's exchange when it is done, from a goroutine of its own.
	Observe func(what string, start time.Time)
}

// Share is the run of n things, microbatches for example, that is this rank's, first to end (exclusive): as even as they go, the
// earlier ranks one more. Nil: all.
func (r *Ranks) Share(n int) (first, end int) {
	if r == nil {
		return 0, n
	}
	return Share(n, r.Rank(), r.Size())
}

// Share is that of one of several ranks.
func Share(n, rank, size int) (first, end int) {
	return rank*(n/size) + min(rank, n%size), (rank+1)*(n/size) + min(rank+1, n%size)
}

// sum adds up statistics over the ranks, in their order.
func (r *Ranks) sum(x []float64) error {
	if r == nil {
		return nil
	}
	return r.AllReduce64(r.Context, x)
}

// enough is an error where some rank would have no microbatch.
func (t *Trainer) enough(r *Ranks) error {
	c := t.Config
	if n := c.Batch / c.Microbatch; n < r.Size() {
		return fmt.Errorf("a batch of %d is %d microbatches of %d, too few for %d ranks; raise batch, lower microbatch to at most %d, or start fewer ranks",
			c.Batch, n, c.Microbatch, r.Size(), max(1, c.Batch/r.Size()))
	}
	return nil
}

// Across makes the trainer one of several ranks, before it is loaded: each computes the gradient of its share of the microbatches,
// gradients and statistics are summed, and all update alike. Batch is that of all ranks together.
func (t *Trainer) Across(r *Ranks) error {
	if err := t.enough(r); err != nil {
		return err
	}
	t.ranks = r
	t.gradients = &gradients{Ranks: r, buckets: t.Model.Buckets, data: make([][]float32, len(t.Model.Buckets))}
	var list []*compute.Storage
	for i, b := range t.Model.Buckets {
		list = append(list, b.Grad)
		t.gradients.data[i] = make([]float32, b.padded)
	}
	for _, p := range t.programs[:len(t.programs)-2] {
		t.gradients.complete = append(t.gradients.complete, p.CutAfter(list...))
	}
	if t.Model.sharded {
		t.Model.ranks = r
		t.gradients.sharded = true
		t.programs[len(t.programs)-1].CutAfter(t.control.Storage)
	}
	return nil
}

// gradients are on their way between the backend and the other ranks.
type gradients struct {
	*Ranks
	buckets  []*Bucket
	data     [][]float32 // by bucket
	sharded  bool
	scale    float64   // the loss scale of what the sums have lost
	complete [][][]int // by objective and segment of its program: the buckets that are complete with it
	computed time.Time // when this rank had computed its part of the step
}

// run runs the last microbatch of the rank's share. A bucket's gradient is read where it is complete and summed over the ranks while
// the rest computes; at the end the sums take the gradients' place.
func (g *gradients) run(b compute.Backend, x compute.Executable, objective int) error {
	ready, done := make(chan int, len(g.buckets)), make(chan error, 1) // the buffer holds all: nobody waits for the network here
	go func() {
		var failed error
		for k := range ready {
			if failed == nil {
				failed = g.exchange(k)
			}
		}
		done <- failed
	}()
	err := x.RunSegments(func(segment int) error {
		for _, k := range g.complete[objective][segment] {
			if err := b.Read(g.buckets[k].flat(g.buckets[k].Grad), g.data[k][:g.buckets[k].Len]); err != nil {
				return err
			}
			ready <- k
		}
		return nil
	})
	g.computed = time.Now()
	close(ready)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	for k, bucket := range g.buckets {
		if err := b.Write(bucket.flat(bucket.Grad), g.data[k][:bucket.Len]); err != nil {
			return err
		}
	}
	return nil
}

// exchange sums a bucket's gradient over the ranks.
func (g *gradients) exchange(k int) error {
	start, what, sum := time.Now(), "all-reduce ", func() error { return g.sum(k).AllReduce(g.Context, g.data[k]) }
	if g.sharded {
		what, sum = "reduce-scatter ", func() error { return g.scatter(k) }
	}
	if err := sum(); err != nil {
		return fmt.Errorf("the gradient of %s: %w", g.buckets[k].Name, err)
	}
	if g.Observe != nil {
		g.Observe(what+g.buckets[k].Name, start)
	}
	return nil
}

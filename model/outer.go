package model

import (
	"errors"
	"fmt"
	"time"

	"saltern/compute"
)

// OuterConfig says how ranks that train apart come together: DiLoCo (Douillard et al. 2023, arXiv 2311.08105). Each takes Every inner
// steps by itself; then the mean over the ranks of how far they went is the gradient of one outer step, of SGD with Nesterov momentum,
// that all take alike.
type OuterConfig struct {
	Every        int64   // H, inner steps of a round
	LR, Momentum float64 // of the outer step
	Delay        int64   // inner steps of the next round while the exchange is under way; less than Every
}

// Sum adds up a bucket's vectors over the ranks: gradients of a step, or outer gradients.
type Sum struct {
	Exchange
	Lost // what its rounding carries over from one time to the next; nil: it rounds nothing away
}

// Lost is what roundings of a vector have left out so far; cluster/wire's Feedback is one. Lost is nil before the first.
type Lost interface {
	Lost() []float32
	Restore(lost []float32)
}

// Outer keeps the outer parameters theta of a trainer that trains apart, the same bits on all ranks, and their momentum. They lie in
// host memory, where they are exchanged from.
//
// The outer step with the mean g over the ranks of theta - local, by bucket, in the arithmetic of float64:
//
//	m <- momentum m + g
//	theta <- theta - LR (g + momentum m)
//
// With a Delay the exchange is under way while the rank goes on from its own weights, and after so many steps, however long the
// exchange took, the weights become theta plus what the rank added to them since. So no inner step is lost, and each enters
// one outer gradient. (Streaming DiLoCo, arXiv 2501.18512, has the same fixed delay and mixes the two weights instead.)
type Outer struct {
	OuterConfig
	trainer *Trainer
	sums    []Sum

	theta, momentum [][]float32 // by bucket
	gradient        [][]float32 // this rank's, then the sum over all
	sent            [][]float32 // the weights that it was made from; nil without a Delay
	done            chan error  // of the exchange under way; nil: there is none
}

// Apart makes the trainer one of several ranks, before it is loaded, that share every batch and train apart: each step is the rank's
// own, by its share of the microbatches. Outer brings them together; evaluations are shared. sums are by bucket.
func (t *Trainer) Apart(r *Ranks, c OuterConfig, sums []Sum) (*Outer, error) {
	if err := t.enough(r); err != nil {
		return nil, err
	}
	if t.Model.sharded {
		return nil, errors.New("bug: ranks that train apart have the whole optimizer each")
	}
	t.ranks, t.apart = r, true
	o := &Outer{OuterConfig: c, trainer: t, sums: sums}
	for _, b := range t.Model.Buckets {
		for _, list := range []*[][]float32{&o.theta, &o.momentum, &o.gradient} {
			*list = append(*list, make([]float32, b.Len))
		}
		if c.Delay > 0 {
			o.sent = append(o.sent, make([]float32, b.Len))
		}
	}
	return o, nil
}

// Begin takes the model's weights, the same on all ranks, as the outer parameters.
func (o *Outer) Begin() error {
	return o.each(func(k int, weights *compute.Tensor) error { return o.trainer.backend.Read(weights, o.theta[k]) })
}

func (o *Outer) each(f func(k int, weights *compute.Tensor) error) error {
	for k, b := range o.trainer.Model.Buckets {
		if err := f(k, b.flat(b.P)); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return nil
}

// Ends says that a round ends after so many steps of a training of that many: at multiples of Every, and at the end.
func (o *Outer) Ends(done, steps int64) bool { return done%o.Every == 0 || done == steps }

// Pending says that an exchange is under way.
func (o *Outer) Pending() bool { return o.done != nil }

// Due says that after so many steps the exchange that is under way is to be waited for.
func (o *Outer) Due(done, steps int64) bool {
	return o.Pending() && (done%o.Every == o.Delay || done == steps)
}

// Send begins the exchange of a round's outer gradients, bucket by bucket, while the next ones are read.
func (o *Outer) Send() error {
	ready, done := make(chan int, len(o.sums)), make(chan error, 1)
	go func() {
		var failed error
		for k := range ready {
			if failed == nil {
				failed = o.exchange(k)
			}
		}
		done <- failed
	}()
	err := o.each(func(k int, weights *compute.Tensor) error {
		g := o.gradient[k]
		if err := o.trainer.backend.Read(weights, g); err != nil {
			return err
		}
		if o.sent != nil {
			copy(o.sent[k], g)
		}
		for i, v := range o.theta[k] {
			g[i] = v - g[i]
		}
		ready <- k
		return nil
	})
	close(ready)
	o.done = done
	if err != nil {
		<-done
		o.done = nil
	}
	return err
}

func (o *Outer) exchange(k int) error {
	r, name, start := o.trainer.ranks, o.trainer.Model.Buckets[k].Name, time.Now()
	if err := o.sums[k].AllReduce(r.Context, o.gradient[k]); err != nil {
		return fmt.Errorf("the outer gradient of %s: %w", name, err)
	}
	if r.Observe != nil && o.Delay == 0 {
		r.Observe("outer all-reduce "+name, start)
	}
	return nil
}

// Receive waits for the exchange and takes the outer step.
func (o *Outer) Receive() error {
	err := <-o.done
	o.done = nil
	if err != nil {
		return err
	}
	return o.each(func(k int, weights *compute.Tensor) error {
		if o.sent == nil {
			o.step(k)
			return o.trainer.backend.Write(weights, o.theta[k])
		}
		now := make([]float32, len(o.theta[k]))
		if err := o.trainer.backend.Read(weights, now); err != nil {
			return err
		}
		o.step(k)
		for i, v := range o.sent[k] {
			now[i] = o.theta[k][i] + (now[i] - v)
		}
		return o.trainer.backend.Write(weights, now)
	})
}

// step is the outer step of a bucket. The conversions forbid fused roundings, which not every processor has.
func (o *Outer) step(k int) {
	n := float64(o.trainer.ranks.Size())
	theta, momentum := o.theta[k], o.momentum[k]
	for i, sum := range o.gradient[k] {
		g := float64(sum) / n
		momentum[i] = float32(float64(o.Momentum*float64(momentum[i])) + g)
		theta[i] = float32(float64(theta[i]) - float64(o.LR*(g+float64(o.Momentum*float64(momentum[i])))))
	}
}

// Shown does something while the model's weights are the outer parameters, as they are by themselves after an outer step without
// Delay.
func (o *Outer) Shown(f func() error) error {
	if o.Delay == 0 {
		return f()
	}
	b := o.trainer.backend
	own := make([][]float32, len(o.theta))
	err := o.each(func(k int, weights *compute.Tensor) error {
		own[k] = make([]float32, len(o.theta[k]))
		if err := b.Read(weights, own[k]); err != nil {
			return err
		}
		return b.Write(weights, o.theta[k])
	})
	if err == nil {
		err = f()
	}
	return errors.Join(err, o.each(func(k int, weights *compute.Tensor) error {
		if own[k] == nil {
			return nil
		}
		return b.Write(weights, own[k])
	}))
}

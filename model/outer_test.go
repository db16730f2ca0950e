package model

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"saltern/cluster/collective"
	"saltern/cluster/wire"
	"saltern/compute"
	"saltern/model/checkpoint"
)

// apartOf is one of several ranks in this process that train apart.
type apartOf struct {
	rankOf
	*Outer
	steps int64
	fill  func(step int64) Fill
}

// apart does something on so many ranks at once, whose weights are the initial ones.
func apart(t *testing.T, size int, c OuterConfig, f wire.Format, do func(r *apartOf)) []*apartOf {
	t.Helper()
	shape, tc := tiny(true), tinyTraining()
	tc.Steps, tc.Batch, tc.Microbatch, tc.LR, tc.Warmup = 12, 8, 2, 1e-3, 1
	var list []*apartOf
	for rank, transport := range collective.Memory(size) {
		g := collective.New(transport, rank, size)
		r := &apartOf{steps: tc.Steps}
		r.b = device(t)
		m := New(shape, "test", true)
		var sums []Sum
		for k := range m.Buckets {
			if sum := g.With(f).Stream(fmt.Sprint("outer", k)); f == wire.Float32 {
				sums = append(sums, Sum{Exchange: sum})
			} else {
				lost := &wire.Feedback{}
				sums = append(sums, Sum{sum.Feedback(lost), lost})
			}
		}
		var err error
		if r.Trainer, err = Programs(m, tc, Plain); err != nil {
			t.Fatal(err)
		}
		if r.Outer, err = r.Apart(&Ranks{Exchange: g, Context: t.Context()}, c, sums); err != nil {
			t.Fatal(err)
		}
		if err := r.Trainer.Load(r.b); err != nil {
			t.Fatal(err)
		}
		if err := m.Init(r.b, 7); err != nil {
			t.Fatal(err)
		}
		if err := r.Begin(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			r.Close()
			r.b.Free(m.Storages()...)
		})
		r.fill = func(step int64) Fill { return randomFill(step%5, shape.Vocab, r.T) }
		list = append(list, r)
	}
	var all sync.WaitGroup
	for _, r := range list {
		all.Go(func() { do(r) })
	}
	all.Wait()
	for rank, r := range list {
		if r.err != nil {
			t.Fatalf("rank %d: %v", rank, r.err)
		}
	}
	return list
}

// train trains from one step to another, with all outer steps that are due.
func (r *apartOf) train(from, to int64) {
	for i := from; i < to && r.err == nil; i++ {
		var s Step
		if s, r.err = r.Step(i, 0, 0, 1, r.fill(i)); r.err != nil {
			return
		}
		r.seen = append(r.seen, s)
		r.err = r.after(i + 1)
	}
}

func (r *apartOf) after(done int64) error {
	if r.Due(done, r.steps) {
		if err := r.Receive(); err != nil {
			return err
		}
	}
	if !r.Ends(done, r.steps) {
		return nil
	}
	if err := r.Send(); err != nil || !r.Due(done, r.steps) {
		return err
	}
	return r.Receive()
}

// weights are those on the device.
func (r *apartOf) weights() (list [][]float32) {
	_ = r.each(func(k int, w *compute.Tensor) error {
		x := make([]float32, w.Len())
		r.err = r.b.Read(w, x)
		list = append(list, x)
		return nil
	})
	return list
}

func near(t *testing.T, what string, got, want [][]float32, tolerance float64) {
	t.Helper()
	for k := range want {
		for i, v := range want[k] {
			if d := math.Abs(float64(got[k][i]) - float64(v)); !(d <= tolerance*math.Max(1e-2, math.Abs(float64(v)))) {
				t.Fatalf("%s: bucket %d, element %d: %g, want %g", what, k, i, got[k][i], v)
			}
		}
	}
}

// TestOuterStepThatChangesNothing: with rate 1 and no momentum the outer step of one rank, or of ranks that read the same, leaves
// the weights as they are, but for a rounding, whenever it is taken. So training is what it is without.
func TestOuterStepThatChangesNothing(t *testing.T) {
	var want [][]float32
	apart(t, 1, OuterConfig{Every: 100, LR: 1}, wire.Float32, func(r *apartOf) {
		r.steps = 100 // no round ends
		r.train(0, 12)
		want = r.weights()
	})
	for _, test := range []struct {
		size   int
		config OuterConfig
	}{{1, OuterConfig{Every: 1, LR: 1}}, {1, OuterConfig{Every: 5, LR: 1}}, {1, OuterConfig{Every: 4, LR: 1, Delay: 3}}} {
		list := apart(t, test.size, test.config, wire.Float32, func(r *apartOf) { r.train(0, 12) })
		near(t, fmt.Sprintf("%+v", test.config), list[0].weights(), want, 2e-5)
	}
	// Two ranks that read the same: each goes where both go.
	var alone [2][][]float32
	list := apart(t, 2, OuterConfig{Every: 4, LR: 1}, wire.Float32, func(r *apartOf) {
		whole := r.fill
		r.fill = func(step int64) Fill {
			return func(first int, ids, labels []uint32) error { return whole(step)(first%4, ids, labels) }
		}
		r.train(0, 3)
		var s Step
		s, r.err = r.Step(3, 0, 0, 1, r.fill(3))
		r.seen = append(r.seen, s)
		alone[r.ranks.Rank()] = r.weights()
		if r.err == nil {
			r.err = r.after(4)
		}
	})
	if !reflect.DeepEqual(alone[0], alone[1]) {
		t.Fatal("equal text gave the ranks different weights")
	}
	for _, r := range list {
		near(t, "equal text", r.weights(), alone[0], 0x1p-22)
	}
}

// outerReference is the outer optimizer in float64, by bucket.
type outerReference struct {
	OuterConfig
	theta, momentum [][]float64
}

func (o *outerReference) step(locals ...[][]float32) {
	for k := range o.theta {
		for i := range o.theta[k] {
			g := 0.0
			for _, l := range locals {
				g += (o.theta[k][i] - float64(l[k][i])) / float64(len(locals))
			}
			o.momentum[k][i] = o.Momentum*o.momentum[k][i] + g
			o.theta[k][i] -= o.LR * (g + o.Momentum*o.momentum[k][i])
		}
	}
}

func wide(x [][]float32) (y [][]float64) {
	for _, v := range x {
		w := make([]float64, len(v))
		for i := range v {
			w[i] = float64(v[i])
		}
		y = append(y, w)
	}
	return y
}

// TestOuterStep: three rounds of two ranks, the last one shorter, are those of the reference.
func TestOuterStep(t *testing.T) {
	config := OuterConfig{Every: 5, LR: 0.7, Momentum: 0.9}
	var locals [3][2][][]float32
	var first, last [][]float32
	apart(t, 2, config, wire.Float32, func(r *apartOf) {
		rank := r.ranks.Rank()
		if rank == 0 {
			first = r.weights()
		}
		for i := range r.steps {
			if _, r.err = r.Step(i, 0, 0, 1, r.fill(i)); r.err != nil {
				return
			}
			if r.Ends(i+1, r.steps) {
				locals[i/5][rank] = r.weights()
			}
			if r.err = r.after(i + 1); r.err != nil {
				return
			}
		}
		if rank == 0 {
			last = r.weights()
		}
	})
	ref := outerReference{config, wide(first), nil}
	for _, v := range first {
		ref.momentum = append(ref.momentum, make([]float64, len(v)))
	}
	for _, l := range locals {
		if reflect.DeepEqual(l[0], l[1]) {
			t.Fatal("two ranks went the same way: they read the same")
		}
		ref.step(l[:]...)
	}
	for k := range last {
		for i, v := range last[k] {
			if want := ref.theta[k][i]; math.Abs(float64(v)-want) > 1e-6*math.Max(0.1, math.Abs(want)) {
				t.Fatalf("bucket %d, element %d: %g, want %g", k, i, v, want)
			}
		}
	}
}

// TestOuterRepeats: the outer parameters have the same bits on all ranks and from run to run, whatever the wire, and so has what
// follows a checkpoint.
func TestOuterRepeats(t *testing.T) {
	for _, test := range []struct {
		size   int
		config OuterConfig
		wire   wire.Format
	}{
		{2, OuterConfig{Every: 3, LR: 0.7, Momentum: 0.9}, wire.Int8},
		{2, OuterConfig{Every: 5, LR: 0.7, Momentum: 0.9, Delay: 2}, wire.Int8},
	} {
		t.Run(fmt.Sprintf("%d ranks, %+v, %s", test.size, test.config, test.wire), func(t *testing.T) {
			dir, parts := t.TempDir(), make([]checkpoint.FileSum, test.size)
			at := 2 * test.config.Every
			var saved sync.WaitGroup
			saved.Add(test.size)
			states := make([]RankState, test.size)
			whole := apart(t, test.size, test.config, test.wire, func(r *apartOf) {
				r.train(0, at-1)
				var s Step
				s, r.err = r.Step(at-1, 0, 0, 1, r.fill(at-1))
				r.seen = append(r.seen, s)
				rank := r.ranks.Rank()
				if r.err == nil && r.config().Delay == 0 { // the outer step before the checkpoint, else after
					r.err = r.after(at)
				} else if r.err == nil && r.Due(at, r.steps) {
					r.err = r.Receive()
				}
				if r.err == nil {
					parts[rank], r.err = r.SavePart(context.Background(), dir)
				}
				states[rank] = RankState{rank, r.Scale}
				saved.Done()
				if rank == 0 && r.err == nil {
					saved.Wait()
					_, r.err = r.Outer.Save(context.Background(), dir, at, []byte("{}"), 23, Resume{Job: json.RawMessage("{}"), Ranks: states}, parts, checkpoint.Keep{})
				}
				if r.err == nil && r.config().Delay > 0 {
					r.err = r.Send()
				}
				r.train(at, r.steps)
			})
			again := apart(t, test.size, test.config, test.wire, func(r *apartOf) { r.train(0, r.steps) })
			resumed := apart(t, test.size, test.config, test.wire, func(r *apartOf) {
				c, err := checkpoint.Open(dir)
				if err == nil {
					err = r.Model.LoadWeights(r.b, c)
				}
				var state Resume
				if err == nil {
					state, err = r.Outer.Load(c)
				}
				if err == nil && state.Skipped != r.ranks.Rank() {
					err = fmt.Errorf("took up the state of rank %d", state.Skipped)
				}
				if err == nil && r.config().Delay > 0 {
					err = r.Send()
				}
				r.err = err
				r.train(at, r.steps)
			})
			for rank, r := range whole {
				want := whole[0].weights()
				if !reflect.DeepEqual(r.weights(), want) || !reflect.DeepEqual(r.theta, want) {
					t.Errorf("rank %d ends with other weights than rank 0", rank)
				}
				if !reflect.DeepEqual(again[rank].weights(), want) || !reflect.DeepEqual(again[rank].seen, r.seen) {
					t.Errorf("rank %d ends with other weights when it does it again", rank)
				}
				if !reflect.DeepEqual(resumed[rank].weights(), want) || !slices.Equal(resumed[rank].seen, r.seen[at:]) {
					t.Errorf("rank %d ends with other weights after a stop", rank)
				}
			}
			apart(t, test.size+1, test.config, test.wire, func(r *apartOf) {
				c, err := checkpoint.Open(dir)
				if err == nil {
					_, err = r.Outer.Load(c)
				}
				if want := fmt.Sprintf("is of %d ranks that train apart, and there are %d; start %d", test.size, test.size+1, test.size); err == nil || !strings.Contains(err.Error(), want) {
					r.err = fmt.Errorf("%v, want %s", err, want)
				}
			})
		})
	}
}

func (r *apartOf) config() OuterConfig { return r.OuterConfig }

// TestOuterRankThatSkips: a rank whose gradients are never finite adds nothing, and the mean counts it.
func TestOuterRankThatSkips(t *testing.T) {
	var first [][]float32
	var local [2][][]float32
	list := apart(t, 2, OuterConfig{Every: 4, LR: 1}, wire.Float32, func(r *apartOf) {
		rank := r.ranks.Rank()
		if rank == 1 {
			first = r.weights()
			r.Scale.Value = math.Inf(1)
		}
		for i := range int64(4) {
			var s Step
			if s, r.err = r.Step(i, 0, 0, 1, r.fill(i)); r.err == nil && s.Skipped != (rank == 1) {
				r.err = fmt.Errorf("step %d: %+v", i, s)
			}
			if r.err != nil {
				return
			}
		}
		local[rank] = r.weights()
		r.err = r.after(4)
	})
	if !reflect.DeepEqual(local[1], first) {
		t.Fatal("a rank that skipped every step has other weights")
	}
	want := local[0]
	for k := range want {
		for i := range want[k] {
			want[k][i] = (want[k][i] + first[k][i]) / 2
		}
	}
	near(t, "half of what one rank did", list[1].weights(), want, 1e-5)
}

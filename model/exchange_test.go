package model

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"saltern/cluster/collective"
	"saltern/cluster/wire"
	"saltern/compute"
	"saltern/compute/computetest"
)

// exchanges are the ends of so many ranks in this process.
func exchanges(size int) (list []Exchange) {
	for rank, t := range collective.Memory(size) {
		list = append(list, collective.New(t, rank, size))
	}
	return list
}

func device(t *testing.T) compute.Backend { return computetest.Device(t) }

// acrossRanks trains steps on so many ranks, each with a backend of its own, and gives what each rank saw of every step.
func acrossRanks(t *testing.T, size int, open func(*testing.T) compute.Backend, c Config, tc TrainConfig, steps int64) [][]Step {
	t.Helper()
	return ranksOf(t, size, false, open, c, tc, func(r *rankOf) { r.train(0, steps) })
}

// rankOf is one of several ranks in this process.
type rankOf struct {
	*Trainer
	b    compute.Backend
	seen []Step
	err  error
}

// train trains from one step to another.
func (r *rankOf) train(from, to int64) {
	for i := from; i < to && r.err == nil; i++ {
		var s Step
		s, r.err = r.Step(i, 0, 0, 1, randomFill(i%5, r.Model.Vocab, r.T))
		r.seen = append(r.seen, s)
	}
}

// ranksOf does something on so many ranks at once, whose weights are the initial ones, and gives the steps that each saw.
func ranksOf(t *testing.T, size int, shard bool, open func(*testing.T) compute.Backend, c Config, tc TrainConfig, do func(r *rankOf)) [][]Step {
	t.Helper()
	return roundedRanksOf(t, size, shard, wire.Float32, open, c, tc, do)
}

// roundedRanksOf is ranksOf with gradients that are rounded to a format on their way.
func roundedRanksOf(t *testing.T, size int, shard bool, f wire.Format, open func(*testing.T) compute.Backend, c Config, tc TrainConfig, do func(r *rankOf)) [][]Step {
	t.Helper()
	var list []*rankOf
	for rank, x := range exchanges(size) {
		b := open(t)
		m := New(c, "test", true)
		if shard {
			m.Shard(rank, size)
		}
		trainer, err := Programs(m, tc, Plain)
		if err != nil {
			t.Fatal(err)
		}
		ranks := &Ranks{Exchange: x, Context: context.Background()}
		if f != wire.Float32 {
			for range m.Buckets {
				lost := &wire.Feedback{}
				ranks.Sums = append(ranks.Sums, Sum{x.(*collective.Group).With(f).Feedback(lost), lost})
			}
		}
		if err := trainer.Across(ranks); err != nil {
			t.Fatal(err)
		}
		if err := trainer.Load(b); err != nil {
			t.Fatal(err)
		}
		if err := m.Init(b, 7); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			trainer.Close()
			b.Free(m.Storages()...)
		})
		list = append(list, &rankOf{Trainer: trainer, b: b})
	}
	var all sync.WaitGroup
	for _, r := range list {
		all.Go(func() { do(r) })
	}
	all.Wait()
	var seen [][]Step
	for rank, r := range list {
		if r.err != nil {
			t.Fatalf("rank %d: %v", rank, r.err)
		}
		seen = append(seen, r.seen)
	}
	return seen
}

// TestRanksTrainAsOne: two, three and four ranks see the losses of one that has the same batch, all of them the same bits. The rate is a
// usual one: a high one, or a vanishing eps, makes of the last bit of a gradient, whose sums have another order, something else.
func TestRanksTrainAsOne(t *testing.T) {
	const steps = 100
	for _, on := range []struct {
		name  string
		shard bool
		open  func(t *testing.T) compute.Backend
		sizes []int
	}{
		{"device", false, device, []int{1, 2, 4}},
		{"sharded", true, device, []int{1, 2, 4}},                                                          // the last of four has nothing of most buckets
		{"reference", false, func(*testing.T) compute.Backend { return compute.NewReference() }, []int{3}}, // of four microbatches
	} {
		c, tc := tiny(true), tinyTraining()
		tc.Steps, tc.Batch, tc.Microbatch, tc.LR, tc.Eps = steps, 8, 2, 1e-3, 1e-5
		_, alone := loaded(t, on.open(t), c, tc)
		var want []Step
		for i := range int64(steps) {
			s, err := alone.Step(i, 0, 0, 1, randomFill(i%5, c.Vocab, alone.T))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, s)
		}
		for _, size := range on.sizes {
			t.Run(fmt.Sprintf("%s/%d", on.name, size), func(t *testing.T) {
				seen := ranksOf(t, size, on.shard, on.open, c, tc, func(r *rankOf) { r.train(0, steps) })
				worst := 0.0
				for i, w := range want {
					s := seen[0][i]
					for rank, list := range seen {
						if list[i] != s {
							t.Fatalf("step %d: rank %d saw %+v, rank 0 %+v", i, rank, list[i], s)
						}
					}
					worst = max(worst, math.Abs(s.NLL-w.NLL)/w.NLL)
					if s.Tokens != w.Tokens || s.Skipped {
						t.Fatalf("step %d: %+v, alone %+v", i, s, w)
					}
				}
				if t.Logf("losses differ by at most %.2g, the last is %.4f after %.4f", worst, want[steps-1].NLL, want[0].NLL); worst > 1e-6 {
					t.Errorf("losses differ by %g", worst)
				}
			})
		}
	}
}

// TestRanksRepeat: the same ranks see the same bits again.
func TestRanksRepeat(t *testing.T) {
	c, tc := tiny(false), tinyTraining()
	a, b := acrossRanks(t, 2, device, c, tc, 20), acrossRanks(t, 2, device, c, tc, 20)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a[0], b[0])
	}
}

// TestTooFewMicrobatches: a rank without a microbatch would only wait.
func TestTooFewMicrobatches(t *testing.T) {
	trainer, err := Programs(New(tiny(true), "test", true), tinyTraining(), Plain)
	if err != nil {
		t.Fatal(err)
	}
	err = trainer.Across(&Ranks{Exchange: exchanges(3)[0], Context: context.Background()})
	if err == nil || !strings.Contains(err.Error(), "a batch of 4 is 2 microbatches of 2, too few for 3 ranks; raise batch, lower microbatch to at most 1") {
		t.Error(err)
	}
}

// TestChooseShare: of several ranks none takes much more than its part of the batch, and each has something to do.
func TestChooseShare(t *testing.T) {
	for _, test := range []struct {
		why                string
		batch, ranks, want int
	}{
		{"alone, all at once", 32, 1, 32},
		{"the whole share", 32, 4, 8},
		{"as many ranks as sequences", 4, 4, 1},
		{"11 sequences at most would be even, 12 is near enough", 32, 3, 4},
		{"a prime", 7, 3, 1},
	} {
		tc := tinyTraining()
		tc.Batch, tc.Microbatch = test.batch, 0
		got, err := ChooseShare(New(tiny(true), "test", true), tc, test.ranks, 0, Plain)
		if err != nil || got.Microbatch != test.want {
			t.Errorf("%s: %d, %v, want %d", test.why, got.Microbatch, err, test.want)
		}
	}
}

// TestShare: the shares of all ranks are all there is, once.
func TestShare(t *testing.T) {
	for size := 1; size < 6; size++ {
		for n := range 12 {
			at := 0
			for _, x := range exchanges(size) {
				first, end := (&Ranks{Exchange: x}).Share(n)
				if first != at || end-first != n/size && end-first != n/size+1 {
					t.Errorf("%d of %d: from %d to %d, %d are taken", x.Rank(), size, first, end, at)
				}
				at = end
			}
			if at != n {
				t.Errorf("%d of %d are shared", at, n)
			}
		}
	}
	if first, end := (*Ranks)(nil).Share(5); first != 0 || end != 5 {
		t.Error(first, end)
	}
}

package model

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
)

// table is where ranks in one process meet: each puts down what it has, and takes the sum in rank order.
type table struct {
	size    int
	mu      sync.Mutex
	turn    *sync.Cond
	arrived int
	round   int
	sums    []float64
	parts   [][]float64
}

type seat struct {
	*table
	rank int
}

func newTable(size int) (list []Exchange) {
	t := &table{size: size, parts: make([][]float64, size)}
	t.turn = sync.NewCond(&t.mu)
	for rank := range size {
		list = append(list, seat{t, rank})
	}
	return list
}

func (s seat) Rank() int { return s.rank }
func (s seat) Size() int { return s.size }

func (s seat) AllReduce64(_ context.Context, x []float64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[s.rank] = x
	s.arrived++
	round := s.round
	if s.arrived == s.size {
		s.sums = make([]float64, len(x))
		for _, p := range s.parts {
			for i, v := range p {
				s.sums[i] += v
			}
		}
		s.arrived, s.round = 0, s.round+1
		s.turn.Broadcast()
	}
	for s.round == round {
		s.turn.Wait()
	}
	sums := s.sums
	copy(x, sums)
	return nil
}

func (s seat) AllReduce(ctx context.Context, x []float32) error {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	err := s.AllReduce64(ctx, wide)
	for i, v := range wide {
		x[i] = float32(v)
	}
	return err
}

func (s seat) segment(n int) (first, end int) { return n * s.rank / s.size, n * (s.rank + 1) / s.size }

func (s seat) ReduceScatter(ctx context.Context, x []float32) (int, int, error) {
	first, end := s.segment(len(x))
	return first, end - first, s.AllReduce(ctx, x)
}

func (s seat) AllGather(ctx context.Context, x []float32) error {
	first, end := s.segment(len(x))
	clear(x[:first])
	clear(x[end:])
	return s.AllReduce(ctx, x)
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
	var list []*rankOf
	for rank, x := range newTable(size) {
		b := open(t)
		m := New(c, "test", true)
		if shard {
			m.Shard(rank, size)
		}
		trainer, err := Programs(m, tc, Plain)
		if err != nil {
			t.Fatal(err)
		}
		if err := trainer.Across(&Ranks{Exchange: x, Context: context.Background()}); err != nil {
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
	err = trainer.Across(&Ranks{Exchange: newTable(3)[0], Context: context.Background()})
	if err == nil || !strings.Contains(err.Error(), "a batch of 4 is 2 microbatches of 2, too few for 3 ranks; raise batch, lower microbatch to at most 1") {
		t.Error(err)
	}
}

package model

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"

	"saltern/cluster/collective"
	"saltern/cluster/wire"
	"saltern/model/checkpoint"
)

func roundedTraining(steps int64) (Config, TrainConfig) {
	c, tc := tiny(true), tinyTraining()
	tc.Steps, tc.Batch, tc.Microbatch, tc.LR, tc.Eps = steps, 8, 2, 1e-3, 1e-5
	return c, tc
}

// TestRoundedGradients: ranks that round gradients on their way see all the same bits, learn what others learn, and send what their
// format takes.
func TestRoundedGradients(t *testing.T) {
	const steps = 100
	c, tc := roundedTraining(steps)
	sent := func(r *rankOf) int64 { return r.gradients.Exchange.(*collective.Group).Sent() }
	var exact [][]Step
	var all int64
	exact = ranksOf(t, 2, false, device, c, tc, func(r *rankOf) {
		if r.train(0, steps); r.gradients.Rank() == 0 {
			all = sent(r)
		}
	})
	first, last := exact[0][0].NLL, exact[0][steps-1].NLL
	for _, test := range []struct {
		size  int
		shard bool
		f     wire.Format
		off   float64 // of the loss, at most: relative to how far it has come down
		share float64 // of the bytes of float32, at most; 0: of other ranks
	}{
		{2, false, wire.BFloat16, 0.002, 0.501},
		{2, false, wire.Int8, 0.005, 0.26},
		{4, false, wire.Int8, 0.005, 0},
		{2, true, wire.Int8, 0.005, 0.64}, // weights are not rounded
	} {
		t.Run(fmt.Sprintf("%d/%v/%v", test.size, test.shard, test.f), func(t *testing.T) {
			var bytes int64
			seen := roundedRanksOf(t, test.size, test.shard, test.f, device, c, tc, func(r *rankOf) {
				if r.train(0, steps); r.gradients.Rank() == 0 {
					bytes = sent(r)
				}
			})
			worst := 0.0
			for i, s := range seen[0] {
				for rank, list := range seen {
					if list[i] != s {
						t.Fatalf("step %d: rank %d saw %+v, rank 0 %+v", i, rank, list[i], s)
					}
				}
				worst = max(worst, math.Abs(s.NLL-exact[0][i].NLL)/(first-last))
			}
			share := float64(bytes) / float64(all)
			t.Logf("loss %.4f to %.4f, off by at most %.2g of that; %.3f of the bytes", first, last, worst, share)
			if !(worst > 0 && worst < test.off) {
				t.Errorf("losses are off by %g, want above 0 and below %g", worst, test.off)
			}
			if test.share > 0 && !(share > 0 && share < test.share) {
				t.Errorf("%.3f of the bytes of float32 were sent, want below %g", share, test.share)
			}
		})
	}
}

// save writes a checkpoint of ranks that have taken so many steps, with the parts of all.
func saveRounded(r *rankOf, dir string, step int64, parts []checkpoint.FileSum, all *sync.WaitGroup) error {
	file, err := r.SavePart(context.Background(), dir)
	parts[r.gradients.Rank()] = file
	all.Done()
	all.Wait()
	if err != nil || r.gradients.Rank() > 0 {
		return err
	}
	_, err = r.Model.Save(context.Background(), r.b, dir, step, []byte("{}"), 23, Resume{Scale: r.Scale, Job: json.RawMessage("{}")}, parts, checkpoint.Keep{})
	return err
}

// resume takes up the last checkpoint.
func (r *rankOf) resume(dir string) error {
	c, err := checkpoint.Open(dir)
	if err != nil {
		return err
	}
	if err := r.Model.LoadWeights(r.b, c); err != nil {
		return err
	}
	state, err := r.Model.LoadOptimizer(r.b, c)
	if err != nil {
		return err
	}
	r.Scale = state.Scale
	return r.LoadParts(c, state.Scale.Value)
}

// TestRoundedResume: a run that is resumed has the bits of one that never stopped, also where the loss scale moves; and another number of
// ranks takes up all that was lost.
func TestRoundedResume(t *testing.T) {
	const steps, at = 14, 8
	for _, precision := range []string{Float32, Float16} {
		c, tc := roundedTraining(steps)
		tc.Precision = precision
		dir := t.TempDir()
		parts := make([]checkpoint.FileSum, 2)
		var saved sync.WaitGroup
		saved.Add(2)
		lost := make([][]float64, 2) // of the first bucket
		want := roundedRanksOf(t, 2, false, wire.Int8, device, c, tc, func(r *rankOf) {
			r.train(0, at)
			if r.err == nil {
				r.err = saveRounded(r, dir, at, parts, &saved)
			}
			for _, v := range r.gradients.Sums[0].Lost.Lost() {
				lost[r.gradients.Rank()] = append(lost[r.gradients.Rank()], float64(v))
			}
			if precision == Float16 { // as it does after many steps
				r.Scale.Value *= 2
			}
			r.train(at, steps)
		})
		got := roundedRanksOf(t, 2, false, wire.Int8, device, c, tc, func(r *rankOf) {
			if r.err = r.resume(dir); r.err == nil {
				if precision == Float16 {
					r.Scale.Value *= 2
				}
				r.train(at, steps)
			}
		})
		if !reflect.DeepEqual(want[0][at:], got[0]) {
			t.Errorf("%v: resumed\n%+v\nwant\n%+v", precision, got[0], want[0][at:])
		}
		if slices.Max(lost[0]) == 0 {
			t.Errorf("%v: nothing was lost; the test shows nothing", precision)
		}
		for _, size := range []int{1, 3} {
			found := make([][]float32, size)
			roundedRanksOf(t, size, false, wire.Int8, device, c, tc, func(r *rankOf) {
				if r.err = r.resume(dir); r.err == nil {
					found[r.gradients.Rank()] = r.gradients.Sums[0].Lost.Lost()
				}
			})
			for i := range lost[0] {
				sum := 0.0
				for _, x := range found {
					sum += float64(x[i])
				}
				if w := lost[0][i] + lost[1][i]; math.Abs(sum-w) > 1e-6*math.Abs(w)+1e-12 {
					t.Fatalf("%v: %d ranks take up %g of element %d, and %g was lost", precision, size, sum, i, w)
				}
			}
		}
	}
}

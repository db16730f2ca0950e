package model

import (
	"math"
	"slices"
	"testing"
)

// TestApportion: shares by speed, whole, none without one, and none better among all that there are.
func TestApportion(t *testing.T) {
	for _, test := range []struct {
		why     string
		n       int
		seconds []float64
		want    []int
	}{
		{"alike", 8, []float64{1, 1}, []int{4, 4}},
		{"alike, one left over", 7, []float64{1, 1, 1}, []int{3, 2, 2}},
		{"half as fast", 12, []float64{1, 2}, []int{8, 4}},
		{"everybody has one", 4, []float64{1, 1000}, []int{3, 1}},
		{"no more than ranks", 3, []float64{1, 9, 3}, []int{1, 1, 1}},
		{"alone", 5, []float64{3}, []int{5}},
	} {
		if got := Apportion(test.n, test.seconds); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.why, got, test.want)
		}
	}
	for ranks := 2; ranks <= 8; ranks++ { // eight microbatches for each are fine enough for one that is half as fast
		seconds := slices.Repeat([]float64{1}, ranks)
		seconds[ranks-1] = 2
		n := 8 * ranks
		if over := StepSeconds(Apportion(n, seconds), seconds) / IdealSeconds(n, seconds); over > 1.15 {
			t.Errorf("%d ranks, one half as fast: %.2f times the ideal", ranks, over)
		}
	}
	seconds := []float64{1, 1.7, 3.1}
	for n := 3; n < 30; n++ {
		got, best := StepSeconds(Apportion(n, seconds), seconds), math.Inf(1)
		for a := 1; a <= n-2; a++ {
			for b := 1; a+b < n; b++ {
				best = min(best, StepSeconds([]int{a, b, n - a - b}, seconds))
			}
		}
		if got != best || got < IdealSeconds(n, seconds)*(1-1e-12) {
			t.Errorf("%d: %g, the best is %g, the ideal %g", n, got, best, IdealSeconds(n, seconds))
		}
	}
}

// TestSharesDoNotMatter: whatever each rank's part of the batch is, the gradient is the mean over all tokens: losses of uneven shares, which
// change between steps, are those of even ones.
func TestSharesDoNotMatter(t *testing.T) {
	const steps = 40
	c, tc := tiny(true), tinyTraining()
	tc.Steps, tc.Batch, tc.Microbatch, tc.LR, tc.Eps = steps, 8, 1, 1e-3, 1e-5
	for _, shard := range []bool{false, true} {
		even := ranksOf(t, 3, shard, device, c, tc, func(r *rankOf) { r.train(0, steps) })
		uneven := ranksOf(t, 3, shard, device, c, tc, func(r *rankOf) {
			for i := int64(0); i < steps; i++ {
				r.ranks.Counts = [][]int{{3, 3, 2}, {6, 1, 1}, {1, 2, 5}}[i%3]
				r.train(i, i+1)
			}
		})
		worst := 0.0
		for i, w := range even[0] {
			s := uneven[0][i]
			for rank := range uneven {
				if uneven[rank][i] != s {
					t.Fatalf("step %d: rank %d saw %+v, rank 0 %+v", i, rank, uneven[rank][i], s)
				}
			}
			worst = max(worst, math.Abs(s.NLL-w.NLL)/w.NLL, math.Abs(s.Norm-w.Norm)/w.Norm/10)
			if s.Tokens != w.Tokens {
				t.Errorf("step %d: %d tokens, even %d", i, s.Tokens, w.Tokens)
			}
		}
		if t.Logf("sharded %v: losses differ by at most %.2g", shard, worst); worst > 1e-6 || worst == 0 {
			t.Errorf("losses differ by %g", worst)
		}
	}
}

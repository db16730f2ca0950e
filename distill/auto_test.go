package distill

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// spread is a Ratio of 100 sequences of whose ratios the mean is r and the standard error se, with d in each.
func spread(r, se, d float64) (x Ratio) {
	const sequences = 100
	off := se * math.Sqrt(sequences-1)
	for i := range sequences {
		x.observe((r+off*float64(2*(i%2)-1))*d, d)
	}
	return x
}

// seen is what a test lets a window see of a bucket: tau, lead (student's less teacher's NLL) and their errors; tv is the total variation
// per token.
type seen struct{ tau, tauError, lead, leadError, tv float64 }

func believe(tau float64) seen { return seen{tau, 0.02, 0.1, 0.02, 1} }

// sums makes a step's sums of what is seen of each bucket, over sequences of 10 tokens.
func sums(buckets ...seen) (s Sums) {
	for g, b := range buckets {
		s.Credibility[g] = spread(b.tau, b.tauError, 10*b.tv)
		s.Crossing[g] = spread(b.lead, b.leadError, 10)
		s.AllCredibility.Add(s.Credibility[g])
		s.AllCrossing.Add(s.Crossing[g])
		s.Tokens += s.Crossing[g].D
	}
	return s
}

// begun is a state with that many buckets, as after the first step, by a rule.
func begun(buckets int, r Rule) *Auto {
	a := NewAuto(r)
	a.Edges = []float64{}
	for i := range buckets - 1 {
		a.Edges = append(a.Edges, float64(i+1))
	}
	return a
}

// TestAutoDecides: what one bucket's windows say, and what becomes of its weight.
func TestAutoDecides(t *testing.T) {
	low := seen{0.3, 0.02, 0.1, 0.02, 1}
	for _, test := range []struct {
		why     string
		sparse  bool
		windows []seen
		factors []float64 // after each window
		stop    Stop
	}{
		{"a teacher that is right keeps its weight", false, []seen{believe(1), believe(0.98)}, []float64{1, 0.96}, Stop{}},
		{"one that has too little to give loses some", false, []seen{believe(1.1), believe(1.5), believe(3)}, []float64{1 / 1.04, 0.5, 1. / 17}, Stop{}},
		{"half way between it has half", false, []seen{believe(0.75), believe(0.6)}, []float64{0.5, 0.2}, Stop{}},
		{"one window below 1/2 takes the weight, not the teacher", false, []seen{low, believe(0.9)}, []float64{0, 0.8}, Stop{}},
		{"two in a row end it", false, []seen{low, low, believe(1)}, []float64{0, 0, 0}, Stop{2, "credibility"}},
		{"two that are not in a row do not", false, []seen{low, believe(0.9), low}, []float64{0, 0.8, 0}, Stop{}},
		{"nor do two within an error of 1/2", false, []seen{{0.45, 0.1, 0, 0, 1}, {0.45, 0.1, 0, 0, 1}}, []float64{0, 0}, Stop{}},
		{"a window that knows too little changes nothing", false, []seen{believe(0.8), {0.4, 0.3, 0, 0, 1}}, []float64{0.6, 0.6}, Stop{}},
		{"tau need not be known where w is", false, []seen{{-1, 0.8, 0, 0, 1}, {-2, 0.8, 0, 0, 1}}, []float64{0, 0}, Stop{2, "credibility"}},
		{"on either side", false, []seen{believe(0.8), {3, 0.5, 0, 0, 1}}, []float64{0.6, 1. / 17}, Stop{}},
		{"but not around 1", false, []seen{believe(0.8), {1.5, 0.6, 0, 0, 1}}, []float64{0.6, 0.6}, Stop{}},
		{"and is merged with the next", false, []seen{{0.4, 0.34, 0, 0, 1}, {0.6, 0.34, 0, 0, 1}, {0.1, 0.1, 0, 0, 1}}, []float64{0, 0, 0}, Stop{}},
		{"where p = q the student's lead ends it", false, []seen{{0, 0, -0.1, 0.02, 0}, {0, 0, -0.1, 0.02, 0}}, []float64{0, 0}, Stop{2, "crossing"}},
		{"with soft labels as well", true, []seen{{0.9, 0, -0.1, 0.02, 1}, {0.9, 0, -0.1, 0.02, 1}}, []float64{1, 0}, Stop{2, "crossing"}},
		{"by more than an error", true, []seen{{0, 0, -0.1, 0.2, 1}, {0, 0, -0.1, 0.2, 1}}, []float64{1, 1}, Stop{}},
		{"in a row", true, []seen{{0, 0, -0.1, 0.02, 1}, {0, 0, 0.1, 0.02, 1}, {0, 0, -0.1, 0.02, 1}}, []float64{1, 1, 1}, Stop{}},
		{"with the whole of q at hand a lead alone does not", false, []seen{{0.9, 0, -0.1, 0.02, 1}, {0.9, 0, -0.1, 0.02, 1}}, []float64{0.8, 0.8}, Stop{}},
	} {
		r := Rule{Weight: 0.5, Window: 1, Vocab: 10, Sparse: test.sparse}
		a := begun(1, r)
		for i, b := range test.windows {
			a.Step(int64(i+1), sums(b), r)
			if math.Abs(a.Factors[0]-test.factors[i]) > 1e-9 {
				t.Errorf("%s: after window %d the factor is %g, want %g", test.why, i+1, a.Factors[0], test.factors[i])
			}
		}
		if a.Stops[0] != test.stop || a.Stopped() != (test.stop.Step > 0) {
			t.Errorf("%s: stopped %+v, want %+v", test.why, a.Stops[0], test.stop)
		}
	}
}

// TestWindowsEnd: a window has the steps after the one before it; the first step says where the buckets lie and no more; a step that was
// skipped is in none, and a window that would end with it ends with the next one's.
func TestWindowsEnd(t *testing.T) {
	r := Rule{Weight: 0.5, Window: 4, Vocab: 100}
	a := NewAuto(r)
	var tokens []float64
	for i, list := range randomSteps(3, 16, 1) {
		if i == 5 || i == 11 { // skipped: the sixth and twelfth step
			continue
		}
		if w := a.Step(int64(i+1), list[0], r); w != nil {
			n := 0.0
			for _, b := range w.Buckets {
				n += b.Tokens
			}
			tokens = append(tokens, n)
		}
		if a.Edges == nil || a.Window.Entropies != nil {
			t.Errorf("step %d: edges %v, and entropies are counted: %v", i+1, a.Edges, a.Window.Entropies != nil)
		}
	}
	if want := []float64{3 * 40, 3 * 40, 7 * 40}; !reflect.DeepEqual(tokens, want) {
		t.Errorf("the windows have %v tokens, want %v", tokens, want)
	}
	if w := a.Step(20, Sums{}, r); w != nil {
		t.Error("a step without tokens ended a window")
	}
}

// TestBucketsEndByThemselves: a bucket that has ended stays so, and the teacher goes with the last.
func TestBucketsEndByThemselves(t *testing.T) {
	r := Rule{Weight: 0.5, Window: 1, Vocab: 10}
	a := begun(3, r)
	for step, want := range []string{"[0.8 0.8 0]", "[0.8 0.8 0]", "[0 0.8 0]", "[0 0.8 0]", "[0 0 0]", "[0 0 0]"} {
		b := []seen{believe(0.9), believe(0.9), believe(0.2)}
		if step >= 2 {
			b[0], b[2] = believe(0.1), believe(1)
		}
		if step >= 4 {
			b[1] = believe(0.3)
		}
		if a.Stopped() {
			t.Errorf("step %d: the teacher is gone", step)
		}
		a.Step(int64(step+1), sums(b...), r)
		var got []float64
		for _, f := range a.Factors[:3] {
			got = append(got, math.Round(10*f)/10)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("step %d: factors %v, want %s", step+1, got, want)
		}
	}
	if got := [3]int64{a.Stops[0].Step, a.Stops[1].Step, a.Stops[2].Step}; got != [3]int64{4, 6, 2} || !a.Stopped() {
		t.Errorf("the buckets ended at steps %v", got)
	}
	p := a.Policy()
	if p[0] != 1 || p[1] != 2 || !math.IsInf(float64(p[2]), 1) || p[Buckets] != 0 || p[Buckets+3] != 0 {
		t.Errorf("the policy is %v", p)
	}
}

// randomSteps makes the sums of sequences, for each of some steps, by sequence: a student that overtakes its teacher at a third of the
// steps in one bucket and at two thirds in another.
func randomSteps(seed uint64, steps, sequences int) [][]Sums {
	rng := rand.New(rand.NewPCG(seed, 0))
	all := make([][]Sums, steps)
	for step := range all {
		for range sequences {
			x := float64(step) / float64(steps)
			one := Sums{}
			for g, tau := range []float64{1.2 - 2*x, 1.3 - 1.2*x} {
				d := 5 * (1 + rng.Float64())
				one.Credibility[g].observe(d*tau+rng.NormFloat64(), d)
				one.Crossing[g].observe(20*(tau-0.5)+3*rng.NormFloat64(), 20)
			}
			one.Tokens = 40
			one.NLL.observe(rng.NormFloat64())
			one.Entropies = make([]float64, entropyBins)
			for range 40 {
				one.Entropies[[]int{5, 100}[rng.IntN(2)]]++
			}
			all[step] = append(all[step], one)
		}
	}
	return all
}

// TestRanksDecideAlike: every rank that is given the sum of all ranks' sums is in the same state at every step, and that is the state of
// one rank that had all the sequences, but for the last bits of sums in another order.
func TestRanksDecideAlike(t *testing.T) {
	const steps, sequences = 60, 12
	r := Rule{Weight: 0.5, Window: 4, Steps: steps, Vocab: 100}
	data := randomSteps(1, steps, sequences)
	alone := NewAuto(r)
	ranks := []*Auto{NewAuto(r), NewAuto(r), NewAuto(r)}
	for step, list := range data {
		var all, reduced Sums
		for _, s := range list {
			all.Add(s)
		}
		for rank := range ranks {
			var own Sums
			for i := rank; i < sequences; i += len(ranks) {
				own.Add(list[i])
			}
			reduced.Add(own)
		}
		alone.Step(int64(step+1), all, r)
		for rank, a := range ranks {
			a.Step(int64(step+1), reduced, r)
			if !reflect.DeepEqual(a, ranks[0]) {
				t.Fatalf("step %d: rank %d differs from rank 0", step+1, rank)
			}
		}
	}
	if ranks[0].Stops != alone.Stops || !reflect.DeepEqual(ranks[0].Edges, alone.Edges) {
		t.Errorf("three ranks end at %v, one at %v", ranks[0].Stops, alone.Stops)
	}
	if !alone.Stopped() || alone.Buckets() != 2 || alone.Stops[0].Step >= alone.Stops[1].Step {
		t.Errorf("the case is too easy: %+v", alone.Stops)
	}
}

// TestRestartDecidesAlike: a state that goes through a checkpoint at any step ends as one that never did, bit by bit.
func TestRestartDecidesAlike(t *testing.T) {
	const steps = 60
	r := Rule{Weight: 0.5, Window: 4, Steps: steps, Vocab: 100}
	data := randomSteps(2, steps, 8)
	run := func(restart func(step int) bool) (a *Auto, windows []*Window) {
		a = NewAuto(r)
		for step, list := range data {
			if restart(step) {
				text, err := json.Marshal(a)
				if err != nil {
					t.Fatal(err)
				}
				a = new(Auto)
				if err := json.Unmarshal(text, a); err != nil {
					t.Fatal(err)
				}
			}
			var all Sums
			for _, s := range list {
				all.Add(s)
			}
			windows = append(windows, a.Step(int64(step+1), all, r))
		}
		return a, windows
	}
	want, seenThen := run(func(int) bool { return false })
	each, seenNow := run(func(int) bool { return true })
	if !reflect.DeepEqual(each, want) {
		t.Errorf("restarted at each step: %+v\nwant %+v", each.Stops, want.Stops)
	}
	for i := range seenThen {
		if (seenThen[i] == nil) != (seenNow[i] == nil) || seenThen[i] != nil && !reflect.DeepEqual(seenThen[i].Buckets, seenNow[i].Buckets) {
			t.Errorf("step %d: other windows", i+1)
		}
	}
	if !want.Stopped() {
		t.Error("the case is too easy")
	}
}

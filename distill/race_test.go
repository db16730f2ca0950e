package distill

import (
	"math"
	"math/rand/v2"
	"testing"
)

// race is a Race of windows of 6 steps, up to a step, that saw these leads.
func race(to int64, lead func(step float64) float64) (r Race) {
	for done := int64(6); done <= to; done += 6 {
		step := float64(done) - 3
		r.observe(step, lead(step), 0)
	}
	return r
}

// line is a lead that is straight in ln step and used up at a step.
func line(fall, overtaken float64) func(float64) float64 {
	return func(step float64) float64 { return fall * math.Log(overtaken/step) }
}

// TestRaceKnowsStraightLines: of a lead that falls straight against ln step the forecast is right from the first one on, and also once the
// student is ahead.
func TestRaceKnowsStraightLines(t *testing.T) {
	for _, overtaken := range []float64{30, 110, 450} {
		for _, to := range []int64{12, 24, 120, 540} {
			r := race(to, line(0.7, overtaken))
			if got := r.overtaken(600); math.Abs(got-overtaken/600) > 1e-6 {
				t.Errorf("step %d: the forecast is %g of the training, want %g", to, got, overtaken/600)
			}
		}
	}
	for _, test := range []struct {
		why  string
		race Race
		want float64
	}{
		{"one window makes no line", race(6, line(0.7, 110)), math.NaN()},
		{"after this training is never", race(60, line(0.7, 5000)), 1},
		{"nor does a student overtake that falls behind", race(60, func(step float64) float64 { return math.Log(step) }), 1},
		{"one who never was behind has overtaken long ago", race(60, func(step float64) float64 { return math.Log(step) - 9 }), 0},
		{"a lead that stays is one", race(60, func(float64) float64 { return 0.5 }), 1},
	} {
		if got := test.race.overtaken(600); math.Abs(got-test.want) > 1e-6 || math.IsNaN(got) != math.IsNaN(test.want) {
			t.Errorf("%s: the forecast is %g, want %g", test.why, got, test.want)
		}
	}
}

// TestRaceKnowsItsError: over many noisy series the line at a step less its mean over them has the spread that the Race takes for its error.
func TestRaceKnowsItsError(t *testing.T) {
	const tries, se, at = 4000, 0.1, 400
	rng := rand.New(rand.NewPCG(1, 0))
	var drawn Moments
	said := 0.0
	for range tries {
		var race Race
		for step := 3.0; step < 60; step += 6 {
			lead := line(0.7, 450)(step) + se*rng.NormFloat64()
			race.observe(step, lead, se)
		}
		lead, se, _ := race.line(math.Log(at))
		drawn.observe(lead)
		said = se
	}
	if want := math.Sqrt(drawn.Variance()); math.Abs(said-want) > 0.05*want {
		t.Errorf("the error is said to be %g, it is %g", said, want)
	}
	if mean := drawn.Sum / drawn.Count; math.Abs(mean-line(0.7, 450)(at)) > 0.02 {
		t.Errorf("the mean forecast of the lead is %g, want %g", mean, line(0.7, 450)(at))
	}
}

// TestRaceTellsTeachersApart: power laws in place of lines, and windows as noisy as those of 6,000 tokens. A teacher that is going to be
// overtaken after a twentieth or a fifth of the training has next to no weight from the second window on; one that is ahead for three quarters
// soon has all of it.
func TestRaceTellsTeachersApart(t *testing.T) {
	const tries, noise = 200, 0.065
	curve := func(step float64) float64 { return math.Pow(step, -0.1) }
	for _, test := range []struct {
		overtaken   float64
		from        int64 // the first step to look at
		least, most float64
	}{{30, 12, 0, 0.01}, {115, 12, 0, 0.05}, {450, 12, 0.7, 1}, {450, 120, 0.95, 1}} {
		rng := rand.New(rand.NewPCG(2, 0))
		sum, looks := 0.0, 0.0
		for range tries {
			r := Race{}
			for done := int64(6); float64(done) <= test.overtaken; done += 6 {
				step := float64(done) - 3
				lead := 16 * (curve(step) - curve(test.overtaken))
				r.observe(step, lead*(1+noise*rng.NormFloat64()), lead*noise)
				if done >= test.from {
					sum, looks = sum+lasting(r.overtaken(600)), looks+1
				}
			}
		}
		if mean := sum / looks; mean < test.least || mean > test.most {
			t.Errorf("overtaken at step %g: from step %d w has %.2f of what it could be, want %.2f to %.2f", test.overtaken, test.from, mean, test.least, test.most)
		}
	}
}

// TestOvertakenTeachersHaveNoWeight: what tau says of each bucket is scaled by the forecast, and what is recorded is what was used.
func TestOvertakenTeachersHaveNoWeight(t *testing.T) {
	for _, test := range []struct {
		overtaken, want float64
		sparse          bool
	}{{10, 0, false}, {30, 0.2, false}, {70, 0.4, false}, {10, 0, true}, {70, 0.5, true}} {
		r := Rule{Weight: 0.5, Window: 1, Steps: 80, Vocab: 10, Sparse: test.sparse}
		a := begun(1, r)
		var seenW []float64
		for done := int64(1); done <= 7; done++ {
			lead := line(0.7, test.overtaken)(float64(done) - 0.5)
			w := a.Step(done, sums(seen{0.9, 0.02, lead, 0, 1}), r)
			if float64(done) < test.overtaken && math.Abs(w.Overtaken-test.overtaken/80) > 1e-6 {
				t.Errorf("overtaken at %g: the forecast is %g", test.overtaken, w.Overtaken)
			}
			seenW = append(seenW, w.Buckets[0].W)
		}
		if p := a.Policy()[Buckets]; math.Abs(float64(p)/2-test.want) > 1e-6 {
			t.Errorf("overtaken at %g: the policy has weight %g, want %g", test.overtaken, p/2, test.want)
		}
		for i, w := range seenW {
			want := test.want
			if i < 2 {
				want = 0
			}
			if math.Abs(w-want) > 1e-6 {
				t.Errorf("overtaken at %g: window %d had weight %g, want %g", test.overtaken, i+1, w, want)
			}
		}
	}
}

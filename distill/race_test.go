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
		r.observe(step, lead(step))
	}
	return r
}

// line is a lead that is straight in ln step and used up at a step.
func line(fall, overtaken float64) func(float64) float64 {
	return func(step float64) float64 { return fall * math.Log(overtaken/step) }
}

// TestRaceKnowsStraightLines: of a lead that falls straight against ln step the forecast is right from the first one on, and also once
// the student is ahead.
func TestRaceKnowsStraightLines(t *testing.T) {
	for _, overtaken := range []float64{30, 110, 450} {
		for _, to := range []int64{24, 120, 540} {
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
		{"before four windows nothing is known", race(18, line(0.7, 110)), math.NaN()},
		{"after this training is never", race(60, line(0.7, 5000)), 1},
		{"nor does a student overtake that falls behind", race(60, func(step float64) float64 { return math.Log(step) }), 1},
		{"unless it was ahead all along", race(60, func(step float64) float64 { return math.Log(step) - 9 }), 0},
		{"a lead that stays is one", race(60, func(float64) float64 { return 0.5 }), 1},
	} {
		if got := test.race.overtaken(600); math.Abs(got-test.want) > 1e-6 || math.IsNaN(got) != math.IsNaN(test.want) {
			t.Errorf("%s: the forecast is %g, want %g", test.why, got, test.want)
		}
	}
}

// TestRaceTellsTeachersApart: power laws in place of lines, and windows as noisy as those of 6,000 tokens. A teacher that is going to be
// overtaken after a twentieth or a fifth of the training has no weight, but for rare windows; one that is ahead for three quarters has
// all of it.
func TestRaceTellsTeachersApart(t *testing.T) {
	const tries, noise = 200, 0.065
	rng := rand.New(rand.NewPCG(2, 0))
	for _, test := range []struct {
		overtaken float64
		from      int64 // the first step to look at
		want      float64
	}{{30, 24, 0}, {115, 24, 0}, {450, 24, 1}, {450, 300, 1}} {
		wrong, looks := 0, 0
		for range tries {
			curve := func(step float64) float64 { return math.Pow(step, -0.1) }
			r := Race{}
			for done := int64(6); done <= max(test.from, int64(test.overtaken)); done += 6 {
				step := float64(done) - 3
				r.observe(step, 16*(curve(step)-curve(test.overtaken))*(1+noise*rng.NormFloat64()))
				if done >= test.from {
					looks++
					if math.Abs(lasting(r.overtaken(600))-test.want) > 0.25 {
						wrong++
					}
				}
			}
		}
		if float64(wrong) > 0.05*float64(looks) {
			t.Errorf("overtaken at step %g, from step %d: w is wrong in %d of %d windows", test.overtaken, test.from, wrong, looks)
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
			w := a.Step(done, sums(seen{0.9, 0.02, lead, 0.02, 1}), r)
			if w.Overtaken > 0 && math.Abs(w.Overtaken-test.overtaken/80) > 1e-6 {
				t.Errorf("overtaken at %g: the forecast is %g", test.overtaken, w.Overtaken)
			}
			seenW = append(seenW, w.Buckets[0].W)
		}
		if p := a.Policy()[Buckets]; math.Abs(float64(p)/2-test.want) > 1e-6 {
			t.Errorf("overtaken at %g: the policy has weight %g, want %g", test.overtaken, p/2, test.want)
		}
		for i, w := range seenW {
			want := test.want
			if i < raceWindows {
				want = 0
			}
			if math.Abs(w-want) > 1e-6 {
				t.Errorf("overtaken at %g: window %d had weight %g, want %g", test.overtaken, i+1, w, want)
			}
		}
	}
}

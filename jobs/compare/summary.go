package compare

import (
	"math"
	"slices"
)

// Matched is the part of BASELINE's steps at which arms are also compared: in the paper SALT is where BASELINE ends
// after 146K of 208K steps.
const Matched = 0.7

// Summary is what an arm's runs show. What compares it with BASELINE is paired by seed: the two runs of a pair start from the
// same weights and read the same data, and much of what moves one moves the other.
type Summary struct {
	Arm Arm

	// At the end, over all seeds.
	Loss, Accuracy, BitsPerByte Interval
	Slices                      [3]Interval

	Paired     int      // seeds that BASELINE has too
	Gain       Interval // BASELINE's loss minus the arm's, nats per token
	SliceGains [3]Interval
	Gains      []float64 // by pair

	// Of BASELINE's whole run: what the whole run took, and what it took until the arm's loss was BASELINE's last. In steps,
	// FLOPs, seconds.
	Cost  [3]Interval
	Reach [3]Reach

	// When BASELINE had done Matched of its steps.
	EarlyLoss Interval
	EarlyGain Interval    // over BASELINE at the same step
	EarlyLead Interval    // over BASELINE at its end
	EarlyCost [3]Interval // of BASELINE's whole run
}

// Reach is when an arm's curve first passes under BASELINE's final loss of the same seed.
type Reach struct {
	Share   Interval  // of what BASELINE's whole run spends; unknown unless every seed gets there
	Each    []float64 // by pair; NaN for a seed that does not get there
	Reached int       // seeds that do
}

// Summarise computes every arm's summary, in their order. Without BASELINE, what is compared with it is unknown.
func Summarise(s Study) []Summary {
	var list []Summary
	for _, a := range s.Arms {
		list = append(list, summarise(s.baseline(), a))
	}
	return list
}

// baseline is the arm BASELINE, one without runs where there is none.
func (s Study) baseline() Arm {
	if s.Baseline < 0 || s.Baseline >= len(s.Arms) {
		return Arm{}
	}
	return s.Arms[s.Baseline]
}

func summarise(base, a Arm) Summary {
	p := pairs(base, a)
	s := Summary{Arm: a, Paired: len(p)}
	for _, m := range metrics {
		*m.of(&s) = over(a.each(m.value))
	}
	s.Gains = differences(p, runLoss)
	s.Gain = over(s.Gains)
	for i := range s.Slices {
		s.SliceGains[i] = over(differences(p, slice(i)))
	}
	for i, total := range []func(Run) float64{runSteps, runFLOPs, runSeconds} {
		s.Cost[i] = overShares(p.each(func(p pair) float64 { return total(p.arm) / total(p.base) }))
		s.Reach[i] = p.reach(spent[i])
		s.EarlyCost[i] = overShares(p.each(func(p pair) float64 { return p.arm.at(p.matched(), spent[i]) / spent[i](p.base.end()) }))
	}
	s.EarlyLoss = over(p.each(func(p pair) float64 { return p.arm.at(p.matched(), loss) }))
	s.EarlyGain = over(p.each(func(p pair) float64 { return p.base.at(p.matched(), loss) - p.arm.at(p.matched(), loss) }))
	s.EarlyLead = over(p.each(func(p pair) float64 { return p.base.end().Loss - p.arm.at(p.matched(), loss) }))
	return s
}

// metric is a number of a run's end that the results table has a column for.
type metric struct {
	value func(Run) float64
	of    func(*Summary) *Interval
	more  bool // is better
}

// metrics are the columns of quality, in their order.
var metrics = []metric{
	{runLoss, func(s *Summary) *Interval { return &s.Loss }, false},
	{func(r Run) float64 { return known(r.Accuracy) }, func(s *Summary) *Interval { return &s.Accuracy }, true},
	{func(r Run) float64 { return known(r.BitsPerByte) }, func(s *Summary) *Interval { return &s.BitsPerByte }, false},
	{slice(0), func(s *Summary) *Interval { return &s.Slices[0] }, false},
	{slice(1), func(s *Summary) *Interval { return &s.Slices[1] }, false},
	{slice(2), func(s *Summary) *Interval { return &s.Slices[2] }, false},
}

func runLoss(r Run) float64    { return known(r.Loss) }
func runSteps(r Run) float64   { return known(float64(r.Steps)) }
func runFLOPs(r Run) float64   { return known(r.FLOPs) }
func runSeconds(r Run) float64 { return known(r.Seconds) }

func slice(i int) func(Run) float64 { return func(r Run) float64 { return known(r.Slices[i]) } }

// known takes 0, which none of these numbers is when it was measured, for unknown.
func known(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

func (a Arm) each(value func(Run) float64) []float64 {
	var list []float64
	for _, r := range a.Runs {
		list = append(list, value(r))
	}
	return list
}

// pair is BASELINE's run and an arm's with the same seed.
type pair struct{ base, arm Run }

type pairing []pair

// pairs matches the runs of two arms by seed, in the first arm's order.
func pairs(base, a Arm) (list pairing) {
	for _, b := range base.Runs {
		if i := slices.IndexFunc(a.Runs, func(r Run) bool { return r.Seed == b.Seed }); i >= 0 {
			list = append(list, pair{b, a.Runs[i]})
		}
	}
	return list
}

func (p pairing) each(value func(pair) float64) []float64 {
	var list []float64
	for _, one := range p {
		list = append(list, value(one))
	}
	return list
}

// differences are how much less the arms' runs have than BASELINE's.
func differences(p pairing, value func(Run) float64) []float64 {
	return p.each(func(p pair) float64 { return value(p.base) - value(p.arm) })
}

// matched is the step that is Matched of BASELINE's.
func (p pair) matched() float64 { return Matched * float64(p.base.end().Step) }

// reach is when, in what x counts, the arm's curves pass under the last point of BASELINE's.
func (p pairing) reach(x quantity) Reach {
	var r Reach
	r.Each = p.each(func(p pair) float64 {
		end := p.base.end()
		at, ok := FirstBelow(p.arm.against(x), end.Loss)
		share := at / x(end)
		if !ok || !finite(share) {
			return math.NaN()
		}
		r.Reached++
		return share
	})
	r.Share = Interval{math.NaN(), math.NaN(), math.NaN(), 0}
	if r.Reached == len(p) {
		r.Share = overShares(r.Each)
	}
	return r
}

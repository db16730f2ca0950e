package distill

import (
	"fmt"
	"math"

	"saltern/compute"
)

// Rule is what Auto decides by.
type Rule struct {
	Weight float64 // w_max
	Window int64   // steps between two decisions
	Steps  int64   // of the whole training
	Vocab  int
	Sparse bool // of the teacher only soft labels are known
}

// Rule is the rule of a resolved Config for a student of that many steps and a vocabulary.
func (c Config) Rule(steps int64, vocab int) Rule {
	return Rule{Weight: c.Weight, Window: c.Window, Steps: steps, Vocab: vocab, Sparse: c.Offline()}
}

// Thresholds of Auto.
const (
	maxTauError    = 0.25 // a window that knows tau no better is lengthened by the next,
	maxFactorError = 0.25 // but where w_g / w_max is known, from one standard error below to one above
	confirm        = 2    // windows in a row that must agree on a stop
	vanishing      = 1e-6 // total variation per token below which p = q, as far as float32 can tell, and there is no tau
)

// Auto is transition "auto": it watches whether the teacher still helps, weighs it by that, and ends with it. Tokens fall into buckets
// by their teacher's entropy. At the end of each window, for each bucket, tau of that window says how the next one weighs it,
//
//	w_g = w_max clip((tau_g - 1/2) / (1/2), 0, 1)      tau_g <= 1
//	w_g = w_max / (1 + 4 (tau_g - 1)^2)                 tau_g > 1
//
// as the target (1-w) e_y + w q is off what the data ask for by w |tau - 1| of the distance of p and q, on either side of 1. Beyond 1
// the data ask for more than the teacher has to give, and a teacher that knows little holds the student back: what is to be
// minimised there is w^2 (tau-1)^2 + (1-w)^2 V, the bias beside the variance that is left, with a V that halves w at tau = 3/2.
//
// All of these are scaled by how long the teacher's lead is going to last, as a Race forecasts it: by 0 where the student will have
// overtaken it within a quarter of the training, by 1 where not before half of it, along a straight line between. tau judges the
// present. A teacher that has learned little is right against a student that has learned less, and yet the steps spent on what it knows
// are lost to what it does not, which is soon the greater part: docs/RESULTS.md has a teacher of whom two dozen steps are not made good
// by all that follow.
//
// Before the Race has a forecast w is 0: a teacher that is bad does its harm in the first steps, which are large.
//
// A bucket in which tau plus its standard error was below 1/2 in two windows in a row is over for good. (The plain tau < 1/2
// would end some bucket by chance: a stop is final and there are many windows. To wait costs the teacher's arithmetic alone, as w_g is
// 0 there.) A window that knows too little decides nothing: the next one is added to it, so windows can be short.
// Where there is no tau, as only soft labels are known or p equals q, a bucket keeps its weight until the student's mean NLL was below
// the teacher's by more than one standard error in two windows in a row.
//
// It is a value that goes through checkpoints as JSON. Step is a function of it, the rule and sums over the whole batch, so that
// ranks that have the same sums decide the same at the same step, and so does a resumed run.
type Auto struct {
	Edges   []float64         `json:"edges"`   // entropies between the buckets; nil before the first step
	Factors [Buckets]float64  `json:"factors"` // w_g / w_max in this window, but for Lasting,
	Lasting float64           `json:"lasting"` // the part of them that the forecast leaves
	Race    Race              `json:"race"`
	Below   [Buckets]int      `json:"below"` // windows in a row that spoke for a stop
	Stops   [Buckets]Stop     `json:"stops"`
	Tokens  [Buckets]float64  `json:"tokens"` // of all windows
	Window  Sums              `json:"window"` // since its beginning
	Since   [Buckets]Evidence `json:"since"`  // on each bucket, up to this window, since it was judged last
}

// Stop is how a bucket ended.
type Stop struct {
	Step int64  `json:"step"` // steps done by then; 0: it did not
	By   string `json:"by"`   // ByCredibility or ByCrossing
}

// What ends a bucket.
const (
	ByCredibility = "credibility"
	ByCrossing    = "crossing"
)

// Evidence is what a bucket is judged by, as in Sums.
type Evidence struct{ Credibility, Crossing Ratio }

// NewAuto is the state before the first step: nothing is known of the teacher, and nothing learned from it. Where there will be no tau
// its NLL alone decides, against it: it begins with its whole weight.
func NewAuto(r Rule) *Auto {
	a := &Auto{}
	if r.Sparse {
		for g := range a.Factors {
			a.Factors[g] = 1
		}
	}
	return a
}

// Policy is the state as the loss takes it, compute.PolicyLen numbers.
func (a *Auto) Policy() []float32 {
	p, w := make([]float32, compute.PolicyLen), a.weights()
	for g := range Buckets {
		p[g], p[Buckets+g] = float32(math.Inf(1)), float32(w[g])
	}
	for i, e := range a.Edges {
		p[i] = float32(e)
	}
	return p
}

// weights are w_g / w_max in this window.
func (a *Auto) weights() (w [Buckets]float64) {
	for g := range w {
		w[g] = a.Lasting * a.Factors[g]
	}
	return w
}

// Buckets is how many there are.
func (a *Auto) Buckets() int { return len(a.Edges) + 1 }

// Bucket words which tokens are in bucket g, by their teacher's entropy in nats: "0.40 to 1.10".
func (a *Auto) Bucket(g int) string {
	switch last := len(a.Edges); {
	case last == 0:
		return "all tokens"
	case g == 0:
		return fmt.Sprintf("below %.2f", a.Edges[0])
	case g == last:
		return fmt.Sprintf("from %.2f", a.Edges[last-1])
	}
	return fmt.Sprintf("%.2f to %.2f", a.Edges[g-1], a.Edges[g])
}

// Stopped says that every bucket has ended: the teacher need not be asked any more.
func (a *Auto) Stopped() bool {
	for g := range a.Buckets() {
		if a.Stops[g].Step == 0 {
			return false
		}
	}
	return true
}

// LastStop is that of the bucket that ended last.
func (a *Auto) LastStop() (last Stop) {
	for _, s := range a.Stops {
		if s.Step > last.Step {
			last = s
		}
	}
	return last
}

// Step takes the sums of a step with a finite loss and gradient, after which so many steps are done. Where a window ends it decides,
// and gives what was seen in it, else nil. The first step only says where the buckets lie.
func (a *Auto) Step(done int64, s Sums, r Rule) *Window {
	switch {
	case s.Tokens == 0:
		return nil
	case a.Edges == nil:
		a.Edges = s.edges(r.Vocab)
		return nil
	}
	s.Entropies = nil
	a.Window.Add(s)
	if done%r.Window != 0 {
		return nil
	}
	w := a.Window.describe(r)
	for g := range a.Buckets() {
		e := &a.Since[g]
		e.Credibility.Add(a.Window.Credibility[g])
		e.Crossing.Add(a.Window.Crossing[g])
		a.Tokens[g] += a.Window.Crossing[g].D
		w.Buckets = append(w.Buckets, a.judge(g, done, r))
	}
	if !math.IsInf(w.LeadError, 1) {
		a.Race.observe(float64(done)-float64(r.Window)/2, w.Lead, w.LeadError)
	}
	w.Overtaken = a.Race.overtaken(r.Steps)
	a.Lasting = lasting(w.Overtaken)
	a.Window = Sums{}
	return w
}

// judge decides on a bucket at the end of a window and gives what it was judged by. Where that is too little it decides nothing, and
// the next window adds to it.
func (a *Auto) judge(g int, done int64, r Rule) BucketSeen {
	e := a.Since[g]
	seen := BucketSeen{W: r.Weight * a.Lasting * a.Factors[g], Tokens: a.Window.Crossing[g].D}
	seen.Tau, seen.TauError = e.Credibility.Estimate()
	seen.Lead, seen.LeadError = e.Crossing.Estimate()
	by, against := ByCredibility, seen.Tau+seen.TauError < 0.5
	switch {
	case r.Sparse || e.Credibility.D <= vanishing*e.Crossing.D:
		seen.TauError = math.Inf(1)
		if math.IsInf(seen.LeadError, 1) {
			return seen
		}
		by, against = ByCrossing, seen.Lead < -seen.LeadError
	case !settles(seen.Tau, seen.TauError):
		return seen
	case a.Stops[g].Step == 0:
		a.Factors[g] = factor(seen.Tau)
	}
	a.Since[g] = Evidence{}
	a.Below[g]++
	if !against {
		a.Below[g] = 0
	}
	if a.Below[g] == confirm && a.Stops[g].Step == 0 {
		a.Factors[g], a.Stops[g] = 0, Stop{done, by}
	}
	return seen
}

// factor is w_g / w_max of a tau.
func factor(tau float64) float64 {
	if tau > 1 {
		return 1 / (1 + 4*(tau-1)*(tau-1))
	}
	return max(0, 2*tau-1)
}

// settles says that tau is known well enough: itself, or what it makes of w.
func settles(tau, se float64) bool {
	if se <= maxTauError {
		return true
	}
	least, most := min(factor(tau-se), factor(tau+se)), max(factor(tau-se), factor(tau+se))
	if math.Abs(tau-1) < se {
		most = 1
	}
	return most-least <= maxFactorError
}

// Window is what was seen in the steps up to a decision. Errors are standard errors over sequences, +Inf where nothing is known.
type Window struct {
	Tau, TauError   float64 // of all buckets together
	Lead, LeadError float64 // how far the student's NLL is above the teacher's
	Overtaken       float64 // the forecast: after which part of the training, at most 1, the lead is used up; NaN where not known yet
	Weight          float64 // mean w of the tokens

	// V0 and Vw are the variances of the sequences' mean NLL and mean l_w: what a step's noise comes from, without and with the
	// teacher. Bias is CE(q, p) - NLL(y), how far what the teacher asks for is from what the data ask for.
	V0, Vw, Bias float64

	// The rest needs the whole of q and is NaN with soft labels. TV is the total variation of p and q, the sum of the two witness lines:
	// Student, the mean of p(S) - 1{y in S}, and Divergence, that of 1{y in S} - q(S). In expectation these are at most the total
	// variation of the data from the student and from the teacher. Their twins in L2: BrierStudent and BrierTeacher are mean Brier scores,
	// A = |p|^2 - p.q - p(y) + q(y), and Apart = |p-q|^2, so that BrierStudent - BrierTeacher = 2 A - Apart.
	TV, Student, Divergence, BrierStudent, BrierTeacher, A, Apart float64

	Buckets []BucketSeen
}

// BucketSeen is what was seen of a bucket since it was judged last, and its w up to now.
type BucketSeen struct{ Tau, TauError, Lead, LeadError, W, Tokens float64 }

// describe gives what the sums of a window say.
func (s Sums) describe(r Rule) *Window {
	n := s.Tokens
	w := &Window{Weight: s.Weight / n, V0: s.NLL.Variance(), Vw: s.Loss.Variance(), Bias: (s.CE - s.Data) / n}
	w.Tau, w.TauError = s.AllCredibility.Estimate()
	w.Lead, w.LeadError = s.AllCrossing.Estimate()
	if r.Sparse {
		nan := math.NaN()
		w.TauError, w.TV, w.Student, w.Divergence, w.BrierStudent, w.BrierTeacher, w.A, w.Apart = math.Inf(1), nan, nan, nan, nan, nan, nan, nan
		return w
	}
	w.TV, w.Student, w.Divergence = s.AllCredibility.D/n, s.AllCredibility.N/n, (s.AllCredibility.D-s.AllCredibility.N)/n
	w.BrierStudent, w.BrierTeacher = 1+(s.PP-2*s.PY)/n, 1+(s.QQ-2*s.QY)/n
	w.A, w.Apart = (s.PP-s.PQ-s.PY+s.QY)/n, (s.PP-2*s.PQ+s.QQ)/n
	return w
}

package jobs

import (
	"math"

	"saltern/compute"
	"saltern/distill"
	"saltern/jobs/metrics"
)

// adaptive is what a training with transition "auto" has beside its programs: what was decided, and the sums of the step under way.
// The sums are read back a microbatch late, while the next one is filled, and decide nothing before the step is done.
type adaptive struct {
	*distill.Adaptive
	rule    distill.Rule
	T       int           // tokens of a sequence
	auto    *distill.Auto // the loop's, which goes through its checkpoints
	sums    distill.Sums
	round   distill.Sums // of ranks that train apart, before the step under way
	pending bool         // a microbatch has run and is not in the sums
}

// begin takes what was decided up to now.
func (a *adaptive) begin(b compute.Backend, s *progressState) error {
	if a == nil {
		return nil
	}
	if s.Auto == nil {
		s.Auto = distill.NewAuto(a.rule)
	}
	a.auto = s.Auto
	return a.SetPolicy(b, a.auto)
}

// ended says that the teacher need not be asked any more.
func (a *adaptive) ended() bool { return a != nil && a.auto.Stopped() }

// expect says that a microbatch is about to run.
func (a *adaptive) expect() {
	if a != nil {
		a.pending = true
	}
}

// collect reads what the loss said of the microbatch that ran last, where that is not done yet.
func (a *adaptive) collect(b compute.Backend) error {
	if a == nil || !a.pending {
		return nil
	}
	a.pending = false
	return a.Collect(b, a.T, a.auto, a.rule, &a.sums)
}

// decide ends a step, after which so many are done, and gives the mean w of its tokens. Where a window ended with it, what was seen
// there is among the values of the step's record. Of a step that was skipped nothing is kept.
func (a *adaptive) decide(l *loop, skipped bool, values map[string]float64) (w float64, err error) {
	w = a.sums.Weight / a.sums.Tokens
	if l.rounds != nil {
		if !a.hold(skipped, l.rounds.ended) {
			return w, nil
		}
		skipped = false
	}
	if err := a.sums.Across(l.s.ranks.sum); err != nil {
		return 0, err
	}
	if a.sums.Tokens > 0 {
		w = a.sums.Weight / a.sums.Tokens
	}
	if skipped {
		a.sums = distill.Sums{}
		return w, nil
	}
	before := a.auto.Stops
	seen, err := a.end(l.tracer, l.step)
	if seen != nil {
		windowValues(seen, values)
	}
	for g, stop := range a.auto.Stops {
		if stop != before[g] && a.auto.Buckets() > 1 {
			l.s.say("%s: step %d: no more help with tokens of teacher's entropy %s: %s", l.label, l.step, a.auto.Bucket(g), reason(stop.By))
		}
	}
	if a.ended() { // and is not asked again, so this is said once
		l.s.say("%s: step %d: the teacher leaves: %s", l.label, l.step, reason(a.auto.LastStop().By))
	}
	return w, err
}

// hold keeps the sums of a rank's own step for the end of the round, if it was not skipped, and says whether to decide now: at the end,
// by those of the whole round. Where the buckets lie is not known before it is decided for the first time, and that does not wait.
func (a *adaptive) hold(skipped, ended bool) bool {
	if skipped {
		_ = a.sums.Across(func(x []float64) error { clear(x); return nil })
	}
	if a.auto.Edges == nil {
		return true
	}
	a.round.Add(a.sums)
	a.sums = distill.Sums{}
	if ended {
		a.sums, a.round = a.round, distill.Sums{}
	}
	return ended
}

// end decides by the step under way, after which so many are done, and hands what follows from it to the backend. It gives what was
// seen in the window that ended with the step, if one did.
func (a *adaptive) end(b compute.Backend, done int64) (*distill.Window, error) {
	seen := a.auto.Step(done, a.sums, a.rule)
	a.sums = distill.Sums{}
	return seen, a.SetPolicy(b, a.auto)
}

// reason words why a bucket ended.
func reason(by string) string {
	if by == distill.ByCrossing {
		return "the student's loss is below the teacher's"
	}
	return "the text sides with the student"
}

// windowValues adds what a window says to a record; what is not known is left out.
func windowValues(w *distill.Window, values map[string]float64) {
	add := func(key string, value float64) {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			values[key] = value
		}
	}
	estimate := func(key, errorKey string, value, se float64) {
		if !math.IsInf(se, 0) {
			add(key, value)
			add(errorKey, se)
		}
	}
	estimate(metrics.Tau, metrics.TauError, w.Tau, w.TauError)
	estimate(metrics.Lead, metrics.LeadError, w.Lead, w.LeadError)
	for key, value := range map[string]float64{
		metrics.Overtaken: w.Overtaken, metrics.VarianceNLL: w.V0, metrics.VarianceLoss: w.Vw, metrics.Bias: w.Bias, metrics.TotalVariation: w.TV, metrics.StudentWitness: w.Student,
		metrics.Divergence: w.Divergence, metrics.BrierStudent: w.BrierStudent, metrics.BrierTeacher: w.BrierTeacher, metrics.Twin: w.A, metrics.Apart: w.Apart,
	} {
		add(key, value)
	}
	tokens := 0.0
	for _, b := range w.Buckets {
		tokens += b.Tokens
	}
	for g, b := range w.Buckets {
		estimate(metrics.InBucket(metrics.Tau, g), metrics.InBucket(metrics.TauError, g), b.Tau, b.TauError)
		estimate(metrics.InBucket(metrics.Lead, g), metrics.InBucket(metrics.LeadError, g), b.Lead, b.LeadError)
		add(metrics.InBucket(metrics.BucketWeight, g), b.W)
		add(metrics.InBucket(metrics.BucketShare, g), b.Tokens/tokens)
	}
}

// bucketOutcome is what became of a class of tokens, for result.json.
type bucketOutcome struct {
	Entropy string  `json:"entropy"` // of the teacher, in nats: "0.40 to 1.10"
	Share   float64 `json:"share"`   // of the tokens that were seen
	Stopped int64   `json:"stopped"` // after so many steps; 0: it did not
	By      string  `json:"by,omitempty"`
}

// bucketOutcomes lists them; none without "auto".
func bucketOutcomes(a *distill.Auto) (list []bucketOutcome) {
	if a == nil {
		return nil
	}
	total := 0.0
	for _, n := range a.Tokens {
		total += n
	}
	for g := range a.Buckets() {
		list = append(list, bucketOutcome{a.Bucket(g), a.Tokens[g] / max(1, total), a.Stops[g].Step, a.Stops[g].By})
	}
	return list
}

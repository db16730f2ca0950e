package compare

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// costRule is what a run of an arm should cost beside BASELINE's, in FLOPs of large matrix products: f + min(f, n_KD/n) 2 N_t / (6 N_s),
// with f the part of BASELINE's n steps that it runs and N the parameters of teacher and student: two operations a parameter
// and token for the teacher's forward pass, six for the student's training. NaN where a number of it is not known.
func (p page) costRule(i int) float64 {
	a, base := p.Arms[i], p.baseline()
	if p.Teacher == nil || len(p.Teacher.Runs) == 0 || len(a.Runs) == 0 || len(base.Runs) == 0 {
		return math.NaN()
	}
	n, teacher, student := float64(base.Runs[0].Steps), float64(p.Teacher.Runs[0].Params), float64(a.Runs[0].Params)
	if n == 0 || teacher == 0 || student == 0 {
		return math.NaN()
	}
	switch p.value(a, "distill.teacher") {
	case "", "slm":
	case "self":
		teacher = student
	default:
		return math.NaN()
	}
	f := float64(a.Runs[0].Steps) / n
	helped := 0.0
	switch p.method(a) {
	case "baseline":
	case "rkd":
		helped = f
	case "salt", "salt-ds":
		helped = min(f, p.kdSteps(a)/n) // NaN where n_KD is not known
	default:
		return math.NaN()
	}
	if w, err := strconv.ParseFloat(p.value(a, "distill.weight"), 64); err == nil && w == 0 {
		helped = 0 // nobody asks the teacher
	}
	return f + helped*2*teacher/(6*student)
}

// trainingFLOPs is what the training of an arm's teacher took, which the arm's own FLOPs do not hold: 0 for an arm without one,
// NaN where it is not known.
func (p page) trainingFLOPs(a Arm, seed int64) float64 {
	if p.method(a) == "baseline" {
		return 0
	}
	if slices.ContainsFunc(a.Settings, func(s Setting) bool { return strings.HasPrefix(s.Key, "slm.") }) {
		return math.NaN() // another SLM than the study's
	}
	slm, sum := p.method(a) == "salt-ds", 0.0 // which has text selected by the SLM
	switch p.value(a, "distill.teacher") {
	case "uniform":
	case "self":
		if slices.ContainsFunc(a.Settings, func(s Setting) bool { return strings.HasPrefix(s.Key, "llm.") }) {
			return math.NaN() // another BASELINE than the study's
		}
		sum = p.baseline().flops(seed)
	case "", "slm", "equal-entropy":
		slm = true
	default: // another run's
		return math.NaN()
	}
	if !slm {
		return sum
	}
	if p.Teacher == nil {
		return math.NaN()
	}
	return sum + p.Teacher.flops(seed)
}

// flops are those of the run with a seed; of an arm with one run for all seeds, of that.
func (a Arm) flops(seed int64) float64 {
	if len(a.Runs) == 0 {
		return math.NaN()
	}
	i := slices.IndexFunc(a.Runs, func(r Run) bool { return r.Seed == seed })
	return known(a.Runs[max(i, 0)].FLOPs)
}

// reachInAll is Reach in FLOPs with the training of the teacher counted in full, as if it served this one run alone.
func (p page) reachInAll(i int) Interval {
	s := p.summaries[i]
	if s.Reach[1].Reached < s.Paired {
		return overShares(nil)
	}
	var shares []float64
	for k, pair := range pairs(p.baseline(), s.Arm) {
		share := s.Reach[1].Each[k] + p.trainingFLOPs(s.Arm, pair.base.Seed)/pair.base.end().FLOPs
		if !finite(share) {
			return overShares(nil)
		}
		shares = append(shares, share)
	}
	return overShares(shares)
}

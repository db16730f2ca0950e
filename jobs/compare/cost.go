package compare

import (
	"math"
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
	return f + helped*2*teacher/(6*student)
}

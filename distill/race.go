package distill

import "math"

// Thresholds of what a Race says.
const (
	tooSoon    = 0.25 // of the run's steps: a teacher that is overtaken by then is not followed,
	lateEnough = 0.5  // and one that is ahead until then is followed wholly
)

// Race forecasts when the student will have overtaken its teacher. A learning curve is a power law of a small exponent (Hestness et al.
// 2017, arXiv 1712.00409), so over a few doublings it is about straight against the logarithm of the steps, and the teacher's own loss
// stays where it is. So the lead is a line there, and 0 where the student overtakes. As two noisy windows make any line, what counts
// is where the line less its standard error is 0.
//
// What is kept is the sums of that line's weighted least squares. At any time a window's weight is in proportion to the step at which it
// was, so that the line follows a curve that bends.
type Race struct {
	Windows         int
	Step            float64 // the middle of the latest window
	W, X, Y, XX, XY float64 // sums of the weights, and of x = ln step and y = lead by these
	V, VX, VXX      float64 // of their squares times the variance of y, and of 1, x and x squared by these
}

// observe takes the lead of a window whose middle is a step after that of the last one, and its standard error.
func (r *Race) observe(step, lead, se float64) {
	old, x, v := r.Step/step, math.Log(step), se*se
	r.Windows, r.Step = r.Windows+1, step
	r.W, r.X, r.Y = old*r.W+1, old*r.X+x, old*r.Y+lead
	r.XX, r.XY = old*r.XX+x*x, old*r.XY+x*lead
	r.V, r.VX, r.VXX = old*old*r.V+v, old*old*r.VX+v*x, old*old*r.VXX+v*x*x
}

// overtaken is the forecast: after which part of so many steps, at most 1, the lead is used up. NaN where too little is known.
func (r *Race) overtaken(steps int64) float64 {
	if r.Windows < 2 {
		return math.NaN()
	}
	from, to := math.Log(r.Step), math.Log(float64(steps))
	switch lead, _, slope := r.line(from); {
	case lead <= 0 && slope >= 0: // the student was ahead from the first
		return 0
	case lead <= 0: // it has overtaken
		return math.Exp(from-lead/slope) / float64(steps)
	}
	ahead := func(x float64) bool {
		lead, se, _ := r.line(x)
		return lead > se
	}
	if ahead(to) {
		return 1
	}
	for range 50 { // the line less its error is concave, so from here on it is 0 once
		if middle := (from + to) / 2; ahead(middle) {
			from = middle
		} else {
			to = middle
		}
	}
	return math.Exp(to) / float64(steps)
}

// line is the lead at x by the line, its standard error, and the slope. The lead is the sum of c_i y_i with c_i = w_i (1/W + (x_i - X/W) far).
func (r *Race) line(x float64) (lead, se, slope float64) {
	mean := r.X / r.W
	spread := r.XX - r.X*mean
	slope = (r.XY - mean*r.Y) / spread
	far := (x - mean) / spread
	one := 1/r.W - mean*far // c_i = w_i (one + x_i far)
	return r.Y/r.W + slope*(x-mean), math.Sqrt(max(0, one*one*r.V+2*one*far*r.VX+far*far*r.VXX)), slope
}

// lasting is the part of w that such a forecast leaves.
func lasting(overtaken float64) float64 {
	if math.IsNaN(overtaken) {
		return 0
	}
	return min(1, max(0, (overtaken-tooSoon)/(lateEnough-tooSoon)))
}

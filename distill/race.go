package distill

import "math"

// Thresholds of what a Race says.
const (
	raceWindows = 4    // before which it says nothing
	tooSoon     = 0.25 // of the run's steps: a teacher that is overtaken by then is not followed,
	lateEnough  = 0.5  // and one that is ahead until here is followed wholly
)

// Race forecasts when the student will have overtaken its teacher. A learning curve is a power law of a small exponent (Hestness et al.
// 2017, arXiv 1712.00409), so over a few doublings it is about straight against the logarithm of the steps, and the teacher's own loss
// stays where it is. So the lead is a line there, and 0 where the student overtakes.
//
// What is kept is the sums of that line's weighted least squares. At any time a window's weight is in proportion to the step at which it
// was, so that the line follows a curve that bends.
type Race struct {
	Windows         int
	Step            float64 // the middle of the latest window
	W, X, Y, XX, XY float64 // sums of the weights, and of x = ln step and y = lead by these
}

// observe takes the lead of a window whose middle is a step after that of the last one.
func (r *Race) observe(step, lead float64) {
	old, x := r.Step/step, math.Log(step)
	r.Windows, r.Step = r.Windows+1, step
	r.W, r.X, r.Y = old*r.W+1, old*r.X+x, old*r.Y+lead
	r.XX, r.XY = old*r.XX+x*x, old*r.XY+x*lead
}

// overtaken is the forecast: after which part of so many steps, at most 1, the lead is used up. NaN where too little is known.
func (r *Race) overtaken(steps int64) float64 {
	if r.Windows < raceWindows {
		return math.NaN()
	}
	slope := (r.W*r.XY - r.X*r.Y) / (r.W*r.XX - r.X*r.X)
	lead := (r.Y - slope*r.X) / r.W // at x = 0
	switch ahead := lead+slope*math.Log(r.Step) > 0; {
	case slope < 0:
		return min(1, math.Exp(-lead/slope)/float64(steps))
	case ahead:
		return 1
	}
	return 0
}

// lasting is the part of w that such a forecast leaves.
func lasting(overtaken float64) float64 {
	if math.IsNaN(overtaken) {
		return 0
	}
	return min(1, max(0, (overtaken-tooSoon)/(lateEnough-tooSoon)))
}

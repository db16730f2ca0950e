package compare

import (
	"cmp"
	"math"
	"slices"

	"saltern/jobs/report"
)

// FirstBelow is where a falling curve first passes under the level, interpolated between its points. Points that are not
// finite are passed over.
func FirstBelow(curve []report.Point, level float64) (float64, bool) {
	if !finite(level) {
		return math.NaN(), false
	}
	var before *report.Point
	for i := range curve {
		p := &curve[i]
		switch {
		case !finite(p.X) || !finite(p.Y):
			continue
		case p.Y > level:
			before = p
			continue
		case before == nil:
			return p.X, true
		}
		return before.X + (before.Y-level)/(before.Y-p.Y)*(p.X-before.X), true
	}
	return math.NaN(), false
}

// quantity is a number of an evaluation: its loss, or what the run had spent by then.
type quantity func(Point) float64

func loss(p Point) float64    { return p.Loss }
func steps(p Point) float64   { return float64(p.Step) }
func flops(p Point) float64   { return p.FLOPs }
func seconds(p Point) float64 { return p.Seconds }

// spent are the three ways to count what a run costs, in the order of everything that is by way.
var spent = [3]quantity{steps, flops, seconds}

// against is a run's loss against what it spent.
func (r Run) against(x quantity) []report.Point {
	list := make([]report.Point, len(r.Points))
	for i, p := range r.Points {
		list[i] = report.Point{X: x(p), Y: p.Loss}
	}
	return list
}

// end is the last evaluation; nothing of it is known where there is none.
func (r Run) end() Point {
	if len(r.Points) == 0 {
		return Point{FLOPs: math.NaN(), Seconds: math.NaN(), Loss: math.NaN()}
	}
	return r.Points[len(r.Points)-1]
}

// at is a quantity when a run had done that many steps, interpolated between evaluations; NaN before the first of them and
// after the last.
func (r Run) at(step float64, y quantity) float64 {
	for i, p := range r.Points {
		x := float64(p.Step)
		switch {
		case x < step:
			continue
		case x == step:
			return y(p)
		case i == 0:
			return math.NaN()
		}
		q := r.Points[i-1]
		return y(q) + (step-float64(q.Step))/(x-float64(q.Step))*(y(p)-y(q))
	}
	return math.NaN()
}

// evaluation is what each of some runs found at one step.
type evaluation struct {
	step   int64
	points []Point // by run
}

// together are the steps at which all runs were evaluated, so that no mean jumps because it is over other seeds.
func together(runs []Run) []evaluation {
	byStep := map[int64][]Point{}
	for i, r := range runs {
		for _, p := range r.Points {
			if len(byStep[p.Step]) == i { // the runs before have it, and this one has it once
				byStep[p.Step] = append(byStep[p.Step], p)
			}
		}
	}
	var list []evaluation
	for step, points := range byStep {
		if len(points) == len(runs) {
			list = append(list, evaluation{step, points})
		}
	}
	slices.SortFunc(list, func(a, b evaluation) int { return cmp.Compare(a.step, b.step) })
	return list
}

// values is a quantity's values by run, none where a run has none: a gap, as a mean over the others would be of another kind.
func (e evaluation) values(y quantity) []float64 {
	var list []float64
	for _, p := range e.points {
		v := y(p)
		if !finite(v) {
			return nil
		}
		list = append(list, v)
	}
	return list
}

// curve is an arm's mean loss with its band, against the mean of what its runs had spent.
func (a Arm) curve(x quantity) report.Series {
	s := report.Series{Name: a.Label}
	for _, e := range together(a.Runs) {
		add(&s, over(e.values(x)).Mean, over(e.values(loss)))
	}
	return s
}

// gainCurve is by how much an arm's loss lies below BASELINE's at the same step, paired by seed, against steps.
func gainCurve(base, a Arm) report.Series {
	s := report.Series{Name: a.Label}
	var runs []Run // BASELINE's and the arm's in turn
	for _, p := range pairs(base, a) {
		runs = append(runs, p.base, p.arm)
	}
	for _, e := range together(runs) {
		var gains []float64
		losses := e.values(loss)
		for i := 0; i+1 < len(losses); i += 2 {
			gains = append(gains, losses[i]-losses[i+1])
		}
		add(&s, float64(e.step), over(gains))
	}
	return s
}

func add(s *report.Series, x float64, y Interval) {
	s.Points = append(s.Points, report.Point{X: x, Y: y.Mean})
	s.Band = append(s.Band, report.Band{X: x, Low: y.Low, High: y.High})
}

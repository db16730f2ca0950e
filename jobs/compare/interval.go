package compare

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Interval is a mean over seeds with its two-sided t-interval, mean ± t(n-1) s/√n. NaN: not known.
type Interval struct {
	Mean, Low, High float64
	N               int // seeds
}

const confidence = 0.95

// over is the 95% interval of the mean of values, which is right for values that scatter normally. Those that are not finite
// are left out; a single one has no interval.
func over(values []float64) Interval { return overAt(values, confidence) }

func overAt(values []float64, confidence float64) Interval {
	var sum float64
	var kept []float64
	for _, v := range values {
		if finite(v) {
			kept = append(kept, v)
			sum += v
		}
	}
	n := len(kept)
	i := Interval{math.NaN(), math.NaN(), math.NaN(), n}
	if n == 0 {
		return i
	}
	i.Mean = sum / float64(n)
	if n == 1 {
		return i
	}
	var squares float64
	for _, v := range kept {
		squares += (v - i.Mean) * (v - i.Mean)
	}
	half := tQuantile(float64(n-1), confidence) * math.Sqrt(squares/float64(n-1)/float64(n))
	i.Low, i.High = i.Mean-half, i.Mean+half
	return i
}

// overShares is over for what cannot be below 0, and so not its interval either.
func overShares(values []float64) Interval {
	i := over(values)
	if i.Low < 0 {
		i.Low = 0
	}
	return i
}

// tQuantile is the number that a t distribution with that many degrees of freedom stays within, on both sides, with that
// probability: P(|T| > t) = I_x(freedom/2, 1/2) at x = freedom / (freedom + t²), solved for t.
func tQuantile(freedom, probability float64) float64 {
	x := mathext.InvRegIncBeta(freedom/2, 0.5, 1-probability)
	return math.Sqrt(freedom * (1 - x) / x)
}

// Known says that there is an interval, not a mean alone.
func (i Interval) Known() bool { return finite(i.Low) && finite(i.High) }

// Half is half the interval's width, NaN where there is none.
func (i Interval) Half() float64 { return (i.High - i.Low) / 2 }

// sign is the side of zero on which the whole interval lies, 0 where it holds zero or is not known.
func (i Interval) sign() int {
	switch {
	case i.Low > 0:
		return 1
	case i.High < 0:
		return -1
	}
	return 0
}

// Verdict says in words what the interval of a gain, of which more is better, shows.
func (i Interval) Verdict() string {
	switch {
	case i.N == 0:
		return "not measured"
	case !i.Known():
		return "one seed, no verdict"
	case i.sign() > 0:
		return "better"
	case i.sign() < 0:
		return "worse"
	}
	return fmt.Sprintf("no difference shown at %d seeds", i.N)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

package ref

import "math"

// RopeScaling says how the frequencies of a rotary embedding are changed for a longer context: divided by Factor, those that
// turn less than Low times within Original positions; those that turn more than High times stay, and between it is a straight
// line. Without Original all are divided; without a Factor none is.
type RopeScaling struct {
	Factor, Low, High float64
	Original          int
}

// Of is what becomes of a frequency, in radians per position.
func (s RopeScaling) Of(f float64) float64 {
	if s.Factor == 0 {
		return f
	}
	stays := 0.0
	if s.Original > 0 {
		stays = (float64(s.Original)*f/(2*math.Pi) - s.Low) / (s.High - s.Low)
		stays = math.Max(0, math.Min(1, stays))
	}
	return f * (stays + (1-stays)/s.Factor)
}

// Rope rotates the first heads heads of each row of x, in place: the pair (x[i], x[i+dh/2]) by the angle
// position * theta^(-2i/dh), its frequency scaled, the position of row n being start + n % t; backwards if inverse.
func Rope(x []float64, width, heads, dh, t, start int, theta float64, s RopeScaling, inverse bool) {
	for n := range len(x) / width {
		for h := range heads {
			for i := range dh / 2 {
				a := float64(start+n%t) * s.Of(math.Pow(theta, -2*float64(i)/float64(dh)))
				if inverse {
					a = -a
				}
				lo, hi := n*width+h*dh+i, n*width+h*dh+i+dh/2
				x[lo], x[hi] = x[lo]*math.Cos(a)-x[hi]*math.Sin(a), x[hi]*math.Cos(a)+x[lo]*math.Sin(a)
			}
		}
	}
}

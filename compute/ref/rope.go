package ref

import "math"

// Rope rotates the first heads heads of each row of x, in place: the pair (x[i], x[i+dh/2]) by the angle
// position * theta^(-2i/dh), the position of row n being start + n % t; backwards if inverse.
func Rope(x []float64, width, heads, dh, t, start int, theta float64, inverse bool) {
	for n := range len(x) / width {
		for h := range heads {
			for i := range dh / 2 {
				a := float64(start+n%t) * math.Pow(theta, -2*float64(i)/float64(dh))
				if inverse {
					a = -a
				}
				lo, hi := n*width+h*dh+i, n*width+h*dh+i+dh/2
				x[lo], x[hi] = x[lo]*math.Cos(a)-x[hi]*math.Sin(a), x[hi]*math.Cos(a)+x[lo]*math.Sin(a)
			}
		}
	}
}

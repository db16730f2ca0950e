package ref

import "math"

// RMSNorm is y[n,d] = x[n,d] g[d] r[n] with r[n] = 1 / sqrt(mean_d x[n,d]^2 + eps).
func RMSNorm(x, g, y, r []float64, eps float64) {
	d := len(g)
	for n := range r {
		var s float64
		for i := range d {
			s += x[n*d+i] * x[n*d+i]
		}
		r[n] = 1 / math.Sqrt(s/float64(d)+eps)
		for i := range d {
			y[n*d+i] = x[n*d+i] * g[i] * r[n]
		}
	}
}

// RMSNormGrad, with xhat = x r and c[n] = mean_d g dy xhat, is dx = r (g dy - xhat c); and part[b,d], the sum of dy xhat over
// the given number of rows that make block b, whose sum over b is the gain's gradient.
func RMSNormGrad(x, g, r, dy, dx, part []float64, rows int) {
	d := len(g)
	for i := range part {
		part[i] = 0
	}
	for n := range r {
		var c float64
		for i := range d {
			xhat := x[n*d+i] * r[n]
			c += g[i] * dy[n*d+i] * xhat / float64(d)
			part[n/rows*d+i] += dy[n*d+i] * xhat
		}
		for i := range d {
			dx[n*d+i] = r[n] * (g[i]*dy[n*d+i] - x[n*d+i]*r[n]*c)
		}
	}
}

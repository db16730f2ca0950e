package ref

import "math"

// LayerNorm is y[n,d] = (x[n,d] - m[n]) r[n] g[d] + b[d] with m[n] = mean_d x[n,d] and r[n] = 1 / sqrt(mean_d (x[n,d] - m[n])^2 + eps).
func LayerNorm(x, g, b, y, m, r []float64, eps float64) {
	d := len(g)
	for n := range r {
		row := x[n*d : (n+1)*d]
		m[n] = 0
		for _, v := range row {
			m[n] += v / float64(d)
		}
		s := 0.0
		for _, v := range row {
			s += (v - m[n]) * (v - m[n])
		}
		r[n] = 1 / math.Sqrt(s/float64(d)+eps)
		for i, v := range row {
			y[n*d+i] = (v-m[n])*r[n]*g[i] + b[i]
		}
	}
}

// LayerNormGrad, with xhat = (x - m) r, a[n] = mean_d g dy and c[n] = mean_d g dy xhat, is dx = r (g dy - a - xhat c); and part[b,d],
// the sum of dy xhat over the given number of rows that make block b, whose sum over b is the gain's gradient.
func LayerNormGrad(x, g, m, r, dy, dx, part []float64, rows int) {
	d := len(g)
	for i := range part {
		part[i] = 0
	}
	for n := range r {
		var a, c float64
		for i := range d {
			xhat := (x[n*d+i] - m[n]) * r[n]
			a += g[i] * dy[n*d+i] / float64(d)
			c += g[i] * dy[n*d+i] * xhat / float64(d)
			part[n/rows*d+i] += dy[n*d+i] * xhat
		}
		for i := range d {
			dx[n*d+i] = r[n] * (g[i]*dy[n*d+i] - a - (x[n*d+i]-m[n])*r[n]*c)
		}
	}
}

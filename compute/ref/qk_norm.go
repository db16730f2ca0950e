package ref

import "math"

// QKNorm norms each head of dh elements of x, rows of the given width: the first h heads of a row by the gain gq, the next kv by gk,
// y = x g / sqrt(mean x^2 + eps). The rest of a row stays.
func QKNorm(x, gq, gk, y []float64, width, h, kv int, eps float64) {
	dh := len(gq)
	copy(y, x)
	for n := range len(x) / width {
		for j := range h + kv {
			g, head := gq, y[n*width+j*dh:n*width+(j+1)*dh]
			if j >= h {
				g = gk
			}
			r := inverseRMS(head, eps)
			for i := range head {
				head[i] *= g[i] * r
			}
		}
	}
}

// QKNormGrad is, with xhat = x / sqrt(mean x^2 + eps) = x r of a head and c = mean g dy xhat, dx = r (g dy - xhat c); and pq and pk,
// dy xhat of each head of queries and of keys, which the gains' gradients are sums of. The rest of a row of dx is dy's.
func QKNormGrad(x, gq, gk, dy, dx, pq, pk []float64, width, h, kv int, eps float64) {
	dh := len(gq)
	copy(dx, dy)
	for n := range len(x) / width {
		for j := range h + kv {
			at := n*width + j*dh
			var g, part []float64
			if j < h {
				g, part = gq, pq[(n*h+j)*dh:]
			} else {
				g, part = gk, pk[(n*kv+j-h)*dh:]
			}
			r := inverseRMS(x[at:at+dh], eps)
			c := 0.0
			for i := range dh {
				part[i] = dy[at+i] * x[at+i] * r
				c += g[i] * part[i] / float64(dh)
			}
			for i := range dh {
				dx[at+i] = r * (g[i]*dy[at+i] - x[at+i]*r*c)
			}
		}
	}
}

func inverseRMS(x []float64, eps float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return 1 / math.Sqrt(s/float64(len(x))+eps)
}

package ref

import "math"

// SwiGLU is y[n,i] = silu(gu[n,i]) gu[n,f+i], where silu(a) = a / (1 + exp(-a)).
func SwiGLU(gu, y []float64, f int) {
	for j := range y {
		n, i := j/f, j%f
		gate, up := gu[2*n*f+i], gu[2*n*f+f+i]
		y[j] = gate / (1 + math.Exp(-gate)) * up
	}
}

// SwiGLUGrad is the gradient of SwiGLU: with s = 1 / (1 + exp(-gate)), silu' = s (1 + gate (1 - s)).
func SwiGLUGrad(gu, dy, dgu []float64, f int) {
	for j, d := range dy {
		n, i := j/f, j%f
		gate, up := gu[2*n*f+i], gu[2*n*f+f+i]
		s := 1 / (1 + math.Exp(-gate))
		dgu[2*n*f+i] = d * up * s * (1 + gate*(1-s))
		dgu[2*n*f+f+i] = d * gate * s
	}
}

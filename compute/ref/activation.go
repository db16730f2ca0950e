package ref

import "math"

// SiLU is x / (1 + exp(-x)), in place.
func SiLU(x []float64) {
	for i, v := range x {
		x[i] = v / (1 + math.Exp(-v))
	}
}

// SiLUGrad is dx = dy silu'(x), with s = 1 / (1 + exp(-x)), silu' = s (1 + x (1 - s)).
func SiLUGrad(x, dy, dx []float64) {
	for i, v := range x {
		s := 1 / (1 + math.Exp(-v))
		dx[i] = dy[i] * s * (1 + v*(1-s))
	}
}

// GELU is 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's form of it, in place.
func GELU(x []float64) {
	for i, v := range x {
		x[i] = 0.5 * v * (1 + math.Tanh(geluInner(v)))
	}
}

// GELUGrad is dx = dy gelu'(x), with t = tanh(u), gelu' = 0.5 (1 + t) + 0.5 x (1 - t^2) u'.
func GELUGrad(x, dy, dx []float64) {
	for i, v := range x {
		t := math.Tanh(geluInner(v))
		dx[i] = dy[i] * (0.5*(1+t) + 0.5*v*(1-t*t)*math.Sqrt(2/math.Pi)*(1+3*0.044715*v*v))
	}
}

func geluInner(v float64) float64 { return math.Sqrt(2/math.Pi) * (v + 0.044715*v*v*v) }

package ref

import (
	"math"
	"testing"
)

// TestWitnessLoss holds tokens against numbers worked out by hand: p = (1, 2, 5)/8, q = (16, 4, 16)/36 as logits, whose entropy is
// about 0.965, or as soft labels.
func TestWitnessLoss(t *testing.T) {
	l, inf := math.Log, math.Inf(1)
	z, zt := []float64{l(1), l(2), l(5)}, []float64{l(4), l(2), l(4)}
	p, q := []float64{1. / 8, 2. / 8, 5. / 8}, []float64{4. / 9, 1. / 9, 4. / 9}
	policy := func(edges ...float64) []float64 {
		x := []float64{inf, inf, inf, inf, inf, inf, inf, inf, 0.5, 0.25, 1, 1, 1, 1, 1, 0}
		copy(x, edges)
		return x
	}
	for _, c := range []struct {
		why  string
		t    LossTeacher
		e    []float64
		g, w float64
		q    []float64
	}{
		{"no edge: the first bucket", LossTeacher{Logits: zt}, nil, 0, 0.3, q},
		{"an edge below", LossTeacher{Logits: zt}, []float64{0.9}, 1, 0.15, q},
		{"an edge above", LossTeacher{Logits: zt}, []float64{0.97}, 0, 0.3, q},
		{"seven edges below: the last bucket", LossTeacher{Logits: zt}, []float64{0, 0, 0, 0, 0, 0, 0, 0}, 7, 0, q},
		{"soft labels bring their entropy", LossTeacher{IDs: []float64{0, 2, 9}, Q: []float64{0.5, 0.5, 0}, Stats: []float64{3, 1.5}, K: 3}, []float64{1.4}, 1, 0.15, []float64{0.5, 0, 0.5}},
		{"at the edge is in the next", LossTeacher{IDs: []float64{0, 2, 9}, Q: []float64{0.5, 0.5, 0}, Stats: []float64{3, 1.5}, K: 3}, []float64{1.5}, 1, 0.15, []float64{0.5, 0, 0.5}},
		{"a ghost's mass is shared as p is", LossTeacher{IDs: []float64{0}, Q: []float64{0.3}, Stats: []float64{3, 1.5}, K: 1, Ghost: true}, nil, 0, 0.3, []float64{0.3, 0.2, 0.5}},
	} {
		dz, stats, witness := make([]float64, 3), make([]float64, 8), make([]float64, 4)
		WitnessLoss(z, []float64{1}, []float64{2, 0.6, 2, 0}, policy(c.e...), c.t, dz, stats, witness, 3)
		var pp, pq, qq float64
		for j := range p {
			target := c.w * c.q[j]
			if j == 1 {
				target += 1 - c.w
			}
			near(t, c.why+": dz", dz[j], 2*(p[j]-target))
			pp, pq, qq = pp+p[j]*p[j], pq+p[j]*c.q[j], qq+c.q[j]*c.q[j]
		}
		for j, want := range []float64{pp, pq, qq, c.g} {
			near(t, c.why+": witness", witness[j], want)
		}
	}
	stats, witness := make([]float64, 8), []float64{1, 2, 3, 4}
	WitnessLoss(z, []float64{0xffffffff}, []float64{2, 0.6, 2, 0}, policy(), LossTeacher{Logits: zt}, nil, stats, witness, 3)
	for _, x := range append(stats, witness...) {
		near(t, "masked", x, 0)
	}
}

package ref

import (
	"math"
	"testing"
)

func TestQKNorm(t *testing.T) {
	// Two heads of queries, one of keys, one of values, of two elements; root mean squares 5, 1 and 2.
	x := []float64{1, 7, 1, -1, 2, 2, 8, 9}
	y := make([]float64, 8)
	QKNorm(x, []float64{10, 100}, []float64{3, 5}, y, 8, 2, 1, 0)
	same(t, "y", y, 2, 140, 10, -100, 3, 5, 8, 9)
	dx, pq, pk := make([]float64, 8), make([]float64, 4), make([]float64, 2)
	QKNormGrad(x, []float64{10, 100}, []float64{3, 5}, []float64{0, 0, 1, 0, 2, 4, 6, 7}, dx, pq, pk, 8, 2, 1, 0)
	same(t, "pq", pq, 0, 0, 1, 0)
	same(t, "pk", pk, 2, 4)
	same(t, "dx", dx, 0, 0, 5, 5, 0.5*(6-13), 0.5*(20-13), 6, 7) // c is 5 of the second head, 13 of the keys
}

func TestLayerNorm(t *testing.T) {
	y, m, r := make([]float64, 2), make([]float64, 1), make([]float64, 1)
	LayerNorm([]float64{1, 5}, []float64{10, 100}, []float64{3, 4}, y, m, r, 12) // variance 4
	same(t, "y", y, 3-5, 4+50)
	same(t, "m", m, 3)
	same(t, "r", r, 0.25)
	dx, part := make([]float64, 2), make([]float64, 2)
	LayerNormGrad([]float64{1, 5}, []float64{2, 4}, m, r, []float64{1, 2}, dx, part, 8)
	same(t, "part", part, -0.5, 1)
	// g dy = (2, 8), a = 5, c = mean(-1, 4) = 1.5
	same(t, "dx", dx, 0.25*(2-5+0.75), 0.25*(8-5-0.75))
}

// TestRopeScaling: frequencies of a longer context, those of Llama 3.1's configuration; the values are of the paper's rule by hand.
func TestRopeScaling(t *testing.T) {
	s := RopeScaling{Factor: 8, Low: 1, High: 4, Original: 8192}
	for _, c := range []struct{ f, want float64 }{
		{1, 1}, // a fast pair stays
		{2 * math.Pi / 8193, 2 * math.Pi / 8193 / 8},               // a turn in more than the context is slowed down
		{2 * math.Pi / 4096, 2 * math.Pi / 4096 * (1./3 + 2./3/8)}, // two turns: a third of the way from 1 to 4
	} {
		if got := s.Of(c.f); math.Abs(got-c.want) > 1e-12*c.want {
			t.Errorf("%g becomes %g, want %g", c.f, got, c.want)
		}
	}
	if got := (RopeScaling{Factor: 4}).Of(0.5); got != 0.125 {
		t.Errorf("linear: %g", got)
	}
	if got := (RopeScaling{}).Of(0.5); got != 0.5 {
		t.Errorf("none: %g", got)
	}
}

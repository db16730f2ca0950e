package ref

import (
	"math"
	"testing"
)

// Two rows, one head of size 1: q = 1, 2; k = 0, ln 3 / 2; v = 5, 9. Row 1 scores 0 and ln 3, so p = 1/4, 3/4.
func TestAttentionByHand(t *testing.T) {
	qkv := []float64{1, 0, 5, 2, math.Log(3) / 2, 9}
	o, lse := make([]float64, 2), make([]float64, 2)
	Attention(qkv, nil, o, lse, 1, 1, 1, 2)
	near(t, "o[0]", o[0], 5)
	near(t, "lse[0]", lse[0], 0)
	near(t, "o[1]", o[1], 5./4+27./4)
	near(t, "lse[1]", lse[1], math.Log(4))

	// do = 1, 1: D = o; row 1: ds = p (v - 8) = -3/4, 3/4.
	dots, dqkv := make([]float64, 2), make([]float64, 6)
	AttentionDot(o, []float64{1, 1}, dots, 1)
	near(t, "D[1]", dots[1], 8)
	ds := make([]float64, 64)
	AttentionGradKV(qkv, nil, []float64{1, 1}, lse, dots, dqkv, ds, 1, 1, 1, 2)
	AttentionGradQ(qkv, nil, ds, dqkv, 1, 1, 1, 2)
	for i, want := range []float64{0, -1.5, 1.25, 0.75 * math.Log(3) / 2, 1.5, 0.75} {
		near(t, "an element of dqkv", dqkv[i], want)
	}
}

// Two sequences of one row: each sees itself only. Two query heads of size 2 share the key head.
func TestAttentionHeadsAndSequencesByHand(t *testing.T) {
	qkv := []float64{1, 2, 3, 4, 1, 1, 7, 8, 5, 6, 7, 8, 1, -1, 9, 10}
	o, lse := make([]float64, 8), make([]float64, 4)
	Attention(qkv, nil, o, lse, 2, 1, 2, 1)
	for i, want := range []float64{7, 8, 7, 8, 9, 10, 9, 10} {
		near(t, "an element of o", o[i], want)
	}
	for i, want := range []float64{3, 7, -1, -1} {
		near(t, "an lse", lse[i], want/math.Sqrt2)
	}
}

// Four rows, one head of size 1, all queries 0, so that each output is the mean of the values seen: two documents, then one
// with a prefix of three.
func TestAttentionSpansByHand(t *testing.T) {
	qkv := []float64{0, 1, 1, 0, 2, 2, 0, 3, 4, 0, 4, 8}
	for _, c := range []struct{ spans, want []float64 }{
		{[]float64{0, 1, 0, 2, 2, 3, 2, 4}, []float64{1, 1.5, 4, 6}},
		{[]float64{0, 3, 0, 3, 0, 3, 0, 4}, []float64{7. / 3, 7. / 3, 7. / 3, 15. / 4}},
	} {
		o, lse := make([]float64, 4), make([]float64, 4)
		Attention(qkv, c.spans, o, lse, 1, 1, 1, 4)
		for i, want := range c.want {
			near(t, "an element of o", o[i], want)
		}
	}
}

package ref

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestSoftmaxLoss holds two rows against probabilities worked out by hand: logits are logarithms of 1, 2, 5 and (teacher)
// of 4, 2, 4 taken at temperature 1/2, where they are squared: q = 16/36, 4/36, 16/36.
func TestSoftmaxLoss(t *testing.T) {
	l := math.Log
	z := []float64{l(1), l(2), l(5), 7, 7, 7}
	zt := []float64{l(4), l(2), l(4), 1, 2, 3}
	p, q := []float64{1. / 8, 2. / 8, 5. / 8}, []float64{4. / 9, 1. / 9, 4. / 9}
	dz, stats := make([]float64, 6), make([]float64, 16)
	const scale, w = 3, 0.25
	SoftmaxLoss(z, []float64{1, 0xffffffff}, []float64{scale, w, 2, 0}, zt, dz, stats, 3)
	var ce, entropy float64
	for j := range p {
		ce -= q[j] * l(p[j])
		entropy -= q[j] * l(q[j])
		target := w * q[j]
		if j == 1 {
			target += 1 - w
		}
		near(t, "dz", dz[j], scale*(p[j]-target))
		near(t, "masked dz", dz[3+j], 0)
	}
	tv := 5./8 - 4./9 + 2./8 - 1./9
	want := []float64{-l(2. / 8), ce, -l(1. / 9), entropy, 0, 7./8 - 1, tv, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	for i, s := range stats {
		near(t, "stats", s, want[i])
	}
	SoftmaxLoss(z, []float64{2, 0}, []float64{scale, w, 2, 0}, nil, z, stats, 3) // in place, no teacher
	for j := range p {
		g := p[j]
		if j == 2 {
			g--
		}
		near(t, "dz without a teacher", z[j], scale*g)
	}
	for i, s := range stats {
		near(t, "stats without a teacher", s, []float64{-l(5. / 8), 0, 0, 0, 1, 0, 0, 1, l(3), 0, 0, 0, 1, 0, 0, 1}[i])
	}
	SoftmaxLoss([]float64{7, 7, 7}, []float64{1}, nil, nil, nil, stats[:8], 3)
	near(t, "a tie is the lowest index's", stats[4], 0)
}

// TestWitnesses holds the two witness columns against what they mean: the second is the total variation of p and q, and
// the first has that as its mean when labels come from the teacher, and 0 when they come from the student.
func TestWitnesses(t *testing.T) {
	const v = 7
	z, zt, labels := make([]float64, v*v), make([]float64, v*v), make([]float64, v)
	for y := range v {
		labels[y] = float64(y)
		for j := range v {
			z[y*v+j], zt[y*v+j] = math.Sin(float64(3*j)), 2*math.Cos(float64(5*j))
		}
	}
	stats := make([]float64, 8*v)
	SoftmaxLoss(z, labels, []float64{1, 0.5, 0.5, 0}, zt, nil, stats, v)
	var tv, underP, underQ float64
	for y := range v {
		p, q := math.Exp(-stats[8*y]), math.Exp(-stats[8*y+2])
		tv += math.Abs(p-q) / 2
		underP += p * stats[8*y+5]
		underQ += q * stats[8*y+5]
	}
	for y := range v {
		near(t, "p(S) - q(S)", stats[8*y+6], tv)
	}
	near(t, "the data witness's mean under the teacher", underQ, tv)
	near(t, "the data witness's mean under the student", underP, 0)
	if tv < 0.1 {
		t.Error("the case is too easy")
	}
}

package ref

import (
	"math"
	"testing"
)

// same compares with values worked out by hand.
func same(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-12) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) && got[i] != want[i] {
			t.Errorf("%s[%d] = %g, want %g", what, i, got[i], want[i])
		}
	}
}

func TestRMSNorm(t *testing.T) {
	y, r := make([]float64, 4), make([]float64, 2)
	// Mean squares (1 + 49) / 2 = 25 and 0 + 0.25, with eps 0 and 0.25.
	RMSNorm([]float64{1, 7}, []float64{10, 100}, y[:2], r[:1], 0)
	RMSNorm([]float64{0, 0}, []float64{10, 100}, y[2:], r[1:], 0.25)
	same(t, "y", y, 2, 140, 0, 0)
	same(t, "r", r, 0.2, 2)
}

func TestRMSNormGrad(t *testing.T) {
	// Three rows in blocks of two. With r = 1 and x = (1, -1), xhat is x.
	x, dy := []float64{1, -1, 1, -1, 1, -1}, []float64{1, 0, 0, 1, 2, 2}
	dx, part := make([]float64, 6), make([]float64, 4)
	RMSNormGrad(x, []float64{3, 5}, []float64{1, 1, 1}, dy, dx, part, 2)
	// c is 1.5, -2.5, -2: the means of (3 1, 0), (0, -5), (6, -10).
	same(t, "dx", dx, 1.5, 1.5, 2.5, 2.5, 8, 8) // g dy - xhat c
	same(t, "part", part, 1, -1, 2, -2)         // rows 0 and 1; row 2
	RMSNormGrad(x[:2], []float64{3, 5}, []float64{0.5}, dy[:2], dx[:2], part[:2], 2)
	same(t, "dx with r = 1/2", dx[:2], 0.5*(3-0.5*0.75), 0.5*0.5*0.75)
}

func TestSumRows(t *testing.T) {
	y := []float64{9, 9, 9, 9}
	SumRows([]float64{1, 2, 3, 4, 5, 6}, y, 2, 2)
	same(t, "y", y, 4, 6, 5, 6)
}

func TestSwiGLU(t *testing.T) {
	gate := math.Log(3) // s = 3/4
	gu, y, dgu := []float64{0, gate, 5, 8}, make([]float64, 2), make([]float64, 4)
	SwiGLU(gu, y, 2)
	same(t, "y", y, 0, 6*gate)
	SwiGLUGrad(gu, []float64{2, 4}, dgu, 2)
	same(t, "dgu", dgu, 2*5*0.5, 4*8*0.75*(1+gate/4), 0, 4*gate*0.75)
}

func TestEmbed(t *testing.T) {
	y := make([]float64, 6)
	ids := []float64{2, 0, 2}
	Embed([]float64{1, 2, 3, 4, 5, 6}, ids, y)
	same(t, "y", y, 5, 6, 1, 2, 5, 6)
	acc := []float64{10, 10, 10, 10, 10, 10}
	EmbedGrad([]float64{1, 2, 3, 4, 5, 6}, ids, acc, 2)
	same(t, "acc", acc, 13, 14, 10, 10, 16, 18)
}

func TestGradNorm(t *testing.T) {
	part := []float64{9, 9, 9}
	SumSquares([]float64{1, 2, 3}, part, 2)
	same(t, "part", part, 5, 9, 0)
	control := make([]float64, 4)
	part = []float64{64, 0, 36}
	ClipControl([]float64{0.5, 2.5, 0, 0}, part, control) // norm 0.5 * 10
	same(t, "clipped", control, 0.5*2.5/(5+1e-6), 1, 5, 0)
	ClipControl([]float64{0.5, 50, 0, 0}, part, control)
	same(t, "below the clip", control, 0.5, 1, 5, 0)
	ClipControl([]float64{0.5, 0, 0, 0}, part, control)
	same(t, "no clip", control, 0.5, 1, 5, 0)
	ClipControl([]float64{0.5, 1, 0, 0}, []float64{math.NaN()}, control)
	same(t, "NaN", control, 0, 0, math.NaN(), 0)
	ClipControl([]float64{0.5, 1, 0, 0}, []float64{3e38, 3e38}, control)
	same(t, "beyond float32", control, 0, 0, math.Inf(1), 0)
}

func TestAdamW(t *testing.T) {
	// g' = 2; m = 0.5*4 + 0.5*2 = 3; v = 0.75*4 + 0.25*4 = 4; step 2*3 / (sqrt(4*4) + 2) = 1, and 0.1 p more where it decays.
	params := []float64{0.5, 0.5, 0.75, 2, 0.1, 2, 4, 0}
	p, g, m, v := []float64{10, 10}, []float64{8, 8}, []float64{4, 4}, []float64{4, 4}
	AdamW(p, g, m, v, params, []float64{0.25, 1, 0, 0}, p, m, v, g, 1)
	same(t, "p", p, 9, 9.5)
	same(t, "m", m, 3, 3)
	same(t, "v", v, 4, 4)
	same(t, "g", g, 0, 0)
	g = []float64{math.NaN(), math.Inf(1)}
	AdamW(p, g, m, v, params, []float64{0, 0, math.NaN(), 0}, p, m, v, g, 1)
	same(t, "p of a skipped step", p, 9, 9.5)
	same(t, "m of a skipped step", m, 3, 3)
	same(t, "v of a skipped step", v, 4, 4)
	same(t, "g of a skipped step", g, 0, 0)
}

package ref

import (
	"math"
	"testing"
)

func TestNLLRank(t *testing.T) {
	// exp(z) = 1 2 2 5: the third is as likely as the second, which is lower; then a masked row.
	z := []float64{0, math.Log(2), math.Log(2), math.Log(5), 1, 2, 3, 4}
	nll, rank := make([]float64, 2), make([]float64, 2)
	for _, c := range []struct{ label, nll, rank float64 }{
		{3, math.Log(2), 0}, {1, math.Log(5), 1}, {2, math.Log(5), 2}, {0, math.Log(10), 3},
	} {
		NLLRank(z, []float64{c.label, 1<<32 - 1}, nll, rank, 4)
		same(t, "nll", nll, c.nll, 0)
		same(t, "rank", rank, c.rank, 1<<32-1)
	}
}

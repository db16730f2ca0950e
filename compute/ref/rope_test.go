package ref

import (
	"math"
	"testing"
)

// A head of 4 has pairs (0, 2) and (1, 3) with frequencies 1 and theta^(-1/2); with theta = 4 the second is 1/2.
func TestRopeByHand(t *testing.T) {
	x := []float64{1, 1, 0, 0, 9, 1, 1, 0, 0, 9} // two rows; the last column belongs to no head
	Rope(x, 5, 1, 4, 2, 1, 4, RopeScaling{}, false)
	for n, p := range []float64{1, 2} {
		for i, want := range []float64{math.Cos(p), math.Cos(p / 2), math.Sin(p), math.Sin(p / 2), 9} {
			near(t, "an element", x[5*n+i], want)
		}
	}
	Rope(x, 5, 1, 4, 2, 1, 4, RopeScaling{}, true)
	for i, want := range []float64{1, 1, 0, 0, 9, 1, 1, 0, 0, 9} {
		near(t, "an element turned back", x[i], want)
	}
}

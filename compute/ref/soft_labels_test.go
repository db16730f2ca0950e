package ref

import (
	"math"
	"testing"
)

func TestSoftmax(t *testing.T) {
	// exp(z/T) = 1 4 4 with T = 1/2; the label is the third, as likely as the second, which is lower.
	z := []float64{0, math.Log(2), math.Log(2), 5, 5, 5}
	q, stats, rank := make([]float64, 6), make([]float64, 4), make([]float64, 2)
	Softmax(z, 2, []float64{2, 1<<32 - 1}, q, stats, rank, 3)
	same(t, "q", q, 1./9, 4./9, 4./9, 1./3, 1./3, 1./3)
	same(t, "stats", stats, math.Log(9./4), math.Log(9)/9+8*math.Log(9./4)/9, 0, 0)
	same(t, "rank", rank, 1, 1<<32-1)
	Softmax(z, 2, nil, z, nil, nil, 3)
	same(t, "q in place", z, q...)
}

func TestTopK(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	x := []float64{3, -1, 3, 7, 0, 3, -inf, nan, inf, 2}
	ids, values, rest := make([]float64, 6), make([]float64, 6), make([]float64, 2)
	TopK(x, ids, values, rest, 5, 3)
	same(t, "ids", ids, 3, 0, 2, 2, 3, 0)
	same(t, "values", values, 7, 3, 3, nan, inf, 3)
	same(t, "rest", rest, -1, -inf)
}

// TestPhilox holds the generator against the known answers that its authors publish (kat_vectors of Random123).
func TestPhilox(t *testing.T) {
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{1<<32 - 1, 1<<32 - 1, 1<<32 - 1, 1<<32 - 1}, [2]uint32{1<<32 - 1, 1<<32 - 1}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(c.counter, c.key); got != c.want {
			t.Errorf("counter %x, key %x: %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

func TestSample(t *testing.T) {
	ids, weights := make([]float64, 12), make([]float64, 12)
	// With seed and counter 0 the four numbers of Philox are 0.3990, 0.8805, 0.7357 and 0.6059 of 2^32: of [0.5, 0.2, 0.3] they
	// meet 0, 2, 2, 1. Then a row with all on one id, and one that is no distribution.
	q := []float64{0.5, 0.2, 0.3, 0, 1, 0, 0.5, math.NaN(), 0.5}
	Sample(q, []float64{0, 7, 0}, []float64{0, 0, 0, 0}, ids, weights, 3, 4)
	const none = 1<<32 - 1
	nan := math.NaN()
	same(t, "ids", ids, 0, 1, 2, none, 1, none, none, none, none, none, none, none)
	same(t, "weights", weights, 0.25, 0.25, 0.5, 0, 1, 0, 0, 0, nan, nan, nan, nan)
}

// TestSampleMeets: the share of draws is the probability, within five standard deviations, for ids whose columns interleave.
func TestSampleMeets(t *testing.T) {
	const v, draws, rows = 2050, 256, 200
	q := make([]float64, v)
	for id, p := range map[int]float64{0: 0.1, 1024: 0.2, 2048: 0.05, 1: 0.3, 2049: 0.25, 1023: 0.1} {
		q[id] = p
	}
	counts, ids, weights := make([]float64, v), make([]float64, draws), make([]float64, draws)
	for row := range rows {
		Sample(q, []float64{float64(row)}, []float64{1, 2, 3, 4}, ids, weights, v, draws)
		for d, id := range ids {
			if weights[d] > 0 {
				counts[int(id)] += weights[d] * draws
			}
		}
	}
	for id, p := range q {
		mean, deviation := p*draws*rows, math.Sqrt(p*(1-p)*draws*rows)
		if math.Abs(counts[id]-mean) > 5*deviation {
			t.Errorf("id %d was drawn %g times, expected %.0f +- %.0f", id, counts[id], mean, deviation)
		}
	}
}

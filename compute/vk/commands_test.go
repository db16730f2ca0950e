package vk

import (
	"slices"
	"testing"
)

func TestElapsed(t *testing.T) {
	for _, test := range []struct {
		why    string
		ticks  []uint64
		bits   uint32
		period float64
		want   []float64
	}{
		{"nanoseconds since 1970, which a float64 knows to 256", []uint64{1_790_000_000_000_000_001, 1_790_000_000_000_000_004, 1_790_000_000_000_000_105}, 64, 1, []float64{0, 3, 104}},
		{"36 bits that passed zero", []uint64{1<<36 - 10, 5}, 36, 2, []float64{0, 30}},
		{"bits beyond those that count are noise", []uint64{7<<40 | 100, 3<<40 | 150}, 40, 1, []float64{0, 50}},
	} {
		if got := elapsed(test.ticks, test.bits, test.period); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.why, got, test.want)
		}
	}
}

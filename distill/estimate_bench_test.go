package distill

import (
	"testing"

	"saltern/compute"
)

// BenchmarkObserve adds up what the loss says of a microbatch of 16 sequences of 1024 tokens.
func BenchmarkObserve(b *testing.B) {
	const T, n = 1024, 16
	stats, witness := make([]float32, n*T*compute.StatsColumns), make([]float32, n*T*compute.WitnessColumns)
	for i := range n * T {
		s := stats[i*compute.StatsColumns:]
		s[compute.StatNLL], s[compute.StatTeacherNLL], s[compute.StatCount] = float32(i%7), float32(i%5), 1
		witness[i*compute.WitnessColumns+compute.WitnessBucket] = float32(i * 7 % Buckets)
	}
	var s Sums
	b.SetBytes(n * T)
	for b.Loop() {
		s.Observe(stats, witness, T, 0.5, whole, 0)
	}
}

package distill

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"saltern/distill/scores"
)

// BenchmarkSelect reads scores and makes of them what a selection needs, per token.
func BenchmarkSelect(b *testing.B) {
	const T, n = 1024, 256
	rng := rand.New(rand.NewPCG(1, 0))
	path := filepath.Join(b.TempDir(), "scores.bin")
	w, err := scores.Append(path, scores.Head{Sequence: T})
	if err != nil {
		b.Fatal(err)
	}
	for first := 0; first < n; first += w.Head.Block {
		var list []scores.Sequence
		for i := range w.Head.Block {
			s := scores.Sequence{ID: int64(first + i), Loss: make([]float32, T), Rank: make([]uint32, T)}
			for j := range T {
				s.Loss[j], s.Rank[j] = float32(2*rng.ExpFloat64()), uint32(rng.IntN(20))
			}
			list = append(list, s)
		}
		if err := w.Write(list); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	rule := SelectConfig{}.Defaults(1)
	b.SetBytes(T * n)
	for b.Loop() {
		f, err := scores.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		var list []Scored
		if err := f.Each(n, func(s scores.Sequence) error {
			list = append(list, Scored{s.ID, rule.Score(s)})
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		Rank(list)
		f.Close()
	}
}

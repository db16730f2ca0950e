package compute

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"saltern/compute/ref"
)

// TestLinearRank holds loss and rank of every token, over a ragged last chunk and a masked token, against logits computed at once,
// and the chosen chunk against another: it must not show.
func TestLinearRank(t *testing.T) {
	for _, c := range []struct{ n, d, v int }{{200, 32, 516}, {70, 16, 3001}} {
		t.Run(fmt.Sprintf("V=%d", c.v), func(t *testing.T) {
			b, first := openTest(t), []float32(nil)
			for _, chunk := range []int{64, 0} {
				in := RankInputs{
					Hidden: NewTensor(State, "hidden", F32, c.n, c.d), Weight: NewTensor(State, "weight", F32, c.v, c.d), Chunk: chunk,
					Labels: NewTensor(Host, "labels", U32, c.n), NLL: NewTensor(Host, "nll", F32, c.n), Rank: NewTensor(Host, "rank", U32, c.n),
				}
				hidden, weight, labels := gaussian(21, c.n*c.d, 1), gaussian(22, c.v*c.d, 1), someLabels(23, c.n, c.v)
				must(t, b.Write(in.Hidden, hidden))
				must(t, b.Write(in.Weight, weight))
				must(t, b.WriteU32(in.Labels, labels))
				r := NewRecorder()
				r.LinearRank(in)
				p, err := r.Finish()
				must(t, err)
				exes, err := b.Load(p)
				must(t, err)
				must(t, exes[0].Run())
				nll, rank := make([]float32, c.n), make([]uint32, c.n)
				must(t, b.Read(in.NLL, nll))
				must(t, b.ReadU32(in.Rank, rank))
				exes[0].Close()
				b.Free(p.Storages()...)

				z, y := make([]float64, c.n*c.v), make([]float64, c.n)
				ref.MatMul(wide(hidden), wide(weight), z, c.n, c.v, c.d, false, true)
				for i, l := range labels {
					y[i] = float64(l)
				}
				wantNLL, wantRank := make([]float64, c.n), make([]float64, c.n)
				ref.NLLRank(z, y, wantNLL, wantRank, c.v)
				compareTo(t, "nll", nll, wantNLL, 1e-5)
				for i, want := range wantRank {
					if math.Abs(float64(rank[i])-want) > 1 { // two logits may change places within rounding
						t.Errorf("token %d has rank %d, want %v", i, rank[i], want)
					}
				}
				if first == nil {
					first = nll
				}
				for i := range nll {
					if nll[i] != first[i] {
						t.Fatalf("token %d: %v in chunks of 64, %v in one", i, first[i], nll[i])
					}
				}
			}
		})
	}
}

// TestLinearRankRefuses: what does not fit is reported, not run.
func TestLinearRankRefuses(t *testing.T) {
	good := func() RankInputs {
		return RankInputs{
			Hidden: NewTensor(State, "hidden", F32, 4, 8), Weight: NewTensor(State, "weight", F32, 9, 8),
			Labels: NewTensor(Host, "labels", U32, 4), NLL: NewTensor(Host, "nll", F32, 4), Rank: NewTensor(Host, "rank", U32, 4),
		}
	}
	for _, c := range []struct {
		why  string
		harm func(in *RankInputs)
		want string
	}{
		{"a missing place", func(in *RankInputs) { in.Rank = nil }, "all needed"},
		{"too few places", func(in *RankInputs) { in.NLL = NewTensor(Host, "nll", F32, 3) }, "is not [4]"},
		{"a vector for a matrix", func(in *RankInputs) { in.Weight = NewTensor(State, "weight", F32, 8) }, "wants [N,D] and [V,D]"},
		{"a chunk that bindings cannot begin at", func(in *RankInputs) { in.Chunk = 10 }, "multiple of 64"},
	} {
		in, r := good(), NewRecorder()
		c.harm(&in)
		r.LinearRank(in)
		if _, err := r.Finish(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.why, err, c.want)
		}
	}
}

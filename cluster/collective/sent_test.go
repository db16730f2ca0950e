package collective

import (
	"context"
	"testing"

	"saltern/cluster/wire"
)

// TestSent: an all-reduce sends 2 (size-1)/size of the vector, in the size that its format has; small exchanges do not count.
func TestSent(t *testing.T) {
	const n, size = 4 * 256 * 100, 4
	for f, each := range map[wire.Format]int64{wire.Float32: 4 * 256, wire.BFloat16: 2 * 256, wire.Int8: 256 + 4} {
		must(t, onRanks(t, size, func(ctx context.Context, g *Group) error {
			if err := g.Barrier(ctx); err != nil {
				return err
			}
			if err := g.AllReduce64(ctx, make([]float64, 10)); err != nil {
				return err
			}
			if err := g.Stream("x").With(f).AllReduce(ctx, make([]float32, n)); err != nil {
				return err
			}
			if got, want := g.Sent(), 2*(size-1)*each*100; got != want {
				t.Errorf("%s: rank %d sent %d bytes, want %d", f, g.Rank(), got, want)
			}
			return nil
		}))
	}
}

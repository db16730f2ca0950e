package model

import (
	"math"
	"slices"
	"testing"

	"saltern/cluster/collective"
	"saltern/cluster/wire"
	"saltern/compute"
)

// TestMixedRanks: ranks whose devices round differently, here one that computes in float64, part in the bits of their weights if each
// updates its own. Where each weight is updated by one of them alone they have the same, and the losses of ranks that are alike.
func TestMixedRanks(t *testing.T) {
	const steps = 30
	c, tc := tiny(true), tinyTraining()
	tc.Steps, tc.Batch, tc.Microbatch, tc.LR, tc.Eps = steps, 8, 2, 1e-3, 1e-5
	alike := acrossRanks(t, 3, device, c, tc, steps)
	for _, test := range []struct {
		why           string
		shard, follow bool
		same          bool
	}{
		{"each updates its own", false, false, false},
		{"each updates a segment", true, false, true},
		{"the first updates all", false, true, true},
	} {
		t.Run(test.why, func(t *testing.T) {
			opened := 0
			open := func(t *testing.T) compute.Backend {
				if opened++; opened == 2 {
					return compute.NewReference()
				}
				return device(t)
			}
			sums := make([][]Checksum, 3)
			seen := ranksOf(t, 3, test.shard, open, c, tc, func(r *rankOf) {
				x := r.ranks.Exchange.(*collective.Group)
				if test.follow {
					r.ranks.Follow = func(v []float32) error { return x.Broadcast(r.ranks.Context, 0, wire.Bytes(v)) }
				}
				r.train(0, steps)
				if r.err == nil {
					sums[x.Rank()], r.err = r.Model.Checksums(r.b)
				}
			})
			if got := slices.Equal(sums[0], sums[1]) && slices.Equal(sums[0], sums[2]); got != test.same {
				t.Errorf("the same weights: %v\n%v\n%v\n%v", got, sums[0], sums[1], sums[2])
			}
			worst := 0.0
			for i, s := range seen[0] {
				worst = max(worst, math.Abs(s.NLL-alike[0][i].NLL)/s.NLL)
				for rank := range seen {
					if test.same && seen[rank][i] != s {
						t.Fatalf("step %d: rank %d saw %+v, rank 0 %+v", i, rank, seen[rank][i], s)
					}
				}
			}
			if t.Logf("losses differ from those of ranks alike by at most %.2g", worst); worst > 1e-5 || worst == 0 {
				t.Errorf("losses differ by %g", worst)
			}
		})
	}
}

// TestChecksums: one bit of one weight is another checksum, of its bucket.
func TestChecksums(t *testing.T) {
	b := compute.NewReference()
	m := New(tiny(false), "test", true)
	if err := m.Init(b, 7); err != nil {
		t.Fatal(err)
	}
	before, err := m.Checksums(b)
	if err != nil {
		t.Fatal(err)
	}
	k := m.Buckets[1]
	x := make([]float32, k.Len)
	if err := b.Read(k.flat(k.P), x); err != nil {
		t.Fatal(err)
	}
	x[k.Len-1] = math.Nextafter32(x[k.Len-1], 2)
	if err := b.Write(k.flat(k.P), x); err != nil {
		t.Fatal(err)
	}
	after, err := m.Checksums(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range before {
		if (before[i] == after[i]) != (i != 1) || after[i].Name != m.Buckets[i].Name {
			t.Errorf("%v, then %v", before[i], after[i])
		}
	}
}

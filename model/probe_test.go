package model

import (
	"reflect"
	"sync"
	"testing"

	"saltern/compute"
)

// TestProbe: ranks that probe the same microbatch agree, also where one of them computes in float64; and a training that is probed is, bit by
// bit, one that is not.
func TestProbe(t *testing.T) {
	c, tc := tiny(true), tinyTraining()
	for _, shard := range []bool{false, true} {
		opened := 0
		open := func(t *testing.T) compute.Backend {
			if opened++; opened%3 == 2 {
				return compute.NewReference()
			}
			return device(t)
		}
		tc.Batch, tc.Microbatch = 6, 2
		want := ranksOf(t, 3, shard, open, c, tc, func(r *rankOf) { r.train(0, 6) })
		var mu sync.Mutex
		probes := make([][][]Sketch, 3)
		got := ranksOf(t, 3, shard, open, c, tc, func(r *rankOf) {
			for i := int64(0); i < 6 && r.err == nil; i++ {
				var s []Sketch
				if s, r.err = r.Probe(randomFill(i, c.Vocab, r.T)); r.err == nil {
					mu.Lock()
					probes[r.ranks.Rank()] = append(probes[r.ranks.Rank()], s)
					mu.Unlock()
					r.train(i, i+1)
				}
			}
		})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("sharded %v: a probe leaves traces:\n%+v\n%+v", shard, got[0], want[0])
		}
		for rank, list := range probes {
			for i, sketches := range list {
				for k, s := range sketches {
					if d := s.Deviation(probes[0][i][k]); d > 1e-3 || s.Norm == 0 {
						t.Errorf("sharded %v, probe %d: rank %d is off by %g in %s", shard, i, rank, d, s.Name)
					}
				}
			}
		}
	}
}

// TestSketch: what is wrong in a part of a gradient is seen about as large as it is.
func TestSketch(t *testing.T) {
	x := make([]float32, 5000)
	for i := range x {
		x[i] = float32(i%17) - 8
	}
	good := sketch("g", x)
	for _, test := range []struct {
		why     string
		spoil   func(x []float32)
		between [2]float64
	}{
		{"nothing", func([]float32) {}, [2]float64{0, 0}},
		{"all of it doubled", func(x []float32) {
			for i := range x {
				x[i] *= 2
			}
		}, [2]float64{0.4, 3}},
		{"a fifth set to zero, its length kept", func(x []float32) { clear(x[1000:2000]); x[0] += 200 }, [2]float64{0.1, 2}},
		{"shifted by one", func(x []float32) { copy(x, x[1:]) }, [2]float64{0.1, 3}},
		{"not a number", func(x []float32) { x[7] /= 0 * x[7] }, [2]float64{0.9, 3}},
	} {
		y := append([]float32(nil), x...)
		test.spoil(y)
		if d := good.Deviation(sketch("g", y)); d < test.between[0] || d > test.between[1] {
			t.Errorf("%s: off by %g, want %g to %g", test.why, d, test.between[0], test.between[1])
		}
	}
}

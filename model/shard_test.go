package model

import (
	"context"
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"saltern/compute"
	"saltern/model/checkpoint"
)

// TestShardedCheckpoint: what sharded ranks save is what others load, sharded alike or not at all.
func TestShardedCheckpoint(t *testing.T) {
	c, tc, dir := tiny(false), tinyTraining(), t.TempDir()
	tc.LR = 1e-3
	save := func(r *rankOf) {
		if r.err != nil {
			return
		}
		if r.ranks.Rank() > 0 {
			r.err = r.Model.HelpSave(r.b)
			return
		}
		_, r.err = r.Model.Save(context.Background(), r.b, dir, 3, []byte("{}"), 23, Resume{Job: json.RawMessage("{}")}, nil, checkpoint.Keep{Newest: 1})
	}
	load := func(r *rankOf) {
		cp, err := checkpoint.Open(dir)
		if err == nil {
			err = r.Model.LoadWeights(r.b, cp)
		}
		if err == nil {
			_, err = r.Model.LoadOptimizer(r.b, cp)
		}
		r.err = err
	}
	whole := ranksOf(t, 2, true, device, c, tc, func(r *rankOf) {
		r.train(0, 3)
		save(r)
		r.train(3, 6)
	})
	again := ranksOf(t, 2, true, device, c, tc, func(r *rankOf) {
		load(r)
		r.train(3, 6)
	})
	if !reflect.DeepEqual(again[1], whole[1][3:]) {
		t.Errorf("resumed: %+v, want %+v", again[1], whole[1][3:])
	}
	for _, other := range []struct {
		size  int
		shard bool
	}{{1, false}, {2, false}, {1, true}} {
		seen := ranksOf(t, other.size, other.shard, device, c, tc, func(r *rankOf) {
			load(r)
			r.train(3, 6)
		})
		for i, s := range seen[0] {
			if want := whole[0][3+i]; math.Abs(s.NLL-want.NLL) > 1e-6*want.NLL || math.Abs(s.Norm-want.Norm) > 1e-5*want.Norm {
				t.Errorf("%+v: step %d: %+v, want %+v", other, 3+i, s, want)
			}
		}
	}
}

// TestShardedMemory: of the optimizer's state a rank has its part, and nothing is left out or kept twice.
func TestShardedMemory(t *testing.T) {
	const size = 3
	whole := New(tiny(true), "test", true)
	held := make([]int, len(whole.Buckets))
	decayed := make([]int, len(whole.Buckets))
	for rank := range size {
		m := New(tiny(true), "test", true)
		m.Shard(rank, size)
		for i, b := range m.Buckets {
			if b.own > 0 && (b.first != held[i] || b.Mean.Len != b.own || b.MeanSq.Len != b.own || b.first != compute.Align(b.first)) {
				t.Errorf("rank %d: %s from %d on, %d held before it", rank, b.Name, b.first, held[i])
			}
			held[i] += b.own
			decayed[i] += b.decayed()
		}
	}
	for i, b := range whole.Buckets {
		if held[i] != b.Len || decayed[i] != b.Decayed {
			t.Errorf("%s: %d of %d elements are held, %d of %d decay", b.Name, held[i], b.Len, decayed[i], b.Decayed)
		}
	}
}

// TestShardedSkip: a gradient that is not finite on one rank leaves the weights of all as they were.
func TestShardedSkip(t *testing.T) {
	c, tc := tiny(false), tinyTraining()
	bad := func(r *rankOf, v float32) {
		w := r.Model.layers[1].down.Tensor.Rows(0, 1)
		data := make([]float32, w.Len())
		if r.err = r.b.Read(w, data); r.err == nil {
			data[0] += v
			r.err = r.b.Write(w, data)
		}
	}
	seen := ranksOf(t, 2, true, device, c, tc, func(r *rankOf) {
		inf := float32(math.Inf(1))
		if r.ranks.Rank() == 1 {
			bad(r, inf)
		}
		r.train(0, 1)
		if r.ranks.Rank() == 1 {
			if err := r.Model.Init(r.b, 7); err != nil {
				r.err = err
			}
		}
		r.train(1, 3)
	})
	for rank, list := range seen {
		if !list[0].Skipped || list[1].Skipped || list[2].Skipped || list[2] != seen[0][2] {
			t.Errorf("rank %d: %+v", rank, list)
		}
	}
}

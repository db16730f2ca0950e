package model

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"saltern/compute"
	"saltern/model/safetensors"
)

// Shard makes the model keep of the optimizer's state the part of one of several ranks (ZeRO, stage 1: Rajbhandari et al. 2019, arXiv
// 1910.02054), before programs are recorded on it. The ranks update a segment of each bucket each, and give the weights to the others.
func (m *Model) Shard(rank, size int) {
	m.sharded = true
	for _, b := range m.Buckets {
		each := compute.Align(ceilDiv(b.Len, size)) // a segment begins where kernels may bind one
		b.padded = each * size
		b.first = min(rank*each, b.Len)
		b.own = min(each, b.Len-b.first)
		b.Mean, b.MeanSq = nil, nil
		if b.own > 0 {
			b.Mean = compute.NewStorage(compute.State, b.Name+".mean", b.own)
			b.MeanSq = compute.NewStorage(compute.State, b.Name+".mean_square", b.own)
		}
	}
}

// segment is the part of a bucket's weights or gradient that this rank updates.
func (b *Bucket) segment(s *compute.Storage) *compute.Tensor {
	return s.View(compute.F32, b.first, b.own)
}

// decayed is how many of the segment's first elements take weight decay.
func (b *Bucket) decayed() int { return min(max(b.Decayed-b.first, 0), b.own) }

// scatter sums a bucket's gradient over the ranks in the rank's segment, and leaves zeros elsewhere, so that squares can be summed
// over all of it and nothing is left for the next step.
func (g *gradients) scatter(k int) error {
	b, x := g.buckets[k], g.data[k]
	first, n, err := g.sum(k).ReduceScatter(g.Context, x)
	if err != nil {
		return err
	}
	if n*g.Size() != len(x) || b.own > 0 && first != b.first {
		return fmt.Errorf("bug: the ranks cut %d elements at %d, and this one updates %d from %d on", len(x), first, b.own, b.first)
	}
	clear(x[:b.first])
	clear(x[b.first+b.own:])
	return nil
}

// updateShard runs the update of the rank's segments, with the norm of the whole gradient, and hands the weights round.
func (t *Trainer) updateShard() error {
	skipped := false
	err := t.update.RunSegments(func(segment int) (err error) {
		if segment == 0 {
			skipped, err = t.shareNorm()
		}
		return err
	})
	if err != nil || skipped { // then the weights are what they were
		return err
	}
	return t.gatherWeights()
}

// shareNorm replaces what the rank makes of its part of the gradient by what all make of the whole.
func (t *Trainer) shareNorm() (skipped bool, err error) {
	var c [4]float32
	if err := t.backend.Read(t.control, c[:]); err != nil {
		return false, err
	}
	squares := []float64{float64(c[2]) * float64(c[2])}
	if err := t.ranks.sum(squares); err != nil {
		return false, err
	}
	control := clipControl(t.scale, t.Config.ClipNorm, math.Sqrt(squares[0]))
	return control[1] != 1, t.backend.Write(t.control, control)
}

// clipControl is the operation clip_control on a norm that is known.
func clipControl(scale, clip, norm float64) []float32 {
	if math.IsNaN(norm) || norm > math.MaxFloat32 {
		return []float32{0, 0, float32(norm), 0}
	}
	if clip > 0 {
		scale *= min(1, clip/(norm+1e-6))
	}
	return []float32{float32(scale), 1, float32(norm), 0}
}

// gatherWeights gives all ranks the segments of the weights that each has updated.
func (t *Trainer) gatherWeights() error {
	for k, b := range t.Model.Buckets {
		start, x := time.Now(), t.gradients.data[k]
		if err := t.Model.gather(t.backend, b, b.segment(b.P), x); err != nil {
			return err
		}
		if err := t.backend.Write(b.flat(b.P), x[:b.Len]); err != nil {
			return err
		}
		if t.ranks.Observe != nil {
			t.ranks.Observe("all-gather "+b.Name, start)
		}
	}
	return nil
}

// gather puts together in x, as long as the bucket is padded, what every rank has of a bucket: this one the tensor own.
func (m *Model) gather(b compute.Backend, k *Bucket, own *compute.Tensor, x []float32) error {
	if k.own > 0 {
		if err := b.Read(own, x[k.first:k.first+k.own]); err != nil {
			return err
		}
	}
	return m.ranks.AllGather(m.ranks.Context, x)
}

// moment is a bucket's part of the optimizer's state, a vector. Buckets are named by their place, so that the SLM's and the LLM's files
// look alike.
type moment struct {
	name    string
	bucket  *Bucket
	storage *compute.Storage // nil: other ranks have all of it
}

// moments lists the optimizer's state.
func (m *Model) moments() (list []moment) {
	for i, k := range m.Buckets {
		list = append(list, moment{fmt.Sprintf("bucket.%d.mean", i), k, k.Mean}, moment{fmt.Sprintf("bucket.%d.mean_square", i), k, k.MeanSq})
	}
	return list
}

// read is the whole vector, wherever its parts are.
func (x moment) read(m *Model, b compute.Backend) ([]float32, error) {
	k := x.bucket
	if !m.sharded {
		data := make([]float32, k.Len)
		return data, b.Read(k.flat(x.storage), data)
	}
	data, own := make([]float32, k.padded), (*compute.Tensor)(nil)
	if k.own > 0 {
		own = x.storage.View(compute.F32, 0, k.own)
	}
	return data[:k.Len], m.gather(b, k, own, data)
}

// write takes this rank's part of the whole vector.
func (x moment) write(m *Model, b compute.Backend, data []float32) error {
	k := x.bucket
	switch {
	case !m.sharded:
		return b.Write(k.flat(x.storage), data)
	case k.own == 0:
		return nil
	}
	return b.Write(x.storage.View(compute.F32, 0, k.own), data[k.first:k.first+k.own])
}

// tensor is the vector for a file.
func (x moment) tensor(m *Model, b compute.Backend) safetensors.Tensor {
	return safetensors.Tensor{Name: x.name, Shape: []int{x.bucket.Len}, Read: func() ([]float32, error) { return x.read(m, b) }}
}

// HelpSave is the part of the other ranks in the first one's Save: to hand over what they have of the optimizer's state, in the order
// of the file.
func (m *Model) HelpSave(b compute.Backend) error {
	if !m.sharded {
		return nil
	}
	for _, x := range slices.SortedFunc(slices.Values(m.moments()), func(a, b moment) int { return strings.Compare(a.name, b.name) }) {
		if _, err := x.read(m, b); err != nil {
			return err
		}
	}
	return nil
}

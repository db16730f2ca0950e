package model

import (
	"context"
	"fmt"

	"saltern/compute"
	"saltern/model/checkpoint"
	"saltern/model/safetensors"
)

// RankState is what a rank that trains apart needs besides tensors to go on.
type RankState struct {
	Skipped int       `json:"skipped"` // steps skipped in a row
	Scale   LossScale `json:"loss_scale"`
}

// vector is a bucket's part of the state of ranks that train apart, in host memory.
type vector struct {
	name string
	data []float32
	put  func(data []float32)
}

func (v vector) tensor() safetensors.Tensor {
	return safetensors.Tensor{Name: v.name, Shape: []int{len(v.data)}, Read: func() ([]float32, error) { return v.data, nil }}
}

// own are what this rank alone has, but for its optimizer's state.
func (o *Outer) own() (list []vector) {
	for k, theta := range o.theta {
		if o.sums[k].Lost == nil {
			continue
		}
		lost := o.sums[k].Lost.Lost()
		if lost == nil {
			lost = make([]float32, len(theta))
		}
		list = append(list, vector{lostName(k), lost, o.sums[k].Restore})
	}
	return list
}

// SavePart writes what this rank has of its own, at the end of a round and while no exchange is under way: the optimizer's state, what
// the sums have left out so far and, with a Delay, its weights.
func (o *Outer) SavePart(ctx context.Context, root string) (checkpoint.FileSum, error) {
	if o.Pending() {
		return checkpoint.FileSum{}, fmt.Errorf("bug: a checkpoint while an exchange is under way")
	}
	m, b := o.trainer.Model, o.trainer.backend
	var list []safetensors.Tensor
	for _, x := range m.moments() {
		list = append(list, x.tensor(m, b))
	}
	for _, v := range o.own() {
		list = append(list, v.tensor())
	}
	if o.Delay > 0 {
		for k, bucket := range m.Buckets {
			weights := bucket.flat(bucket.P)
			list = append(list, safetensors.Tensor{Name: weightsName(k), Shape: weights.Shape, Read: reader(b, weights)})
		}
	}
	return checkpoint.WritePart(ctx, root, o.trainer.ranks.Rank(), list)
}

func weightsName(bucket int) string  { return fmt.Sprintf("bucket.%d.weights", bucket) }
func momentumName(bucket int) string { return fmt.Sprintf("bucket.%d.outer_momentum", bucket) }

// Save writes a checkpoint of the outer parameters and their momentum, which one rank does for all, with the parts of all.
func (o *Outer) Save(ctx context.Context, root string, step int64, tokenizer []byte, endOfText uint32, state Resume, parts []checkpoint.FileSum, keep checkpoint.Keep) (string, error) {
	c, err := o.trainer.Model.contents(o.trainer.backend, tokenizer, endOfText, state)
	if err != nil {
		return "", err
	}
	c.Parts = parts
	for k, m := range o.momentum {
		c.Optimizer = append(c.Optimizer, vector{name: momentumName(k), data: m}.tensor())
	}
	var dir string
	err = o.Shown(func() (err error) {
		dir, err = checkpoint.Write(ctx, root, int(step), c, keep)
		return err
	})
	return dir, err
}

// Load takes up a checkpoint whose weights the model has, and gives what was saved beside it, with this rank's Skipped and Scale. With
// another number of ranks it is an error: each goes on from its own state.
func (o *Outer) Load(c *checkpoint.Checkpoint) (Resume, error) {
	r, b := o.trainer.ranks, o.trainer.backend
	state, err := readResume(c)
	if err != nil {
		return state, err
	}
	if n := len(state.Ranks); n != r.Size() {
		return state, fmt.Errorf("%s is of %d ranks that train apart, and there are %d; start %d", c.Dir, n, r.Size(), n)
	}
	state.Skipped, state.Scale = state.Ranks[r.Rank()].Skipped, state.Ranks[r.Rank()].Scale
	if err := o.Begin(); err != nil {
		return state, err
	}
	f, err := c.Optimizer()
	if err != nil {
		return state, err
	}
	defer f.Close()
	err = load(f, func(each wanted) {
		for k, m := range o.momentum {
			each(momentumName(k), compute.Shape{len(m)}, func(data []float32) error { copy(m, data); return nil })
		}
	})
	if err != nil {
		return state, inFolder(c, err)
	}
	part, err := c.Part(r.Rank())
	if err != nil {
		return state, err
	}
	defer part.Close()
	return state, inFolder(c, load(part, func(each wanted) {
		o.trainer.Model.loadMoments(b, each)
		for _, v := range o.own() {
			each(v.name, compute.Shape{len(v.data)}, func(data []float32) error { v.put(data); return nil })
		}
		if o.Delay > 0 {
			_ = o.each(func(k int, weights *compute.Tensor) error {
				each(weightsName(k), weights.Shape, func(data []float32) error { return b.Write(weights, data) })
				return nil
			})
		}
	}))
}

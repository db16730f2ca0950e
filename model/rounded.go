package model

import (
	"context"
	"errors"
	"fmt"
	"os"

	"saltern/compute"
	"saltern/model/checkpoint"
	"saltern/model/safetensors"
)

// Gradients may be rounded on their way to other ranks (Ranks.Sums). What that leaves out of one step enters the next, on the rank that left
// it out, so it is state of the training: each rank has a part of a checkpoint for it. What counts is the sum of it over the ranks, so
// another number of ranks can take it up.

// Rounds says that what this rank sends is rounded, and that it has a part in checkpoints.
func (t *Trainer) Rounds() bool { return t.gradients != nil && t.gradients.Sums != nil }

// sum is the way of a bucket's gradient to the other ranks.
func (g *gradients) sum(k int) Exchange {
	if g.Sums == nil {
		return g.Exchange
	}
	return g.Sums[k]
}

// carry has what was left out under one loss scale enter under another, which is a power of two times it.
func (g *gradients) carry(scale float64) {
	if g.Sums == nil || g.scale == scale {
		return
	}
	if g.scale != 0 {
		for _, s := range g.Sums {
			for i, v := range s.Lost.Lost() {
				s.Lost.Lost()[i] = v * float32(scale/g.scale)
			}
		}
	}
	g.scale = scale
}

func lostName(bucket int) string { return fmt.Sprintf("bucket.%d.lost", bucket) }

// SavePart writes what the sums of gradients have left out so far on this rank, in the scale that goes with the checkpoint.
func (t *Trainer) SavePart(ctx context.Context, root string) (checkpoint.FileSum, error) {
	g := t.gradients
	g.carry(t.Scale.Value)
	var list []safetensors.Tensor
	for k, b := range g.buckets {
		data := g.Sums[k].Lost.Lost()
		if data == nil {
			data = make([]float32, b.Len)
		}
		list = append(list, vector{name: lostName(k), data: data[:b.Len]}.tensor())
	}
	return checkpoint.WritePart(ctx, root, g.Rank(), list)
}

// LoadParts takes up what this rank's sums are to carry on with: the part of the rank of its number, and of every Size-th after it, where
// the checkpoint is of more ranks. One that has no parts, or too few, has lost nothing there. scale is the checkpoint's.
func (t *Trainer) LoadParts(c *checkpoint.Checkpoint, scale float64) error {
	g := t.gradients
	if !t.Rounds() {
		return nil
	}
	g.scale = scale
	lost := make([][]float32, len(g.buckets))
	for k := range lost {
		lost[k] = make([]float32, len(g.data[k]))
	}
	for rank := g.Rank(); ; rank += g.Size() {
		part, err := c.Part(rank)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		err = load(part, func(each wanted) {
			for k, b := range g.buckets {
				each(lostName(k), compute.Shape{b.Len}, func(data []float32) error {
					for i, v := range data {
						lost[k][i] += v
					}
					return nil
				})
			}
		})
		if err := errors.Join(err, part.Close()); err != nil {
			return inFolder(c, err)
		}
	}
	for k := range lost {
		g.Sums[k].Restore(lost[k])
	}
	return nil
}

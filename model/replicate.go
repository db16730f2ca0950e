package model

import (
	"errors"

	"saltern/compute"
)

// Replicate gives newcomers among the ranks the weights and the optimizer's state of a trained model, which the one that gives reads, bucket
// by bucket. broadcast makes x on every rank what it is on that one. Of a sharded model no rank has all.
func (m *Model) Replicate(b compute.Backend, gives, takes bool, broadcast func(x []float32) error) error {
	if m.sharded {
		return errors.New("bug: a sharded model cannot be handed to other ranks")
	}
	for _, k := range m.Buckets {
		data := make([]float32, k.Len)
		for _, s := range []*compute.Storage{k.P, k.Mean, k.MeanSq} {
			if gives {
				if err := b.Read(k.flat(s), data); err != nil {
					return err
				}
			}
			if err := broadcast(data); err != nil {
				return err
			}
			if takes {
				if err := b.Write(k.flat(s), data); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

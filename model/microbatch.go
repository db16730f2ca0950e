package model

import (
	"fmt"

	"saltern/compute"
)

// maxMicrobatchTokens bounds a chosen microbatch: beyond it a device gains nothing and only the arena grows.
const maxMicrobatchTokens = 16384

// ChooseMicrobatch is the largest divisor of the batch whose plan fits into memory bytes (0: unknown, all is taken to
// fit), of at most maxMicrobatchTokens tokens. A TrainConfig that names its microbatch is kept.
func ChooseMicrobatch(m *Model, c TrainConfig, memory int64, objectives ...Objective) (TrainConfig, error) {
	return ChooseShare(m, c, 1, memory, objectives...)
}

// unevenShare is how much more than its part of the batch a rank may have to take, where the ranks do not divide it.
const unevenShare = 1.25

// ChooseShare is ChooseMicrobatch for one of several ranks that share the batch, of which none takes much more than its part.
func ChooseShare(m *Model, c TrainConfig, ranks int, memory int64, objectives ...Objective) (TrainConfig, error) {
	if c.Microbatch > 0 {
		return c, nil
	}
	var smallest compute.Memory
	for b := c.Batch; b > 0; b-- {
		if c.Batch%b != 0 || b > 1 && (b*c.Sequence > maxMicrobatchTokens || float64(b*ceilDiv(c.Batch/b, ranks)) > unevenShare*float64(ceilDiv(c.Batch, ranks))) {
			continue
		}
		c.Microbatch = b
		t, err := Programs(m, c, objectives...)
		if err != nil {
			return c, err
		}
		if smallest = t.Memory; memory == 0 || smallest.Total() <= memory {
			return c, nil
		}
	}
	return c, fmt.Errorf("even one sequence at a time needs %s (%s of weights and optimizer state), the device has %s; use a smaller model or a shorter sequence",
		compute.Bytes(smallest.Total()), compute.Bytes(smallest.State), compute.Bytes(memory))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

package model

import (
	"saltern/compute"
)

// The precisions of a training. Weights, optimizer and every sum are float32 in all of them; the 16-bit ones round what goes
// into matrix products (Micikevicius et al. 2017, arXiv 1710.03740).
const (
	Auto     = "auto"
	Float32  = "float32"
	Float16  = "float16"
	BFloat16 = "bfloat16"
)

var precisions = map[string]compute.DType{Auto: compute.F32, Float32: compute.F32, Float16: compute.F16, BFloat16: compute.BF16}

// OnDevice settles what "auto" leaves open: the 16-bit type that the device has matrix units for, bfloat16 before float16 as
// it needs no loss scale; float32 on a device without, or on a CPU, whose units do not pay.
func (c TrainConfig) OnDevice(l *compute.Limits) TrainConfig {
	if c.Precision != Auto {
		return c
	}
	c.Precision = Float32
	if l.CPU {
		return c
	}
	for _, t := range []string{Float16, BFloat16} {
		for _, m := range l.Matrices {
			if m.In == precisions[t] {
				c.Precision = t
			}
		}
	}
	return c
}

// DType is the type of what goes into matrix products, once "auto" is settled.
func (c TrainConfig) DType() compute.DType { return precisions[c.Precision] }

// LossScale multiplies the loss's gradient before it is rounded to float16, whose smallest number is 6e-8, and is divided
// out in float32 where the weights are updated. It is a power of two, so that it changes no other bit. It halves with every
// step whose gradient overflowed, which is skipped, and doubles after growAfter steps that did not.
type LossScale struct {
	Value float64 `json:"value"`
	Good  int     `json:"good"` // steps since it last changed
}

// Gradients are summed over the tokens, not averaged, and so start larger than the usual scales assume.
const (
	firstLossScale = 1 << 8
	mostLossScale  = 1 << 24
	leastLossScale = 1.0 / (1 << 24)
	growAfter      = 2000
)

// newLossScale is what a training of that precision begins with: 1 unless it is float16.
func newLossScale(precision string) LossScale {
	if precision == Float16 {
		return LossScale{Value: firstLossScale}
	}
	return LossScale{Value: 1}
}

// after is the scale for the step after one that did or did not overflow.
func (s LossScale) after(overflow bool) LossScale {
	switch {
	case overflow:
		return LossScale{Value: max(s.Value/2, leastLossScale)}
	case s.Good+1 == growAfter:
		return LossScale{Value: min(2*s.Value, mostLossScale)}
	}
	return LossScale{s.Value, s.Good + 1}
}

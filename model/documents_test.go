package model

import (
	"math"
	"testing"

	"saltern/compute"
)

// packed is a sequence of three documents, each after the id 0, and the end of another before them.
var packed = []uint32{5, 3, 0, 7, 7, 9, 0, 4, 0, 11, 5, 3, 2}

// segments are where its documents begin, and where the last ends.
var segments = []int{0, 2, 6, 8, 12}

// documentFill gives a batch of one sequence: the packed one, or where alone is not negative that document of it, at the beginning.
func documentFill(alone int) Fill {
	return func(_ int, ids, labels []uint32) error {
		from, to := 0, len(packed)-1
		if alone >= 0 {
			from, to = segments[alone], segments[alone+1]
		}
		for i := range ids {
			ids[i], labels[i] = 0, compute.Masked
			if from+i < to {
				ids[i], labels[i] = packed[from+i], packed[from+i+1]
			}
		}
		return nil
	}
}

// TestPackedDocuments: documents packed into a sequence have, in float64, the loss and the gradient that they have alone, whatever their
// positions in it; without masks they have not.
func TestPackedDocuments(t *testing.T) {
	for _, masks := range []bool{true, false} {
		b := compute.NewReference()
		tc := tinyTraining()
		tc.Batch, tc.Microbatch, tc.Sequence, tc.DocumentMasks = 1, 1, len(packed)-1, masks
		m, trainer := loaded(t, b, tiny(false), tc)
		sums := func(alone int) (nll float64, gradient []float64) {
			for _, k := range m.Buckets {
				clear(b.Float64(k.flat(k.Grad)))
			}
			if _, err := trainer.accumulate(trainer.micro[0], 1, 1, 0, 1, documentFill(alone)); err != nil {
				t.Fatal(err)
			}
			for _, k := range m.Buckets {
				gradient = append(gradient, b.Float64(k.flat(k.Grad))...)
			}
			return b.Float64(trainer.stats)[compute.StatNLL], gradient
		}
		together, gradient := sums(-1)
		apart, sum := 0.0, make([]float64, len(gradient))
		for i := range len(segments) - 1 {
			nll, g := sums(i)
			apart += nll
			for j := range g {
				sum[j] += g[j]
			}
		}
		var difference, size float64
		for i := range sum {
			difference, size = math.Max(difference, math.Abs(sum[i]-gradient[i])), math.Max(size, math.Abs(sum[i]))
		}
		same := math.Abs(together-apart) < 1e-9*apart && difference < 1e-7*size
		if same != masks {
			t.Errorf("masks %v: loss %.12f packed, %.12f alone; gradients of up to %g differ by %g", masks, together, apart, size, difference)
		}
	}
}

// TestGradientOfDocuments compares the gradient of the whole model on packed documents with central finite differences.
func TestGradientOfDocuments(t *testing.T) {
	b := compute.NewReference()
	tc := tinyTraining()
	tc.Batch, tc.Microbatch, tc.Sequence, tc.DocumentMasks = 1, 1, len(packed)-1, true
	m, trainer := loaded(t, b, tiny(true), tc)
	if _, err := trainer.accumulate(trainer.micro[0], 1, 1, 0, 1, documentFill(-1)); err != nil {
		t.Fatal(err)
	}
	checkGradient(t, b, m, 4, func() float64 {
		if _, err := trainer.Evaluate(1, documentFill(-1)); err != nil {
			t.Fatal(err)
		}
		return b.Float64(trainer.stats)[compute.StatNLL]
	})
}

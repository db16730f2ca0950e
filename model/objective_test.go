package model

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
	"saltern/model/token"
	"saltern/model/ul2"
)

// denoisingTokens are the special ids above a text of ids below 24, for a model of 130.
var denoisingTokens = token.Denoising{Prefix: 24, Infill: 25, Sentinel: 26}

func tinyDenoiser() (Config, TrainConfig) {
	c, tc := tiny(true), tinyTraining()
	c.Vocab, c.Context, tc.Sequence, tc.Objective = 130, 18, 17, UL2
	return c, tc
}

// denoisingFill gives a microbatch random text by the denoisers in turn, so that sequences predict very different numbers of tokens.
func denoisingFill(trainer *Trainer, step int64) Fill {
	return func(first int, ids, labels []uint32) error {
		T, m := trainer.T, ul2.Mixture{Seed: 3, Tokens: denoisingTokens}
		for b := range trainer.B {
			number := step*100 + int64(first+b)
			rng, text := rand.New(rand.NewPCG(8, uint64(number))), make([]uint32, T+1)
			for i := range text {
				text[i] = uint32(rng.IntN(24))
			}
			m.MakeBy(ul2.Denoisers[number%3], number, text, ul2.Example{IDs: ids[b*T : (b+1)*T], Labels: labels[b*T : (b+1)*T], Seen: trainer.Seen[2*b*T : 2*(b+1)*T]})
		}
		return nil
	}
}

// TestGradientOfDenoising compares the gradient of the whole model on masked sequences with central finite differences.
func TestGradientOfDenoising(t *testing.T) {
	b := compute.NewReference()
	c, tc := tinyDenoiser()
	tc.Microbatch = tc.Batch
	m, trainer := loaded(t, b, c, tc)
	fill := denoisingFill(trainer, 0)
	loss := func() float64 {
		if _, err := trainer.Evaluate(tc.Batch, fill); err != nil {
			t.Fatal(err)
		}
		return b.Float64(trainer.stats)[compute.StatNLL]
	}
	if _, err := trainer.accumulate(trainer.micro[0], tc.Batch, 1, 0, 1, fill); err != nil {
		t.Fatal(err)
	}
	checkGradient(t, b, m, 4, loss)
}

// TestMicrobatchesOfDenoising: however a batch is cut, loss and gradient are the mean over all of its tokens that are predicted, of
// which one sequence has many and another few.
func TestMicrobatchesOfDenoising(t *testing.T) {
	b := compute.NewReference()
	c, tc := tinyDenoiser()
	var want Step
	var mean []float64
	for _, microbatch := range []int{4, 2, 1} {
		tc.Microbatch = microbatch
		m, trainer := loaded(t, b, c, tc)
		got, err := trainer.Step(0, 0, 0, 1, denoisingFill(trainer, 0))
		if err != nil {
			t.Fatal(err)
		}
		moments := append([]float64(nil), b.Float64(m.Buckets[0].flat(m.Buckets[0].Mean))...)
		if microbatch == 4 {
			want, mean = got, moments
			if n := got.Tokens; n == int64(4*tc.Sequence) || n < 2*int64(tc.Sequence) {
				t.Fatalf("%d tokens are predicted", n)
			}
			continue
		}
		if got.Tokens != want.Tokens || math.Abs(got.NLL-want.NLL) > 1e-6 || math.Abs(got.Norm-want.Norm) > 1e-6*want.Norm {
			t.Errorf("%d sequences at a time: %+v, all at once %+v", microbatch, got, want)
		}
		for i := range mean {
			if math.Abs(moments[i]-mean[i]) > 1e-6*math.Max(1e-3, math.Abs(mean[i])) {
				t.Fatalf("%d sequences at a time: gradient %d is %g, all at once %g", microbatch, i, moments[i], mean[i])
			}
		}
	}
}

// TestDeviceFollowsReferenceInDenoising trains the same steps on the device and in float64.
func TestDeviceFollowsReferenceInDenoising(t *testing.T) {
	d, r := computetest.Device(t), compute.NewReference()
	c, tc := tinyDenoiser()
	_, td := loaded(t, d, c, tc)
	_, tr := loaded(t, r, c, tc)
	for step := range int64(3) {
		a, err := td.Step(step, 0, 0, 1, denoisingFill(td, step))
		if err != nil {
			t.Fatal(err)
		}
		b, err := tr.Step(step, 0, 0, 1, denoisingFill(tr, step))
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(a.NLL-b.NLL) > 1e-4*b.NLL || math.Abs(a.Norm-b.Norm) > 1e-3*b.Norm || a.Tokens != b.Tokens || a.Skipped || b.Skipped {
			t.Errorf("step %d: device %+v, reference %+v", step, a, b)
		}
	}
}

// TestModelCannotPeek: the loss of each predicted token, one at a time, does not change with the tokens from it on, and does change
// with every token before it that is not padding.
func TestModelCannotPeek(t *testing.T) {
	b := compute.NewReference()
	c, tc := tinyDenoiser()
	tc.Microbatch = 1
	_, trainer := loaded(t, b, c, tc)
	for number := range int64(3) {
		whole := denoisingFill(trainer, 0)
		loss := func(row, changed int) float64 {
			if _, err := trainer.Evaluate(1, func(_ int, ids, labels []uint32) error {
				if err := whole(int(number), ids, labels); err != nil {
					return err
				}
				for i := range labels {
					if i != row {
						labels[i] = compute.Masked
					}
				}
				if changed >= 0 {
					ids[changed] = (ids[changed] + 1) % 24
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return b.Float64(trainer.stats)[compute.StatNLL]
		}
		ids, labels := make([]uint32, trainer.T), make([]uint32, trainer.T)
		if err := whole(int(number), ids, labels); err != nil {
			t.Fatal(err)
		}
		for row, label := range labels {
			if label == compute.Masked {
				continue
			}
			want := loss(row, -1)
			for j := range labels {
				if got := loss(row, j); (got == want) != (j > row) {
					t.Errorf("%s: the loss of row %d is %v, and %v with another token in row %d", ul2.Denoisers[number], row, want, got, j)
				}
			}
		}
	}
}

// TestCausalWithinDenoising: a model that is trained on the mixture is evaluated on plain text as any other.
func TestCausalWithinDenoising(t *testing.T) {
	d := computetest.Device(t)
	c, tc := tinyDenoiser()
	m, trainer := loaded(t, d, c, tc)
	if _, err := trainer.Step(0, 0, 0, 1, denoisingFill(trainer, 0)); err != nil { // leaves its masks behind
		t.Fatal(err)
	}
	plain, err := NewEvaluator(m, 2, trainer.T)
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Load(d); err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	text := make(TokenSlice, 100)
	for i := range text {
		text[i] = uint32(i * 7 % 24)
	}
	want, err := plain.EvaluateText(context.Background(), text, 100)
	if err != nil {
		t.Fatal(err)
	}
	got, err := trainer.EvaluateText(context.Background(), text, 100)
	if err != nil {
		t.Fatal(err)
	}
	if got.Tokens != want.Tokens || math.Abs(got.NLL-want.NLL) > 1e-6*want.NLL {
		t.Errorf("evaluated to %+v, by an evaluator of its own %+v", got, want)
	}
}

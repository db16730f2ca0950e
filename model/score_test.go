package model

import (
	"context"
	"math"
	"slices"
	"testing"

	"saltern/compute"
	"saltern/compute/computetest"
)

// TestScorer holds the judgement of every token against the evaluator's statistics of the same text, which another kernel computes:
// the losses have its mean, and as many tokens as it calls right rank first; and the device against the reference.
func TestScorer(t *testing.T) {
	d, r := computetest.Device(t), compute.NewReference()
	c := tiny(false)
	const B, T = 3, 10
	var first []float32
	for _, b := range []compute.Backend{d, r} {
		m, _ := loaded(t, b, c, tinyTraining())
		s, err := NewScorer(m, NewTokens(B, T))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Load(b); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		e, err := NewEvaluator(m, 1, T)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Load(b); err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		text := make(TokenSlice, B*T+1)
		for i := range text {
			text[i] = uint32(i * i * 7 % c.Vocab)
		}
		loss, rank := make([]float32, B*T), make([]uint32, B*T)
		fill := func(_ int, ids, labels []uint32) error {
			copy(ids, text)
			copy(labels, text[1:])
			return nil
		}
		if err := s.Score(fill, loss, rank); err != nil {
			t.Fatal(err)
		}
		want, err := e.EvaluateText(context.Background(), text, int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		var sum, right float64
		for i, l := range loss {
			sum += float64(l)
			if rank[i] == 0 {
				right++
			}
			if int(rank[i]) >= c.Vocab {
				t.Errorf("token %d ranks %d in a vocabulary of %d", i, rank[i], c.Vocab)
			}
		}
		if got := sum / (B * T); math.Abs(got-want.NLL) > 1e-4*want.NLL || math.Abs(right/(B*T)-want.Accuracy) > 1e-6 || want.Tokens != B*T {
			t.Errorf("mean loss %g and %g right, the evaluator says %g and %g of %d", got, right/(B*T), want.NLL, want.Accuracy, want.Tokens)
		}
		if first == nil {
			first = slices.Clone(loss)
		}
		for i := range loss {
			if math.Abs(float64(loss[i]-first[i])) > 1e-4 {
				t.Errorf("token %d has a loss of %g on the device, %g in the reference", i, first[i], loss[i])
			}
		}
		// A masked token has neither.
		mask := func(_ int, _, labels []uint32) error {
			labels[4] = compute.Masked
			return nil
		}
		if err := s.Score(mask, loss, rank); err != nil || loss[4] != 0 || rank[4] != compute.Masked {
			t.Errorf("a masked token has a loss of %g and rank %d, %v", loss[4], rank[4], err)
		}
	}
}

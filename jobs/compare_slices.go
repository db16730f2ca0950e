package jobs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"saltern/model"
)

// heldOut is held_out.json beside a finished training: the mean loss of each held-out sequence that the evaluations read.
type heldOut struct {
	Sequence int       `json:"sequence"` // T
	Asked    int64     `json:"eval_tokens"`
	Tokens   []int     `json:"tokens"`
	Loss     []float64 `json:"loss_nats"`
}

// heldOut measures a finished model on each held-out sequence of the job's LLM, where that is not done yet. nil: the model's
// context is too short for them.
func (c *comparison) heldOut(ctx context.Context, t *compared) (*heldOut, error) {
	train := c.job.LLM.Train
	if t.Model.Context < train.Sequence {
		return nil, nil
	}
	path := filepath.Join(t.dir, "held_out.json")
	var h heldOut
	if err := readJSON(path, &h, "remove it to measure anew"); err != nil {
		return nil, err
	}
	if h.Sequence == train.Sequence && h.Asked == train.EvalTokens {
		return &h, nil
	}
	h = heldOut{Sequence: train.Sequence, Asked: train.EvalTokens}
	m, _, err := model.Load(c.s.device, t.checkpoints(), t.name)
	if err != nil {
		return nil, badCheckpoint(err, "")
	}
	defer c.s.device.Free(m.Storages()...)
	m.Precision = t.Train.DType()
	scorer, err := model.NewScorer(m, readTokens(t.Train, t.Train.Microbatch, train.Sequence))
	if err != nil {
		return nil, err
	}
	if err := c.s.tuner.Tune(ctx, scorer.Program()); err != nil {
		return nil, err
	}
	if err := scorer.Load(c.s.device); err != nil {
		return nil, err
	}
	defer scorer.Close()
	if h.Loss, h.Tokens, err = scorer.ScoreText(ctx, c.s.set.HeldOut, train.EvalTokens); err != nil {
		return nil, fmt.Errorf("%s: while its held-out loss was measured: %w", t.label, err)
	}
	return &h, writeJSON(path, h)
}

// slices gives the loss, in nats per token, on the easy, medium and hard third of the sequences by the judge's loss.
func (h *heldOut) slices(judge *heldOut) [3]float64 {
	if h == nil || judge == nil || len(h.Loss) != len(judge.Loss) {
		return [3]float64{math.NaN(), math.NaN(), math.NaN()}
	}
	rank := make([]int, len(h.Loss))
	for i := range rank {
		rank[i] = i
	}
	slices.SortStableFunc(rank, func(a, b int) int { return cmp.Compare(judge.Loss[a], judge.Loss[b]) })
	var out [3]float64
	for third := range out {
		sum, tokens := 0.0, 0
		for _, i := range rank[third*len(rank)/3 : (third+1)*len(rank)/3] {
			sum, tokens = sum+h.Loss[i]*float64(h.Tokens[i]), tokens+h.Tokens[i]
		}
		out[third] = sum / float64(tokens) // NaN of none
	}
	return out
}

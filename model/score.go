package model

import (
	"context"

	"saltern/compute"
)

// Scorer judges text token by token on one backend, B sequences of T tokens at a time.
type Scorer struct {
	pass
	Model *Model
	nll   *compute.Tensor // Host [N]
	rank  *compute.Tensor // Host [N] uint32
}

// NewScorer records the forward pass in the model's precision and what is to be known of each of the tokens.
func NewScorer(m *Model, tokens *Tokens) (*Scorer, error) {
	b, t := tokens.B, tokens.T
	nll, rank := host("nll", b*t), compute.NewTensor(compute.Host, "rank", compute.U32, b*t)
	s := &Scorer{pass: newPass(tokens, nll, rank), Model: m, nll: nll, rank: rank}
	return s, s.record(func(r *compute.Recorder) {
		r.LinearRank(compute.RankInputs{
			Hidden: m.Hidden(r, s.tokens), Weight: m.Head(), Labels: s.tokens.Labels, Precision: m.Precision, NLL: nll, Rank: rank,
		})
	})
}

// Score gives the loss -log q(y) of each of B T tokens, in nats, and y's rank, how many tokens are likelier; of a masked one 0 and
// compute.Masked. fill is called once, with first = 0.
func (s *Scorer) Score(fill Fill, loss []float32, rank []uint32) error {
	if err := s.read(fill, 0); err != nil {
		return err
	}
	if err := s.exe.Run(); err != nil {
		return err
	}
	if err := s.backend.Read(s.nll, loss); err != nil {
		return err
	}
	return s.backend.ReadU32(s.rank, rank)
}

// ScoreText gives the mean loss, in nats per token, of each of the sequences that EvaluateText reads, and how many tokens it has.
func (s *Scorer) ScoreText(ctx context.Context, text Text, tokens int64) (loss []float64, count []int, err error) {
	n, fill := spread(ctx, text, tokens, int64(s.T))
	nll, rank := make([]float32, s.B*s.T), make([]uint32, s.B*s.T)
	for first := 0; first < n; first += s.B {
		err := s.Score(func(_ int, ids, labels []uint32) error { return fill(first, ids, labels) }, nll, rank)
		if err != nil {
			return nil, nil, err
		}
		for i := range min(s.B, n-first) {
			sum, tokens := 0.0, 0
			for t := i * s.T; t < (i+1)*s.T; t++ {
				if rank[t] != compute.Masked {
					sum, tokens = sum+float64(nll[t]), tokens+1
				}
			}
			loss, count = append(loss, sum/float64(tokens)), append(count, tokens)
		}
	}
	return loss, count, nil
}

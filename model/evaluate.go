package model

import (
	"context"
	"fmt"

	"saltern/compute"
)

// Stats are the sums of a step's or an evaluation's per-token statistics, divided by the tokens; nats.
type Stats struct {
	Tokens   int64      // that counted
	NLL      float64    // -log p(y)
	KD       float64    // CE(q, p); zero without a teacher, as are the next two
	Teacher  float64    // -log q(y)
	Entropy  float64    // of q
	Accuracy float64    // share of tokens whose most likely prediction is right
	Witness  [2]float64 // p(S) - 1{y in S} and p(S) - q(S), S = {v: p(v) > q(v)}
}

// Evaluator measures a model's loss on one backend, B sequences of T tokens at a time.
type Evaluator struct {
	pass
	Model *Model
	loss  *compute.Tensor // Host [4]: gradient scale, w, 1/T
	stats *compute.Tensor // Host [8]: sums over the tokens of a microbatch
	ranks *Ranks          // that share the microbatches; nil: all are this one's
}

// NewEvaluator records the forward pass and its loss.
func NewEvaluator(m *Model, b, t int) (*Evaluator, error) { return newEvaluator(m, NewTokens(b, t)) }

func newEvaluator(m *Model, tokens *Tokens) (*Evaluator, error) {
	loss, stats := host("loss_params", 4), host("loss_stats", compute.StatsColumns)
	e := &Evaluator{pass: newPass(tokens, loss, stats), Model: m, loss: loss, stats: stats}
	return e, e.record(func(r *compute.Recorder) {
		r.SumInto(stats, Plain(r, m, m.Hidden(r, e.tokens), e.tokens, loss, false))
	})
}

// Fill gives a microbatch its tokens: sequences first to first+B of the step's batch, N ids and N labels.
type Fill func(first int, ids, labels []uint32) error

// Text is a run of token ids to evaluate on.
type Text interface {
	Len() int64
	Tokens(at int64, dst []uint32) error
}

// TokenSlice is a Text in memory.
type TokenSlice []uint32

// Len is the number of tokens.
func (s TokenSlice) Len() int64 { return int64(len(s)) }

// Tokens copies the ids from position at on.
func (s TokenSlice) Tokens(at int64, dst []uint32) error {
	copy(dst, s[at:])
	return nil
}

// EvaluateText gives the model's statistics on about that many tokens of a text, at most all, in sequences spread evenly
// over it: the first documents of a text are seldom like the rest. A whole text includes what is left over after its last
// whole sequence. Every token is predicted from those before it in its sequence.
func (e *Evaluator) EvaluateText(ctx context.Context, text Text, tokens int64) (Stats, error) {
	n, fill := spread(ctx, text, tokens, int64(e.T))
	return e.accumulate(e.exe, n, 1, 0, 1, fill)
}

// spread chooses the sequences of T tokens that EvaluateText reads, n of them, and reads them.
func spread(ctx context.Context, text Text, tokens, T int64) (sequences int, fill Fill) {
	end := text.Len() - 1 // each token but the first can be predicted
	all := (end + T - 1) / T
	n := min(all, max(1, tokens/T))
	if tokens >= end {
		n = all
	}
	buf := make([]uint32, T+1)
	return int(n), func(first int, ids, labels []uint32) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range len(ids) / int(T) {
			var count int64 // beyond the last sequence nothing counts
			if k := int64(first + i); k < n {
				at := k * all / n * T
				count = min(T, end-at)
				if err := text.Tokens(at, buf[:count+1]); err != nil {
					return err
				}
			}
			row, want := ids[int64(i)*T:int64(i+1)*T], labels[int64(i)*T:int64(i+1)*T]
			for j := range row {
				row[j], want[j] = 0, compute.Masked
				if int64(j) < count {
					row[j], want[j] = buf[j], buf[j+1]
				}
			}
		}
		return nil
	}
}

// Evaluate gives the model's statistics on sequences that fill makes, at most B at a time; where there are fewer in the last microbatch,
// fill masks the rest.
func (e *Evaluator) Evaluate(sequences int, fill Fill) (Stats, error) {
	return e.accumulate(e.exe, sequences, 1, 0, 1, fill)
}

// accumulate runs a program over sequences, shared among the ranks, and adds up its statistics; scale multiplies the gradient.
func (e *Evaluator) accumulate(x compute.Executable, sequences int, scale, w, temperature float64, fill Fill) (Stats, error) {
	sums, err := e.sums(func(bool) error { return x.Run() }, sequences, scale, w, temperature, fill)
	if err == nil {
		err = e.ranks.sum(sums)
	}
	if err != nil {
		return Stats{}, err
	}
	return newStats(sums)
}

// sums runs the rank's share of the microbatches, the last one so named, and gives the sums of their statistics.
func (e *Evaluator) sums(run func(last bool) error, sequences int, scale, w, temperature float64, fill Fill) ([]float64, error) {
	sums := make([]float64, compute.StatsColumns)
	if err := e.backend.Write(e.loss, []float32{float32(scale), float32(w), float32(1 / temperature), 0}); err != nil {
		return nil, err
	}
	var got [compute.StatsColumns]float32
	first, end := e.ranks.share(ceilDiv(sequences, e.B))
	for i := first; i < end; i++ {
		if err := e.read(fill, i*e.B); err != nil {
			return nil, err
		}
		// Sums start anew for each microbatch: float32 would lose low bits over a long evaluation.
		clear(got[:])
		if err := e.backend.Write(e.stats, got[:]); err != nil {
			return nil, err
		}
		if err := run(i == end-1); err != nil {
			return nil, err
		}
		if err := e.backend.Read(e.stats, got[:]); err != nil {
			return nil, err
		}
		for i, v := range got {
			sums[i] += float64(v)
		}
	}
	return sums, nil
}

// newStats are the means of summed statistics.
func newStats(sums []float64) (Stats, error) {
	n := sums[compute.StatCount]
	if n == 0 {
		return Stats{}, fmt.Errorf("a batch without a single token that counts")
	}
	return Stats{
		Tokens: int64(n), NLL: sums[compute.StatNLL] / n, KD: sums[compute.StatCE] / n, Teacher: sums[compute.StatTeacherNLL] / n,
		Entropy: sums[compute.StatEntropy] / n, Accuracy: sums[compute.StatCorrect] / n,
		Witness: [2]float64{sums[compute.StatDataWitness] / n, sums[compute.StatTotalVariation] / n},
	}, nil
}

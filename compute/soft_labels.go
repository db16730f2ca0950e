package compute

import "fmt"

// SoftLabelInputs is what sparse soft labels are made from. N tokens, D the teacher's width, V vocabulary.
type SoftLabelInputs struct {
	Hidden *Tensor // [N,D], the teacher's last hidden states
	Weight *Tensor // [V,D], its output projection
	Labels *Tensor // [N] uint32, as for LinearLoss
	// Sharpness is [1], 1/T: the temperature divides the teacher's logits. The host sets it before a run.
	Sharpness *Tensor
	// Keep is how many ids are kept of each token: the most likely ones, or as many draws.
	Keep int
	// Index [N] and Seed [4], both uint32, ask for draws: a token's number, which with the seed decides what is drawn. Both
	// nil: the most likely ids.
	Index, Seed *Tensor
	// Into receives the result; nil: temporaries do.
	Into *SoftLabels
	// Chunk is how many tokens have logits at a time, a multiple of 64; 0 chooses. It changes no result.
	Chunk int
}

// SoftLabels is what a teacher has to say of N tokens, K numbers of each instead of V; q is its distribution at T.
type SoftLabels struct {
	// IDs is [N,K] uint32 and Q [N,K]. The most likely ids, the most likely first, and their q; or the distinct ids drawn, in
	// ascending order, and how often each was drawn over K, then Masked and 0.
	IDs, Q *Tensor
	Tail   *Tensor // [N], the mass of all other ids; nil with draws, whose Q sum to 1
	Stats  *Tensor // [N,LabelColumns]
	Rank   *Tensor // [N] uint32, how many ids are likelier than the label, or as likely and lower; Masked where that is
}

// NewSoftLabels declares State or Host memory for the soft labels of n tokens; drawn as SoftLabelInputs.Index says.
func NewSoftLabels(kind Kind, n, keep int, drawn bool) *SoftLabels {
	l := &SoftLabels{
		IDs: NewTensor(kind, "soft_ids", U32, n, keep), Q: NewTensor(kind, "soft_q", F32, n, keep),
		Stats: NewTensor(kind, "label_stats", F32, n, LabelColumns), Rank: NewTensor(kind, "label_rank", U32, n),
	}
	if !drawn {
		l.Tail = NewTensor(kind, "soft_tail", F32, n)
	}
	return l
}

// SoftLabels records output projection, softmax at a temperature and the choice of ids for all tokens: sparse soft labels. The
// logits, tokens x vocabulary, exist for one chunk of tokens at a time, and the distribution overwrites them.
func (r *Recorder) SoftLabels(in SoftLabelInputs) *SoftLabels {
	chunk, err := in.check()
	if err != nil {
		r.Fail(fmt.Errorf("bug: %s: soft labels of %v by %v: %w", caller(), in.Hidden, in.Weight, err))
		return NewSoftLabels(Temp, 0, in.Keep, in.Index != nil)
	}
	n, out := in.Hidden.Shape[0], in.Into
	if out == nil {
		out = NewSoftLabels(Temp, n, in.Keep, in.Index != nil)
	}
	for i := 0; i < n; i += chunk {
		j := min(n, i+chunk)
		q := r.MatMul(in.Hidden.Rows(i, j), in.Weight, NT)
		r.Record("softmax", softmaxRows{Stats: true}, []*Tensor{q, in.Sharpness, in.Labels.Rows(i, j)}, q, out.Stats.Rows(i, j), out.Rank.Rows(i, j))
		if in.Index != nil {
			r.Record("sample", sample{in.Keep}, []*Tensor{q, in.Index.Rows(i, j), in.Seed}, out.IDs.Rows(i, j), out.Q.Rows(i, j))
		} else {
			r.Record("top_k", topK{in.Keep}, []*Tensor{q}, out.IDs.Rows(i, j), out.Q.Rows(i, j), out.Tail.Rows(i, j))
		}
	}
	return out
}

// check holds the inputs against each other, where an operation would not, and gives the number of tokens in a chunk.
func (in SoftLabelInputs) check() (int, error) {
	if in.Hidden == nil || in.Weight == nil || in.Labels == nil || in.Sharpness == nil {
		return 0, fmt.Errorf("hidden states, weight, labels and 1/T are all needed")
	}
	if len(in.Hidden.Shape) != 2 || len(in.Weight.Shape) != 2 {
		return 0, fmt.Errorf("wants [N,D] and [V,D]")
	}
	n, d, v := in.Hidden.Shape[0], in.Hidden.Shape[1], in.Weight.Shape[0]
	switch {
	case !in.Labels.Shape.Equal(Shape{n}):
		return 0, fmt.Errorf("labels are %v, not [%d]", in.Labels, n)
	case (in.Index == nil) != (in.Seed == nil):
		return 0, fmt.Errorf("draws need the tokens' numbers and a seed")
	case in.Index != nil && !in.Index.Shape.Equal(Shape{n}):
		return 0, fmt.Errorf("the tokens' numbers are %v, not [%d]", in.Index, n)
	}
	if err := in.Into.check(n, in.Keep, in.Index != nil); err != nil {
		return 0, err
	}
	return chunkOf(in.Chunk, n, d, v)
}

// check says whether there is room for the soft labels of n tokens; nil is room enough.
func (l *SoftLabels) check(n, keep int, drawn bool) error {
	if l == nil {
		return nil
	}
	if l.IDs == nil || l.Q == nil || l.Stats == nil || l.Rank == nil || (l.Tail == nil) != drawn {
		return fmt.Errorf("soft labels have ids, q, stats and ranks, and a tail unless they are drawn")
	}
	for _, t := range []*Tensor{l.IDs, l.Q, l.Stats, l.Rank, l.Tail} {
		if t != nil && t.Shape[0] != n {
			return fmt.Errorf("%v does not hold %d tokens", t, n)
		}
	}
	return nil
}

package compute

import "fmt"

// LossInputs is what the loss of a language model is computed from. N tokens, D width, V vocabulary.
type LossInputs struct {
	Hidden *Tensor // [N,D], the last hidden states
	Weight *Tensor // [V,D], the output projection; it may be the embedding table too
	Labels *Tensor // [N] uint32; Masked, or any other id of V or more, counts for nothing
	// Params is [4]: what multiplies the gradient (loss scale / tokens), w, 1/T, 0. The host sets it before a run, so that
	// the distillation weight changes without a new recording.
	Params *Tensor
	// TeacherHidden [N,Dt] and TeacherWeight [V,Dt] give the teacher's logits; both nil without distillation.
	TeacherHidden, TeacherWeight *Tensor
	// Soft, in place of the teacher itself, is what it has to say of each token: IDs, ascending, then Masked, their Q, which sum to
	// 1, and Stats; the others are not looked at. With Ghost, what Q lacks of 1 is the mass of all other ids together, and so are
	// they for the student: the loss tells none of them apart (arXiv 2503.16870).
	Soft  *SoftLabels
	Ghost bool
	// Policy [PolicyLen] gives each token a weight of its own in place of Params[1], by its teacher's entropy; nil: all have the same.
	Policy *Tensor
	// Witness [N,WitnessColumns] receives what is to be known of each token beside the stats; it goes with a Policy.
	Witness *Tensor
	// Gradient asks for the gradient too; without it only the stats are computed, as in an evaluation.
	Gradient bool
	// Stats receives the result, [N,StatsColumns]; nil: a temporary does.
	Stats *Tensor
	// Precision is what the products take in: F32, or a 16-bit type. Logits and their gradient are float32 in each.
	Precision DType
	// Chunk is how many tokens have logits at a time, a multiple of 64; 0 chooses.
	Chunk int
}

// LinearLoss records output projection, softmax, cross entropy and distillation of all tokens, and gives what is to be
// known of each token (StatsColumns). The loss of a token is (1-w) StatNLL + w StatCE.
//
// With Gradient, Backward starts from here: the gradient at Hidden is seeded and the one of Weight, if it is tracked, is
// added to its place. Both carry Params[0]; the teacher gets none. The logits, tokens x vocabulary, exist for one chunk
// of tokens at a time, and their gradient overwrites them (arXiv 2410.10989).
func (r *Recorder) LinearLoss(in LossInputs) *Tensor {
	chunk, err := in.check()
	if err != nil {
		r.Fail(fmt.Errorf("bug: %s: the loss of %v by %v: %w", caller(), in.Hidden, in.Weight, err))
		return r.Temp("stats", 0, StatsColumns)
	}
	n := in.Hidden.Shape[0]
	stats, dHidden := in.Stats, (*Tensor)(nil)
	if stats == nil {
		stats = r.Temp("stats", n, StatsColumns)
	}
	if in.Gradient {
		dHidden = r.Temp("dhidden", in.Hidden.Shape...)
	}
	narrow := in
	narrow.Hidden, narrow.Weight = r.Cast(in.Hidden, in.Precision), r.Cast(in.Weight, in.Precision)
	if in.TeacherHidden != nil {
		narrow.TeacherHidden, narrow.TeacherWeight = r.Cast(in.TeacherHidden, in.Precision), r.Cast(in.TeacherWeight, in.Precision)
	}
	for i := 0; i < n; i += chunk {
		r.chunkLoss(narrow, r.tracked[in.Weight], stats, dHidden, i, min(n, i+chunk))
	}
	if in.Gradient {
		r.Seed(in.Hidden, dHidden)
	}
	return stats
}

// chunkLoss is LinearLoss of tokens i to j, its inputs in the precision of the products; dWeight is nil or where the
// weight's gradient is added.
func (r *Recorder) chunkLoss(in LossInputs, dWeight, stats, dHidden *Tensor, i, j int) {
	hidden := in.Hidden.Rows(i, j)
	logits := r.MatMul(hidden, in.Weight, NT)
	args := []*Tensor{logits, in.Labels.Rows(i, j), in.Params}
	attr, out := softmaxLoss{in.teacher(), in.Gradient, in.Policy != nil}, []*Tensor{stats.Rows(i, j)}
	switch {
	case attr.Teacher == logitsTeacher:
		args = append(args, r.MatMul(in.TeacherHidden.Rows(i, j), in.TeacherWeight, NT))
	case attr.Teacher.sparse():
		args = append(args, in.Soft.IDs.Rows(i, j), in.Soft.Q.Rows(i, j), in.Soft.Stats.Rows(i, j))
	}
	if in.Gradient {
		out = append(out, logits)
	}
	if attr.Witness {
		args, out = append(args, in.Policy), append(out, in.Witness.Rows(i, j))
	}
	r.Record("softmax_loss", attr, args, out...)
	if !in.Gradient {
		return
	}
	g := r.Cast(logits, in.Precision)
	r.matmulInto(dHidden.Rows(i, j), g, in.Weight, NN)
	if dWeight != nil {
		r.Accumulate(dWeight, r.MatMul(g, hidden, TN))
	}
}

// teacher is the form in which the teacher is known.
func (in LossInputs) teacher() teacherForm {
	switch {
	case in.Soft != nil && in.Ghost:
		return ghostTeacher
	case in.Soft != nil:
		return sparseTeacher
	case in.TeacherHidden != nil:
		return logitsTeacher
	}
	return noTeacher
}

// check holds the inputs against each other, where an operation would not or would say it less clearly, and gives the
// number of tokens in a chunk.
func (in LossInputs) check() (int, error) {
	if in.Hidden == nil || in.Weight == nil || in.Labels == nil || in.Params == nil {
		return 0, fmt.Errorf("hidden states, weight, labels and parameters are all needed")
	}
	if len(in.Hidden.Shape) != 2 || len(in.Weight.Shape) != 2 || in.Hidden.Shape[1] != in.Weight.Shape[1] {
		return 0, fmt.Errorf("wants [N,D] and [V,D]")
	}
	n, d, v := in.Hidden.Shape[0], in.Hidden.Shape[1], in.Weight.Shape[0]
	if !in.Labels.Shape.Equal(Shape{n}) {
		return 0, fmt.Errorf("labels are %v, not [%d]", in.Labels, n)
	}
	if in.Stats != nil && !in.Stats.Shape.Equal(Shape{n, StatsColumns}) {
		return 0, fmt.Errorf("stats are %v, not [%d,%d]", in.Stats, n, StatsColumns)
	}
	if t, w := in.TeacherHidden, in.TeacherWeight; t != nil || w != nil {
		switch {
		case t == nil || w == nil:
			return 0, fmt.Errorf("a teacher has hidden states and a weight")
		case len(t.Shape) != 2 || len(w.Shape) != 2 || t.Shape[0] != n || w.Shape[0] != v || t.Shape[1] != w.Shape[1]:
			return 0, fmt.Errorf("the teacher is %v by %v; wants [%d,Dt] by [%d,Dt]", t, w, n, v)
		}
	}
	if (in.Policy == nil) != (in.Witness == nil) || in.Witness != nil && !in.Witness.Shape.Equal(Shape{n, WitnessColumns}) {
		return 0, fmt.Errorf("a policy comes with a witness [%d,%d], not %v", n, WitnessColumns, in.Witness)
	}
	switch {
	case in.Soft == nil && in.Ghost:
		return 0, fmt.Errorf("a ghost is one of soft labels")
	case in.Soft == nil:
	case in.TeacherHidden != nil:
		return 0, fmt.Errorf("a teacher and its soft labels at once")
	case in.Soft.IDs == nil || in.Soft.Q == nil || in.Soft.Stats == nil:
		return 0, fmt.Errorf("soft labels have ids, q and stats")
	default:
		if err := checkSparse(n, in.Soft.IDs, in.Soft.Q, in.Soft.Stats); err != nil {
			return 0, err
		}
	}
	return chunkOf(in.Chunk, n, d, v)
}

// Bounds of a chunk, in tokens and elements. Each chunk reads and writes the weight's gradient once, which GPUs notice
// below about 1000 tokens; logits beyond the budget are memory better spent elsewhere.
const (
	minLossChunk  = 1024
	maxLossChunk  = 2048
	maxLossLogits = 64 << 20 / elementBytes
)

// chunkOf is the chunk that was asked for, or with 0 the one that lossChunk chooses.
func chunkOf(asked, n, d, v int) (int, error) {
	if asked < 0 || asked%alignElements != 0 {
		return 0, fmt.Errorf("a chunk of %d tokens; wants a multiple of %d", asked, alignElements)
	}
	if asked > 0 {
		return asked, nil
	}
	return lossChunk(n, d, v), nil
}

// lossChunk chooses how many tokens have logits at a time: enough for the traffic of the weight's gradient, more where the
// logits are no larger than the hidden states even so (C V = N D), fewer where they would be beyond the budget. It depends
// on the shapes alone: the chunks are the order in which the weight's gradient is summed, so they are part of the result.
func lossChunk(n, d, v int) int {
	c := alignElements
	for c < n && c < maxLossChunk && (c < minLossChunk || c*v < n*d) && 2*c*v <= maxLossLogits {
		c *= 2
	}
	return c
}

package compute

// Shapes of a model's training step as it is usual: tokens N in sequences of T, width D, vocabulary V.
const (
	typicalTokens, typicalSequence = 4096, 1024
	typicalWidth, typicalFFN       = 1024, 2816
	typicalVocab                   = 32000
)

// Typical records what the layers of a usual language model do in a training step with a teacher, with heads of 64 and of
// 128, in float32 and with 16-bit products and attention, and in an evaluation: shapes on which to look at kernels where
// there is no job. Nothing of it needs to fit a device.
func Typical() (*Program, error) {
	r := NewRecorder()
	const n, d, v = typicalTokens, typicalWidth, typicalVocab
	state := func(name string, shape ...int) *Tensor { return NewTensor(State, name, F32, shape...) }
	weight := func(name string, shape ...int) *Tensor {
		w := state(name, shape...)
		r.Track(w, state(name+".grad", shape...))
		return w
	}
	ids, order := NewTensor(Host, "ids", U32, n), NewTensor(Host, "order", U32, n)
	table := weight("table", v, d)
	x := r.Embed(table, ids, order)
	for _, head := range []int{64, 128} {
		a := Attention{Heads: d / head, KVHeads: d / head / 2, HeadSize: head, T: typicalSequence}
		qkv := r.MatMul(r.RMSNorm(x, weight("norm", d), 1e-5), weight("qkv", a.width(), d), NT)
		qkv = r.QKNorm(qkv, weight("q_norm", head), weight("k_norm", head), QKNorm{a.Heads, a.KVHeads, 1e-6})
		o := r.Attention(r.Rope(qkv, Rope{Heads: a.Heads + a.KVHeads, HeadSize: head, T: a.T, Theta: 10000}), a)
		x = r.Add(x, r.MatMul(o, weight("out", d, d), NT))
		up := r.MatMul(r.RMSNorm(x, weight("norm", d), 1e-5), weight("up", 2*typicalFFN, d), NT)
		x = r.Add(x, r.MatMul(r.SwiGLU(up), weight("down", d, typicalFFN), NT))
	}
	for _, half := range []DType{F16, BF16} {
		normed := r.LayerNorm(x, weight("norm", d), weight("norm_bias", d), 1e-5)
		h := r.Product(MatMul{Form: NT, Bias: true, Act: GELU}, r.Cast(normed, half), r.Cast(weight("half", d, d), half), weight("bias", d))
		x = r.Add(x, r.MatMul(r.Cast(h, half), r.Cast(weight("half", d, d), half), NT))
		gated := r.Cast(r.SwiGLU(r.MatMul(x, weight("up", 2*typicalFFN, d), NT)), half)
		x = r.Add(x, r.MatMul(gated, r.Cast(weight("down", d, typicalFFN), half), NT))
		a := Attention{Heads: d / 64, KVHeads: d / 128, HeadSize: 64, T: typicalSequence}
		qkv := r.Cast(r.MatMul(x, weight("qkv", a.width(), d), NT), half)
		x = r.Add(x, r.MatMul(r.Attention(qkv, a), weight("out", d, d), NT))
	}
	a := Attention{Heads: d / 64, KVHeads: d / 128, HeadSize: 64, T: typicalSequence}
	qkv := r.MatMul(r.LayerNorm(x, weight("norm", d), weight("norm.bias", d), 1e-5), weight("qkv", a.width(), d), NT)
	qkv = r.QKNorm(qkv, weight("q_norm", 64), weight("k_norm", 64), QKNorm{Heads: a.Heads, KVHeads: a.KVHeads, Eps: 1e-6})
	x = r.Add(x, r.MatMul(r.Attention(qkv, a), weight("out", d, d), NT))
	labels, params := NewTensor(Host, "labels", U32, n), NewTensor(Host, "params", F32, 4)
	loss := LossInputs{Hidden: x, Weight: table, Labels: labels, Params: params}
	r.LinearLoss(loss) // an evaluation
	loss.Gradient = true
	r.LinearLoss(loss)
	teacher, teacherWeight := state("teacher", n, d/2), state("teacher.weight", v, d/2)
	loss.TeacherHidden, loss.TeacherWeight = teacher, teacherWeight
	r.LinearLoss(loss)
	loss.Policy, loss.Witness = NewTensor(Host, "policy", F32, PolicyLen), NewTensor(Host, "witness", F32, n, WitnessColumns)
	r.LinearLoss(loss)
	loss.Policy, loss.Witness, loss.TeacherHidden, loss.TeacherWeight = nil, nil, nil, nil
	loss.Soft = &SoftLabels{IDs: NewTensor(Host, "soft_ids", U32, n, 50), Q: state("soft_q", n, 50), Stats: state("soft_stats", n, LabelColumns)}
	r.LinearLoss(loss)
	loss.Ghost = true
	r.LinearLoss(loss)
	r.Backward()
	soft := SoftLabelInputs{Hidden: teacher, Weight: teacherWeight, Labels: labels, Sharpness: state("sharpness", 1), Keep: 50}
	r.SoftLabels(soft)
	soft.Index, soft.Seed = NewTensor(Host, "index", U32, n), NewTensor(Host, "seed", U32, 4)
	r.SoftLabels(soft)
	r.LinearRank(RankInputs{
		Hidden: x, Weight: table, Labels: labels, NLL: NewTensor(Host, "nll", F32, n), Rank: NewTensor(Host, "rank", U32, n),
	})
	g := state("g", d*d)
	control := state("control", 4)
	r.GradNorm(control, state("clip", 4), []*Tensor{g, state("gains", 2*d)})
	r.AdamW(state("p", d*d), g, state("m", d*d), state("v", d*d), state("adam", 8), control, d*d/2)
	return r.Finish()
}

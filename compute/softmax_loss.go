package compute

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"saltern/compute/ref"
)

// Masked is the label of a token that counts for nothing: no loss, no gradient.
const Masked = 0xffffffff

// StatsColumns is what LinearLoss says of each token: a row of its result holds the columns named Stat... A masked token's
// row is all zeros, and so are the columns that need a teacher where there is none, and those that need S where of the
// teacher only soft labels are known. p is the student, q the teacher at its temperature, y the label, S = {v: p(v) > q(v)}.
const (
	StatNLL            = iota // -log p(y)
	StatCE                    // CE(q, p) = -sum q log p
	StatTeacherNLL            // -log q(y)
	StatEntropy               // of q, in nats
	StatCorrect               // 1 if y is the first maximum of p
	StatDataWitness           // p(S) - 1{y in S}
	StatTotalVariation        // p(S) - q(S), which is the total variation of p and q
	StatCount                 // 1
	StatsColumns
)

// teacherForm is what softmax_loss is told of the teacher, the constant TEACHER of its shader.
type teacherForm uint32

const (
	noTeacher     teacherForm = iota
	logitsTeacher             // a fourth input: its logits
	sparseTeacher             // three more: ids [N,K], ascending, then Masked; their q [N,K]; -log q(y) and entropy [N,LabelColumns]
	ghostTeacher              // the same, with the mass that q lacks of 1 on one more id, which stands for all others
)

func (f teacherForm) String() string { return [...]string{"none", "logits", "sparse", "ghost"}[f] }

// inputs is how many inputs there are besides logits, labels and parameters.
func (f teacherForm) inputs() int { return [...]int{0, 1, 3, 3}[f] }

func (f teacherForm) sparse() bool { return f >= sparseTeacher }

// softmaxLoss is the attribute of softmax_loss.
type softmaxLoss struct {
	Teacher  teacherForm
	Gradient bool // there is a second output, dz; without it only the stats are computed
	Witness  bool // there is a last input, the policy [PolicyLen], and a last output [N,WitnessColumns]
}

var opSoftmaxLoss = &Op{
	Name: "softmax_loss", Doc: "p = softmax(z), q = softmax(zt/T) or soft labels: stats[n,8], dz = scale (p - [(1-w) e_y + w q]), w by a policy",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(softmaxLoss)
		if want := a.inputs(); len(in) != want || len(in[0].Shape) != 2 {
			return nil, fmt.Errorf("wants logits [N,V] and %d more inputs", want-1)
		}
		z := in[0].Shape
		switch {
		case !in[1].Shape.Equal(Shape{z[0]}) || in[1].DType != U32:
			return nil, fmt.Errorf("wants uint32 labels [%d]", z[0])
		case !in[2].Shape.Equal(Shape{4}):
			return nil, fmt.Errorf("wants parameters [4]: scale, w, 1/T, 0")
		case a.Teacher == logitsTeacher && !in[3].Shape.Equal(z):
			return nil, fmt.Errorf("the teacher's logits %v are not shaped as the student's %v", in[3].Shape, z)
		case z[1] > maxVocabulary:
			return nil, fmt.Errorf("a vocabulary of %d is beyond %d", z[1], maxVocabulary)
		}
		if a.Teacher.sparse() {
			if err := checkSparse(z[0], in[3], in[4], in[5]); err != nil {
				return nil, err
			}
		}
		out := []Shape{{z[0], StatsColumns}}
		if a.Gradient {
			out = append(out, z)
		}
		if a.Witness {
			if policy := in[len(in)-1]; a.Teacher == noTeacher || !policy.Shape.Equal(Shape{PolicyLen}) {
				return nil, fmt.Errorf("a witness wants a teacher and a policy [%d], not %v", PolicyLen, policy)
			}
			out = append(out, Shape{z[0], WitnessColumns})
		}
		return out, nil
	},
	Kernels: rowKernels(softmaxLossTrips, softmaxLossLaunches),
	Ref:     softmaxLossRef,
	NoGrad:  "it gives the gradient at the logits itself; LinearLoss carries it to the hidden states and the weight",
	Cost: func(n *Node) (int64, int64) {
		a := n.Attr.(softmaxLoss)
		size, passes, flops, labels := int64(n.In[0].Len()), int64(1), int64(6), int64(0)
		if a.Teacher == logitsTeacher {
			passes, flops = 2, 20
		}
		if a.Teacher.sparse() {
			labels = int64(2 * n.In[3].Len())
		}
		if a.Gradient {
			passes++
		}
		if a.Witness {
			flops += 6
		}
		return flops * size, elementBytes * (passes*size + labels)
	},
	Tol: 1e-5,
	Cases: []Case{
		lossCase("one token, a vocabulary of one", 1, 1, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, true),
		lossCase("a vocabulary smaller than a subgroup", 5, 3, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, true),
		lossCase("rows of texels, in place, as in training", 70, 260, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, true),
		lossCase("the same without a teacher", 70, 260, 1, softmaxLoss{Teacher: noTeacher, Gradient: true}, true),
		lossCase("odd vocabulary, not in place", 9, 1031, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, false),
		lossCase("odd vocabulary without a teacher", 9, 1031, 1, softmaxLoss{Teacher: noTeacher, Gradient: true}, true),
		lossCase("evaluation leaves the logits alone", 66, 64, 1, softmaxLoss{Teacher: logitsTeacher}, false),
		lossCase("evaluation without a teacher", 66, 61, 1, softmaxLoss{Teacher: noTeacher}, false),
		lossCase("the longest odd rows of one subgroup on a CPU device, whose loops end silently", 2, 65535, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, true),
		lossCase("a vocabulary of 262144: the longest rows of texels of one subgroup", 2, 1<<18, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, true),
		lossCase("many rows, so that a device that binds little needs windows", 200, 60, 1, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, true),
		lossCase("soft labels, in place, as in training", 70, 260, 50, softmaxLoss{Teacher: sparseTeacher, Gradient: true}, true),
		lossCase("the same with a ghost", 70, 260, 50, softmaxLoss{Teacher: ghostTeacher, Gradient: true}, true),
		lossCase("one label, a vocabulary of one: nothing is left to the ghost", 3, 1, 1, softmaxLoss{Teacher: ghostTeacher, Gradient: true}, true),
		lossCase("more labels than ids, odd vocabulary, not in place", 9, 37, 40, softmaxLoss{Teacher: ghostTeacher, Gradient: true}, false),
		lossCase("odd vocabulary and count of labels", 9, 1031, 7, softmaxLoss{Teacher: sparseTeacher, Gradient: true}, true),
		lossCase("soft labels without a gradient", 66, 64, 5, softmaxLoss{Teacher: ghostTeacher}, false),
		lossCase("most labels of a large vocabulary", 2, 1<<18, MaxKept, softmaxLoss{Teacher: sparseTeacher, Gradient: true}, true),
		lossCase("many rows of soft labels, so that a device that binds little needs windows", 200, 60, 20, softmaxLoss{Teacher: ghostTeacher, Gradient: true}, true),
		lossCase("a policy, in place, as in training", 70, 260, 1, softmaxLoss{logitsTeacher, true, true}, true),
		lossCase("a policy, odd vocabulary, not in place", 9, 1031, 1, softmaxLoss{logitsTeacher, true, true}, false),
		lossCase("a policy and a vocabulary of one, where entropy is 0", 5, 1, 1, softmaxLoss{logitsTeacher, true, true}, true),
		lossCase("a policy for the witnesses alone", 66, 64, 1, softmaxLoss{logitsTeacher, false, true}, false),
		lossCase("a policy for soft labels", 70, 260, 50, softmaxLoss{sparseTeacher, true, true}, true),
		lossCase("a policy for soft labels with a ghost, odd vocabulary", 9, 1031, 7, softmaxLoss{ghostTeacher, true, true}, true),
		lossCase("a policy for as many rows as it has numbers", PolicyLen, 64, 1, softmaxLoss{logitsTeacher, true, true}, true),
		lossCase("a policy and many rows, so that a device that binds little needs windows", 200, 60, 20, softmaxLoss{ghostTeacher, true, true}, true),
	},
	Random: func(rng *rand.Rand) Case {
		n, v, a := 1+rng.IntN(90), 1+rng.IntN(600), softmaxLoss{Teacher: teacherForm(rng.IntN(4)), Gradient: rng.IntN(4) > 0}
		a.Witness = a.Teacher != noTeacher && rng.IntN(3) == 0
		if rng.IntN(2) == 0 {
			v = (v + 3) / 4 * 4
		}
		return lossCase("", n, v, 1+rng.IntN(60), a, a.Gradient && rng.IntN(2) == 0)
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, attr any) {
		v := in[0].Shape[1]
		for i := range in[1].Data {
			in[1].Data[i] = float64(rng.IntN(v))
			if rng.IntN(5) == 0 {
				in[1].Data[i] = Masked
			}
		}
		copy(in[2].Data, []float64{0.25, []float64{0, 0.5, 1}[rng.IntN(3)], []float64{2, 1, 0.5}[rng.IntN(3)], 0})
		for i := range in[0].Data { // far from 0, where an exponential without the maximum taken off overflows
			in[0].Data[i] = 3*in[0].Data[i] + 100
		}
		a := attr.(softmaxLoss)
		if a.Witness {
			fillPolicy(rng, in[len(in)-1].Data, math.Log(float64(v)))
		}
		if a.Teacher.sparse() {
			k := in[3].Shape[1]
			q := make([]float64, k)
			for i := range in[1].Data {
				fillSoft(rng, v, a.Teacher == ghostTeacher, in[3].Data[i*k:(i+1)*k], q)
				copy(in[4].Data[min(i*k, len(in[4].Data)):], q) // to be timed, a tensor has only its first numbers here
			}
		}
	},
}

// fillSoft draws a row of soft labels, ascending: neighbours and strangers, seldom as many as there is room for.
func fillSoft(rng *rand.Rand, v int, ghost bool, ids, q []float64) {
	set, count, sum := map[int]bool{}, min(v, 1+rng.IntN(len(ids))), 0.0
	for at := rng.IntN(v); len(set) < count; at = (at + 1) % v {
		if rng.IntN(2) == 0 {
			at = rng.IntN(v)
		}
		set[at] = true
	}
	order := slices.Sorted(maps.Keys(set))
	for k := range ids {
		ids[k], q[k] = Masked, 0
		if k < len(order) {
			ids[k], q[k] = float64(order[k]), rng.ExpFloat64()
			sum += q[k]
		}
	}
	if ghost {
		sum *= 1 + rng.Float64()
	}
	for k := range q {
		q[k] /= sum
	}
}

func lossCase(why string, n, v, k int, a softmaxLoss, inPlace bool) Case {
	c := Case{Why: why, In: []Shape{{n, v}, {n}, {4}}, Types: map[int]DType{1: U32}, Attr: a}
	switch {
	case a.Teacher.sparse():
		c.In = append(c.In, Shape{n, k}, Shape{n, k}, Shape{n, LabelColumns})
		c.Types[3] = U32
	case a.Teacher == logitsTeacher:
		c.In = append(c.In, Shape{n, v})
	}
	if a.Witness {
		c.In = append(c.In, Shape{PolicyLen})
	}
	if inPlace {
		c.InPlace = map[int]int{1: 0}
	}
	return c
}

func softmaxLossRef(in, out []ref.Tensor, attr any) {
	var zt, dz []float64
	if len(out) > 1 {
		dz = out[1].Data
	}
	a, v := attr.(softmaxLoss), in[0].Shape[1]
	if a.Witness {
		softmaxLossWitnessRef(in, out, a)
		return
	}
	if a.Teacher.sparse() {
		ref.SparseSoftmaxLoss(in[0].Data, in[1].Data, in[2].Data, in[3].Data, in[4].Data, in[5].Data, in[3].Shape[1],
			a.Teacher == ghostTeacher, dz, out[0].Data, v)
		return
	}
	if a.Teacher == logitsTeacher {
		zt = in[3].Data
	}
	ref.SoftmaxLoss(in[0].Data, in[1].Data, in[2].Data, zt, dz, out[0].Data, v)
}

// checkSparse says whether these are the soft labels of n tokens.
func checkSparse(n int, ids, q, stats *Tensor) error {
	switch {
	case len(ids.Shape) != 2 || ids.Shape[0] != n || ids.Shape[1] < 1 || ids.DType != U32:
		return fmt.Errorf("wants uint32 ids [%d,K], not %v", n, ids)
	case ids.Shape[1] > MaxKept:
		return fmt.Errorf("%d soft labels of a token are more than %d", ids.Shape[1], MaxKept)
	case !q.Shape.Equal(ids.Shape):
		return fmt.Errorf("wants their probabilities %v, not %v", ids.Shape, q)
	case !stats.Shape.Equal(Shape{n, LabelColumns}):
		return fmt.Errorf("wants -log q(y) and the entropy of q as [%d,%d], not %v", n, LabelColumns, stats)
	}
	return nil
}

// softmaxLossTrips: two passes over a row, and in each along its soft labels.
func softmaxLossTrips(n *Node, _ rowForm, _ *Limits, steps int) int {
	if n.Attr.(softmaxLoss).Teacher.sparse() {
		return 2*steps + 2*n.In[3].Shape[1]
	}
	return 2 * steps
}

func softmaxLossLaunches(n *Node, l *Limits, f rowForm) []Launch {
	a := n.Attr.(softmaxLoss)
	z, labels, stats := n.In[0], n.In[1], n.Out[0]
	zt, dz, ids, q, teacher, k := z, z, z, z, z, 0 // what is not there is bound to something that is, and not used
	switch {
	case a.Teacher.sparse():
		ids, q, teacher, k = n.In[3], n.In[4], n.In[5], n.In[3].Shape[1]
	case a.Teacher == logitsTeacher:
		zt = n.In[3]
	}
	if a.Gradient {
		dz = n.Out[1]
	}
	policy, witness := n.In[2], stats
	if a.Witness {
		policy, witness = n.In[len(n.In)-1], n.Out[len(n.Out)-1]
	}
	spec := []uint32{uint32(a.Teacher), flagWord(a.Gradient), flagWord(a.Witness)}
	if f.module == "texel" {
		spec = append(spec, flagWord(lastDim(n)%(2*f.width) == 0)) // runs.glsl's
	}
	return f.launches(n, l, "softmax_loss", spec, words(k), func(i, j int) []*Tensor {
		return []*Tensor{z.Rows(i, j), labels.Rows(i, j), n.In[2], zt.Rows(i, j), stats.Rows(i, j), dz.Rows(i, j),
			ids.Rows(i, j), q.Rows(i, j), teacher.Rows(i, j), policy, witness.Rows(i, j)}
	})
}

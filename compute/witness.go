package compute

import (
	"math"
	"math/rand/v2"
	"slices"

	"saltern/compute/ref"
)

// A policy of LinearLoss sorts tokens into PolicyBuckets by the entropy of their teacher and scales w in each. It is PolicyLen
// numbers: the buckets' upper edges, ascending, of which the last is not looked at and +Inf leaves the buckets after it empty; then
// their factors r. A token whose teacher's entropy is H is in bucket g = #{i < PolicyBuckets-1: H >= edge i}, and its w is Params[1]
// r[g]. Never its own label decides: a target that differs by the label is biased even with a perfect teacher.
const (
	PolicyBuckets = 8
	PolicyLen     = 2 * PolicyBuckets
)

// WitnessColumns is what LinearLoss says of each token under a policy, beside the stats. With them and the stats' p(y) and q(y) the
// Brier scores of student and teacher are known, and how far p and q are apart. A masked token's row is all zeros.
const (
	WitnessPP      = iota // |p|^2
	WitnessPQ             // p.q; of soft labels their shares, with a ghost those of p beside them, times its mass
	WitnessQQ             // |q|^2, likewise
	WitnessBucket         // g
	WitnessColumns        // the number of columns
)

// inputs is how many inputs softmax_loss has.
func (a softmaxLoss) inputs() int {
	n := 3 + a.Teacher.inputs()
	if a.Witness {
		n++
	}
	return n
}

// fillPolicy draws a policy for entropies up to most: edges, some beyond them, and factors, some 0 or 1.
func fillPolicy(rng *rand.Rand, policy []float64, most float64) {
	edges, factors := policy[:PolicyBuckets], policy[PolicyBuckets:]
	for i := range edges {
		edges[i] = 1e-3 + 1.2*most*rng.Float64()
		factors[i] = []float64{0, 1, rng.Float64(), rng.Float64()}[rng.IntN(4)]
	}
	slices.Sort(edges)
	for i := 1 + rng.IntN(PolicyBuckets); i < PolicyBuckets; i++ {
		edges[i] = math.Inf(1)
	}
}

// softmaxLossWitnessRef runs the reference with a policy.
func softmaxLossWitnessRef(in, out []ref.Tensor, a softmaxLoss) {
	t := ref.LossTeacher{Ghost: a.Teacher == ghostTeacher}
	if a.Teacher == logitsTeacher {
		t.Logits = in[3].Data
	} else {
		t.IDs, t.Q, t.Stats, t.K = in[3].Data, in[4].Data, in[5].Data, in[3].Shape[1]
	}
	var dz []float64
	if a.Gradient {
		dz = out[1].Data
	}
	ref.WitnessLoss(in[0].Data, in[1].Data, in[2].Data, in[len(in)-1].Data, t, dz, out[0].Data, out[len(out)-1].Data, in[0].Shape[1])
}

package distill

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"saltern/compute/ref"
)

// Tests of what Anshumann et al., "Sparse Logit Sampling" (RS-KD, arXiv 2503.16870), say of sparse soft labels, on the float64
// reference: T is the teacher's distribution over v ids.

// sparseGradient is the gradient at the logits z of one token, w = 1.
func sparseGradient(z []float64, ids []int, q []float64, ghost bool) []float64 {
	k, v := len(ids), len(z)
	wide, g := make([]float64, k), make([]float64, v)
	for i, id := range ids {
		wide[i] = float64(id)
	}
	ref.SparseSoftmaxLoss(z, []float64{0}, []float64{1, 1, 1, 0}, wide, q, make([]float64, 2), k, ghost, g, make([]float64, 8), v)
	return g
}

// teacherAndStudent are a distribution of v ids and logits of another.
func teacherAndStudent(v int) (q, z []float64) {
	rng := rand.New(rand.NewPCG(3, 4))
	zt := make([]float64, v)
	q, z = make([]float64, v), make([]float64, v)
	for i := range v {
		zt[i], z[i] = 1.5*rng.NormFloat64(), rng.NormFloat64()
	}
	ref.Softmax(zt, 1, nil, q, nil, nil, v)
	return q, z
}

// TestSamplingIsUnbiased: the mean over R draws of N ids of the gradient p - counts/N lies sqrt(sum q (1-q) / (N R)) from p - q, the
// gradient with the whole distribution: with R it goes to nothing, as 1 / sqrt(R).
func TestSamplingIsUnbiased(t *testing.T) {
	const v, draws = 200, 50
	q, z := teacherAndStudent(v)
	p, variance := make([]float64, v), 0.0
	ref.Softmax(z, 1, nil, p, nil, nil, v)
	for _, x := range q {
		variance += x * (1 - x) / draws
	}
	mean, ids, weights, number := make([]float64, v), make([]float64, draws), make([]float64, draws), 0
	for _, upTo := range []int{16, 256, 4096} {
		for ; number < upTo; number++ {
			ref.Sample(q, []float64{float64(number)}, []float64{1, 2, 3, 4}, ids, weights, v, draws)
			var kept []int
			for _, id := range ids {
				if int(id) < v {
					kept = append(kept, int(id))
				}
			}
			for i, g := range sparseGradient(z, kept, weights[:len(kept)], false) {
				mean[i] += (g - mean[i]) / float64(number+1)
			}
		}
		off := 0.0
		for i := range mean {
			off += math.Pow(mean[i]-(p[i]-q[i]), 2)
		}
		if got, want := math.Sqrt(off), math.Sqrt(variance/float64(upTo)); got < 0.6*want || got > 1.5*want {
			t.Errorf("the mean of %d gradients is off by %g, want about %g", upTo, got, want)
		}
	}
}

// learn descends the gradient until the student is where the labels drive it.
func learn(z []float64, ids []int, q []float64, ghost bool) (p []float64) {
	z = slices.Clone(z)
	for range 20000 {
		for i, g := range sparseGradient(z, ids, q, ghost) {
			z[i] -= 2 * g
		}
	}
	p = make([]float64, len(z))
	ref.Softmax(z, 1, nil, p, nil, nil, len(z))
	return p
}

// TestTopKDrivesTheStudentTooHigh: with kept mass a, top-k renormalised drives the student's kept probabilities to t/a, not t, and all
// others to 0. With a ghost token the kept ones end at t, and what is left goes to all others, none of which is driven to 0.
func TestTopKDrivesTheStudentTooHigh(t *testing.T) {
	const v, k = 30, 6
	q, z := teacherAndStudent(v)
	ids := make([]int, v)
	for i := range ids {
		ids[i] = i
	}
	slices.SortFunc(ids, func(i, j int) int { return cmp.Compare(q[j], q[i]) })
	ids = ids[:k]
	slices.Sort(ids)
	kept, a, share := make([]float64, k), 0.0, make([]float64, k)
	for i, id := range ids {
		kept[i] = q[id]
		a += q[id]
	}
	for i := range kept {
		share[i] = kept[i] / a
	}
	if a > 0.8 {
		t.Fatalf("the kept mass is %g: the case is too easy", a)
	}
	renormalised, ghost := learn(z, ids, share, false), learn(z, ids, kept, true)
	others := 0.0
	for i := range v {
		if at, ok := slices.BinarySearch(ids, i); ok {
			near(t, "renormalised: a kept p", renormalised[i], kept[at]/a, 1e-4)
			near(t, "with a ghost: a kept p", ghost[i], kept[at], 1e-4)
			continue
		}
		near(t, "renormalised: another p", renormalised[i], 0, 1e-4)
		if others += ghost[i]; ghost[i] < 1e-3 {
			t.Errorf("with a ghost: another p is %g", ghost[i])
		}
	}
	near(t, "with a ghost: the others' p", others, 1-a, 1e-4)
}

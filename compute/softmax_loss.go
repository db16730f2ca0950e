package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// Masked is the label of a token that counts for nothing: no loss, no gradient.
const Masked = 0xffffffff

// StatsColumns is what LinearLoss says of each token: a row of its result holds the columns named Stat... A masked token's
// row is all zeros, and so are the columns that need a teacher where there is none. p is the student, q the teacher at
// its temperature, y the label, S = {v: p(v) > q(v)}.
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

// softmaxLoss is the attribute of softmax_loss.
type softmaxLoss struct {
	Distill  bool // there is a teacher: a fourth input, its logits
	Gradient bool // there is a second output, dz; without it only the stats are computed
}

var opSoftmaxLoss = &Op{
	Name: "softmax_loss", Doc: "p = softmax(z), q = softmax(zt/T): stats[n,8], dz = scale (p - [(1-w) e_y + w q])",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(softmaxLoss)
		if want := 3 + int(flagWord(a.Distill)); len(in) != want || len(in[0].Shape) != 2 {
			return nil, fmt.Errorf("wants logits [N,V] and %d more inputs", want-1)
		}
		z := in[0].Shape
		switch {
		case !in[1].Shape.Equal(Shape{z[0]}) || in[1].DType != U32:
			return nil, fmt.Errorf("wants uint32 labels [%d]", z[0])
		case !in[2].Shape.Equal(Shape{4}):
			return nil, fmt.Errorf("wants parameters [4]: scale, w, 1/T, 0")
		case a.Distill && !in[3].Shape.Equal(z):
			return nil, fmt.Errorf("the teacher's logits %v are not shaped as the student's %v", in[3].Shape, z)
		case z[1] > maxVocabulary:
			return nil, fmt.Errorf("a vocabulary of %d is beyond %d", z[1], maxVocabulary)
		}
		out := []Shape{{z[0], StatsColumns}}
		if a.Gradient {
			out = append(out, z)
		}
		return out, nil
	},
	Kernels: rowKernels(softmaxLossTrips, softmaxLossLaunches),
	Ref: func(in, out []ref.Tensor, attr any) {
		var zt, dz []float64
		if a := attr.(softmaxLoss); a.Distill {
			zt = in[3].Data
		}
		if len(out) > 1 {
			dz = out[1].Data
		}
		ref.SoftmaxLoss(in[0].Data, in[1].Data, in[2].Data, zt, dz, out[0].Data, in[0].Shape[1])
	},
	NoGrad: "it gives the gradient at the logits itself; LinearLoss carries it to the hidden states and the weight",
	Cost: func(n *Node) (int64, int64) {
		size, passes, flops := int64(n.In[0].Len()), int64(len(n.In)-2), int64(6)
		if n.Attr.(softmaxLoss).Distill {
			flops = 20
		}
		if n.Attr.(softmaxLoss).Gradient {
			passes++
		}
		return flops * size, passes * elementBytes * size
	},
	Tol: 1e-5,
	Cases: []Case{
		lossCase("one token, a vocabulary of one", 1, 1, softmaxLoss{true, true}, true),
		lossCase("a vocabulary smaller than a subgroup", 5, 3, softmaxLoss{true, true}, true),
		lossCase("rows of texels, in place, as in training", 70, 260, softmaxLoss{true, true}, true),
		lossCase("the same without a teacher", 70, 260, softmaxLoss{false, true}, true),
		lossCase("odd vocabulary, not in place", 9, 1031, softmaxLoss{true, true}, false),
		lossCase("odd vocabulary without a teacher", 9, 1031, softmaxLoss{false, true}, true),
		lossCase("evaluation leaves the logits alone", 66, 64, softmaxLoss{true, false}, false),
		lossCase("evaluation without a teacher", 66, 61, softmaxLoss{false, false}, false),
		lossCase("the longest odd rows of one subgroup on a CPU device, whose loops end silently", 2, 65535, softmaxLoss{true, true}, true),
		lossCase("a vocabulary of 262144: the longest rows of texels of one subgroup", 2, 1<<18, softmaxLoss{true, true}, true),
		lossCase("many rows, so that a device that binds little needs windows", 200, 60, softmaxLoss{true, true}, true),
	},
	Random: func(rng *rand.Rand) Case {
		n, v, a := 1+rng.IntN(90), 1+rng.IntN(600), softmaxLoss{rng.IntN(2) == 0, rng.IntN(4) > 0}
		if rng.IntN(2) == 0 {
			v = (v + 3) / 4 * 4
		}
		return lossCase("", n, v, a, a.Gradient && rng.IntN(2) == 0)
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
	},
}

func lossCase(why string, n, v int, a softmaxLoss, inPlace bool) Case {
	c := Case{Why: why, In: []Shape{{n, v}, {n}, {4}}, Types: map[int]DType{1: U32}, Attr: a}
	if a.Distill {
		c.In = append(c.In, Shape{n, v})
	}
	if inPlace {
		c.InPlace = map[int]int{1: 0}
	}
	return c
}

// softmaxLossTrips: two passes over a row.
func softmaxLossTrips(_ *Node, _ rowForm, _ *Limits, steps int) int { return 2 * steps }

func softmaxLossLaunches(n *Node, l *Limits, f rowForm) []Launch {
	a := n.Attr.(softmaxLoss)
	z, stats := n.In[0], n.Out[0]
	zt, dz := z, z // what is not there is bound to something that is, and not used
	if a.Distill {
		zt = n.In[3]
	}
	if a.Gradient {
		dz = n.Out[1]
	}
	return f.launches(n, l, "softmax_loss", []uint32{flagWord(a.Distill), flagWord(a.Gradient)}, nil, func(i, j int) []*Tensor {
		return []*Tensor{z.Rows(i, j), n.In[1].Rows(i, j), n.In[2], zt.Rows(i, j), stats.Rows(i, j), dz.Rows(i, j)}
	})
}

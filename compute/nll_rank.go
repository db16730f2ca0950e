package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opNLLRank = &Op{
	Name: "nll_rank", Doc: "of a gold token y: nll[n] = -log softmax(z[n])_y, rank[n] = how many ids are likelier, ties by the lower id",
	Shapes: func(in []*Tensor, _ any) ([]Shape, error) {
		if len(in) != 2 || len(in[0].Shape) != 2 {
			return nil, fmt.Errorf("wants logits [N,V] and labels")
		}
		z := in[0].Shape
		switch {
		case !in[1].Shape.Equal(Shape{z[0]}) || in[1].DType != U32:
			return nil, fmt.Errorf("wants uint32 labels [%d]", z[0])
		case z[1] > maxVocabulary:
			return nil, fmt.Errorf("a vocabulary of %d is beyond %d", z[1], maxVocabulary)
		}
		return []Shape{{z[0]}, {z[0]}}, nil
	},
	OutTypes: func([]*Tensor, any) []DType { return []DType{F32, U32} },
	Kernels: rowKernels(func(_ *Node, _ rowForm, _ *Limits, steps int) int { return steps },
		func(n *Node, l *Limits, f rowForm) []Launch {
			return f.launches(n, l, "nll_rank", nil, nil, func(i, j int) []*Tensor {
				return []*Tensor{n.In[0].Rows(i, j), n.In[1].Rows(i, j), n.Out[0].Rows(i, j), n.Out[1].Rows(i, j)}
			})
		}),
	Ref: func(in, out []ref.Tensor, _ any) {
		ref.NLLRank(in[0].Data, in[1].Data, out[0].Data, out[1].Data, in[0].Shape[1])
	},
	NoGrad: "it judges text; nothing is trained on it",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 7 * size, elementBytes * size
	},
	Tol: 1e-5,
	Cases: []Case{
		nllRankCase("one token, a vocabulary of one", 1, 1),
		nllRankCase("fewer elements than a subgroup", 5, 3),
		nllRankCase("rows of texels, as in scoring", 70, 260),
		nllRankCase("odd vocabulary", 9, 1031),
		nllRankCase("the longest odd rows of one subgroup on a CPU device, whose loops end silently", 2, 65535),
		nllRankCase("the largest vocabulary in use", 2, 1<<18),
		nllRankCase("many rows, so that a device that binds little needs windows", 200, 60),
	},
	Random: func(rng *rand.Rand) Case {
		v := 1 + rng.IntN(600)
		if rng.IntN(2) == 0 {
			v = (v + 3) / 4 * 4
		}
		return nllRankCase("", 1+rng.IntN(90), v)
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) {
		for i := range in[1].Data {
			in[1].Data[i] = float64(rng.IntN(in[0].Shape[1]))
			if rng.IntN(5) == 0 {
				in[1].Data[i] = Masked
			}
		}
		for i := range in[0].Data {
			// Far from 0, where an exponential without the maximum taken off overflows, and on a grid, so that the rank meets
			// equal logits.
			in[0].Data[i] = float64(int(96*in[0].Data[i]))/32 + 100
		}
	},
}

func nllRankCase(why string, n, v int) Case {
	return Case{Why: why, In: []Shape{{n, v}, {n}}, Types: map[int]DType{1: U32}}
}

// RankInputs is what text is judged from. N tokens, D width, V vocabulary.
type RankInputs struct {
	Hidden    *Tensor // [N,D], the last hidden states
	Weight    *Tensor // [V,D], the output projection
	Labels    *Tensor // [N] uint32, the gold tokens; Masked where there is none
	Precision DType   // what the product takes in: F32, or a 16-bit type
	NLL, Rank *Tensor // [N] and [N] uint32 receive the result
	Chunk     int     // how many tokens have logits at a time, a multiple of 64; 0 chooses. It changes no result.
}

// LinearRank records output projection, loss and rank of the gold token of all tokens: nll_rank of Hidden Weight^T, whose N x V
// logits exist for one chunk of tokens at a time.
func (r *Recorder) LinearRank(in RankInputs) {
	chunk, err := in.check()
	if err != nil {
		r.Fail(fmt.Errorf("bug: %s: the ranks of %v by %v: %w", caller(), in.Hidden, in.Weight, err))
		return
	}
	n, hidden, weight := in.Hidden.Shape[0], r.Cast(in.Hidden, in.Precision), r.Cast(in.Weight, in.Precision)
	for i := 0; i < n; i += chunk {
		j := min(n, i+chunk)
		logits := r.MatMul(hidden.Rows(i, j), weight, NT)
		r.Record("nll_rank", nil, []*Tensor{logits, in.Labels.Rows(i, j)}, in.NLL.Rows(i, j), in.Rank.Rows(i, j))
	}
}

// check holds the inputs against each other and gives the number of tokens in a chunk.
func (in RankInputs) check() (int, error) {
	for _, t := range []*Tensor{in.Hidden, in.Weight, in.Labels, in.NLL, in.Rank} {
		if t == nil {
			return 0, fmt.Errorf("hidden states, weight, labels and places for loss and rank are all needed")
		}
	}
	if len(in.Hidden.Shape) != 2 || len(in.Weight.Shape) != 2 {
		return 0, fmt.Errorf("wants [N,D] and [V,D]")
	}
	n, d, v := in.Hidden.Shape[0], in.Hidden.Shape[1], in.Weight.Shape[0]
	for _, t := range []*Tensor{in.Labels, in.NLL, in.Rank} {
		if !t.Shape.Equal(Shape{n}) {
			return 0, fmt.Errorf("%v is not [%d]", t, n)
		}
	}
	return chunkOf(in.Chunk, n, d, v)
}

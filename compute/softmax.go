package compute

import (
	"fmt"
	"math/rand/v2"

	"saltern/compute/ref"
)

// LabelColumns is what softmax says of a distribution q and a label y: a row of stats holds the columns named Label...
// A masked label's row is all zeros.
const (
	LabelNLL     = iota // -log q(y)
	LabelEntropy        // of q, in nats
	LabelColumns
)

// softmaxRows is the attribute of softmax.
type softmaxRows struct {
	Stats bool // there is a third input, the labels, and two more outputs, what is to be known of them
}

var opSoftmax = &Op{
	Name: "softmax", Doc: "q[n] = softmax(z[n] / T); for a label y: stats[n,2] = -log q(y), entropy of q; rank[n] of y",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		a := attr.(softmaxRows)
		if want := 2 + int(flagWord(a.Stats)); len(in) != want || len(in[0].Shape) != 2 {
			return nil, fmt.Errorf("wants logits [N,V] and %d more inputs", want-1)
		}
		z := in[0].Shape
		switch {
		case !in[1].Shape.Equal(Shape{1}):
			return nil, fmt.Errorf("wants 1/T as [1]")
		case a.Stats && (!in[2].Shape.Equal(Shape{z[0]}) || in[2].DType != U32):
			return nil, fmt.Errorf("wants uint32 labels [%d]", z[0])
		case z[1] > maxVocabulary:
			return nil, fmt.Errorf("a vocabulary of %d is beyond %d", z[1], maxVocabulary)
		}
		if a.Stats {
			return []Shape{z, {z[0], LabelColumns}, {z[0]}}, nil
		}
		return []Shape{z}, nil
	},
	OutTypes: func(_ []*Tensor, attr any) []DType {
		return []DType{F32, F32, U32}[:1+2*flagWord(attr.(softmaxRows).Stats)]
	},
	Kernels: rowKernels(func(_ *Node, _ rowForm, _ *Limits, steps int) int { return 2 * steps }, softmaxLaunches),
	Ref: func(in, out []ref.Tensor, attr any) {
		if !attr.(softmaxRows).Stats {
			ref.Softmax(in[0].Data, in[1].Data[0], nil, out[0].Data, nil, nil, in[0].Shape[1])
			return
		}
		ref.Softmax(in[0].Data, in[1].Data[0], in[2].Data, out[0].Data, out[1].Data, out[2].Data, in[0].Shape[1])
	},
	NoGrad: "a teacher and a sampler need none; the loss has its own softmax",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 8 * size, 3 * elementBytes * size // two reads and a write
	},
	Tol: 1e-5,
	Cases: []Case{
		softmaxCase("one element", 1, 1, true, false),
		softmaxCase("fewer elements than a subgroup", 5, 3, true, true),
		softmaxCase("rows of texels, in place, as for soft labels", 70, 260, true, true),
		softmaxCase("the same without labels, not in place", 70, 260, false, false),
		softmaxCase("odd vocabulary", 9, 1031, true, true),
		softmaxCase("the largest vocabulary in use: a CPU device must not run out of loop iterations", 2, 1<<18, true, true),
		softmaxCase("the largest of GPT-2's kind, odd", 2, 50257, true, true),
		softmaxCase("many rows, so that a device that binds little needs windows", 200, 60, true, false),
	},
	Random: func(rng *rand.Rand) Case {
		n, v := 1+rng.IntN(90), 1+rng.IntN(600)
		if rng.IntN(2) == 0 {
			v = (v + 3) / 4 * 4
		}
		return softmaxCase("", n, v, rng.IntN(3) > 0, rng.IntN(2) == 0)
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, attr any) {
		in[1].Data[0] = []float64{2, 1, 0.5}[rng.IntN(3)]
		v := in[0].Shape[1]
		if len(in) > 2 {
			for i := range in[2].Data {
				in[2].Data[i] = float64(rng.IntN(v))
				if rng.IntN(5) == 0 {
					in[2].Data[i] = Masked
				}
			}
		}
		for i := range in[0].Data {
			// Far from 0, where an exponential without the maximum taken off overflows, and on a grid, so that the rank meets
			// equal logits.
			in[0].Data[i] = float64(int(96*in[0].Data[i]))/32 + 100
		}
	},
}

func softmaxCase(why string, n, v int, stats, inPlace bool) Case {
	c := Case{Why: why, In: []Shape{{n, v}, {1}}, Attr: softmaxRows{stats}}
	if stats {
		c.In, c.Types = append(c.In, Shape{n}), map[int]DType{2: U32}
	}
	if inPlace {
		c.InPlace = map[int]int{0: 0}
	}
	return c
}

func softmaxLaunches(n *Node, l *Limits, f rowForm) []Launch {
	z, q := n.In[0], n.Out[0]
	labels, stats, rank := n.In[1], z, z // not used without stats
	a := n.Attr.(softmaxRows)
	if a.Stats {
		labels, stats, rank = n.In[2], n.Out[1], n.Out[2]
	}
	return f.launches(n, l, "softmax", []uint32{flagWord(a.Stats)}, nil, func(i, j int) []*Tensor {
		list := []*Tensor{z.Rows(i, j), n.In[1], labels, q.Rows(i, j), stats.Rows(i, j), rank.Rows(i, j)}
		if a.Stats {
			list[2] = labels.Rows(i, j)
		}
		return list
	})
}

// Softmax records q = softmax(z sharpness) of each row of z [N,V]; sharpness is [1], 1/T.
func (r *Recorder) Softmax(z, sharpness *Tensor) *Tensor {
	return r.Record("softmax", softmaxRows{}, []*Tensor{z, sharpness})[0]
}

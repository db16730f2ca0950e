package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

// sample is the attribute of sample.
type sample struct {
	Draws int // per row
}

var opSample = &Op{
	Name: "sample", Doc: "draws from the rows of q with replacement: ids[n,d], the distinct ones; weights[n,d], how often / draws",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		if len(in) != 3 || len(in[0].Shape) != 2 {
			return nil, fmt.Errorf("wants distributions [N,V] and two more inputs")
		}
		n, draws := in[0].Shape[0], attr.(sample).Draws
		switch {
		case !in[1].Shape.Equal(Shape{n}) || in[1].DType != U32:
			return nil, fmt.Errorf("wants the rows' numbers as uint32 [%d]", n)
		case !in[2].Shape.Equal(Shape{4}) || in[2].DType != U32:
			return nil, fmt.Errorf("wants a seed as uint32 [4]")
		case draws < 1 || draws > MaxKept:
			return nil, fmt.Errorf("wants 1 to %d draws, not %d", MaxKept, draws)
		case in[0].Shape[1] > maxVocabulary:
			return nil, fmt.Errorf("a vocabulary of %d is beyond %d", in[0].Shape[1], maxVocabulary)
		}
		return []Shape{{n, draws}, {n, draws}}, nil
	},
	OutTypes: func([]*Tensor, any) []DType { return []DType{U32, F32} },
	Kernels:  rowKernels(sampleTrips, sampleLaunches),
	Ref: func(in, out []ref.Tensor, attr any) {
		ref.Sample(in[0].Data, in[1].Data, in[2].Data, out[0].Data, out[1].Data, in[0].Shape[1], attr.(sample).Draws)
	},
	NoGrad: "it draws; soft labels and sampling need no gradient",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 4 * size, elementBytes * (size + int64(2*n.Out[0].Len()))
	},
	Tol: 1e-6,
	Cases: []Case{
		sampleCase("one id, one draw", 1, 1, 1),
		sampleCase("more draws than ids", 8, 3, 100),
		sampleCase("rows of texels, as for soft labels", 70, 4096, 50),
		sampleCase("odd rows, draws beyond a power of two", 9, 3001, 129),
		sampleCase("a vocabulary of 32768 and the most draws", 8, 32768, MaxKept),
		sampleCase("a vocabulary of 262144: a CPU device must not run out of loop iterations", distributions, 1<<18, 50),
		sampleCase("many rows, so that a device that binds little needs windows", 200, 60, 5),
	},
	Random: func(rng *rand.Rand) Case {
		v := 1 + rng.IntN(3000)
		if rng.IntN(2) == 0 {
			v = (v + 3) / 4 * 4
		}
		return sampleCase("", 1+rng.IntN(40), v, 1+rng.IntN(MaxKept))
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) {
		v := in[0].Shape[1]
		for i := range len(in[0].Data) / v {
			fillDistribution(rng, i%distributions, in[0].Data[i*v:(i+1)*v])
		}
		for i := range in[1].Data {
			in[1].Data[i] = float64(rng.Uint32())
		}
		for i := range in[2].Data {
			in[2].Data[i] = float64(rng.Uint32())
		}
	},
}

func sampleCase(why string, n, v, draws int) Case {
	return Case{Why: why, In: []Shape{{n, v}, {n}, {4}}, Types: map[int]DType{1: U32, 2: U32}, Attr: sample{draws}}
}

// distributions is how many kinds of distribution fillDistribution makes, the last of which is none.
const distributions = 5

// fillDistribution turns a row of normal numbers into a distribution, or what is none.
func fillDistribution(rng *rand.Rand, kind int, row []float64) {
	var sum float64
	for j, x := range row {
		row[j] = math.Exp([]float64{0.1, 2, 20, 1, 1}[kind] * x) // flat, like a language model's, sharp, the last two
		sum += row[j]
	}
	for j := range row {
		row[j] /= sum
	}
	switch at := rng.IntN(len(row)); {
	case kind == 2 && rng.IntN(2) == 0: // all on one id, which is as much as the whole numbers hold
		clear(row)
		row[at] = 1
	case kind == 3: // a few units, where rounding and the ends of an id's stretch decide
		for j := range row {
			row[j] = math.Ldexp(float64(rng.IntN(6)), -33)
		}
	case kind == 4:
		row[at] = []float64{math.NaN(), math.Inf(1), 3}[rng.IntN(3)]
	}
}

// sampleTrips: a pass, the columns' sums, a walk down a column for each draw with its random numbers, the sort, the runs.
func sampleTrips(n *Node, _ rowForm, l *Limits, steps int) int {
	draws, lanes := n.Attr.(sample).Draws, l.Subgroup
	share := ceilDiv(draws, lanes)
	return steps + 3*1024/lanes + share*(lastDim(n)/1024+24) + sortTrips(256, lanes) + draws
}

func sampleLaunches(n *Node, l *Limits, f rowForm) []Launch {
	return f.launches(n, l, "sample", nil, words(n.Attr.(sample).Draws), func(i, j int) []*Tensor {
		return []*Tensor{n.In[0].Rows(i, j), n.In[1].Rows(i, j), n.In[2], n.Out[0].Rows(i, j), n.Out[1].Rows(i, j)}
	})
}

// Sample records draws from each row of q [N,V] with replacement: ids [N,draws] uint32, the distinct ones in ascending order
// and Masked behind them, and weights [N,draws], how often each was drawn over draws. What is drawn depends on the row of
// q, on its number in index [N] uint32 and on seed [4] uint32 alone, not on the device nor on how rows are put into batches.
func (r *Recorder) Sample(q, index, seed *Tensor, draws int) (ids, weights *Tensor) {
	out := r.Record("sample", sample{draws}, []*Tensor{q, index, seed})
	return out[0], out[1]
}

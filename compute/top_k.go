package compute

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"

	"saltern/compute/ref"
)

// MaxKept is the most ids of a row that TopK gives, and the most draws of Sample.
const MaxKept = 256

// topK is the attribute of top_k.
type topK struct {
	K int // how many of each row
}

var opTopK = &Op{
	Name: "top_k", Doc: "the k largest of each row, ties by the lower index: ids[n,k], values[n,k]; rest[n] = sum of the others",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		k := attr.(topK).K
		switch {
		case len(in) != 1 || len(in[0].Shape) != 2:
			return nil, fmt.Errorf("wants a matrix")
		case k < 1 || k > min(MaxKept, in[0].Shape[1]):
			return nil, fmt.Errorf("wants 1 to %d of a row, not %d", min(MaxKept, in[0].Shape[1]), k)
		case in[0].Shape[1] > maxVocabulary:
			return nil, fmt.Errorf("rows of %d are beyond %d", in[0].Shape[1], maxVocabulary)
		}
		n := in[0].Shape[0]
		return []Shape{{n, k}, {n, k}, {n}}, nil
	},
	OutTypes: func([]*Tensor, any) []DType { return []DType{U32, F32, F32} },
	Kernels:  rowKernels(topKTrips, topKLaunches),
	Ref: func(in, out []ref.Tensor, attr any) {
		ref.TopK(in[0].Data, out[0].Data, out[1].Data, out[2].Data, in[0].Shape[1], attr.(topK).K)
	},
	NoGrad: "it picks; soft labels and sampling need no gradient",
	Cost: func(n *Node) (int64, int64) {
		size := int64(n.In[0].Len())
		return 4 * size, elementBytes * (2*size + int64(2*n.Out[0].Len())) // two reads, as a rule
	},
	Tol: 1e-5,
	Cases: []Case{
		topKCase("one element", 1, 1, 1),
		topKCase("all of a row: a sort", 9, 200, 200),
		topKCase("one of a row: the argmax, for greedy generation", 20, 4096, 1),
		topKCase("rows of texels, as for soft labels", 2*rowKinds, 4096, 50),
		topKCase("the most that there may be, odd rows", 2*rowKinds, 3001, MaxKept),
		topKCase("a vocabulary of 32768: the longest rows of one subgroup, crowded columns too", rowKinds, 32768, 50),
		topKCase("a vocabulary of 262144: a CPU device must not run out of loop iterations", rowKinds, 1<<18, 64),
		topKCase("many rows, so that a device that binds little needs windows", 200, 60, 7),
	},
	Random: func(rng *rand.Rand) Case {
		v := 1 + rng.IntN(3000)
		if rng.IntN(2) == 0 {
			v = (v + 3) / 4 * 4
		}
		return topKCase("", 1+rng.IntN(40), v, 1+rng.IntN(min(MaxKept, v)))
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) {
		v := in[0].Shape[1]
		for i := range len(in[0].Data) / v {
			fillRow(rng, i%rowKinds, in[0].Data[i*v:(i+1)*v])
		}
	},
}

func topKCase(why string, n, v, k int) Case {
	return Case{Why: why, In: []Shape{{n, v}}, Attr: topK{k}}
}

// rowKinds is how many kinds of row fillRow makes: an ordinary one, and those that are hard for a selection.
const rowKinds = 9

func fillRow(rng *rand.Rand, kind int, row []float64) {
	for j, x := range row {
		switch kind {
		case 1: // many that are equal
			row[j] = math.Round(2 * x)
		case 2: // all equal
			row[j] = -1.5
		case 3: // a sharp distribution, zero but for a few
			row[j] = 0
			if rng.IntN(200) == 0 {
				row[j] = x * x
			}
		case 4: // ascending
			row[j] = float64(j) / 1024
		case 5: // the largest crowd in few columns, whatever power of two their number is
			if j%1024 < 10 {
				row[j] = 10 + x
			}
		case 6: // the same, close together but for one, and more than one histogram tells apart
			if j%1024 < 10 {
				row[j] = 1000 + float64(rng.IntN(1<<12))/(1<<14)
			}
			if j == len(row)/2 {
				row[j] = 1e30
			}
		case 7: // what is no number, and the signs of zero
			switch rng.IntN(30) {
			case 0:
				row[j] = math.Copysign(math.NaN(), x) // its sign is none
			case 1:
				row[j] = math.Inf(1)
			case 2:
				row[j] = math.Inf(-1)
			case 3, 4, 5, 6, 7, 8, 9:
				row[j] = math.Copysign(0, x)
			}
		case 8: // crowded, and all but a few of the crowd equal
			if j%1024 < 10 {
				row[j] = 7
				if rng.IntN(100) == 0 {
					row[j] = 7 + x*x
				}
			}
		}
	}
}

// topKColumns is the number of columns of which the shader takes the largest: four for each that is wanted bound them well.
func topKColumns(k int) int { return max(64, min(1024, 1<<bits.Len(uint(4*k-1)))) }

// topKTrips: two passes, three that raise the bound, and once more the second, then the ties; two sorts; and the bins.
func topKTrips(n *Node, _ rowForm, l *Limits, steps int) int {
	c, lanes := topKColumns(n.Attr.(topK).K), l.Subgroup
	return 7*(steps+1) + sortTrips(c, lanes) + sortTrips(512, lanes) + (3*c+3*3*1024)/lanes
}

// sortTrips is how many iterations a lane makes to sort n numbers, a power of two (group_sort in shaders/sort.glsl).
func sortTrips(n, lanes int) int {
	stages := bits.Len(uint(n)) - 1
	return stages * (stages + 1) / 2 * (1 + ceilDiv(n/2, lanes))
}

func topKLaunches(n *Node, l *Limits, f rowForm) []Launch {
	k := n.Attr.(topK).K
	return f.launches(n, l, "top_k", nil, words(k, topKColumns(k)), func(i, j int) []*Tensor {
		return []*Tensor{n.In[0].Rows(i, j), n.Out[0].Rows(i, j), n.Out[1].Rows(i, j), n.Out[2].Rows(i, j)}
	})
}

// TopK records the k largest of each row of x [N,V], the largest first and equal ones by the lower index: their ids [N,k]
// uint32 and values [N,k], and rest [N], the sum of all others.
func (r *Recorder) TopK(x *Tensor, k int) (ids, values, rest *Tensor) {
	out := r.Record("top_k", topK{k}, []*Tensor{x})
	return out[0], out[1], out[2]
}

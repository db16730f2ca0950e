package compute

import (
	"fmt"
	"math"
	"math/rand/v2"

	"saltern/compute/ref"
)

var opAdamW = &Op{
	Name: "adamw", Doc: "m = b1 m + (1-b1) g', v = b2 v + (1-b2) g'^2, p -= lr (c1 m/(sqrt(c2 v)+eps) + wd p), g = 0; g' = multiplier g",
	Shapes: func(in []*Tensor, attr any) ([]Shape, error) {
		if len(in) != 6 || len(in[0].Shape) != 1 || !in[4].Shape.Equal(Shape{8}) || !in[5].Shape.Equal(Shape{4}) {
			return nil, fmt.Errorf("wants p, g, m, v [n], params [8] and control [4]")
		}
		for _, t := range in[1:4] {
			if !t.Shape.Equal(in[0].Shape) {
				return nil, fmt.Errorf("%v is not as long as %v", t, in[0])
			}
		}
		if d := attr.(int); d < 0 || d > in[0].Len() {
			return nil, fmt.Errorf("%d elements of %d cannot decay", d, in[0].Len())
		}
		return []Shape{in[0].Shape, in[0].Shape, in[0].Shape, in[0].Shape}, nil
	},
	Kernels: formKernels(lastDim, func(n *Node, l *Limits, f form) (list []Launch) {
		for _, w := range windows(n.In[0].Len(), 1, f.maxRange(l)) {
			var bind []*Tensor
			for _, t := range n.In[:4] {
				bind = append(bind, t.Rows(w[0], w[1]))
			}
			bind = append(bind, n.In[4], n.In[5])
			for _, t := range n.Out {
				bind = append(bind, t.Rows(w[0], w[1]))
			}
			size, chunk := w[1]-w[0], f.stretch(l)
			decayed := min(max(n.Attr.(int)-w[0], 0), size)
			list = append(list, f.launch(l, "adamw", ceilDiv(size, chunk), f.paired(size), words(size, chunk, decayed), bind...))
		}
		return list
	}),
	Ref: func(in, out []ref.Tensor, attr any) {
		ref.AdamW(in[0].Data, in[1].Data, in[2].Data, in[3].Data, in[4].Data, in[5].Data, out[0].Data, out[1].Data, out[2].Data, out[3].Data, attr.(int))
	},
	NoGrad: "the optimizer is not trained through",
	Cost: func(n *Node) (int64, int64) {
		return 14 * int64(n.In[0].Len()), 8 * elementBytes * int64(n.In[0].Len())
	},
	Tol: 1e-5,
	Cases: []Case{
		adamCase("one element", 1, 1),
		adamCase("nothing decays", 300, 0),
		adamCase("everything decays", 300, 300),
		adamCase("the decay ends inside a group of four and past the first window", 2*4096+8, 4096+130),
	},
	Random: func(rng *rand.Rand) Case {
		n := randomWidth(rng, 9000)
		return adamCase("", n, rng.IntN(n+1))
	},
	Fill: func(rng *rand.Rand, in []ref.Tensor, _ any) {
		copy(in[4].Data, []float64{0.01, 0.9, 0.99, 1e-8, 0.1, 1 / (1 - math.Pow(0.9, 3)), 1 / (1 - math.Pow(0.99, 3)), 0})
		copy(in[5].Data, []float64{0.25, 1, 3, 0})
		if rng.IntN(4) == 0 { // a step to be skipped
			copy(in[5].Data, []float64{0, 0, math.NaN(), 0})
			in[1].Data[0] = math.Inf(1)
		}
		for i, v := range in[3].Data {
			in[3].Data[i] = v * v
		}
	},
}

// AdamW records one step of the optimizer with decoupled weight decay, in place on p, m, v and g, all [n]; g becomes zero
// for the next accumulation. The first decayed elements decay. params is a Host tensor [8]: {lr, beta1, beta2, eps, weight
// decay, 1/(1-beta1^t), 1/(1-beta2^t), 0}, control comes from GradNorm. When the norm is not finite p, m and v keep their
// bits, and g is zero all the same. n is best a multiple of four.
func (r *Recorder) AdamW(p, g, m, v, params, control *Tensor, decayed int) {
	r.Record("adamw", decayed, []*Tensor{p, g, m, v, params, control}, p, m, v, g)
}

func adamCase(why string, n, decayed int) Case {
	s := Shape{n}
	return Case{Why: why, In: []Shape{s, s, s, s, {8}, {4}}, Attr: decayed, InPlace: map[int]int{0: 0, 1: 2, 2: 3, 3: 1}}
}

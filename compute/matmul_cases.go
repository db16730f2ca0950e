package compute

import "math/rand/v2"

// matmulCases are products worth checking, each with its reason.
var matmulCases = []Case{
	{Why: "one element", In: []Shape{{1, 1}, {1, 1}}, Attr: MatMul{Form: NN}},
	{Why: "rims in every direction of a tile", In: []Shape{{33, 17}, {17, 65}}, Attr: MatMul{Form: NN}},
	{Why: "whole tiles, as in a layer", In: []Shape{{64, 64}, {128, 64}}, Attr: MatMul{Form: NT}},
	{Why: "whole tiles, as in a weight's gradient", In: []Shape{{128, 64}, {128, 96}}, Attr: MatMul{Form: TN}},
	{Why: "rows beyond the last tile, K a multiple of 4", In: []Shape{{13, 24}, {44, 24}}, Attr: MatMul{Form: NT}},
	{Why: "columns beyond the last tile, vec4 loads", In: []Shape{{24, 20}, {24, 36}}, Attr: MatMul{Form: TN}},
	{Why: "gradient accumulation in place", In: []Shape{{40, 32}, {40, 64}}, Attr: MatMul{Form: TN}, Addend: true, InPlace: map[int]int{0: 2}},
	{Why: "residual added", In: []Shape{{21, 32}, {32, 64}}, Attr: MatMul{Form: NN}, Addend: true},
	{Why: "residual added, as after attention", In: []Shape{{21, 32}, {64, 32}}, Attr: MatMul{Form: NT}, Addend: true},
	{Why: "long sums, to show lost precision", In: []Shape{{8, 4096}, {32, 4096}}, Attr: MatMul{Form: NT}},
	{Why: "a layer with bias and GELU, and a residual", In: []Shape{{21, 32}, {64, 32}, {64}}, Attr: MatMul{Form: NT, Bias: true, Act: GELU}, Addend: true},
	{Why: "bias and SiLU, rims", In: []Shape{{19, 7}, {7, 37}, {37}}, Attr: MatMul{Form: NN, Bias: true, Act: SiLU}},
	{Why: "K cut by what a device binds, below an activation; the addend is overwritten", In: []Shape{{200, 40}, {200, 36}, {36}},
		Attr: MatMul{Form: TN, Bias: true, Act: SiLU}, Addend: true, InPlace: map[int]int{0: 3}},
	{Why: "a batch", In: []Shape{{3, 20, 24}, {3, 44, 24}}, Attr: MatMul{Form: NT}},
	{Why: "a batch whose items start anywhere, each larger than the narrowed device binds", In: []Shape{{2, 65, 67}, {2, 67, 71}}, Attr: MatMul{Form: NN}, Addend: true},
	{Why: "rows enough to pack B, N beyond the last panel", In: []Shape{{130, 36}, {100, 36}}, Attr: MatMul{Form: NT}, Addend: true},
	{Why: "B packed as it is stored", In: []Shape{{128, 40}, {40, 132}}, Attr: MatMul{Form: NN}},
	{Why: "B packed, K no multiple of 4", In: []Shape{{50, 132}, {50, 72}}, Attr: MatMul{Form: TN}},
	{Why: "few tiles, long K: parts, the last one shorter", In: []Shape{{5, 1100}, {36, 1100}, {36}}, Attr: MatMul{Form: NT, Bias: true, Act: GELU}, Addend: true},
	{Why: "few tiles, long K, as a small weight's gradient", In: []Shape{{2051, 20}, {2051, 72}}, Attr: MatMul{Form: TN}, Addend: true, InPlace: map[int]int{0: 2}},
	{Why: "few tiles, long K", In: []Shape{{20, 1024}, {1024, 12}}, Attr: MatMul{Form: NN}},
	{Why: "columns of wider matrices", In: []Shape{{20, 96}, {36, 64}}, Attr: MatMul{Form: NT, A: Columns{32, 64}, B: Columns{8, 40}}},
	{Why: "the gradient of gates, as in a layer", In: []Shape{{64, 32}, {32, 64}, {64, 128}}, Attr: MatMul{Form: NN, Gates: true}},
	{Why: "gates, rims of tiles, B packed", In: []Shape{{133, 36}, {36, 100}, {133, 200}}, Attr: MatMul{Form: NN, Gates: true}},
	{Why: "gates, rows that start anywhere", In: []Shape{{70, 13}, {13, 37}, {70, 74}}, Attr: MatMul{Form: NN, Gates: true}},
	{Why: "gates, long sums: in parts, and cut by what a device binds", In: []Shape{{1100, 20}, {1100, 12}, {20, 24}}, Attr: MatMul{Form: TN, Gates: true}},
	halfMatMul("whole tiles of float16, as in a layer", 128, 128, 96, NT, F16),
	halfMatMul("the same of bfloat16", 128, 128, 96, NT, BF16),
	halfMatMul("rims of float16 tiles", 129, 72, 40, NN, F16),
	halfMatMul("a weight's gradient, tokens that fill no slice", 136, 80, 45, TN, F16),
	halfMatMul("sums beyond what a float16 holds exactly", 32, 64, 4096, NT, F16),
	halfMatMul("rows that cannot be read eight at a time", 21, 35, 13, NN, F16),
	{Why: "float16, bias and activation", In: []Shape{{70, 32}, {64, 32}, {64}}, Attr: MatMul{Form: NT, Bias: true, Act: GELU},
		Types: map[int]DType{0: F16, 1: F16}, Addend: true},
	{Why: "float16 columns of wider matrices, in a batch", In: []Shape{{2, 40, 96}, {2, 64, 64}}, Types: map[int]DType{0: F16, 1: F16},
		Attr: MatMul{Form: NT, A: Columns{32, 64}, B: Columns{8, 40}}},
	{Why: "columns that start anywhere, in a batch", In: []Shape{{2, 15, 31}, {2, 15, 40}}, Attr: MatMul{Form: TN, A: Columns{3, 28}, B: Columns{}}},
	{Why: "rows that can be stored by eights, as in the gradient at a layer's inputs", In: []Shape{{70, 40}, {40, 72}}, Attr: MatMul{Form: NN}},
}

// halfMatMul is a case of 16-bit operands, with an addend.
func halfMatMul(why string, m, n, k int, f Form, t DType) Case {
	c := Case{Why: why, In: []Shape{{m, k}, {k, n}}, Attr: MatMul{Form: f}, Types: map[int]DType{0: t, 1: t}, Addend: true}
	if f == TN {
		c.In[0] = Shape{k, m}
	} else if f == NT {
		c.In[1] = Shape{n, k}
	}
	return c
}

// randomMatMul makes a product of any form and type; most have sizes that the vectorised variants take.
func randomMatMul(rng *rand.Rand) Case {
	step := []int{1, 4, 8}[rng.IntN(3)]
	size := func() int { return (1 + rng.IntN(90) + step - 1) / step * step }
	m, n, k := size(), size(), size()
	attr := MatMul{Form: Form(rng.IntN(3))}
	a, b := Shape{m, k}, Shape{k, n}
	if attr.Form == TN {
		a = Shape{k, m}
	} else if attr.Form == NT {
		b = Shape{n, k}
	}
	if rng.IntN(4) == 0 { // A lies within a wider matrix
		from := size()
		attr.A = Columns{from, from + a[1]}
		a[1] += from + size()
	}
	if rng.IntN(4) == 0 {
		items := 1 + rng.IntN(4)
		a, b = append(Shape{items}, a...), append(Shape{items}, b...)
	}
	c := Case{In: []Shape{a, b}, Addend: rng.IntN(2) == 0}
	if len(a) == 2 && rng.IntN(6) == 0 {
		attr.Gates = true
		return Case{In: []Shape{a, b, {m, 2 * n}}, Attr: attr}
	}
	if rng.IntN(3) == 0 {
		attr.Bias, attr.Act = true, Activation(rng.IntN(3))
		c.In = append(c.In, Shape{n})
	}
	c.Attr = attr
	if t := []DType{F32, F16, BF16}[rng.IntN(3)]; t != F32 {
		c.Types = map[int]DType{0: t, 1: t}
	}
	return c
}

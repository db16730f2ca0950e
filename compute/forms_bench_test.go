package compute

import "testing"

// BenchmarkForms times every variant of the operations that only move memory or read rows of logits, at about a million elements; MB/s is of the
// least traffic (Op.Cost).
func BenchmarkForms(b *testing.B) {
	const n, d = 1024, 1024
	matrix, row := Shape{n, d}, Shape{n}
	dev := openTest(b)
	for _, c := range []struct {
		op string
		c  Case
	}{
		{"rms_norm", Case{In: []Shape{matrix, {d}}, Attr: float32(1e-5)}},
		{"rms_norm_grad", Case{In: []Shape{matrix, {d}, row, matrix}}},
		{"sum_rows", Case{In: []Shape{matrix}, Attr: sumBlock}},
		{"swiglu", Case{In: []Shape{{n, 2 * d}}}},
		{"swiglu_grad", Case{In: []Shape{{n, 2 * d}, matrix}}},
		{"embed", Case{In: []Shape{{4096, d}, row, row}, Types: map[int]DType{1: U32, 2: U32}}},
		{"embed_grad", embedGradCase("", n, d, 4096)},
		{"sum_squares", Case{In: []Shape{{n * d}}}},
		{"adamw", adamCase("", n*d, n*d/2)},
		{"softmax", softmaxCase("", n/4, 4*d, true, true)},
		{"nll_rank", nllRankCase("", n/4, 4*d)},
	} {
		op := Find(c.op)
		t, err := newTrial(op, c.c, 1)
		if err != nil {
			b.Fatal(err)
		}
		if err := t.upload(dev); err != nil {
			b.Fatal(err)
		}
		for _, k := range dev.fitting(t.program.Nodes[0]) {
			dev.Choose = func(*Node, []*Kernel) (*Kernel, error) { return k, nil }
			exes, err := dev.Load(t.program)
			if err != nil {
				b.Fatal(err)
			}
			_, bytes := op.Cost(t.program.Nodes[0])
			b.Run(c.op+"/"+k.Name, func(b *testing.B) {
				b.SetBytes(bytes)
				for b.Loop() {
					if err := exes[0].Run(); err != nil {
						b.Fatal(err)
					}
				}
			})
			exes[0].Close()
		}
		t.free(dev)
	}
}

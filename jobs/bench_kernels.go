package jobs

import (
	"context"
	"fmt"
	"math/rand/v2"

	"saltern/compute"
)

// matmul measures square products in each form, beside the plain register tile.
func (b *bench) matmul(ctx context.Context) error {
	sizes := []int{512, 1024}
	if b.large {
		sizes = append(sizes, 2048)
		if !b.device.Limits().CPU {
			sizes = append(sizes, 4096)
		}
	}
	t := Table{Columns: append([]Column{{Key: "size", Title: "size"}, {Key: "form", Title: "form"}, {Key: "kernel", Title: "kernel"}}, timeColumns()...)}
	t.Columns = append(t.Columns, Column{Key: "gflops", Title: "rate", Unit: "GFLOP/s", Format: "%.1f"},
		Column{Key: "plain_ms", Title: "plain tile", Unit: "ms", Format: "%.3f"}, Column{Key: "plain_gflops", Title: "plain tile", Unit: "GFLOP/s", Format: "%.1f"},
		Column{Key: "ratio", Title: "ratio", Format: "%.1f"})
	for _, size := range sizes {
		for _, f := range []compute.Form{compute.NN, compute.NT, compute.TN} {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := squareProduct(size, f)
			if err != nil {
				return err
			}
			plain := &n.Op.Kernels[len(n.Op.Kernels)-1]
			list, err := b.tuner.TimeNode(n, b.runs, plain)
			if err != nil {
				return err
			}
			chosen, naive := spreadOf(list[0].Runs), spreadOf(list[1].Runs)
			flops, _ := n.Op.Cost(n)
			b.best = max(b.best, chosen.rate(flops))
			row := append([]any{size, f.String(), list[0].Kernel.Name}, chosen.cells()...)
			t.Rows = append(t.Rows, append(row, chosen.rate(flops), naive.median, naive.rate(flops), naive.median/chosen.median))
		}
	}
	return b.show("matmul", "Matrix products, float32, square", t)
}

func squareProduct(size int, f compute.Form) (*compute.Node, error) {
	p, err := record(func(r *compute.Recorder) { r.MatMul(state("a", size, size), state("b", size, size), f) })
	if err != nil {
		return nil, err
	}
	return p.Nodes[0], nil
}

// matmulRate measures the three forms on a square that fills the device and gives the best rate of this process so far, in
// GFLOP/s: what other arithmetic is held against.
func (b *bench) matmulRate() (float64, error) {
	size := 4096
	if b.device.Limits().CPU {
		size = 512
	}
	for _, f := range []compute.Form{compute.NN, compute.NT, compute.TN} {
		n, err := squareProduct(size, f)
		if err != nil {
			return 0, err
		}
		s, _, err := b.timeNode(n)
		if err != nil {
			return 0, err
		}
		flops, _ := n.Op.Cost(n)
		b.best = max(b.best, s.rate(flops))
	}
	return b.best, nil
}

// Sizes of the memory-bound benchmarks: tensors of 32 MiB, beyond what most caches hold, and copies of 64.
const (
	elementRows, elementWidth = 4096, 2048
	copyBytes                 = 64 << 20
)

// elementwise measures a copy and, beside it, every operation of a training step that does little but move memory.
func (b *bench) elementwise(ctx context.Context) error {
	t := Table{Columns: append([]Column{{Key: "op", Title: "operation"}, {Key: "kernel", Title: "kernel"}, {Key: "shapes", Title: "shapes"}}, timeColumns()...)}
	t.Columns = append(t.Columns, Column{Key: "gbytes", Title: "traffic", Unit: "GB/s", Format: "%.2f"}, Column{Key: "share", Title: "of a copy", Unit: "%", Format: "%.0f"})
	runs, err := b.device.TimeCopy(copyBytes, b.runs)
	if err != nil {
		return err
	}
	copied := spreadOf(runs)
	ceiling := copied.rate(2 * copyBytes)
	t.Rows = append(t.Rows, append(append([]any{"copy", nil, compute.Bytes(copyBytes)}, copied.cells()...), ceiling, 100.0))
	p, err := record(elementwiseNodes)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, bytes := n.Op.Cost(n)
		if seen[n.Op.Name] || bytes < copyBytes/2 { // a sum of a few partial sums says nothing
			continue
		}
		seen[n.Op.Name] = true
		s, k, err := b.timeNode(n)
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, append(append([]any{n.Op.Name, k.Name, shapesOf(n)}, s.cells()...), s.rate(bytes), percent(s.rate(bytes), ceiling)))
	}
	return b.show("elementwise", "Memory-bound operations, float32; traffic is the least that the definition needs", t)
}

// elementwiseNodes records the memory-bound operations with their gradients.
func elementwiseNodes(r *compute.Recorder) {
	n, d := elementRows, elementWidth
	ids, order := compute.NewTensor(compute.Host, "ids", compute.U32, n), compute.NewTensor(compute.Host, "order", compute.U32, n)
	tracked := func(name string, shape ...int) *compute.Tensor {
		w := state(name, shape...)
		r.Track(w, state(name+".grad", shape...))
		return w
	}
	x := r.Embed(tracked("table", n, d), ids, order)
	y := r.RMSNorm(x, tracked("gain", d), 1e-5)
	h := r.SwiGLU(y) // [N, D/2]
	r.Add(state("a", n, d), state("b", n, d))
	r.Seed(h, state("dh", n, d/2))
	r.Backward()
	g := state("g", n*d)
	control := r.GradNorm(state("clip", 4), []*compute.Tensor{g})
	r.AdamW(state("p", n*d), g, state("m", n*d), state("v", n*d), state("adam", 8), control, n*d/2)
}

// attention measures causal attention, each of its kernels and backward as a whole.
func (b *bench) attention(ctx context.Context) error {
	peak, err := b.matmulRate()
	if err != nil {
		return err
	}
	t := Table{Columns: append([]Column{{Key: "tokens", Title: "T"}, {Key: "op", Title: "operation"}, {Key: "kernel", Title: "kernel"}, {Key: "shapes", Title: "shapes"}}, timeColumns()...)}
	t.Columns = append(t.Columns, rateColumns(peak)...)
	for _, T := range []int{128, 512, 1024} {
		const rows, heads, size = 1024, 4, 64
		p, err := record(func(r *compute.Recorder) {
			qkv := state("qkv", rows, 3*heads*size)
			o := r.Attention(qkv, compute.Attention{Heads: heads, KVHeads: heads, HeadSize: size, T: T})
			r.Seed(o, state("do", rows, heads*size))
			r.Backward()
		})
		if err != nil {
			return err
		}
		var backward spread
		var flops int64
		for i, n := range p.Nodes {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, k, err := b.timeNode(n)
			if err != nil {
				return err
			}
			work, _ := n.Op.Cost(n)
			if i > 0 {
				backward = spread{backward.median + s.median, backward.min + s.min, backward.max + s.max}
				flops += work
			}
			row := append([]any{T, n.Op.Name, k.Name, shapesOf(n)}, s.cells()...)
			t.Rows = append(t.Rows, append(row, s.rate(work), percent(s.rate(work), peak)))
		}
		row := append([]any{T, "backward, the sum", nil, nil}, backward.cells()...)
		t.Rows = append(t.Rows, append(row, backward.rate(flops), percent(backward.rate(flops), peak)))
	}
	return b.show("attention", "Causal attention, 1024 tokens, 4 heads of 64; FLOPs of the causal half", t)
}

// rateColumns are a rate and its share of the best matrix product.
func rateColumns(peak float64) []Column {
	return []Column{
		{Key: "gflops", Title: "rate", Unit: "GFLOP/s", Format: "%.1f"},
		{Key: "share", Title: "of matmul", Unit: fmt.Sprintf("%% of %.1f", peak), Format: "%.0f"},
	}
}

// loss measures LinearLoss as a whole.
func (b *bench) loss(ctx context.Context) error {
	peak, err := b.matmulRate()
	if err != nil {
		return err
	}
	const n, d, v = 1024, 256, 8192
	t := Table{Columns: append([]Column{{Key: "part", Title: "part"}}, timeColumns()...)}
	t.Columns = append(t.Columns, rateColumns(peak)...)
	for _, part := range []struct {
		name              string
		gradient, teacher bool
	}{{"forward", false, false}, {"forward and backward", true, false}, {"with a teacher of half the width", true, true}} {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := compute.LossInputs{Hidden: state("hidden", n, d), Weight: state("weight", v, d), Gradient: part.gradient,
			Labels: compute.NewTensor(compute.Host, "labels", compute.U32, n), Params: compute.NewTensor(compute.Host, "params", compute.F32, 4)}
		if part.teacher {
			in.TeacherHidden, in.TeacherWeight = state("teacher", n, d/2), state("teacher weight", v, d/2)
		}
		p, err := record(func(r *compute.Recorder) {
			r.Track(in.Weight, state("dweight", v, d))
			r.LinearLoss(in)
		})
		if err != nil {
			return err
		}
		s, err := b.timeProgram(ctx, p, func() error { return b.lossValues(in) })
		if err != nil {
			return err
		}
		flops, _ := p.Cost()
		t.Rows = append(t.Rows, append(append([]any{part.name}, s.cells()...), s.rate(flops), percent(s.rate(flops), peak)))
	}
	return b.show("loss", fmt.Sprintf("Output projection, softmax and cross entropy: %d tokens, width %d, vocabulary %d", n, d, v), t)
}

// lossValues writes random inputs.
func (b *bench) lossValues(in compute.LossInputs) error {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, t := range []*compute.Tensor{in.Hidden, in.Weight, in.TeacherHidden, in.TeacherWeight} {
		if t == nil {
			continue
		}
		data := make([]float32, t.Len())
		for i := range data {
			data[i] = rng.Float32() - 0.5
		}
		if err := b.device.Write(t, data); err != nil {
			return err
		}
	}
	labels := make([]uint32, in.Labels.Len())
	for i := range labels {
		labels[i] = rng.Uint32N(uint32(in.Weight.Shape[0]))
	}
	if err := b.device.WriteU32(in.Labels, labels); err != nil {
		return err
	}
	return b.device.Write(in.Params, []float32{1 / float32(len(labels)), 0.5, 1, 0})
}

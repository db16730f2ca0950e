package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"saltern/compute"
	softlabels "saltern/distill/labels"
)

// matmul measures products in each form, and on the first size the plain register tile, the floor that others stand on.
func (b *bench) matmul(ctx context.Context) error {
	for i, size := range b.sizes.products {
		for _, t := range b.types() {
			if err := b.products(ctx, size, t, i == 0 && t == compute.F32); err != nil {
				return err
			}
		}
	}
	return nil
}

// products measures one size in each form; floor adds the plain register tile.
func (b *bench) products(ctx context.Context, size product, t compute.DType, floor bool) error {
	r := row{suite: "matmul", dtype: t, limit: "matmul", dims: dims{{"m", size.m}, {"n", size.n}, {"k", size.k}}}
	for _, f := range []compute.Form{compute.NN, compute.NT, compute.TN} {
		p, err := productProgram(t, size, f)
		if err != nil {
			return err
		}
		n := p.Nodes[0]
		r.op = n.Op.Name + " " + f.String()
		if err := b.addNode(ctx, r, n); err != nil {
			return err
		}
		if !floor || f != compute.NN {
			continue
		}
		r.op += ", plain tile"
		if err := b.addNode(ctx, r, n, &n.Op.Kernels[len(n.Op.Kernels)-1]); err != nil {
			return err
		}
	}
	return nil
}

// attention measures causal attention, forward and with its gradient, and the gradient's kernels alone.
func (b *bench) attention(ctx context.Context) error {
	s := b.sizes
	for _, T := range s.sequences {
		r := row{suite: "attention", limit: "matmul", dims: dims{{"tokens", s.tokens}, {"sequence", T}, {"heads", s.heads}, {"head_size", s.size}}}
		qkv, grad := state("qkv", s.tokens, 3*s.heads*s.size), state("do", s.tokens, s.heads*s.size)
		p, err := record(func(r *compute.Recorder) {
			o := r.Attention(qkv, compute.Attention{Heads: s.heads, KVHeads: s.heads, HeadSize: s.size, T: T})
			r.Seed(o, grad)
			r.Backward()
		})
		if err != nil {
			return err
		}
		for _, n := range p.Nodes {
			r.op = n.Op.Name
			if err := b.addNode(ctx, r, n); err != nil {
				return err
			}
		}
		r.op = "attention and gradient"
		if err := b.addProgram(ctx, r, p, func() error { return b.writeAll(qkv, grad) }); err != nil {
			return err
		}
		if err := b.headProducts(ctx, r, s.tokens/T*s.heads, T, s.size); err != nil {
			return err
		}
	}
	return nil
}

// headProducts measures what attention is made of, as matrix products of so many heads [T,dh] without a mask or a softmax: what the shapes
// alone cost beside the square product.
func (b *bench) headProducts(ctx context.Context, r row, heads, T, dh int) error {
	for _, x := range []struct {
		op     string
		a, b   *compute.Tensor
		layout compute.Form
	}{
		{"matmul NT, scores of all pairs", state("q", heads, T, dh), state("k", heads, T, dh), compute.NT},
		{"matmul NN, outputs of all pairs", state("p", heads, T, T), state("v", heads, T, dh), compute.NN},
	} {
		p, err := record(func(rec *compute.Recorder) { rec.MatMul(x.a, x.b, x.layout) })
		if err != nil {
			return err
		}
		r.op = x.op
		if err := b.addNode(ctx, r, p.Nodes[0]); err != nil {
			return err
		}
	}
	return nil
}

// benchLabels is how many soft labels a token has here, as distill.label_count has it by default.
const benchLabels = 50

// loss measures LinearLoss as a whole, and of each kind its pass over the logits alone.
func (b *bench) loss(ctx context.Context) error {
	n, d, v := b.sizes.lossTokens, b.sizes.lossW, b.sizes.v
	for _, part := range []struct {
		op                      string
		gradient, teacher, soft bool
	}{
		{"loss", false, false, false}, {"loss and gradient", true, false, false}, {"loss and gradient, teacher of half the width", true, true, false},
		{fmt.Sprintf("loss and gradient, %d soft labels of a token", benchLabels), true, false, true},
	} {
		in := compute.LossInputs{Hidden: state("hidden", n, d), Weight: state("weight", v, d), Gradient: part.gradient,
			Labels: compute.NewTensor(compute.Host, "labels", compute.U32, n), Params: compute.NewTensor(compute.Host, "params", compute.F32, 4)}
		if part.teacher {
			in.TeacherHidden, in.TeacherWeight = state("teacher", n, d/2), state("teacher weight", v, d/2)
		}
		if part.soft {
			in.Soft = compute.NewSoftLabels(compute.Host, n, benchLabels, true)
		}
		p, err := record(func(r *compute.Recorder) {
			r.Track(in.Weight, state("dweight", v, d))
			r.LinearLoss(in)
		})
		if err != nil {
			return err
		}
		r := row{suite: "loss", op: part.op, limit: "matmul", dims: dims{{"tokens", n}, {"width", d}, {"vocabulary", v}}}
		if err := b.addProgram(ctx, r, p, func() error { return b.lossValues(in) }); err != nil {
			return err
		}
		i := slices.IndexFunc(p.Nodes, func(n *compute.Node) bool { return n.Op.Name == "softmax_loss" })
		r.op, r.limit = "softmax_loss of "+part.op, "copy"
		r.dims = append(slices.Clone(r.dims), dim{"rows", p.Nodes[i].In[0].Shape[0]})
		if err := b.addNode(ctx, r, p.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// lossValues writes random inputs.
func (b *bench) lossValues(in compute.LossInputs) error {
	if err := b.writeAll(in.Hidden, in.Weight, in.TeacherHidden, in.TeacherWeight); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	labels := make([]uint32, in.Labels.Len())
	for i := range labels {
		labels[i] = rng.Uint32N(uint32(in.Weight.Shape[0]))
	}
	if err := b.device.WriteU32(in.Labels, labels); err != nil {
		return err
	}
	if in.Soft != nil {
		l := softlabels.New(len(labels), benchLabels)
		softlabels.NewWeakTeacher(in.Weight.Shape[0], 1).Fill(l)
		if err := errors.Join(b.device.WriteU32(in.Soft.IDs, l.IDs), b.device.Write(in.Soft.Q, l.Q), b.device.Write(in.Soft.Stats, l.Stats)); err != nil {
			return err
		}
	}
	return b.device.Write(in.Params, []float32{1 / float32(len(labels)), 0.5, 1, 0})
}

// writeAll gives tensors random values; nil ones are passed over.
func (b *bench) writeAll(list ...*compute.Tensor) error {
	for _, t := range list {
		if t == nil {
			continue
		}
		if err := writeRandom(b.device, t); err != nil {
			return err
		}
	}
	return nil
}

// memory measures a copy and, beside it, every operation of a training step that does little but move memory; on a CPU device once more on
// few rows, which stay in its caches: an operation that is hardly faster there is bound by its instructions.
func (b *bench) memory(ctx context.Context) error {
	s := b.sizes
	copied := row{suite: "memory", op: "copy", limit: "copy", bytes: 2 * s.copyBytes, dims: dims{{"bytes", int(s.copyBytes)}}}
	if err := b.add(ctx, copied, func() ([]time.Duration, string, error) {
		runs, err := b.device.TimeCopy(s.copyBytes, b.runs)
		return runs, "", err
	}); err != nil {
		return err
	}
	p, err := record(func(r *compute.Recorder) { memoryNodes(r, s.rows, s.width) })
	if err != nil {
		return err
	}
	few := &compute.Program{}
	if s.cachedRows > 0 {
		if few, err = record(func(r *compute.Recorder) { memoryNodes(r, s.cachedRows, s.width) }); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		_, bytes := n.Op.Cost(n)
		if seen[n.Op.Name] || bytes < int64(4*s.rows*s.width) { // a sum of a few partial sums says nothing
			continue
		}
		seen[n.Op.Name] = true
		r := row{suite: "memory", op: n.Op.Name, limit: "copy", dims: dims{{"rows", s.rows}, {"width", s.width}}}
		if err := b.addNode(ctx, r, n); err != nil {
			return err
		}
		same := slices.IndexFunc(few.Nodes, func(m *compute.Node) bool { return m.Op == n.Op })
		if same < 0 {
			continue
		}
		if b.rows[len(b.rows)-1].cached, err = b.bestTraffic(few.Nodes[same]); err != nil {
			return err
		}
	}
	return nil
}

// bestTraffic is that of a node's fastest run, in GB/s.
func (b *bench) bestTraffic(n *compute.Node) (float64, error) {
	list, err := b.tuner.TimeNode(n, b.runs)
	if err != nil {
		return 0, err
	}
	_, bytes := n.Op.Cost(n)
	return float64(bytes) / spreadOf(list[0].Runs).min / 1e6, nil
}

// memoryNodes records the memory-bound operations with their gradients on matrices of n rows of d.
func memoryNodes(r *compute.Recorder, n, d int) {
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
	control := state("control", 4)
	r.GradNorm(control, state("clip", 4), []*compute.Tensor{g})
	r.AdamW(state("p", n*d), g, state("m", n*d), state("v", n*d), state("adam", 8), control, n*d/2)
}

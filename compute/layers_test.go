package compute

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// gradientOf records build with its parameters tracked, seeds its result with random numbers, and compares what Backward
// adds to each parameter's gradient with central finite differences of sum(result * seed), both in float64, and with what
// the device makes of the same program. The gradients start at one, so that an overwritten sum shows.
func gradientOf(t *testing.T, params []*Tensor, build func(r *Recorder) *Tensor, fill func(x *Reference)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	x := NewReference()
	finish := func(r *Recorder) *Program {
		t.Helper()
		p, err := r.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(p *Program) {
		t.Helper()
		exes, err := x.Load(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := exes[0].Run(); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range params {
		for i := range x.Float64(w) {
			x.Float64(w)[i] = rng.NormFloat64()
		}
	}
	if fill != nil {
		fill(x)
	}

	r := NewRecorder()
	grads := make([]*Tensor, len(params))
	for i, w := range params {
		grads[i] = NewTensor(State, "d"+w.Storage.Name, F32, w.Shape...)
		for j := range x.Float64(grads[i]) {
			x.Float64(grads[i])[j] = 1
		}
		r.Track(w, grads[i])
	}
	y := build(r)
	seed := NewTensor(State, "seed", F32, y.Shape...)
	for i := range x.Float64(seed) {
		x.Float64(seed)[i] = rng.NormFloat64()
	}
	r.Seed(y, seed)
	r.Backward()
	p := finish(r)
	onDevice := gradientsOnDevice(t, p, x, grads)
	run(p)

	// The forward program again, its result kept.
	loss := func() (s float64) {
		r := NewRecorder()
		y := build(r)
		kept := NewTensor(State, "kept", F32, y.Shape...)
		r.Accumulate(kept, y)
		run(finish(r))
		for i, v := range x.Float64(kept) {
			s += v * x.Float64(seed)[i]
		}
		return s
	}
	const h = 1e-5
	for i, w := range params {
		for j := range x.Float64(w) {
			v := x.Float64(w)[j]
			x.Float64(w)[j] = v + h
			up := loss()
			x.Float64(w)[j] = v - h
			want := 1 + (up-loss())/(2*h)
			x.Float64(w)[j] = v
			if got := x.Float64(grads[i])[j]; !(math.Abs(got-want) <= 1e-6*max(1, math.Abs(want))) {
				t.Errorf("gradient of %v at %d is %g, finite differences say %g", w, j, got, want)
			}
			if got := float64(onDevice[i][j]); !(math.Abs(got-want) <= 1e-4*max(1, math.Abs(want))) {
				t.Errorf("gradient of %v at %d is %g on the device, finite differences say %g", w, j, got, want)
			}
		}
	}
}

// gradientsOnDevice runs the program on the device from the values that x holds.
func gradientsOnDevice(t *testing.T, p *Program, x *Reference, grads []*Tensor) [][]float32 {
	t.Helper()
	d := openTest(t)
	ids := map[*Storage]bool{}
	for _, n := range p.Nodes {
		for _, in := range n.In {
			ids[in.Storage] = in.DType == U32
		}
	}
	for _, s := range p.Storages() {
		whole := s.View(F32, 0, s.Len)
		floats, words := make([]float32, s.Len), make([]uint32, s.Len)
		for i, v := range x.Float64(whole) {
			floats[i], words[i] = float32(v), uint32(max(v, 0))
		}
		err := d.Write(whole, floats)
		if ids[s] {
			err = d.WriteU32(whole, words)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	exes, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer exes[0].Close()
	if err := exes[0].Run(); err != nil {
		t.Fatal(err)
	}
	list := make([][]float32, len(grads))
	for i, g := range grads {
		list[i] = make([]float32, g.Len())
		if err := d.Read(g, list[i]); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestRMSNormGradient(t *testing.T) {
	x, g := NewTensor(State, "x", F32, 67, 5), NewTensor(State, "g", F32, 5)
	gradientOf(t, []*Tensor{x, g}, func(r *Recorder) *Tensor {
		h := r.Add(x, x)
		return r.Add(h, r.RMSNorm(h, g, 0.1)) // a residual, as in a layer
	}, nil)
}

func TestSwiGLUGradient(t *testing.T) {
	x := NewTensor(State, "x", F32, 3, 10)
	gradientOf(t, []*Tensor{x}, func(r *Recorder) *Tensor {
		y := r.SwiGLU(r.Add(x, x))
		return r.Add(y, y)
	}, nil)
}

// TestGatesAreFused: behind a product the gradient of SwiGLU is a part of that product's, and right.
func TestGatesAreFused(t *testing.T) {
	x, w := NewTensor(State, "x", F32, 3, 16), NewTensor(State, "w", F32, 8, 4)
	build := func(r *Recorder) *Tensor { return r.MatMul(r.SwiGLU(r.Add(x, x)), w, NN) }
	gradientOf(t, []*Tensor{x, w}, build, nil)
	r := NewRecorder()
	r.Track(x, NewTensor(State, "dx", F32, 3, 16))
	r.Seed(build(r), NewTensor(State, "seed", F32, 3, 4))
	r.Backward()
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	gates := slices.ContainsFunc(p.Nodes, func(n *Node) bool { return n.Op == opMatMul && n.Attr.(MatMul).Gates })
	if !gates || slices.ContainsFunc(p.Nodes, func(n *Node) bool { return n.Op == opSwiGLUGrad }) {
		t.Error("want a product with gates, and no gradient of them alone:")
		p.Print(t.Output())
	}
}

func TestEmbedGradient(t *testing.T) {
	table := NewTensor(State, "table", F32, 6, 3)
	ids, order := NewTensor(Host, "ids", U32, 5), NewTensor(Host, "order", U32, 5)
	gradientOf(t, []*Tensor{table}, func(r *Recorder) *Tensor {
		y := r.Embed(table, ids, order)
		return r.Add(y, y)
	}, func(x *Reference) {
		copy(x.Float64(ids), []float64{4, 0, 4, 2, 4})
		copy(x.Float64(order), []float64{1, 3, 0, 2, 4})
	})
}

// TestEmbedOfUntrackedTableHasNoGradient: a frozen table gets no kernel.
func TestEmbedOfUntrackedTableHasNoGradient(t *testing.T) {
	table := NewTensor(State, "table", F32, 6, 3)
	ids, order := NewTensor(Host, "ids", U32, 5), NewTensor(Host, "order", U32, 5)
	r := NewRecorder()
	y := r.Embed(table, ids, order)
	r.Seed(y, NewTensor(State, "seed", F32, 5, 3))
	r.Backward()
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Nodes) != 1 {
		t.Errorf("%d nodes, want the embedding alone", len(p.Nodes))
	}
}

// TestResidualGradientIsFused: in a layer with a residual neither the residual's gradient nor the gain's accumulation
// costs a node of its own.
func TestResidualGradientIsFused(t *testing.T) {
	x, g, dg := NewTensor(State, "x", F32, 70, 8), NewTensor(State, "g", F32, 8), NewTensor(State, "dg", F32, 8)
	w, dw := NewTensor(State, "w", F32, 8, 8), NewTensor(State, "dw", F32, 8, 8)
	r := NewRecorder()
	r.Track(g, dg)
	r.Track(w, dw)
	h := r.MatMul(x, w, NT)
	y := r.Add(h, r.RMSNorm(h, g, 1e-5))
	r.Seed(y, NewTensor(State, "seed", F32, 70, 8))
	r.Backward()
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	fused := map[string]bool{}
	adds := 0
	for _, n := range p.Nodes {
		fused[n.Op.Name] = fused[n.Op.Name] || n.HasAddend
		if n.Op == opAdd {
			adds++
		}
	}
	if !fused["rms_norm_grad"] || !fused["sum_rows"] || adds != 1 {
		t.Errorf("want rms_norm_grad and sum_rows fused with their additions, and the forward residual as the only add:")
		p.Print(t.Output())
	}
}

// TestSumIntoInLevels sums more rows than two levels of blocks hold, on the device, and adds to what was there.
func TestSumIntoInLevels(t *testing.T) {
	const n, k = 3*sumBlock*sumBlock + 5, 3
	x, into := NewTensor(Host, "x", F32, n, k), NewTensor(Host, "into", F32, k)
	r := NewRecorder()
	r.SumInto(into, x)
	p, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	d := openTest(t)
	exes, err := d.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer exes[0].Close()
	values := make([]float32, n*k) // whole numbers, whose sums are exact in any order
	want := []float32{1, 2, 3}
	if err := d.Write(into, want); err != nil {
		t.Fatal(err)
	}
	for i := range values {
		values[i] = float32(i % 17)
		want[i%k] += values[i]
	}
	if err := d.Write(x, values); err != nil {
		t.Fatal(err)
	}
	if err := exes[0].Run(); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, k)
	if err := d.Read(into, got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("column %d sums to %g, want %g", i, got[i], want[i])
		}
	}
}

// TestLaunchesWait: a launch that reads what one before it in the same node wrote must wait for it, which devices that run
// launches one by one do not show.
func TestLaunchesWait(t *testing.T) {
	l := &Limits{Subgroup: 8, MaxGroup: 256, MaxGridX: 65535, MaxRange: 64 * 64, MaxTexel: 64 * 64, CPU: true}
	for i := range opEmbedGrad.Kernels {
		launches := opEmbedGrad.Kernels[i].Launch(trialNode(t, opEmbedGrad, embedGradCase("", 200, 64, 300)), l)
		for k, one := range launches {
			if again := k > 0 && launches[k-1].Bind[4].overlaps(one.Bind[4]); one.Ordered != again {
				t.Errorf("embed_grad, variant %s: launch %d of %d: Ordered is %v", opEmbedGrad.Kernels[i].Name, k, len(launches), one.Ordered)
			}
		}
	}
}

func trialNode(t *testing.T, op *Op, c Case) *Node {
	t.Helper()
	trial, err := newTrial(op, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return trial.program.Nodes[0]
}

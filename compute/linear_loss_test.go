package compute

import (
	"fmt"
	"math"
	"testing"

	"saltern/compute/ref"
)

// lossModel is a small program around LinearLoss: hidden = pick E A, where E is the output projection too (tied
// embeddings), so that the gradient of E comes from both its uses and the one of A through the hidden states.
type lossModel struct {
	e, a, pick, labels, params, th, tw *Tensor
	soft                               *SoftLabels
	de, da, stats                      *Tensor
	n, d, v                            int
}

func newLossModel(n, d, v int) *lossModel {
	state := func(name string, shape ...int) *Tensor { return NewTensor(State, name, F32, shape...) }
	return &lossModel{
		n: n, d: d, v: v,
		e: state("e", v, d), a: state("a", d, d), pick: state("pick", n, v), labels: NewTensor(State, "labels", U32, n),
		params: NewTensor(Host, "params", F32, 4), th: state("th", n, d+4), tw: state("tw", v, d+4),
		soft: &SoftLabels{IDs: NewTensor(State, "ids", U32, n, 5), Q: state("q", n, 5), Stats: state("teacher", n, LabelColumns)},
		de:   state("de", v, d), da: state("da", d, d), stats: state("stats", n, StatsColumns),
	}
}

func (m *lossModel) fill(t *testing.T, b Backend, form teacherForm, w, temperature float64) {
	pick := make([]float32, m.n*m.v)
	for i := range m.n {
		pick[i*m.v+(i*7)%m.v] = 1
	}
	must(t, b.Write(m.pick, pick))
	must(t, b.Write(m.e, gaussian(5, m.v*m.d, 1)))
	must(t, b.Write(m.a, gaussian(6, m.d*m.d, 0.5)))
	must(t, b.Write(m.th, gaussian(7, m.n*(m.d+4), 0.5)))
	must(t, b.Write(m.tw, gaussian(8, m.v*(m.d+4), 1)))
	must(t, b.WriteU32(m.labels, someLabels(5, m.n, m.v)))
	soft := someSoftLabels(9, m.n, m.v, 5, form)
	must(t, b.WriteU32(m.soft.IDs, soft.ids))
	must(t, b.Write(m.soft.Q, soft.q))
	must(t, b.Write(m.soft.Stats, soft.stats))
	must(t, b.Write(m.params, []float32{0.25, float32(w), float32(1 / temperature), 0}))
	must(t, b.Write(m.de, make([]float32, m.v*m.d)))
	must(t, b.Write(m.da, make([]float32, m.d*m.d)))
}

func (m *lossModel) program(t *testing.T, form teacherForm, gradient bool) *Program {
	return m.programWith(t, form, gradient, func(*LossInputs) {})
}

func (m *lossModel) programWith(t *testing.T, form teacherForm, gradient bool, change func(*LossInputs)) *Program {
	r := NewRecorder()
	r.Track(m.e, m.de)
	r.Track(m.a, m.da)
	in := LossInputs{
		Hidden: r.MatMul(r.MatMul(m.pick, m.e, NN), m.a, NN), Weight: m.e, Labels: m.labels, Params: m.params,
		Gradient: gradient, Stats: m.stats, Chunk: 64,
	}
	switch {
	case form == logitsTeacher:
		in.TeacherHidden, in.TeacherWeight = m.th, m.tw
	case form.sparse():
		in.Soft, in.Ghost = m.soft, form == ghostTeacher
	}
	change(&in)
	r.LinearLoss(in)
	if gradient {
		r.Backward()
	}
	p, err := r.Finish()
	must(t, err)
	return p
}

// TestLinearLossGradient holds the gradients of a tied weight and of what lies before the hidden states against central
// differences of l_w = (1-w) NLL + w CE, over two chunks and a masked token.
func TestLinearLossGradient(t *testing.T) {
	for _, c := range []struct {
		form    teacherForm
		w, temp float64
	}{
		{noTeacher, 0.5, 1}, // w must count for nothing
		{logitsTeacher, 0, 0.5}, {logitsTeacher, 0, 1}, {logitsTeacher, 0, 2}, {logitsTeacher, 0.5, 0.5}, {logitsTeacher, 0.5, 1},
		{logitsTeacher, 0.5, 2}, {logitsTeacher, 1, 0.5}, {logitsTeacher, 1, 1}, {logitsTeacher, 1, 2},
		{sparseTeacher, 0, 1}, {sparseTeacher, 0.5, 1}, {sparseTeacher, 1, 1}, {ghostTeacher, 0, 1}, {ghostTeacher, 0.5, 1}, {ghostTeacher, 1, 1},
	} {
		t.Run(fmt.Sprintf("teacher=%v,w=%v,T=%v", c.form, c.w, c.temp), func(t *testing.T) {
			m, b := newLossModel(70, 4, 9), NewReference()
			m.fill(t, b, c.form, c.w, c.temp)
			if c.form.sparse() { // the shares of float32 do not sum to 1 as closely as differences need it
				normalise(b.Float64(m.soft.Q), 5, c.form == ghostTeacher)
			}
			exes, err := b.Load(m.program(t, c.form, true), m.program(t, c.form, false))
			must(t, err)
			must(t, exes[0].Run())
			w := c.w
			if c.form == noTeacher {
				w = 0
			}
			loss := func() (sum float64) {
				must(t, exes[1].Run())
				s := b.Float64(m.stats)
				for i := 0; i < len(s); i += StatsColumns {
					sum += (1-w)*s[i+StatNLL] + w*s[i+StatCE]
				}
				return 0.25 * sum
			}
			m.checkGradient(t, b, loss)
		})
	}
}

// checkGradient compares the gradients, as they lie there, with central finite differences of a loss, for every element.
func (m *lossModel) checkGradient(t *testing.T, b *Reference, loss func() float64) {
	t.Helper()
	for _, p := range []struct{ x, g *Tensor }{{m.e, m.de}, {m.a, m.da}} {
		x, g := b.Float64(p.x), b.Float64(p.g)
		for i := range x {
			const h = 1e-5
			keep := x[i]
			x[i] = keep + h
			up := loss()
			x[i] = keep - h
			down := loss()
			x[i] = keep
			if want := (up - down) / (2 * h); math.Abs(g[i]-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("gradient of %v at %d is %v, differences say %v", p.x, i, g[i], want)
			}
		}
	}
}

// normalise makes each row of k sum to 1, or to three quarters.
func normalise(q []float64, k int, ghost bool) {
	for i := 0; i < len(q); i += k {
		sum := 0.0
		for _, v := range q[i : i+k] {
			sum += v
		}
		if ghost {
			sum /= 0.75
		}
		for j := range k {
			q[i+j] /= sum
		}
	}
}

// TestLinearLossOnDevice runs the same program on the device and on the reference, with a ragged last chunk.
func TestLinearLossOnDevice(t *testing.T) {
	d, b := openTest(t), NewReference()
	for _, form := range []teacherForm{noTeacher, logitsTeacher, sparseTeacher, ghostTeacher} {
		m := newLossModel(200, 32, 516)
		for _, backend := range []Backend{d, b} {
			m.fill(t, backend, form, 0.5, 2)
			exes, err := backend.Load(m.program(t, form, true))
			must(t, err)
			must(t, exes[0].Run())
			exes[0].Close()
		}
		for _, x := range []*Tensor{m.stats, m.de, m.da} {
			got := make([]float32, x.Len())
			must(t, d.Read(x, got))
			compareTo(t, x.String(), got, b.Float64(x), 1e-5)
		}
		for _, x := range []*Tensor{m.e, m.a, m.pick, m.labels, m.params, m.th, m.tw, m.soft.IDs, m.soft.Q, m.soft.Stats, m.de, m.da, m.stats} {
			d.Free(x.Storage)
		}
	}
}

func compareTo(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	var largest float64
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		if !(math.Abs(float64(got[i])-v) <= tolerance*largest) {
			t.Errorf("%s at %d is %v, the reference says %v", what, i, got[i], v)
			return
		}
	}
}

// TestLinearLossAtLargeVocabularies holds the loss and the gradient of a few tokens against the reference: at 32768, and at 262144,
// where a chunk's logits are 64 MiB, half of what a device may bind at once, and the smallest chunk is a second one's rest.
func TestLinearLossAtLargeVocabularies(t *testing.T) {
	for _, c := range []struct{ n, dim, v int }{{256, 32, 32768}, {67, 8, 1 << 18}} {
		t.Run(fmt.Sprint(c.v), func(t *testing.T) { checkLargeLoss(t, c.n, c.dim, c.v) })
	}
}

func checkLargeLoss(t *testing.T, n, dim, v int) {
	d := openTest(t)
	hidden, weight := NewTensor(State, "hidden", F32, n, dim), NewTensor(State, "weight", F32, v, dim)
	th, tw := NewTensor(State, "th", F32, n, dim), NewTensor(State, "tw", F32, v, dim)
	labels, params := NewTensor(State, "labels", U32, n), NewTensor(Host, "params", F32, 4)
	stats, dHidden := NewTensor(State, "stats", F32, n, StatsColumns), NewTensor(State, "dhidden", F32, n, dim)
	x, w, tx, y, ids := gaussian(9, n*dim, 0.7), gaussian(10, v*dim, 1), gaussian(11, n*dim, 0.7), gaussian(12, v*dim, 1), someLabels(9, n, v)
	p := []float32{0.5, 0.5, 0.5, 0}
	for _, in := range []struct {
		t    *Tensor
		data []float32
	}{{hidden, x}, {weight, w}, {th, tx}, {tw, y}, {params, p}} {
		must(t, d.Write(in.t, in.data))
	}
	must(t, d.WriteU32(labels, ids))
	r := NewRecorder()
	r.LinearLoss(LossInputs{Hidden: hidden, Weight: weight, Labels: labels, Params: params, TeacherHidden: th, TeacherWeight: tw, Gradient: true, Stats: stats})
	r.Accumulate(dHidden, r.Gradient(hidden))
	program, err := r.Finish()
	must(t, err)
	exes, err := d.Load(program)
	must(t, err)
	must(t, exes[0].Run())
	exes[0].Close()
	defer d.Free(program.Storages()...)
	gotStats, gotHidden := make([]float32, stats.Len()), make([]float32, dHidden.Len())
	must(t, d.Read(stats, gotStats))
	must(t, d.Read(dHidden, gotHidden))

	for _, i := range []int{0, 63, 64, n / 2, n - 1} { // edges of chunks, and the masked token
		z, zt, s, dx := make([]float64, v), make([]float64, v), make([]float64, StatsColumns), make([]float64, dim)
		ref.MatMul(wide(x[i*dim:][:dim]), wide(w), z, 1, v, dim, false, true)
		ref.MatMul(wide(tx[i*dim:][:dim]), wide(y), zt, 1, v, dim, false, true)
		ref.SoftmaxLoss(z, []float64{float64(ids[i])}, wide(p), zt, z, s, v)
		ref.MatMul(z, wide(w), dx, 1, dim, v, false, false)
		compareTo(t, fmt.Sprintf("stats of token %d", i), gotStats[i*StatsColumns:], s, 1e-5)
		compareTo(t, fmt.Sprintf("dhidden of token %d", i), gotHidden[i*dim:], dx, 1e-4)
	}
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// TestLinearLossMemory: however many tokens there are, the logits of one chunk are in memory, student's and teacher's (with soft
// labels, the student's alone), and besides them only the gradient of the hidden states and the stats.
func TestLinearLossMemory(t *testing.T) {
	const dim, v, chunk = 16, 1024, 64
	for _, n := range []int{2 * chunk, 10 * chunk, 100*chunk + 7} {
		r := NewRecorder()
		state := func(name string, shape ...int) *Tensor { return NewTensor(State, name, F32, shape...) }
		weight := state("weight", v, dim)
		r.Track(weight, state("dweight", v, dim))
		r.LinearLoss(LossInputs{
			Hidden: state("hidden", n, dim), Weight: weight, Labels: NewTensor(State, "labels", U32, n), Params: state("params", 4),
			TeacherHidden: state("th", n, dim), TeacherWeight: state("tw", v, dim), Gradient: true, Chunk: chunk,
		})
		p, err := r.Finish()
		must(t, err)
		if want := 2*chunk*v + Align(n*dim) + Align(n*StatsColumns); p.Arena != want {
			t.Errorf("%d tokens: the arena has %d elements, want %d", n, p.Arena, want)
		}
		r = NewRecorder()
		r.LinearLoss(LossInputs{
			Hidden: state("hidden", n, dim), Weight: weight, Labels: NewTensor(State, "labels", U32, n), Params: state("params", 4),
			Soft:     &SoftLabels{IDs: NewTensor(Host, "ids", U32, n, 50), Q: NewTensor(Host, "q", F32, n, 50), Stats: NewTensor(Host, "teacher", F32, n, LabelColumns)},
			Gradient: true, Chunk: chunk,
		})
		p, err = r.Finish()
		must(t, err)
		// Without a teacher's logits there is no dead memory for the workspace of the weight gradient's product.
		if want := chunk*v + Align(n*dim) + Align(n*StatsColumns); p.Arena < want || p.Arena > want+chunk*v/8 {
			t.Errorf("%d tokens with soft labels: the arena has %d elements, want %d and a workspace", n, p.Arena, want)
		}
	}
}

// TestLinearLossMemoryAtLargeVocabularies: from 32768 to 262144 ids the logits of student and teacher stay within their budget,
// 64 MiB each and a product's workspace, where those of all tokens would take up to 16 GiB; four times the tokens add their hidden gradients alone.
func TestLinearLossMemoryAtLargeVocabularies(t *testing.T) {
	const dim = 64
	for _, v := range []int{32768, 131072, 262144} {
		for _, n := range []int{4096, 16384} {
			r := NewRecorder()
			state := func(name string, shape ...int) *Tensor { return NewTensor(State, name, F32, shape...) }
			weight := state("weight", v, dim)
			r.Track(weight, state("dweight", v, dim))
			r.LinearLoss(LossInputs{
				Hidden: state("hidden", n, dim), Weight: weight, Labels: NewTensor(State, "labels", U32, n), Params: state("params", 4),
				TeacherHidden: state("th", n, dim), TeacherWeight: state("tw", v, dim), Gradient: true,
			})
			p, err := r.Finish()
			must(t, err)
			m, rows := PlanMemory(p), int64(n*(dim+StatsColumns)*elementBytes)
			t.Logf("V %6d, N %5d: arena %s, state %s; logits of all tokens, twice: %s", v, n, Bytes(m.Arena), Bytes(m.State), Bytes(2*int64(n)*int64(v)*elementBytes))
			if limit := (2*maxLossLogits+maxWorkspace)*elementBytes + rows; m.Arena > limit {
				t.Errorf("V %d, N %d: the arena has %s, more than %s", v, n, Bytes(m.Arena), Bytes(limit))
			}
		}
	}
}

// TestLossChunk: the logits stay within the budget, whatever the vocabulary.
func TestLossChunk(t *testing.T) {
	for _, c := range []struct{ n, d, v, want int }{
		{8, 16, 100, 64},
		{100, 256, 4096, 128},
		{4096, 256, 4096, 1024},
		{1 << 16, 4096, 32768, 512},
		{1 << 16, 4096, 1 << 18, 64},
		{1 << 20, 1024, 2048, 2048},
	} {
		if got := lossChunk(c.n, c.d, c.v); got != c.want || got*c.v > maxLossLogits {
			t.Errorf("chunk of N %d, D %d, V %d is %d, want %d", c.n, c.d, c.v, got, c.want)
		}
	}
}

// TestLinearLossRefuses: what does not fit together is said at record time.
func TestLinearLossRefuses(t *testing.T) {
	m := newLossModel(70, 4, 9)
	good := LossInputs{Hidden: m.th.View(0, 70, 4), Weight: m.e, Labels: m.labels, Params: m.params}
	policy, witness := NewTensor(Host, "policy", F32, PolicyLen), NewTensor(State, "witness", F32, 70, WitnessColumns)
	for why, change := range map[string]func(*LossInputs){
		"teacher without weight":        func(in *LossInputs) { in.TeacherHidden = m.th },
		"teacher of other tokens":       func(in *LossInputs) { in.TeacherHidden, in.TeacherWeight = m.th.Rows(0, 64), m.tw },
		"teacher of another vocabulary": func(in *LossInputs) { in.TeacherHidden, in.TeacherWeight = m.th, m.tw.Rows(0, 8) },
		"weight of another width":       func(in *LossInputs) { in.Weight = m.tw },
		"labels of other tokens":        func(in *LossInputs) { in.Labels = m.labels.Rows(0, 64) },
		"labels that are not ids":       func(in *LossInputs) { in.Labels = NewTensor(State, "labels", F32, 70) },
		"no parameters":                 func(in *LossInputs) { in.Params = nil },
		"an unaligned chunk":            func(in *LossInputs) { in.Chunk = 100 },
		"soft labels and a teacher":     func(in *LossInputs) { in.TeacherHidden, in.TeacherWeight, in.Soft = m.th, m.tw, m.soft },
		"soft labels of other tokens":   func(in *LossInputs) { s := *m.soft; s.IDs = s.IDs.Rows(0, 64); in.Soft = &s },
		"soft labels without ids":       func(in *LossInputs) { s := *m.soft; s.IDs = nil; in.Soft = &s },
		"fewer probabilities than ids":  func(in *LossInputs) { s := *m.soft; s.Q = s.Q.View(0, 70, 4); in.Soft = &s },
		"a ghost of nothing":            func(in *LossInputs) { in.Ghost = true },
		"stats of other tokens":         func(in *LossInputs) { in.Stats = m.stats.Rows(0, 64) },
		"a policy without a witness":    func(in *LossInputs) { in.TeacherHidden, in.TeacherWeight, in.Policy = m.th, m.tw, policy },
		"a witness without a policy":    func(in *LossInputs) { in.TeacherHidden, in.TeacherWeight, in.Witness = m.th, m.tw, witness },
		"a policy without a teacher":    func(in *LossInputs) { in.Policy, in.Witness = policy, witness },
		"a policy of eight numbers": func(in *LossInputs) {
			in.TeacherHidden, in.TeacherWeight, in.Policy, in.Witness = m.th, m.tw, policy.View(0, 8), witness
		},
		"a witness of other tokens": func(in *LossInputs) {
			in.TeacherHidden, in.TeacherWeight, in.Policy, in.Witness = m.th, m.tw, policy, witness.Rows(0, 64)
		},
	} {
		in := good
		change(&in)
		r := NewRecorder()
		r.LinearLoss(in)
		if _, err := r.Finish(); err == nil {
			t.Errorf("%s: no error", why)
		}
	}
	r := NewRecorder()
	r.LinearLoss(good)
	if _, err := r.Finish(); err != nil {
		t.Error(err)
	}
}

package compute

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"saltern/compute/ref"
)

// softRows are the soft labels of some rows, as softmax_loss takes them.
type softRows struct {
	form     teacherForm
	ids      []uint32
	q, stats []float32
}

// lossRun runs one kernel of softmax_loss in place and gives the gradient and the stats; there may be a teacher's logits zt or
// its soft labels.
func lossRun(t *testing.T, d *Device, k *Kernel, z, zt []float32, soft *softRows, labels []uint32, params []float32) (dz, stats []float32) {
	t.Helper()
	n := len(labels)
	v := len(z) / n
	logits, ids := NewTensor(State, "z", F32, n, v), NewTensor(State, "labels", U32, n)
	p, s := NewTensor(Host, "params", F32, 4), NewTensor(State, "stats", F32, n, StatsColumns)
	in, form := []*Tensor{logits, ids, p}, noTeacher
	if zt != nil {
		form = logitsTeacher
		in = append(in, NewTensor(State, "zt", F32, n, v))
		must(t, d.Write(in[3], zt))
	}
	if soft != nil {
		form = soft.form
		in = append(in, NewTensor(State, "ids", U32, n, len(soft.ids)/n), NewTensor(State, "q", F32, n, len(soft.ids)/n), NewTensor(State, "teacher", F32, n, 2))
		must(t, d.WriteU32(in[3], soft.ids))
		must(t, d.Write(in[4], soft.q))
		must(t, d.Write(in[5], soft.stats))
	}
	must(t, d.Write(logits, z))
	must(t, d.WriteU32(ids, labels))
	must(t, d.Write(p, params))
	program := runOne(t, d, k, "softmax_loss", softmaxLoss{Teacher: form, Gradient: true}, in, s, logits)
	dz, stats = make([]float32, n*v), make([]float32, n*StatsColumns)
	must(t, d.Read(logits, dz))
	must(t, d.Read(s, stats))
	d.Free(program.Storages()...)
	return dz, stats
}

// runOne runs one operation by one kernel, and gives the program, whose memory is to be freed.
func runOne(t *testing.T, d *Device, k *Kernel, op string, attr any, in []*Tensor, out ...*Tensor) *Program {
	t.Helper()
	r := NewRecorder()
	r.Record(op, attr, in, out...)
	program, err := r.Finish()
	must(t, err)
	d.Choose = func(*Node, []*Kernel) (*Kernel, error) { return k, nil }
	defer func() { d.Choose = nil }()
	exes, err := d.Load(program)
	must(t, err)
	must(t, exes[0].Run())
	exes[0].Close()
	return program
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachLossKernel calls f for every kernel that fits n rows of v, with and without texels.
func eachLossKernel(t *testing.T, d *Device, n, v int, f func(t *testing.T, k *Kernel)) {
	in := []*Tensor{NewTensor(State, "z", F32, n, v), nil, nil, nil}
	for _, k := range d.fitting(&Node{Op: opSoftmaxLoss, In: in, Attr: softmaxLoss{Teacher: logitsTeacher, Gradient: true}}) {
		t.Run(k.Name, func(t *testing.T) { f(t, k) })
	}
}

func gaussian(seed uint64, n int, deviation float64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(deviation * rng.NormFloat64())
	}
	return x
}

func someLabels(seed uint64, n, v int) []uint32 {
	rng := rand.New(rand.NewPCG(seed, 3))
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(rng.IntN(v))
	}
	ids[n/2] = Masked
	return ids
}

func sameBits(a, b []float32) bool {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// TestZeroWeightIsPlainTraining: with w = 0 a teacher, even a broken one, changes no bit of the gradient, nor of what needs
// no teacher.
func TestZeroWeightIsPlainTraining(t *testing.T) {
	d := openTest(t)
	for _, v := range []int{1000, 333} {
		const n = 33
		z, zt, labels := gaussian(1, n*v, 4), gaussian(2, n*v, 4), someLabels(1, n, v)
		zt[7] = float32(math.NaN())
		eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
			plain, s := lossRun(t, d, k, z, nil, nil, labels, []float32{0.37, 0.5, 1, 0})
			taught, st := lossRun(t, d, k, z, zt, nil, labels, []float32{0.37, 0, 2, 0})
			if !sameBits(plain, taught) {
				t.Error("the gradient with w = 0 is not the one without a teacher, bit for bit")
			}
			for i := range s {
				if c := i % StatsColumns; (c == StatNLL || c == StatCorrect || c == StatCount) && s[i] != st[i] {
					t.Errorf("token %d, column %d: %v without a teacher, %v with", i/StatsColumns, c, s[i], st[i])
				}
			}
			if other, _ := lossRun(t, d, k, z, zt, nil, labels, []float32{0.37, 0.01, 2, 0}); sameBits(plain, other) {
				t.Error("w = 0.01 changes nothing: the comparison cannot fail")
			}
			for _, form := range []teacherForm{sparseTeacher, ghostTeacher} {
				soft := someSoftLabels(6, n, v, 20, form)
				zero, _ := lossRun(t, d, k, z, nil, soft, labels, []float32{0.37, 0, 1, 0})
				if form == sparseTeacher && !sameBits(plain, zero) {
					t.Error("the gradient with w = 0 is not the one without a teacher's soft labels, bit for bit")
				}
				// The ghost's sum runs in another order, so here a rounding may differ.
				compareTo(t, "the gradient with w = 0 and a ghost", zero, wide(plain), 1e-6)
				if other, _ := lossRun(t, d, k, z, nil, soft, labels, []float32{0.37, 0.01, 1, 0}); sameBits(zero, other) {
					t.Errorf("%v: w = 0.01 changes nothing: the comparison cannot fail", form)
				}
			}
		})
	}
}

// TestTeacherThatAgreesGivesNoGradient: q = p and w = 1 leave exactly nothing to learn.
func TestTeacherThatAgreesGivesNoGradient(t *testing.T) {
	d := openTest(t)
	for _, v := range []int{1000, 333} {
		const n = 33
		z, labels := gaussian(3, n*v, 4), someLabels(3, n, v)
		eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
			dz, s := lossRun(t, d, k, z, z, nil, labels, []float32{1, 1, 1, 0})
			for i, g := range dz {
				if g != 0 {
					t.Fatalf("the gradient of token %d at %d is %g", i/v, i%v, g)
				}
			}
			for i := 0; i < len(s); i += StatsColumns {
				if s[i+StatDataWitness] != 0 || s[i+StatTotalVariation] != 0 {
					t.Fatalf("token %d: witnesses %v of equal distributions", i/StatsColumns, s[i:i+StatsColumns])
				}
			}
		})
	}
}

// TestSoftLabelsThatAgreeGiveNoGradient: soft labels that hold all of p, and w = 1, leave exactly nothing to learn; with a ghost,
// ids that hold some of p leave next to nothing.
func TestSoftLabelsThatAgreeGiveNoGradient(t *testing.T) {
	d := openTest(t)
	for _, v := range []int{100, 77} {
		const n = 33
		z := gaussian(3, n*v, 2)
		eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
			p, _ := lossRun(t, d, k, z, nil, nil, slices.Repeat([]uint32{0}, n), []float32{1, 0, 1, 0})
			other, _ := lossRun(t, d, k, z, nil, nil, slices.Repeat([]uint32{1}, n), []float32{1, 0, 1, 0})
			soft := &softRows{sparseTeacher, make([]uint32, n*v), make([]float32, n*v), make([]float32, 2*n)}
			for i := range p {
				soft.ids[i], soft.q[i] = uint32(i%v), p[i]
				if i%v == 0 {
					soft.q[i] = other[i]
				}
			}
			labels := someLabels(3, n, v)
			dz, _ := lossRun(t, d, k, z, nil, soft, labels, []float32{1, 1, 1, 0})
			for i, g := range dz {
				if g != 0 {
					t.Fatalf("the gradient of token %d at %d is %g", i/v, i%v, g)
				}
			}
			some := &softRows{ghostTeacher, nil, nil, soft.stats}
			for i := range soft.ids {
				if i%v%3 == 1 {
					some.ids, some.q = append(some.ids, soft.ids[i]), append(some.q, soft.q[i])
				}
			}
			dz, _ = lossRun(t, d, k, z, nil, some, labels, []float32{1, 1, 1, 0})
			for i, g := range dz {
				if math.Abs(float64(g)) > 1e-5*float64(soft.q[i]) {
					t.Fatalf("with a ghost the gradient of token %d at %d is %g, p there is %g", i/v, i%v, g, soft.q[i])
				}
			}
		})
	}
}

// someSoftLabels are at most count of each row.
func someSoftLabels(seed uint64, n, v, count int, form teacherForm) *softRows {
	rng := rand.New(rand.NewPCG(seed, 4))
	s := &softRows{form: form, stats: gaussian(seed, 2*n, 1)}
	ids, q := make([]float64, count), make([]float64, count)
	for range n {
		fillSoft(rng, v, form == ghostTeacher, ids, q)
		for j := range ids {
			s.ids, s.q = append(s.ids, uint32(ids[j])), append(s.q, float32(q[j]))
		}
	}
	return s
}

// TestBadLogitsShow: a logit that is not a number makes its token's loss and gradient NaN, and no other's.
func TestBadLogitsShow(t *testing.T) {
	d := openTest(t)
	const n, v = 5, 96
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		z, labels := gaussian(4, n*v, 1), []uint32{1, 2, 3, Masked, 5}
		z[2*v+50], z[3*v] = float32(bad), float32(bad)
		eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
			dz, s := lossRun(t, d, k, z, nil, nil, labels, []float32{1, 0, 1, 0})
			checkBad(t, "without a teacher", bad, dz, s)
			for _, form := range []teacherForm{sparseTeacher, ghostTeacher} {
				dz, s := lossRun(t, d, k, z, nil, someSoftLabels(7, n, v, 9, form), labels, []float32{1, 0.5, 1, 0})
				checkBad(t, form.String(), bad, dz, s)
			}
		})
	}
}

// checkBad wants the loss and gradient of the third of five tokens to be NaN, and no other's.
func checkBad(t *testing.T, what string, bad float64, dz, s []float32) {
	t.Helper()
	const n = 5
	v := len(dz) / n
	for i := range n {
		g, l := float64(dz[i*v+7]), float64(s[i*StatsColumns])
		if i == 2 != math.IsNaN(g) || i == 2 != math.IsNaN(l) {
			t.Errorf("%s: a logit of %v in tokens 2 and (masked) 3: token %d has loss %v, gradient %v", what, bad, i, l, g)
		}
	}
}

// TestGradientOfManySmallProbabilities: at 262144 ids a probability is some 1e-6, far below what the common runner allows beside
// the label's own gradient, which is near 1. So every element is held against p and q there: loops that a CPU device ended
// early would leave some untouched, and sums that were short make all of them too large.
func TestGradientOfManySmallProbabilities(t *testing.T) {
	d := openTest(t)
	const n, v, scale = 2, 1 << 18, 0.5
	for _, deviation := range []float64{0.02, 2} { // as before training, when all ids are nearly alike, and after
		z, zt, labels := gaussian(41, n*v, deviation), gaussian(42, n*v, deviation), []uint32{v - 1, 77}
		want, wantStats := make([]float64, n*v), make([]float64, n*StatsColumns)
		ref.SoftmaxLoss(wide(z), []float64{v - 1, 77}, []float64{scale, 0.5, 1, 0}, wide(zt), want, wantStats, v)
		p, q := make([]float64, n*v), make([]float64, n*v)
		ref.Softmax(wide(z), 1, nil, p, nil, nil, v)
		ref.Softmax(wide(zt), 1, nil, q, nil, nil, v)
		eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
			dz, stats := lossRun(t, d, k, z, zt, nil, labels, []float32{scale, 0.5, 1, 0})
			compareTo(t, "stats", stats, wantStats, 1e-5)
			for i, g := range dz {
				terms := scale * (p[i] + 0.5*q[i])
				if i%v == int(labels[i/v]) {
					terms++
				}
				if !(math.Abs(float64(g)-want[i]) <= 1e-5*terms) {
					t.Fatalf("deviation %v, token %d: the gradient at %d is %g, the reference says %g", deviation, i/v, i%v, g, want[i])
				}
			}
		})
	}
}

// TestLongRowsFit: the variants that claim to fit the vocabularies in use are those whose loops are short enough, and where one
// subgroup is too narrow a wider one is left.
func TestLongRowsFit(t *testing.T) {
	l := Limits{Subgroup: 8, MaxGroup: 1024, MaxGridX: 65535, MaxRange: 32 << 20, MaxTexel: 128 << 20, CPU: true, Int64: true}
	for _, c := range []struct {
		op   *Op
		attr any
		v    int
		want string
	}{
		{opSoftmaxLoss, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, 32768, "texel subgroup workgroup_vec4 workgroup"},
		{opSoftmaxLoss, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, 65537, "workgroup"},
		{opSoftmaxLoss, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, 131072, "texel workgroup_vec4 workgroup"},
		{opSoftmaxLoss, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, 262144, "texel workgroup_vec4 workgroup"},
		{opSoftmaxLoss, softmaxLoss{Teacher: logitsTeacher, Gradient: true}, 262148, "workgroup_vec4 workgroup"},
		{opTopK, topK{50}, 32768, "texel workgroup_vec4 workgroup"},
		{opTopK, topK{50}, 262144, "workgroup_vec4 workgroup"},
		{opSample, sample{50}, 262144, "texel workgroup_vec4 workgroup"},
	} {
		var names []string
		n := &Node{Op: c.op, In: []*Tensor{NewTensor(State, "z", F32, 64, c.v)}, Attr: c.attr}
		for _, k := range c.op.Kernels {
			if k.Fits == nil || k.Fits(n, &l) {
				names = append(names, k.Name)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s of %d: %s fit, want %s", c.op.Name, c.v, got, c.want)
		}
	}
	for _, op := range []*Op{opSoftmaxLoss, opSoftmax, opNLLRank, opTopK, opSample} {
		attr := map[*Op]any{opSoftmaxLoss: softmaxLoss{}, opSoftmax: softmaxRows{}, opTopK: topK{1}, opSample: sample{1}}[op]
		in := []*Tensor{NewTensor(State, "z", F32, 2, maxVocabulary+4), NewTensor(State, "", U32, 2), NewTensor(State, "", F32, 4)}
		switch op {
		case opSoftmax:
			in = []*Tensor{in[0], NewTensor(State, "", F32, 1)}
		case opNLLRank:
			in = in[:2]
		case opTopK:
			in = in[:1]
		case opSample:
			in[2] = NewTensor(State, "", U32, 4)
		}
		if _, err := op.Shapes(in, attr); err == nil || !strings.Contains(err.Error(), "beyond") {
			t.Errorf("%s of %d: %v; wants an error, since its loops would end silently on a CPU device", op.Name, maxVocabulary+4, err)
		}
	}
}

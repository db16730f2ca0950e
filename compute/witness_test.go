package compute

import (
	"math"
	"testing"
)

// witnessed makes a program of the loss model with a policy.
func (m *lossModel) witnessed(t *testing.T, form teacherForm, gradient bool, policy, witness *Tensor) *Program {
	return m.programWith(t, form, gradient, func(in *LossInputs) { in.Policy, in.Witness = policy, witness })
}

// somePolicy splits entropies up to log v at thirds, with a factor of 1/2, 0 and 1.
func somePolicy(v int) []float32 {
	p := make([]float32, PolicyLen)
	for i := range PolicyBuckets {
		p[i], p[PolicyBuckets+i] = float32(math.Inf(1)), 1
	}
	most := math.Log(float64(v))
	p[0], p[1] = float32(0.6*most), float32(0.8*most)
	p[PolicyBuckets], p[PolicyBuckets+1] = 0.5, 0
	return p
}

// TestPolicyGradient holds the gradients with a weight of each token's own against central differences of the loss that its bucket
// says: (1 - w r_g) NLL + w r_g CE.
func TestPolicyGradient(t *testing.T) {
	for _, form := range []teacherForm{logitsTeacher, sparseTeacher, ghostTeacher} {
		t.Run(form.String(), func(t *testing.T) {
			m, b := newLossModel(70, 4, 9), NewReference()
			policy, witness := NewTensor(Host, "policy", F32, PolicyLen), NewTensor(Host, "witness", F32, m.n, WitnessColumns)
			const w = 0.75
			m.fill(t, b, form, w, 1.5)
			factors := somePolicy(m.v)
			must(t, b.Write(policy, factors))
			if form.sparse() {
				normalise(b.Float64(m.soft.Q), 5, form == ghostTeacher)
				entropies := b.Float64(m.soft.Stats)
				for i := range m.n {
					entropies[2*i+1] = math.Log(9) * float64(i%10) / 9
				}
			}
			exes, err := b.Load(m.witnessed(t, form, true, policy, witness), m.witnessed(t, form, false, policy, witness))
			must(t, err)
			must(t, exes[0].Run())
			seen := map[int]int{}
			loss := func() (sum float64) {
				must(t, exes[1].Run())
				s, all := b.Float64(m.stats), b.Float64(witness)
				for i := range m.n {
					g := int(all[i*WitnessColumns+WitnessBucket])
					own := w * float64(factors[PolicyBuckets+g])
					seen[g]++
					sum += (1-own)*s[i*StatsColumns+StatNLL] + own*s[i*StatsColumns+StatCE]
				}
				return 0.25 * sum
			}
			m.checkGradient(t, b, loss)
			if len(seen) != 3 {
				t.Errorf("the case is too easy: its tokens are in the buckets %v", seen)
			}
		})
	}
}

// TestPolicyOnDevice holds the device against single weights: under a policy each token has, bit by bit, the gradient and the stats
// that a run with its weight for all gives it, and with factors of 0 those of plain training.
func TestPolicyOnDevice(t *testing.T) {
	d := openTest(t)
	const n, v, w = 200, 516, 0.5
	z, zt, labels := gaussian(31, n*v, 2), gaussian(32, n*v, 3), someLabels(31, n, v)
	eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
		plain, _ := lossRun(t, d, k, z, nil, nil, labels, []float32{0.5, 0, 1, 0})
		runs := map[float32][2][]float32{}
		for _, r := range []float32{0, 0.5, 1} {
			dz, stats := lossRun(t, d, k, z, zt, nil, labels, []float32{0.5, r * w, 1.25, 0})
			runs[r] = [2][]float32{dz, stats}
		}
		policy := somePolicy(v)
		policy[0], policy[1] = 2.5, 3 // the entropies here are from 1.6 to 4
		dz, stats, witness := witnessRun(t, d, k, z, zt, labels, []float32{0.5, w, 1.25, 0}, policy)
		seen := [3]int{}
		for i := range n {
			g := int(witness[i*WitnessColumns+WitnessBucket])
			if labels[i] == Masked {
				continue
			}
			seen[g]++
			h := stats[i*StatsColumns+StatEntropy]
			if g < 2 && h >= policy[g] || g > 0 && h < policy[g-1] {
				t.Fatalf("token %d of entropy %g is in bucket %d", i, h, g)
			}
			want := runs[policy[PolicyBuckets+g]]
			if !sameBits(dz[i*v:(i+1)*v], want[0][i*v:(i+1)*v]) || !sameBits(stats[i*StatsColumns:(i+1)*StatsColumns], want[1][i*StatsColumns:(i+1)*StatsColumns]) {
				t.Fatalf("token %d in bucket %d has not the bits of a run with its weight", i, g)
			}
		}
		if min(seen[0], seen[1], seen[2]) < 5 {
			t.Errorf("the case is too easy: %v tokens in the buckets", seen)
		}
		for i := range PolicyBuckets {
			policy[PolicyBuckets+i] = 0
		}
		if dz, _, _ := witnessRun(t, d, k, z, zt, labels, []float32{0.5, w, 1.25, 0}, policy); !sameBits(dz, plain) {
			t.Error("factors of 0 do not give the bits of plain training")
		}
	})
}

// TestBrierIdentity: with A = |p|^2 - p.q - p(y) + q(y), what the columns of a token give as Brier_p - Brier_q = 2A - |p-q|^2 is what
// the distributions give, sum over v of (p - e_y)^2 - (q - e_y)^2; and the two witness lines, of student and teacher, sum to the
// total variation.
func TestBrierIdentity(t *testing.T) {
	d := openTest(t)
	const n, v = 33, 333
	z, zt, labels := gaussian(51, n*v, 2), gaussian(52, n*v, 2), someLabels(51, n, v)
	eachLossKernel(t, d, n, v, func(t *testing.T, k *Kernel) {
		_, stats, witness := witnessRun(t, d, k, z, zt, labels, []float32{1, 0.5, 0.5, 0}, somePolicy(v))
		for i, y := range labels {
			s, u := wide(stats[i*StatsColumns:(i+1)*StatsColumns]), wide(witness[i*WitnessColumns:(i+1)*WitnessColumns])
			if y == Masked {
				if u[WitnessPP] != 0 || u[WitnessBucket] != 0 {
					t.Error("a masked token has a witness")
				}
				continue
			}
			p, q := softmaxAt(wide(z[i*v:(i+1)*v]), 1), softmaxAt(wide(zt[i*v:(i+1)*v]), 0.5)
			var brier, tv, student, teacher float64
			for j := range v {
				e := 0.0
				if j == int(y) {
					e = 1
				}
				brier += (p[j]-e)*(p[j]-e) - (q[j]-e)*(q[j]-e)
				tv += math.Abs(p[j]-q[j]) / 2
				if p[j] > q[j] {
					student += p[j] - e
					teacher += e - q[j]
				}
			}
			a := u[WitnessPP] - u[WitnessPQ] - math.Exp(-s[StatNLL]) + math.Exp(-s[StatTeacherNLL])
			apart := u[WitnessPP] - 2*u[WitnessPQ] + u[WitnessQQ]
			for _, c := range []struct {
				what      string
				got, want float64
			}{{"2A - |p-q|^2", 2*a - apart, brier}, {"p(S) - q(S)", s[StatTotalVariation], tv}, {"p(S) - 1{y in S}", s[StatDataWitness], student}, {"both witness lines", student + teacher, s[StatTotalVariation]}} {
				if math.Abs(c.got-c.want) > 1e-5 {
					t.Errorf("token %d: %s is %g, want %g", i, c.what, c.got, c.want)
				}
			}
		}
	})
}

func softmaxAt(x []float64, factor float64) []float64 {
	y, sum := make([]float64, len(x)), 0.0
	for j, v := range x {
		y[j] = math.Exp(v * factor)
		sum += y[j]
	}
	for j := range y {
		y[j] /= sum
	}
	return y
}

// witnessRun is lossRun with a teacher's logits and a policy.
func witnessRun(t *testing.T, d *Device, k *Kernel, z, zt []float32, labels []uint32, params, policy []float32) (dz, stats, witness []float32) {
	t.Helper()
	n := len(labels)
	v := len(z) / n
	logits, teacher, ids := NewTensor(State, "z", F32, n, v), NewTensor(State, "zt", F32, n, v), NewTensor(State, "labels", U32, n)
	p, q, s, u := NewTensor(Host, "params", F32, 4), NewTensor(Host, "policy", F32, PolicyLen), NewTensor(Host, "stats", F32, n, StatsColumns), NewTensor(Host, "witness", F32, n, WitnessColumns)
	must(t, d.Write(logits, z))
	must(t, d.Write(teacher, zt))
	must(t, d.WriteU32(ids, labels))
	must(t, d.Write(p, params))
	must(t, d.Write(q, policy))
	program := runOne(t, d, k, "softmax_loss", softmaxLoss{logitsTeacher, true, true}, []*Tensor{logits, ids, p, teacher, q}, s, logits, u)
	dz, stats, witness = make([]float32, n*v), make([]float32, n*StatsColumns), make([]float32, n*WitnessColumns)
	must(t, d.Read(logits, dz))
	must(t, d.Read(s, stats))
	must(t, d.Read(u, witness))
	d.Free(program.Storages()...)
	return dz, stats, witness
}

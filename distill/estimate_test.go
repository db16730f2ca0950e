package distill

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"saltern/compute"
	"saltern/compute/ref"
)

// TestRatioError: the standard error of a ratio of correlated sums is the spread of the ratio over many draws.
func TestRatioError(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	const draws, sequences = 3000, 60
	var mean, square, errors float64
	for range draws {
		var r Ratio
		for range sequences {
			own, d := rng.NormFloat64(), 2+rng.Float64()
			r.observe(0.7*d+own+0.5*rng.NormFloat64(), d)
		}
		value, se := r.Estimate()
		mean, square, errors = mean+value/draws, square+value*value/draws, errors+se/draws
	}
	deviation := math.Sqrt(square - mean*mean)
	near(t, "the ratio", mean, 0.7, 5*deviation/math.Sqrt(draws))
	near(t, "its standard error over its spread", errors/deviation, 1, 0.05)
	for _, r := range []Ratio{{}, {1, 2, 3, 4, 6, 9}, {Count: 5}} {
		if _, se := r.Estimate(); !math.IsInf(se, 1) {
			t.Errorf("the error of %+v is %g", r, se)
		}
	}
}

// TestEdges: eight parts of equal size, fewer where many tokens have one entropy, and never an edge with nothing beyond it.
func TestEdges(t *testing.T) {
	unit := math.Log(50) / entropyBins
	for _, test := range []struct {
		why    string
		counts map[int]float64
		want   []float64
	}{
		{"equal parts", map[int]float64{10: 3, 20: 3, 30: 3, 40: 3, 50: 3, 60: 3, 70: 3, 80: 3}, []float64{11, 21, 31, 41, 51, 61, 71}},
		{"half of the tokens in one place", map[int]float64{0: 4, 100: 1, 110: 1, 120: 1, 130: 1}, []float64{1, 101, 111, 121}},
		{"all of them", map[int]float64{7: 100}, []float64{}},
		{"all at the end", map[int]float64{255: 9}, []float64{}},
		{"most at the end", map[int]float64{3: 1, 255: 7}, []float64{4}},
	} {
		s := Sums{Entropies: make([]float64, entropyBins)}
		for i, n := range test.counts {
			s.Entropies[i] = n
		}
		got := s.edges(50)
		for i := range got {
			got[i] = math.Round(got[i] / unit)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: edges after the parts %v, want %v", test.why, got, test.want)
		}
	}
}

// observed are the sums of sequences of T tokens whose gold tokens are drawn from mix q + (1-mix) p, by the reference.
func observed(seed uint64, sequences, T int, mix float64, policy []float64, weight float64, factors [Buckets]float64, vocab int) (s Sums, brier [2]float64, tv, divergence float64) {
	const v = 11
	rng := rand.New(rand.NewPCG(seed, 5))
	n := sequences * T
	z, zt, y := make([]float64, n*v), make([]float64, n*v), make([]float64, n)
	for i := range n {
		var p, q, data [v]float64
		for j := range v {
			z[i*v+j], zt[i*v+j] = 1.5*rng.NormFloat64(), 1.5*rng.NormFloat64()
		}
		ref.Softmax(z[i*v:(i+1)*v], 1, nil, p[:], nil, nil, v)
		ref.Softmax(zt[i*v:(i+1)*v], 0.8, nil, q[:], nil, nil, v)
		u, gold := rng.Float64(), v-1
		for j := range v {
			data[j] = mix*q[j] + (1-mix)*p[j]
			if u -= data[j]; u < 0 {
				gold = j
				break
			}
		}
		y[i] = float64(gold)
		for j := range v {
			e := 0.0
			if j == gold {
				e = 1
			}
			brier[0] += (p[j] - e) * (p[j] - e) / float64(n)
			brier[1] += (q[j] - e) * (q[j] - e) / float64(n)
			tv += math.Abs(p[j]-q[j]) / 2 / float64(n)
			divergence += math.Abs(mix*q[j]+(1-mix)*p[j]-q[j]) / 2 / float64(n)
		}
	}
	stats, witness := make([]float64, n*compute.StatsColumns), make([]float64, n*compute.WitnessColumns)
	ref.WitnessLoss(z, y, []float64{1, weight, 0.8, 0}, policy, ref.LossTeacher{Logits: zt}, nil, stats, witness, v)
	s.Observe(narrow(stats), narrow(witness), T, weight, factors, vocab)
	return s, brier, tv, divergence
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// TestCredibility: gold tokens drawn from t q + (1-t) p give tau = t, on average and within its standard error; the witness of the
// teacher is below its divergence from the data, and equal to it where S is where the data are above q, as here; and the Brier scores
// are those of the distributions.
func TestCredibility(t *testing.T) {
	policy := make([]float64, compute.PolicyLen)
	for i := range policy {
		policy[i] = 1
	}
	for _, mix := range []float64{0, 0.3, 0.5, 1} {
		s, brier, tv, divergence := observed(7, 400, 16, mix, policy, 0.5, whole, 0)
		w := s.describe(Rule{})
		if w.TauError > 0.05 {
			t.Fatalf("the case is too noisy: tau is known to %g", w.TauError)
		}
		near(t, "tau", w.Tau, mix, 3*w.TauError)
		near(t, "TV", w.TV, tv, 1e-6)
		near(t, "both witnesses", w.Student+w.Divergence, w.TV, 1e-9)
		near(t, "the teacher's divergence from the data", w.Divergence, divergence, 3*w.TauError*w.TV)
		near(t, "Brier of the student", w.BrierStudent, brier[0], 1e-6)
		near(t, "Brier of the teacher", w.BrierTeacher, brier[1], 1e-6)
		near(t, "2A - |p-q|^2", 2*w.A-w.Apart, brier[0]-brier[1], 1e-6)
	}
}

// TestObserve: sums by hand of two sequences, one with a masked token, in two buckets.
func TestObserve(t *testing.T) {
	// NLL, CE, teacher's NLL, entropy, correct, witness, variation, 1
	stats := []float32{
		1, 2, 0.5, 0.1, 0, 0.25, 0.5, 1, 3, 1, 4, 2, 0, -0.5, 0.25, 1,
		2, 2, 1, 0.1, 1, 0.5, 0.5, 1, 0, 0, 0, 0, 0, 0, 0, 0,
	}
	witness := []float32{0.5, 0.25, 0.75, 0, 0.5, 0.5, 0.5, 1, 1, 0.25, 0.25, 0, 0, 0, 0, 0}
	var s Sums
	s.Observe(stats, witness, 2, 0.5, [Buckets]float64{1, 0.5}, 8)
	var first, second Ratio
	first.observe(0.25, 0.5)
	first.observe(0.5, 0.5)
	second.observe(-0.5, 0.25)
	if s.Credibility[0] != first || s.Credibility[1] != second {
		t.Errorf("credibility %+v", s.Credibility[:2])
	}
	var lead, all Ratio
	lead.observe(0.5, 1)
	lead.observe(1, 1)
	all.observe(-0.5, 2)
	all.observe(1, 1)
	if s.Crossing[0] != lead || s.AllCrossing != all {
		t.Errorf("crossing %+v of %+v", s.Crossing[0], s.AllCrossing)
	}
	// l_w: (1+2)/2, 0.75*3 + 0.25*1, and 2.
	near(t, "V0", s.NLL.Variance(), 0, 1e-12)
	near(t, "Vw", s.Loss.Variance(), 0, 1e-12)
	near(t, "sum of mean l_w", s.Loss.Sum, (1.5+2.5)/2+2, 1e-12)
	if s.Tokens != 3 || s.Data != 6 || s.CE != 5 || s.Weight != 1.25 || s.PP != 2 || s.PQ != 1 || s.QQ != 1.5 {
		t.Errorf("sums %+v", s)
	}
	near(t, "sum of q(y)", s.QY, math.Exp(-0.5)+math.Exp(-4)+math.Exp(-1), 1e-9)
	bin := int(0.1 / math.Log(8) * entropyBins)
	if s.Entropies[bin] != 2 || s.Entropies[int(2/math.Log(8)*entropyBins)] != 1 {
		t.Error("entropies are miscounted")
	}
	// A token of a broken step: nothing breaks here.
	nan := float32(math.NaN())
	s.Observe([]float32{nan, nan, nan, nan, 0, nan, nan, 1}, []float32{nan, nan, nan, 0}, 1, 0.5, [Buckets]float64{1}, 8)
}

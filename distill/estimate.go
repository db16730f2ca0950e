package distill

import (
	"math"
	"sync"

	"saltern/compute"
)

// Buckets is the largest number of classes of tokens, by their teacher's entropy, that have a weight each.
const Buckets = compute.PolicyBuckets

// Ratio is what is kept of pairs (n, d), one of each sequence, for the ratio of their sums and its standard error.
type Ratio struct{ Count, N, D, NN, ND, DD float64 }

func (r *Ratio) observe(n, d float64) {
	r.Add(Ratio{1, n, d, n * n, n * d, d * d})
}

// Add adds other pairs.
func (r *Ratio) Add(o Ratio) {
	r.Count += o.Count
	r.N, r.D = r.N+o.N, r.D+o.D
	r.NN, r.ND, r.DD = r.NN+o.NN, r.ND+o.ND, r.DD+o.DD
}

// Estimate is sum n / sum d and its standard error, by the residuals n - ratio d of the sequences (Cochran 1977, section 2.11). The
// error is infinite where it cannot be told: of one sequence, or where the d are 0.
func (r Ratio) Estimate() (ratio, se float64) {
	if r.D == 0 || r.Count < 2 {
		return 0, math.Inf(1)
	}
	ratio = r.N / r.D
	residuals := max(0, r.NN-2*ratio*r.ND+ratio*ratio*r.DD)
	return ratio, math.Sqrt(residuals*r.Count/(r.Count-1)) / math.Abs(r.D)
}

// Moments is what is kept of numbers, one of each sequence, for their mean and variance.
type Moments struct{ Count, Sum, Squares float64 }

func (m *Moments) observe(x float64) { m.Add(Moments{1, x, x * x}) }

// Add adds other numbers.
func (m *Moments) Add(o Moments) {
	m.Count, m.Sum, m.Squares = m.Count+o.Count, m.Sum+o.Sum, m.Squares+o.Squares
}

// Variance of the numbers; NaN where there is one or none.
func (m Moments) Variance() float64 {
	if m.Count < 2 {
		return math.NaN()
	}
	return max(0, m.Squares-m.Sum*m.Sum/m.Count) / (m.Count - 1)
}

// Sums is all that is known of some steps: sums over their tokens and sequences, taken before each step's update, so that fresh data
// is its own held-out set. The sums of ranks, added, are those of the whole batch. S = {v: p(v) > q(v)}; q is the teacher at its
// temperature; nats.
type Sums struct {
	// Credibility has n = sum of p(S) - 1{y in S} and d = sum of p(S) - q(S) of a sequence's tokens in a bucket: the ratio is tau, 1
	// where the data side with the teacher, 0 where they side with the student. Crossing has the student's less the teacher's -log of
	// the gold token, and the number of tokens. All... are those of whole sequences.
	Credibility, Crossing       [Buckets]Ratio
	AllCredibility, AllCrossing Ratio

	NLL, Loss Moments // of sequences: mean NLL, mean l_w

	// Sums over tokens: their number; NLL(y); CE(q, p); w; |p|^2, p.q, |q|^2; p(y), q(y).
	Tokens, Data, CE, Weight, PP, PQ, QQ, PY, QY float64

	// Entropies counts tokens by their teacher's entropy, of [0, log V] in equal parts; nil unless asked for.
	Entropies []float64 `json:",omitempty"`
}

// entropyBins is how many parts Sums.Entropies has.
const entropyBins = 256

// Add adds the sums of other sequences.
func (s *Sums) Add(o Sums) {
	for g := range s.Credibility {
		s.Credibility[g].Add(o.Credibility[g])
		s.Crossing[g].Add(o.Crossing[g])
	}
	s.AllCredibility.Add(o.AllCredibility)
	s.AllCrossing.Add(o.AllCrossing)
	s.NLL.Add(o.NLL)
	s.Loss.Add(o.Loss)
	s.Tokens, s.Data, s.CE, s.Weight = s.Tokens+o.Tokens, s.Data+o.Data, s.CE+o.CE, s.Weight+o.Weight
	s.PP, s.PQ, s.QQ, s.PY, s.QY = s.PP+o.PP, s.PQ+o.PQ, s.QQ+o.QQ, s.PY+o.PY, s.QY+o.QY
	if s.Entropies == nil && o.Entropies != nil {
		s.Entropies = make([]float64, entropyBins)
	}
	for i, n := range o.Entropies {
		s.Entropies[i] += n
	}
}

// Observe adds sequences of T tokens, whose rows of stats and witness the loss gave under a weight and the factors of the buckets.
// With a vocabulary above 0 the entropies are counted too. All processors take part, as a fast device waits meanwhile; the order of the
// sums is that of the sequences all the same.
func (s *Sums) Observe(stats, witness []float32, T int, weight float64, factors [Buckets]float64, vocab int) {
	const a, b = compute.StatsColumns, compute.WitnessColumns
	each := make([]Sums, len(stats)/(T*a))
	var all sync.WaitGroup
	for i := range each {
		all.Go(func() {
			each[i].sequence(stats[i*T*a:(i+1)*T*a], witness[i*T*b:(i+1)*T*b], weight, factors, vocab)
		})
	}
	all.Wait()
	for _, one := range each {
		s.Add(one)
	}
}

// sequence adds one.
func (s *Sums) sequence(stats, witness []float32, weight float64, factors [Buckets]float64, vocab int) {
	type sum struct{ data, tv, lead, tokens float64 }
	var in [Buckets]sum
	var nll, loss, tokens float64
	if vocab > 0 {
		s.Entropies = make([]float64, entropyBins)
	}
	for ; len(stats) > 0; stats, witness = stats[compute.StatsColumns:], witness[compute.WitnessColumns:] {
		if stats[compute.StatCount] == 0 {
			continue
		}
		y, ce, teacher := float64(stats[compute.StatNLL]), float64(stats[compute.StatCE]), float64(stats[compute.StatTeacherNLL])
		g := int(witness[compute.WitnessBucket])
		w := weight * factors[g]
		tokens, nll, loss = tokens+1, nll+y, loss+(1-w)*y+w*ce
		b := &in[g]
		b.data += float64(stats[compute.StatDataWitness])
		b.tv += float64(stats[compute.StatTotalVariation])
		b.lead, b.tokens = b.lead+y-teacher, b.tokens+1
		s.CE, s.Weight = s.CE+ce, s.Weight+w
		s.PP, s.PQ, s.QQ = s.PP+float64(witness[compute.WitnessPP]), s.PQ+float64(witness[compute.WitnessPQ]), s.QQ+float64(witness[compute.WitnessQQ])
		s.PY, s.QY = s.PY+math.Exp(-y), s.QY+math.Exp(-teacher)
		if vocab > 0 {
			bin := 0 // where the entropy is NaN too, in a step that is going to be skipped
			if part := float64(stats[compute.StatEntropy]) / math.Log(float64(vocab)) * entropyBins; part > 0 {
				bin = int(min(entropyBins-1, part))
			}
			s.Entropies[bin]++
		}
	}
	if tokens == 0 {
		return
	}
	var all sum
	for g, b := range in {
		if b.tokens > 0 {
			s.Credibility[g].observe(b.data, b.tv)
			s.Crossing[g].observe(b.lead, b.tokens)
		}
		all = sum{all.data + b.data, all.tv + b.tv, all.lead + b.lead, all.tokens + b.tokens}
	}
	s.AllCredibility.observe(all.data, all.tv)
	s.AllCrossing.observe(all.lead, all.tokens)
	s.NLL.observe(nll / tokens)
	s.Loss.observe(loss / tokens)
	s.Tokens, s.Data = s.Tokens+tokens, s.Data+nll
}

// edges are the entropies that split the counted tokens into Buckets of about equal size, ascending, above 0 and none twice: where
// many tokens have about one entropy there are fewer.
func (s Sums) edges(vocab int) []float64 {
	edges, below, total := []float64{}, 0.0, 0.0
	for _, n := range s.Entropies {
		total += n
	}
	for i, n := range s.Entropies[:entropyBins-1] {
		was := math.Floor(Buckets * below / total)
		below += n
		if now := math.Floor(Buckets * below / total); now > was && below < total {
			edges = append(edges, float64(i+1)/entropyBins*math.Log(float64(vocab)))
		}
	}
	return edges
}

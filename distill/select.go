package distill

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"saltern/distill/scores"
	"saltern/model/corpus"
)

// SelectConfig says how an early SLM selects the sequences that stage 1 of "salt-ds" reads: those that are challenging, by their
// loss, and yet learnable, as the right token is among the SLM's likeliest.
//
//	score(x) = median over tokens i of  1{x_i in top-k of q(.|x_<i)} * (-log q(x_i | x_<i))
type SelectConfig struct {
	// Early is when the SLM judges the text, as a part of its own training: the checkpoint after so many of its steps is kept
	// for that, and what it was trained on by then is never a candidate. An SLM that is too early scores most text 0, which
	// "saltern select" shows: a short training needs a larger part. Zero means 0.1. Above 0, at most 1.
	Early float64 `toml:"early"`

	// Candidates is how many sequences the SLM judges, each of the LLM's train.sequence tokens: those that the ordinary stream
	// reads last in its first epoch. Zero means four times Keep. More than there are means all; at least Keep.
	Candidates int64 `toml:"candidates"`

	// Keep is m, the number of sequences that are selected: those of the highest score, ties broken by a hash. Zero
	// means n_KD times the LLM's batch, so that stage 1 reads each once; it must not be less for "salt-ds".
	Keep int64 `toml:"keep"`

	// TopK is k: a token counts as learnable if fewer than k others were likelier. Zero means 10, the paper's. 1 to 128, and
	// above that the numbers that the stored ranks can tell apart, eight to each power of two.
	TopK int `toml:"top_k"`

	// Masked is what becomes of tokens that are not learnable: "zero" counts them with a loss of 0, so that a sequence with more
	// than half of them has a score of 0; "drop" takes the median over the others. Empty means "zero", the paper's.
	Masked string `toml:"masked"`
}

// Defaults returns c with every zero field chosen, for a stage 1 that reads that many sequences. It is idempotent.
func (c SelectConfig) Defaults(stageOne int64) SelectConfig {
	if c.Early == 0 {
		c.Early = 0.1
	}
	if c.Keep == 0 {
		c.Keep = stageOne
	}
	if c.Candidates == 0 {
		c.Candidates = 4 * c.Keep
	}
	if c.TopK == 0 {
		c.TopK = 10
	}
	if c.Masked == "" {
		c.Masked = "zero"
	}
	return c
}

// Check calls bad for every problem of c, which has been through Defaults, for a method and a stage 1 that reads that many sequences.
func (c SelectConfig) Check(method string, stageOne int64, bad func(key, message string)) {
	if !(c.Early > 0 && c.Early <= 1) {
		bad("early", fmt.Sprintf("early = %g must lie above 0 and be at most 1: it is a part of the SLM's training; 0.1 is usual", c.Early))
	}
	if c.Keep < 1 {
		bad("keep", fmt.Sprintf("keep = %d selects nothing; leave it out for as many sequences as stage 1 reads", c.Keep))
	} else if c.Keep < stageOne && method == "salt-ds" {
		bad("keep", fmt.Sprintf("keep = %d is less than the %d sequences that stage 1 reads, distill.kd_steps times llm.train.batch; raise it, or leave it out", c.Keep, stageOne))
	}
	if c.Candidates < c.Keep {
		bad("candidates", fmt.Sprintf("candidates = %d is less than keep = %d; raise it, or leave it out", c.Candidates, c.Keep))
	}
	if near := scores.NearestK(c.TopK); near != c.TopK {
		bad("top_k", fmt.Sprintf("top_k = %d cannot be told from the stored ranks, which are exact up to 128; use %d", c.TopK, near))
	}
	if c.Masked != "zero" && c.Masked != "drop" {
		bad("masked", fmt.Sprintf(`masked = %q is unknown; use "zero" or "drop"`, c.Masked))
	}
}

// EarlyStep is the step of the SLM's training, of that many, after which it judges the text.
func (c SelectConfig) EarlyStep(steps int64) int64 {
	return max(1, int64(math.Round(c.Early*float64(steps))))
}

// Score is a sequence's score. The median of an even number of losses is the mean of the two in the middle, of none it is 0.
func (c SelectConfig) Score(s scores.Sequence) float64 {
	kept := make([]float32, 0, len(s.Loss))
	for i, loss := range s.Loss {
		switch {
		case int(s.Rank[i]) < c.TopK:
			kept = append(kept, loss)
		case c.Masked == "zero":
			kept = append(kept, 0)
		}
	}
	n := len(kept)
	if n == 0 {
		return 0
	}
	slices.Sort(kept)
	return (float64(kept[(n-1)/2]) + float64(kept[n/2])) / 2
}

// Scored is a candidate and its score.
type Scored struct {
	ID    int64
	Score float64
}

// Rank sorts candidates: the highest score first, ties by a hash of the id, so that no place in the text is favoured.
func Rank(list []Scored) {
	slices.SortFunc(list, func(a, b Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(hash(a.ID), hash(b.ID)))
	})
}

// hash is the step of SplitMix64 (Steele, Lea and Flood 2014), a bijection.
func hash(id int64) uint64 {
	x := uint64(id) + 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// Reading is which sequences of a stream a training reads: samples 0 to Samples-1 of its order, of T tokens each.
type Reading struct {
	Order   corpus.Order
	T       int
	Samples int64
}

// Candidates lists up to n sequences of the student's that the early SLM has not been trained on: no token that it had to predict is
// among those that it is to judge. (The first token of a sequence is only read, by either.) They are taken from the end of the
// student's first epoch backwards, so that its stage 2, which goes on in the ordinary stream, meets them again as late as the text
// allows.
func Candidates(student corpus.Order, T int, early Reading, n int64) []int64 {
	seen := make([]bool, early.Order.Sequences)
	for i := range min(early.Samples, early.Order.Sequences) { // an epoch reads all there is
		seen[early.Order.At(i)] = true
	}
	fresh := func(id int64) bool {
		// Token t+1 is predicted in the sequence that holds t as an input, for t = id*T .. id*T+T-1.
		last := min((id*int64(T)+int64(T)-1)/int64(early.T), int64(len(seen))-1)
		for i := id * int64(T) / int64(early.T); i <= last; i++ {
			if seen[i] {
				return false
			}
		}
		return true
	}
	var list []int64
	for i := student.Sequences - 1; i >= 0 && int64(len(list)) < n; i-- {
		if id := student.At(i); fresh(id) {
			list = append(list, id)
		}
	}
	return list
}

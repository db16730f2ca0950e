package labels

import (
	"math"

	"saltern/compute"
)

// Floor is what the labels take in bytes per token by the best code there can be, one that knows q itself: 4 for the statistics and
// the entropy of N draws whose order does not matter, N H(q) - log N! + E log prod_v n_v!, n_v draws of id v; the expectation is
// taken over the tokens at hand. Of draws only: how likely ids fall out is no matter of chance for the likeliest k.
func (l *Labels) Floor() float64 {
	T := len(l.Tail)
	count := len(l.IDs) / T
	nats := -float64(T) * logFactorial(float64(count))
	for t := range T {
		nats += float64(count) * float64(l.Stats[t*compute.LabelColumns+compute.LabelEntropy])
	}
	for _, q := range l.Q {
		nats += logFactorial(math.Round(float64(q) * float64(count)))
	}
	return 2*compute.LabelColumns + nats/math.Ln2/8/float64(T)
}

func logFactorial(n float64) float64 {
	x, _ := math.Lgamma(n + 1)
	return x
}

package ref

import "math"

// Softmax is q = softmax(z * sharpness) for each row of z [N,V] and, if there are labels y, the row of stats [N,2]: -log q(y)
// and the entropy of q; and y's rank: how many ids have a larger z than y, or an equal one and are lower. A label of V or
// more has zeros, and 2^32 - 1 for a rank. q may be z; labels, stats and rank may be nil.
func Softmax(z []float64, sharpness float64, labels, q, stats, rank []float64, v int) {
	clear(stats)
	for i := range len(z) / v {
		row := z[i*v : (i+1)*v]
		logq := logSoftmax(row, sharpness)
		if labels != nil {
			rank[i] = 1<<32 - 1
		}
		if labels != nil && labels[i] < float64(v) {
			y, s := int(labels[i]), stats[2*i:2*i+2]
			s[0], rank[i] = -logq[y], 0
			for j, l := range logq {
				if p := math.Exp(l); p != 0 {
					s[1] -= p * l
				}
				if row[j] > row[y] || row[j] == row[y] && j < y {
					rank[i]++
				}
			}
		}
		for j, l := range logq {
			q[i*v+j] = math.Exp(l)
		}
	}
}

package ref

// NLLRank is, for each row of logits z [N,V] with its label y, -log softmax(z)_y and y's rank: how many ids have a larger z than
// y, or an equal one and are lower. A label of V or more has 0, and 2^32 - 1 for a rank.
func NLLRank(z, labels, nll, rank []float64, v int) {
	for i, label := range labels {
		nll[i], rank[i] = 0, 1<<32-1
		if label >= float64(v) {
			continue
		}
		row, y := z[i*v:(i+1)*v], int(label)
		nll[i], rank[i] = -logSoftmax(row, 1)[y], 0
		for j, x := range row {
			if x > row[y] || x == row[y] && j < y {
				rank[i]++
			}
		}
	}
}

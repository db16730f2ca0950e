package ref

// Embed is y[n] = table[ids[n]].
func Embed(table, ids, y []float64) {
	d := len(y) / len(ids)
	for n, id := range ids {
		copy(y[n*d:(n+1)*d], table[int(id)*d:])
	}
}

// EmbedGrad is acc[ids[n]] += dy[n] for every n; rows are d wide.
func EmbedGrad(dy, ids, acc []float64, d int) {
	for n, id := range ids {
		for i := range d {
			acc[int(id)*d+i] += dy[n*d+i]
		}
	}
}

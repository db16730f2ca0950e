package ref

import (
	"math"
	"sort"
)

// TopK is, for each row of x [N,V], the ids and values of its k largest, the largest first and equal ones by the lower id,
// and the sum of the others. NaN counts as larger than any number.
func TopK(x, ids, values, rest []float64, v, k int) {
	for i := range rest {
		row, order := x[i*v:(i+1)*v], make([]int, v)
		for j := range order {
			order[j] = j
		}
		sort.SliceStable(order, func(a, b int) bool {
			p, q := row[order[a]], row[order[b]]
			return p > q || math.IsNaN(p) && !math.IsNaN(q)
		})
		rest[i] = 0
		for j, id := range order {
			if j >= k {
				rest[i] += row[id]
				continue
			}
			ids[i*k+j], values[i*k+j] = float64(id), row[id]
		}
	}
}

package ref

import (
	"math"
	"slices"
)

// Sample draws from each row of q [N,V]. The ids lie one after the other, by (v mod 1024, v), each as long as q[v] in units of
// 2^-31, rounded, halves up; draw d takes the one at floor(r / 2^32 * their length together), with r word d mod 4 of
// Philox(counter d/4, index, seed[2], seed[3]; key seed[0], seed[1]). A row of ids has the distinct ones in ascending order, then
// 2^32 - 1, and the row of weights how often each was drawn over draws, then 0. A row of NaN or of a sum of 0 or above 1.5 has
// no ids, and NaN for weights.
func Sample(q, index, seed, ids, weights []float64, v, draws int) {
	for i := range index {
		row := q[i*v : (i+1)*v]
		order, length, mass := make([]int, 0, v), uint64(0), 0.0
		for c := range min(v, 1024) {
			for j := c; j < v; j += 1024 {
				order = append(order, j)
			}
		}
		units := make([]uint64, v)
		for j, p := range row {
			units[j] = uint64(math.Floor(min(max(p, 0), 1)*(1<<31) + 0.5))
			length += units[j]
			mass += p
		}
		for d := range draws {
			ids[i*draws+d], weights[i*draws+d] = 1<<32-1, 0
		}
		if !(mass <= 1.5) || length == 0 {
			for d := range draws {
				weights[i*draws+d] = math.NaN()
			}
			continue
		}
		var drawn []int
		for d := range draws {
			r := Philox([4]uint32{uint32(d / 4), uint32(index[i]), uint32(seed[2]), uint32(seed[3])}, [2]uint32{uint32(seed[0]), uint32(seed[1])})
			at := uint64(r[d%4]) * length >> 32
			for _, j := range order {
				if at < units[j] {
					drawn = append(drawn, j)
					break
				}
				at -= units[j]
			}
		}
		slices.Sort(drawn)
		n := 0
		for d, id := range drawn {
			if d == 0 || drawn[d-1] != id {
				ids[i*draws+n] = float64(id)
				n++
			}
			weights[i*draws+n-1] += 1 / float64(draws)
		}
	}
}

// Philox is Philox 4x32-10, a counter-based random number generator: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2,
// 3", 2011.
func Philox(c [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		a, b := 0xD2511F53*uint64(c[0]), 0xCD9E8D57*uint64(c[2])
		c = [4]uint32{uint32(b>>32) ^ c[1] ^ key[0], uint32(b), uint32(a>>32) ^ c[3] ^ key[1], uint32(a)}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return c
}

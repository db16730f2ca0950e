package labels

import "math/bits"

// gap follows the mean gap of one context, to give the order of its Golomb code. Whole numbers only: whoever reads must come to
// the same orders.
type gap struct {
	sum, n uint32
	k      int
}

// settled chooses the order for the sums as they are: about half the mean, since long gaps are more frequent than a geometric
// distribution has them.
func (g gap) settled() gap {
	g.k = max(0, bits.Len32((g.sum-1)/g.n)-1)
	return g
}

// forget is how many gaps are remembered, roughly: text changes from page to page.
const forget = 64

func (g *gap) add(x uint32) {
	g.sum += x
	g.n++
	if g.n >= forget {
		g.sum, g.n = g.sum/2, g.n/2
	}
	g.sum = max(g.sum, 1)
	*g = g.settled()
}

// gaps is the contexts by where a gap begins and how many ids are to come, both by their number of bits.
type gaps [21][10]gap

// at is the context of the gap that begins at id from with left ids to come.
func (g *gaps) at(from uint32, left int) *gap {
	return &g[bits.Len32(from)][bits.Len(uint(left))]
}

// weight is how many gaps the first guess counts for.
const weight = 4

// newGaps guesses: m ids to come, log-uniform between x and v, lie a factor of (v/x)^(1/m) apart.
func newGaps(v int) *gaps {
	g := &gaps{}
	for i := range g {
		x := 1<<i>>1 + 32
		doublings := max(0, bits.Len(uint(v))-bits.Len(uint(x)))
		for j := range g[i] {
			mean, m := 0, max(1, 3<<j>>2)
			if doublings >= m {
				mean = x << (doublings / m)
			} else {
				mean = x * doublings * 11 / (16 * m) // 2^(d/m) - 1 is about ln 2 d/m
			}
			g[i][j] = gap{sum: uint32(weight * max(1, mean)), n: weight}.settled()
		}
	}
	return g
}

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
	g.k = bits.Len32(g.sum-1) - bits.Len32(g.n)
	if g.k > 0 && g.n<<g.k > g.sum-1 {
		g.k--
	}
	g.k = max(0, g.k)
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

// context is that of the gap that begins at rank from with left ids to come.
func context(from uint32, left int) (int, int) { return bits.Len32(from), bits.Len(uint(left)) }

func (g *gaps) at(from uint32, left int) *gap {
	i, j := context(from, left)
	return &g[i][j]
}

// How many gaps the first guess counts for: by Zipf's law, and where the teacher's own were counted.
const (
	weight  = 4
	learned = 16
)

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

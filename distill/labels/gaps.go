package labels

import "math/bits"

// gap is the mean gap of one context in units of 1/recent, which follows the gaps that are seen. Whole numbers only: whoever reads must
// come to the same orders.
type gap uint32

// recent is how many gaps are remembered, roughly: text changes from page to page.
const recent = 16

// order is that of its Golomb code: half the mean, since long gaps are more frequent than a geometric distribution has them.
func (g gap) order() int { return bits.Len32(uint32(g) / (2 * recent)) }

func (g *gap) add(x uint32) { *g += gap(x) - *g/recent }

// gaps is the contexts by where a gap begins and how many ids are to come, both by their number of bits.
type gaps [21][10]gap

// context is that of the gap that begins at rank from with left ids to come.
func context(from uint32, left int) (int, int) { return bits.Len32(from), bits.Len(uint(left)) }

func (g *gaps) at(from uint32, left int) *gap {
	i, j := context(from, left)
	return &g[i][j]
}

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
			g[i][j] = gap(recent * max(1, mean))
		}
	}
	return g
}

package labels

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"saltern/compute"
)

// ranks is what a file knows of its teacher: which ids it says often. Neighbours by rank are about as frequent, so a gap between two of
// a token's ranks says little but how rare they are. Read-only once made.
type ranks struct {
	order []uint32 // [V], the id of each rank
	of    []uint32 // [V], the rank of each id
	guess *gaps    // what gaps between ranks are like
}

// inOrder ranks ids as they come, which is by frequency where a byte-pair vocabulary was made from such text: for a file that knows
// nothing of its teacher yet.
func inOrder(v int) *ranks {
	r := &ranks{order: make([]uint32, v), of: make([]uint32, v), guess: newGaps(v)}
	for i := range r.order {
		r.order[i], r.of[i] = uint32(i), uint32(i)
	}
	return r
}

// byOctave ranks ids by the octave of how often they were seen, within one as they come: what is kept of a frequency is its octave.
func byOctave(octaves []uint8) *ranks {
	r := inOrder(len(octaves))
	slices.SortStableFunc(r.order, func(a, b uint32) int { return cmp.Compare(octaves[b], octaves[a]) })
	for rank, id := range r.order {
		r.of[id] = uint32(rank)
	}
	return r
}

// census counts what a teacher says, in two passes over the same sequences: ids, then the gaps between their ranks.
type census struct {
	seen   []uint32 // [V], tokens that have the id
	sum, n [21][10]uint64
	ranked []uint32 // of one token
}

func (c *census) countIDs(l *Labels) {
	for _, id := range l.IDs {
		if id != compute.Masked {
			c.seen[id]++
		}
	}
}

func (c *census) octaves() []uint8 {
	list := make([]uint8, len(c.seen))
	for id, n := range c.seen {
		list[id] = uint8(bits.Len32(n))
	}
	return list
}

func (c *census) countGaps(l *Labels, r *ranks) {
	count := len(l.IDs) / len(l.Tail)
	for i := 0; i < len(l.IDs); i += count {
		c.ranked = c.ranked[:0]
		for _, id := range l.IDs[i : i+count] {
			if id != compute.Masked {
				c.ranked = append(c.ranked, r.of[id])
			}
		}
		slices.Sort(c.ranked)
		from := uint32(0)
		for j, rank := range c.ranked {
			a, b := context(from, len(c.ranked)-j)
			c.sum[a][b] += uint64(rank - from)
			c.n[a][b]++
			from = rank + 1
		}
	}
}

// orderBits is what the order of a code takes, and one more than the largest: none, where no gap was seen.
const orderBits, noOrder = 5, 31

// encode writes what decodeRanks reads: the octave of each id, whose rarest are the most frequent, and the order of each context.
func (c *census) encode(octaves []uint8) []byte {
	w := bitWriter{}
	for _, octave := range octaves {
		w.golomb(uint32(octave), 0)
	}
	for a := range c.n {
		for b, n := range c.n[a] {
			order := uint64(noOrder)
			if n > 0 {
				order = uint64(max(0, bits.Len64(c.sum[a][b]/n)-1))
			}
			w.put(order, orderBits)
		}
	}
	return w.end()
}

// decodeRanks reads what census.encode wrote for a vocabulary of v.
func decodeRanks(src []byte, v int) (*ranks, error) {
	in, octaves := bitReader{data: src}, make([]uint8, v)
	for id := range octaves {
		octave := in.golomb(0)
		if octave > 32 {
			return nil, fmt.Errorf("id %d was seen 2^%d times", id, octave)
		}
		octaves[id] = uint8(octave)
	}
	r := byOctave(octaves)
	for a := range r.guess {
		for b := range r.guess[a] {
			if k := in.take(orderBits); k != noOrder {
				if k > 20 {
					return nil, fmt.Errorf("gaps of 2^%d ids", k)
				}
				r.guess[a][b] = gap(recent * (3 << k >> 1))
			}
		}
	}
	if !in.ended() {
		return nil, fmt.Errorf("what it says of frequencies does not end where it should")
	}
	return r, nil
}

// sorter brings a token's ids, which come by rank, into ascending order: a set of them as bits, in words of words. One codec's for
// one reader; all zeros between tokens.
type sorter struct {
	q     []float32 // [V], of the ids in the set
	words []uint64  // a bit of each id
	full  []uint64  // a bit of each word that has any
}

func newSorter(v int) *sorter {
	return &sorter{make([]float32, v), make([]uint64, (v+63)/64), make([]uint64, (v+4095)/4096)}
}

func (s *sorter) add(id uint32, q float32) {
	s.q[id] = q
	s.words[id/64] |= 1 << (id % 64)
	s.full[id/4096] |= 1 << (id / 64 % 64)
}

// drain empties the set into ids and q, and says how many they were.
func (s *sorter) drain(ids []uint32, q []float32) (n int) {
	for f, full := range s.full {
		for ; full != 0; full &= full - 1 {
			at := f*64 + bits.TrailingZeros64(full)
			for word := s.words[at]; word != 0; word &= word - 1 {
				id := uint32(at*64 + bits.TrailingZeros64(word))
				ids[n], q[n] = id, s.q[id]
				n++
			}
			s.words[at] = 0
		}
		s.full[f] = 0
	}
	return n
}

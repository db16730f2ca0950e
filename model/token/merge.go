package token

import "container/heap"

// Both functions below do the same: merge the neighbouring pair of lowest rank, the leftmost first, until none is left.
// mergeShort searches for it again each time, which is fastest for a few symbols; mergeLong keeps a heap, so a megabyte
// without a space costs n log n.

// mergeShort appends the ids of a piece of at most cachePiece bytes.
func (t *Tokenizer) mergeShort(dst []uint32, piece []byte) []uint32 {
	if id, ok := t.whole[string(piece)]; ok {
		return append(dst, id)
	}
	from := len(dst)
	dst = t.symbols(dst, piece)
	var ranks [cachePiece]uint32 // ranks[i]: of symbols i and i+1
	s := dst[from:]
	for i := range len(s) - 1 {
		ranks[i], _ = t.table.find(pair{s[i], s[i+1]})
	}
	for len(s) > 1 {
		best := 0
		for i := 1; i < len(s)-1; i++ {
			if ranks[i] < ranks[best] {
				best = i
			}
		}
		if ranks[best] == noRank {
			break
		}
		_, s[best] = t.table.find(pair{s[best], s[best+1]})
		copy(s[best+1:], s[best+2:])
		copy(ranks[best:len(s)-1], ranks[best+1:len(s)-1])
		s = s[:len(s)-1]
		if best > 0 {
			ranks[best-1], _ = t.table.find(pair{s[best-1], s[best]})
		}
		if best < len(s)-1 {
			ranks[best], _ = t.table.find(pair{s[best], s[best+1]})
		}
	}
	return dst[:from+len(s)]
}

// symbol is one token of a piece under way; neighbours are linked by index, -1 at the ends.
type symbol struct {
	id         uint32
	prev, next int32
}

// candidate is a pair that could be merged, by its left symbol. It is stale once either symbol has changed.
type candidate struct {
	rank uint32
	at   int32
	pair pair
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	if c[i].rank != c[j].rank {
		return c[i].rank < c[j].rank
	}
	return c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// gone marks a symbol that was merged into its left neighbour; no token has this id.
const gone = ^uint32(0)

// mergeLong appends the ids of a piece of any length.
func (t *Tokenizer) mergeLong(dst []uint32, piece []byte) []uint32 {
	if id, ok := t.whole[string(piece)]; ok {
		return append(dst, id)
	}
	ids := t.symbols(nil, piece)
	if len(ids) == 0 {
		return dst
	}
	s := make([]symbol, len(ids))
	for i, id := range ids {
		s[i] = symbol{id, int32(i - 1), int32(i + 1)}
	}
	s[len(s)-1].next = -1
	var queue candidates
	candidateAt := func(at int32) (candidate, bool) {
		if at < 0 || s[at].next < 0 {
			return candidate{}, false
		}
		p := pair{s[at].id, s[s[at].next].id}
		rank, _ := t.table.find(p)
		return candidate{rank, at, p}, rank != noRank
	}
	for i := range s {
		if c, ok := candidateAt(int32(i)); ok {
			queue = append(queue, c)
		}
	}
	heap.Init(&queue)
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		left := &s[c.at]
		if left.id != c.pair.left || left.next < 0 || s[left.next].id != c.pair.right {
			continue
		}
		right := &s[left.next]
		_, left.id = t.table.find(c.pair)
		left.next = right.next
		right.id = gone
		if left.next >= 0 {
			s[left.next].prev = c.at
		}
		for _, at := range [2]int32{left.prev, c.at} {
			if c, ok := candidateAt(at); ok {
				heap.Push(&queue, c)
			}
		}
	}
	for at := int32(0); at >= 0; at = s[at].next {
		dst = append(dst, s[at].id)
	}
	return dst
}

// noRank is the rank of a pair that has no merge.
const noRank = ^uint32(0)

// pairTable maps a pair to the rank and the result of its merge. Open addressing; never more than half full. It is the
// innermost loop of Encode, three times faster there than a map.
type pairTable struct {
	slots []pairSlot
	shift uint
}

type pairSlot struct {
	pair     pair
	rank, id uint32 // rank is noRank in an empty slot
}

func newPairTable(n int) pairTable {
	bits := uint(4)
	for 1<<bits < 2*n {
		bits++
	}
	t := pairTable{make([]pairSlot, 1<<bits), 64 - bits}
	for i := range t.slots {
		t.slots[i].rank = noRank
	}
	return t
}

// slot returns where p is, or the empty slot where it would go.
func (t *pairTable) slot(p pair) *pairSlot {
	key := uint64(p.left)<<32 | uint64(p.right)
	for i := (key * 0x9E3779B97F4A7C15) >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if s := &t.slots[i]; s.rank == noRank || s.pair == p {
			return s
		}
	}
}

// add reports false, and changes nothing, when p is there already.
func (t *pairTable) add(p pair, rank, id uint32) bool {
	s := t.slot(p)
	if s.rank != noRank {
		return false
	}
	*s = pairSlot{p, rank, id}
	return true
}

func (t *pairTable) find(p pair) (rank, id uint32) {
	s := t.slot(p)
	return s.rank, s.id
}

package labels

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"saltern/compute"
)

// The forms.
const (
	Sample = "sample"
	TopK   = "top-k"
)

// Labels are the soft labels of T tokens, K numbers of each.
type Labels struct {
	IDs   []uint32  // [T,K], ascending within a token, then compute.Masked
	Q     []float32 // [T,K], their share of the draws, or their q; then 0
	Tail  []float32 // [T], top-k: the mass of all other ids, 1 - sum Q
	Stats []float32 // [T,compute.LabelColumns]: -log q(y) and the entropy of q, nats
}

// New has room for n tokens with count numbers each.
func New(n, count int) *Labels {
	return &Labels{make([]uint32, n*count), make([]float32, n*count), make([]float32, n), make([]float32, n*compute.LabelColumns)}
}

// Rows are the labels of tokens i to j.
func (l *Labels) Rows(i, j int) *Labels {
	k, c := len(l.IDs)/len(l.Tail), compute.LabelColumns
	return &Labels{l.IDs[i*k : j*k], l.Q[i*k : j*k], l.Tail[i:j], l.Stats[i*c : j*c]}
}

// Renormalise gives the kept ids all of the mass, in their proportions.
func (l *Labels) Renormalise() {
	k := len(l.IDs) / len(l.Tail)
	for t, tail := range l.Tail {
		for j := t * k; j < (t+1)*k; j++ {
			l.Q[j] /= 1 - tail
		}
		l.Tail[t] = 0
	}
}

// Units of what is stored in 16 bits, and of the logarithm of a kept q, in nats.
const (
	nat    = 2048
	most16 = 1<<16 - 1
	qNat   = 64
	qBits  = 10
)

// fixed is x nats in 16 bits, to the nearest; what is too large for them is the largest.
func fixed(x float32) (uint16, error) {
	if !(x >= -1e-3) {
		return 0, fmt.Errorf("%g nats", x)
	}
	return uint16(math.Round(min(most16, nat*max(0, float64(x))))), nil
}

// codec turns labels into bits. It has no state from one sequence to the next.
type codec struct {
	form         string
	count, vocab int
	*ranks
}

func newCodec(s Settings, r *ranks) *codec { return &codec{s.Form, s.Count, s.Vocab, r} }

// columns is the number of 16-bit numbers of each token.
func (c *codec) columns() int {
	if c.form == TopK {
		return 3
	}
	return 2
}

// encode appends a sequence. What no teacher can have said, NaN above all, is an error.
func (c *codec) encode(dst []byte, l *Labels) ([]byte, error) {
	T := len(l.Tail)
	for column := range c.columns() {
		for t := range T {
			x := l.Stats[t*compute.LabelColumns+min(column, compute.LabelEntropy)]
			if column == 2 {
				x = -float32(math.Log(max(0, float64(l.Tail[t])))) // no tail: the largest
			}
			v, err := fixed(x)
			if err != nil {
				return nil, fmt.Errorf("token %d: %w", t, err)
			}
			dst = binary.LittleEndian.AppendUint16(dst, v)
		}
	}
	w, g := bitWriter{data: dst}, *c.guess // adapted within the sequence
	var list []label
	for t := range T {
		var err error
		if list, err = c.ranked(list[:0], l.IDs[t*c.count:(t+1)*c.count], l.Q[t*c.count:(t+1)*c.count]); err == nil {
			err = c.encodeToken(&w, &g, list)
		}
		if err != nil {
			return nil, fmt.Errorf("token %d: %w", t, err)
		}
	}
	return w.end(), nil
}

// label is an id with its rank.
type label struct {
	rank, id uint32
	q        float32
}

// ranked are a token's labels by rank.
func (c *codec) ranked(list []label, ids []uint32, q []float32) ([]label, error) {
	least := uint32(0)
	for i, id := range ids {
		if id == compute.Masked {
			break
		}
		if id < least || int(id) >= c.vocab {
			return nil, fmt.Errorf("id %d after %d in a vocabulary of %d", id, int64(least)-1, c.vocab)
		}
		list = append(list, label{c.of[id], id, q[i]})
		least = id + 1
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no id")
	}
	slices.SortFunc(list, func(a, b label) int { return cmp.Compare(a.rank, b.rank) })
	return list, nil
}

// encodeToken writes the number of ids, then each with its count or q.
func (c *codec) encodeToken(w *bitWriter, g *gaps, list []label) error {
	w.put(uint64(len(list)), bits.Len(uint(c.count)))
	from, draws := uint32(0), c.count
	for i, l := range list {
		left := len(list) - i
		at := g.at(from, left)
		w.golomb(l.rank-from, at.order())
		at.add(l.rank - from)
		from = l.rank + 1
		if c.form == TopK {
			x := -math.Log(float64(l.q)) * qNat
			if !(l.q >= 0 && l.q <= 1.001) {
				return fmt.Errorf("q of %d is %g", l.id, l.q)
			}
			w.put(uint64(math.Round(min(1<<qBits-1, max(0, x)))), qBits)
			continue
		}
		count := int(math.Round(float64(l.q) * float64(c.count)))
		if count < 1 || count > draws-(left-1) || left == 1 && count != draws {
			return fmt.Errorf("%g of %d draws gave id %d, of %d that are left for %d ids", l.q*float32(c.count), c.count, l.id, draws, left)
		}
		if left > 1 {
			w.count(count, 1+draws-left)
		}
		draws -= count
	}
	return nil
}

// decode fills l, of as many tokens as were encoded, from the whole of a sequence.
func (c *codec) decode(src []byte, l *Labels, set *sorter) error {
	T := len(l.Tail)
	head := 2 * T * c.columns()
	if len(src) < head {
		return fmt.Errorf("%d bytes are too few", len(src))
	}
	for t := range T {
		l.Stats[t*compute.LabelColumns+compute.LabelNLL] = float32(binary.LittleEndian.Uint16(src[2*t:])) / nat
		l.Stats[t*compute.LabelColumns+compute.LabelEntropy] = float32(binary.LittleEndian.Uint16(src[2*(T+t):])) / nat
		l.Tail[t] = 0
		if c.form == TopK {
			if v := binary.LittleEndian.Uint16(src[2*(2*T+t):]); v < most16 {
				l.Tail[t] = float32(math.Exp(-max(0.5, float64(v)) / nat)) // something is always kept
			}
		}
	}
	r, g := bitReader{data: src[head:]}, *c.guess
	for t := range T {
		i, j := t*c.count, (t+1)*c.count
		if err := c.decodeToken(&r, &g, set, l.IDs[i:j], l.Q[i:j], l.Tail[t]); err != nil {
			set.drain(l.IDs[i:j], l.Q[i:j])
			return fmt.Errorf("token %d: %w", t, err)
		}
	}
	if !r.ended() {
		return fmt.Errorf("its bits do not end where they should")
	}
	return nil
}

func (c *codec) decodeToken(r *bitReader, g *gaps, set *sorter, ids []uint32, q []float32, tail float32) error {
	n := int(r.take(bits.Len(uint(c.count))))
	if n < 1 || n > c.count || r.over {
		return fmt.Errorf("%d ids", n)
	}
	from, draws, share := uint32(0), c.count, 1/float32(c.count)
	for i := range n {
		left := n - i
		at := g.at(from, left)
		d := r.golomb(at.order())
		if uint64(from)+uint64(d) >= uint64(c.vocab) {
			return fmt.Errorf("an id beyond the vocabulary")
		}
		at.add(d)
		id := c.order[from+d]
		from += d + 1
		if c.form == TopK {
			set.add(id, expTable[r.take(qBits)])
			continue
		}
		count := draws
		if left > 1 {
			count = r.count(1 + draws - left)
		}
		if draws -= count; draws < left-1 {
			return fmt.Errorf("more than %d draws", c.count)
		}
		set.add(id, float32(count)*share)
	}
	set.drain(ids, q)
	if c.form == TopK { // rounded one by one, they do not sum to what the tail leaves
		sum := float32(0)
		for _, x := range q[:n] { // by id, so that the bits do not depend on what is known of ranks
			sum += x
		}
		for i := range n {
			q[i] *= (1 - tail) / sum
		}
	}
	for i := n; i < len(ids); i++ {
		ids[i], q[i] = compute.Masked, 0
	}
	return nil
}

// expTable is the q of each stored logarithm.
var expTable = func() (t [1 << qBits]float32) {
	for i := range t {
		t[i] = float32(math.Exp(-float64(i) / qNat))
	}
	return t
}()
